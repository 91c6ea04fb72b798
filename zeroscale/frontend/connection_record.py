"""The facts about one client's connection, and how they are logged and counted."""

from __future__ import annotations

import logging

from zeroscale.event_text import quoted_name
from zeroscale.events import Cause, CauseKind
from zeroscale.frontend.client_address import ClientAddress
from zeroscale.frontend.connection_limits import rate_limit_key
from zeroscale.frontend.context import FrontendContext
from zeroscale.frontend.decision import RoutedEvent
from zeroscale.frontend.interfaces import Backend
from zeroscale.protocols.conversation import HostNamed, LoginRequested, StatusRequested
from zeroscale.relay import Outcome
from zeroscale.status import ClientInfo

logger = logging.getLogger("zeroscale.access")

RELAYED = frozenset(outcome.value for outcome in Outcome)

LONGEST_HOST = 100
"""Characters logged of the host that a client names."""


class ConnectionRecord:
    """One connection's facts.

    :ivar address: the client's address.
    :ivar player: the name it claims; "" before it does, and where its protocol has none.
    :ivar backend: the server that it is routed to; None before that, and if its host matches no server.
    :ivar first_event: the first event of its conversation.
    :ivar joins: it is the connection of a client that wants onto the server.
    :ivar has_joined: there was an event `Joined` for the player; known once its session has ended.
    :ivar outcome: how it ended, in one word; None while it has not.
    """

    def __init__(self, context: FrontendContext, address: ClientAddress) -> None:
        self._context = context
        self._began = context.reactor.seconds()
        self.address = address
        self.player = ""
        self.backend: Backend | None = None
        self.first_event: RoutedEvent | None = None
        self.joins = False
        self.has_joined = False
        self.outcome: str | None = None
        self._refusal_reported = False

    def __str__(self) -> str:
        return self.label

    @property
    def label(self) -> str:
        """The client's name and address, for the log; a name that could be taken for anything else is quoted."""
        if not self.player:
            return self.address.peer
        return f"{quoted_name(self.player)} ({self.address.peer})"

    @property
    def client(self) -> ClientInfo:
        """The client, as far as it is known."""
        limit_key = self._context.pending_connections.key(self.address.host)
        sign = None if self.backend is None else self.backend.sign
        return ClientInfo(self.player, self.address.peer, limit_key, sign)

    @property
    def wake_cause(self) -> Cause:
        """Why its server is woken for it."""
        return Cause(CauseKind.login if self.player else CauseKind.connection, self.client)

    def log_debug(self, message: str, *values: object) -> None:
        """Log one step of the connection, unless the access log only counts the connection.

        :param values: of the message's `%s`; they become text only if the line is written.
        """
        if logger.isEnabledFor(logging.DEBUG) and self._context.access_log.accepts(rate_limit_key(self.address.host)):
            logger.debug(f"%s{message}", self._prefix, *values, extra=self._fields)

    def count_refusal(self, reason: str, detail: str) -> None:
        """Count a login that a rule refuses; report it, within limits.

        :param reason: the refusal's one word.
        :param detail: the same in words; "" if there are none.
        """
        if self.backend is not None:
            self.backend.stats.refused(reason)
            if self._context.refusals.may_report(rate_limit_key(self.address.host), self._context.reactor.seconds()):
                self._refusal_reported = True
                self.backend.server.refused(self.client, reason, detail)

    def end(self, outcome: str, detail: str = "", *, warn: bool = False, **fields: int) -> None:
        """Count and log the end of the connection; to be called once.

        :param detail: more for the log's line.
        :param warn: log it as a warning.
        :param fields: further fields of the log's line.
        """
        self.outcome = outcome
        if self.backend is not None:
            self.backend.stats.ended(outcome)
        else:
            self._context.unrouted[outcome] += 1
        level = logging.WARNING if warn else logging.INFO if self._is_news(outcome) else logging.DEBUG
        if not self._context.access_log.is_enabled_for(level):
            return
        seconds = self._context.reactor.seconds() - self._began
        missed = ", and has not joined" if self.player and outcome in RELAYED and not self.has_joined else ""
        where = f" on {self.backend.listen}" if self.backend is not None and self.backend.listen else ""
        explained = f" ({detail})" if detail else ""
        line = f"{self._prefix}{self.label}: {outcome} after {seconds:.1f} s{missed}{where}{explained}"
        log_fields = {**self._fields, "outcome": outcome, "seconds": round(seconds, 3), **fields}
        self._context.access_log.log(rate_limit_key(self.address.host), outcome, line, level, log_fields)

    def _is_news(self, outcome: str) -> bool:
        """Return whether an operator reads of the end at INFO: of a client that joins, and that no event tells of.

        Status requests, pings, health checks and scanners are none. Of a player who has joined, events tell; of one
        whom the server has kicked at once, as it is not on the server's own whitelist, nothing else does.
        """
        if not self.joins or self._refusal_reported:
            return False
        return not (self.player and self.has_joined and outcome in RELAYED)

    @property
    def _prefix(self) -> str:
        return "" if self.backend is None else f"{self.backend.server.view.name}: "

    @property
    def _fields(self) -> dict[str, object]:
        fields: dict[str, object] = {"peer": self.address.peer, "player": self.player or None}
        if self.backend is not None:
            fields["server"] = self.backend.server.view.name
            if self.backend.listen:
                fields["listen"] = self.backend.listen
        if isinstance(self.first_event, StatusRequested | LoginRequested | HostNamed):
            fields["host"] = self.first_event.host[:LONGEST_HOST]
        if isinstance(self.first_event, StatusRequested | LoginRequested):
            fields["protocol"] = self.first_event.protocol
        return fields
