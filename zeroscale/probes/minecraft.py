"""Probe a Minecraft server by its status, as the server list does."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from twisted.internet.defer import Deferred
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from zeroscale.errors import BackendError, ProtocolError
from zeroscale.probes.base import PROBE_TIMEOUT, BaseProbe, NoReply, ProbeConnection
from zeroscale.protocols.minecraft.client import StatusClient, StatusReceived, StatusUnreadable
from zeroscale.status import ProbeResult

UNDECIDED_PROTOCOL = -1
"""The protocol number of a status handshake (docs/protocol.md, "Status"). Vanilla answers any number with its own;
ViaVersion, Velocity and BungeeCord echo a number they know, and we would take our own number for the server's."""

NAMES_READ = 100
"""Entries of a status's player sample; vanilla sends at most 12."""


class MinecraftProbe(BaseProbe):
    """Checks a Minecraft server since 1.7 by its status; the server's host is named in the handshake, too.

    :param status_disabled: returns whether the server has its status off; then it is up if it accepts the request and
        closes the connection.

    The other parameters are those of `BaseProbe`.
    """

    _timeout_message = "accepted the status request and did not answer {within}"

    def __init__(
        self,
        reactor: object,
        host: str,
        port: int,
        *,
        timeout: float = PROBE_TIMEOUT,
        header: bytes = b"",
        status_disabled: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__(reactor, host, port, timeout=timeout, header=header)
        self._status_disabled = status_disabled

    async def _ask(self) -> ProbeResult:
        connection = _StatusConnection(StatusClient(self._host, self._port, UNDECIDED_PROTOCOL), self._header)
        await self._connect(connection)
        try:
            return await connection.result
        except NoReply:
            if not self._status_disabled():
                raise
            return ProbeResult(status_disabled=True)


class _StatusConnection(ProbeConnection):
    """One status request on one connection.

    :param client: encodes the request and parses the reply.
    :param header: sent before the request.
    :ivar result: fires with the result, or fails with `BackendError`; cancelled, it closes the connection.
    """

    def __init__(self, client: StatusClient, header: bytes) -> None:
        super().__init__(header + client.request())
        self.result: Deferred[ProbeResult] = Deferred(self._cancelled)
        self._client = client
        self._done = False

    def dataReceived(self, data: bytes) -> None:
        if self._done:
            return
        try:
            events = self._client.receive(data)
        except ProtocolError as error:
            self._tcp.abortConnection()
            self._finish(Failure(BackendError(f"the server does not answer as Minecraft does: {error}")))
            return
        for event in events:
            if isinstance(event, StatusReceived):
                self._tcp.loseConnection()
                self._finish(_probe_result(event.status))
                return
            if isinstance(event, StatusUnreadable):
                self._tcp.loseConnection()
                self._finish(ProbeResult())
                return

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._finish(Failure(NoReply("the server accepted the connection and closed it without an answer")))

    def _cancelled(self, _: Deferred[ProbeResult]) -> None:
        self._done = True
        self._tcp.abortConnection()

    def _finish(self, result: ProbeResult | Failure) -> None:
        if not self._done:
            self._done = True
            self.result.callback(result)


def _probe_result(status: Mapping[str, object]) -> ProbeResult:
    players = status.get("players")
    if not isinstance(players, Mapping):
        return ProbeResult(status)
    online = players.get("online")
    sample = players.get("sample")
    names = [
        player["name"]
        for player in (sample[:NAMES_READ] if isinstance(sample, list) else ())
        if isinstance(player, Mapping) and isinstance(player.get("name"), str)
    ]
    return ProbeResult(status, online if isinstance(online, int) and online >= 0 else None, tuple(names))
