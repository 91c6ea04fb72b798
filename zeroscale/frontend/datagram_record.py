"""One client's datagrams on a running server: whether it counts as a player, what is logged, and how it is counted."""

from __future__ import annotations

import logging
from collections.abc import Callable

from zeroscale.event_text import quoted_name
from zeroscale.frontend.connection_limits import rate_limit_key
from zeroscale.frontend.context import FrontendContext
from zeroscale.frontend.interfaces import Backend, PlayerSession
from zeroscale.protocols.udp import WakeRule
from zeroscale.relay.datagram_session import DatagramSession, SessionEnd
from zeroscale.status import ClientInfo, PlayerSign

logger = logging.getLogger("zeroscale.access")


class DatagramRecord:
    """One session from its opening to its end.

    :param client: its client; `host` is the address.
    :param session: counts the datagrams.
    :param player: the client as the lifecycle counts it.
    :param on_refused: called at the end, if nothing receives datagrams at the server's port.
    :param header: bytes of our own that the first datagram begins with.
    :param rule: what the client has to send before its bytes count; None: that is known now.
    :param counts: they count already.
    :ivar backend: the server.
    """

    def __init__(
        self,
        context: FrontendContext,
        backend: Backend,
        client: ClientInfo,
        host: str,
        session: DatagramSession,
        player: PlayerSession,
        on_refused: Callable[[], None],
        *,
        header: int = 0,
        rule: WakeRule | None = None,
        counts: bool = False,
    ) -> None:
        self._context = context
        self.backend = backend
        self._client = client
        self._host = host
        self._session = session
        self._header = header
        self._rule = rule
        self._counts = counts
        self._began = context.reactor.seconds()
        self._seen = (0, session.heard)
        self._on_refused = on_refused
        self._player = player
        player.moved = self._shown
        self._end_counting: Callable[[], None] = backend.relaying(self._relayed)
        backend.stats.login()

    def counts(self) -> bool:
        """Return whether the client counts as a player; the relay's counters are read for it."""
        return (self._client.sign or PlayerSign.client_bytes).shown_by(*self._shown())

    def end(self, end: SessionEnd) -> None:
        """Count and log the end."""
        if end is SessionEnd.refused and not self._session.to_client:
            # The server has not seen the client, whose datagrams would be a player's that comes and goes each.
            self._counts, self._rule = False, None
        to_server, to_client = self._relayed()
        self._end_counting()
        stats = self.backend.stats
        stats.relayed(to_server, to_client)
        stats.ended(end.value)
        self._player.end(at=min(self._session.heard, self._context.reactor.seconds()))
        self._log(end, to_server, to_client)
        if end is SessionEnd.refused:
            self._on_refused()

    def _shown(self) -> tuple[int, int]:
        """Return the bytes moved so far, without the client's own while it has not met the rule."""
        if not self._counts:
            self._counts = self._is_met()
        to_server, to_client = self._relayed()
        return to_server if self._counts else 0, to_client

    def _relayed(self) -> tuple[int, int]:
        session = self._session
        return max(0, session.to_backend_bytes - self._header), session.to_client_bytes

    def _is_met(self) -> bool:
        session, rule = self._session, self._rule
        count, heard = session.to_backend, session.heard
        if rule is None:
            return False
        seen_count, seen_at = self._seen
        self._seen = count, heard
        return rule.is_met_by(count, heard - self._began) or rule.is_met_by(count - seen_count, heard - seen_at)

    def _log(self, end: SessionEnd, to_server: int, to_client: int) -> None:
        name = self._client.name
        announced = self._player.announced and bool(name)
        level = logging.INFO if self.counts() and not announced else logging.DEBUG
        access_log = self._context.access_log
        if not access_log.is_enabled_for(level):
            return
        session, server = self._session, self.backend.server.view.name
        seconds = self._context.reactor.seconds() - self._began
        label = f"{quoted_name(name)} ({self._client.address})" if name else self._client.address
        where = f" on {self.backend.listen}" if self.backend.listen else ""
        line = (
            f"{server}: {label}: {end.value} after {seconds:.1f} s{where} (datagrams: {session.to_backend} to "
            f"the server, {session.to_client} to the client)"
        )
        fields: dict[str, object] = {
            "peer": self._client.address,
            "player": name or None,
            "server": server,
            "outcome": end.value,
            "seconds": round(seconds, 3),
            "to_server": to_server,
            "to_client": to_client,
        }
        if self.backend.listen:
            fields["listen"] = self.backend.listen
        access_log.log(rate_limit_key(self._host), end.value, line, level, fields)
