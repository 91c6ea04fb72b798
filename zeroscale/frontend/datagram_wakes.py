"""The clients of one UDP port that ask to wake its server: who may, who waits, and what is logged of the others."""

from __future__ import annotations

import logging
from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from zeroscale.errors import ServerUnavailable
from zeroscale.events import Cause, CauseKind
from zeroscale.frontend.connection_limits import rate_limit_key
from zeroscale.frontend.context import FrontendContext
from zeroscale.frontend.decision import LOCKOUT, Refusal
from zeroscale.frontend.interfaces import Backend, PlayerSession
from zeroscale.protocols.conversation import Component
from zeroscale.status import ClientInfo

logger = logging.getLogger("zeroscale.access")

MOST_WAITING = 64
"""Clients, each of another address, that are shown as waiting for the server. Others wake it and are served as well."""

MOST_ADDRESSES = 4096
"""Addresses of clients that have woken the server; see `has_woken`."""

REFUSED = "refused"
"""The word for it in the log, and for datagrams that are dropped."""


class DatagramWakes:
    """Nobody knows whether such a client comes back, so each is only shown as waiting until the server is ready.

    :param decided: called when the server is ready for clients that wait, or will not become so.
    """

    def __init__(self, context: FrontendContext, backend: Backend, decided: Callable[[], None]) -> None:
        self._context = context
        self._backend = backend
        self._decided = decided
        self._names: dict[str, str] = {}
        self._waiting: dict[str, Deferred[PlayerSession]] = {}
        self._arrived: list[PlayerSession] = []

    def ask(self, client: ClientInfo, host: str) -> Component | None:
        """Wake the server for a client.

        :param client: its name is a claim.
        :param host: its address.
        :returns: what it is told if it may not do that; else None.
        """
        backend, now = self._backend, self._context.reactor.seconds()
        view = backend.server.view
        if view.lockout is not None:
            self._refuse(client, host, Refusal(LOCKOUT, ""), now)
            return backend.messages.kick(view, now, client.name)
        refusal = backend.admission.check_address(host, client.name, view, now)
        if refusal is not None:
            self._refuse(client, host, refusal, now)
            text = refusal.message or refusal.reason
            return backend.messages.refusal(text, view, now, client.name, refusal.values)
        if len(self._names) < MOST_ADDRESSES:
            self._names[host] = client.name
        backend.server.wake(Cause(CauseKind.login if client.name else CauseKind.connection, client))
        if host not in self._waiting and len(self._waiting) < MOST_WAITING:
            waiting = self._waiting[host] = backend.admit(client)
            waiting.addCallbacks(self._admitted, self._not_admitted, (host,), {}, (host,))
            waiting.addErrback(_log_bug)
        return None

    def has_woken(self, host: str) -> bool:
        """Return whether a client of this address has asked since the server ran last, and was not refused."""
        return host in self._names

    def name(self, host: str) -> str:
        """Return the name that it claimed; "": none."""
        return self._names.get(host, "")

    def end(self) -> None:
        """Forget all clients: those that come back have a session each."""
        waiting, self._waiting = self._waiting, {}
        for deferred in waiting.values():
            deferred.cancel()
        arrived, self._arrived = self._arrived, []
        for player in arrived:
            player.end()
        self._names.clear()

    def log_refused(self, client: ClientInfo, host: str, detail: str, level: int = logging.DEBUG) -> None:
        """Log why a client is refused, at a bounded rate."""
        access_log = self._context.access_log
        if access_log.is_enabled_for(level):
            name = self._backend.server.view.name
            where = f" on {self._backend.listen}" if self._backend.listen else ""
            line = f"{name}: {client.address}: {REFUSED}{where} ({detail})"
            fields = {"peer": client.address, "server": name, "outcome": REFUSED}
            access_log.log(rate_limit_key(host), REFUSED, line, level, fields)

    def _refuse(self, client: ClientInfo, host: str, refusal: Refusal, now: float) -> None:
        self._backend.stats.refused(refusal.reason)
        level = logging.INFO
        if self._context.refusals.may_report(rate_limit_key(host), now):
            self._backend.server.refused(client, refusal.reason, refusal.detail)
            level = logging.DEBUG
        detail = f"{refusal.reason}: {refusal.detail}" if refusal.detail else refusal.reason
        self.log_refused(client, host, detail, level)

    def _admitted(self, player: PlayerSession, host: str) -> None:
        self._waiting.pop(host, None)
        self._arrived.append(player)  # the server is not empty before its clients have sessions of their own
        self._decided()

    def _not_admitted(self, failure: Failure, host: str) -> None:
        failure.trap(ServerUnavailable, CancelledError)
        self._waiting.pop(host, None)
        if not failure.check(CancelledError):
            self._decided()


def _log_bug(failure: Failure) -> None:
    logger.error("A fault in zeroscale itself: %s", failure.getTraceback())
