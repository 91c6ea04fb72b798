"""One status request to a Minecraft server on one connection, since 1.7 and before."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from twisted.internet.defer import Deferred
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from zeroscale.errors import BackendError, ProtocolError
from zeroscale.probes.base import NoReply, ProbeConnection
from zeroscale.protocols.minecraft.client import StatusClient, StatusReceived, StatusUnreadable
from zeroscale.protocols.minecraft.legacy_client import LegacyPingClient
from zeroscale.status import ProbeResult

NAMES_READ = 100
"""Entries of a status's player sample; vanilla sends at most 12."""


class StatusConnection(ProbeConnection):
    """One request.

    :param request: the bytes to send.
    :param receive: takes the server's next bytes; returns the result once they are a whole reply, and raises
        `ProtocolError` where they are none.
    :ivar result: fires with the result, or fails with `BackendError`; cancelled, it closes the connection.
    """

    def __init__(self, request: bytes, receive: Callable[[bytes], ProbeResult | None]) -> None:
        super().__init__(request)
        self.result: Deferred[ProbeResult] = Deferred(self._cancelled)
        self._receive = receive
        self._done = False

    def dataReceived(self, data: bytes) -> None:
        """Look for the whole reply."""
        if self._done:
            return
        try:
            result = self._receive(data)
        except ProtocolError as error:
            self._tcp.abortConnection()
            self._finish(Failure(BackendError(f"the server does not answer as Minecraft does: {error}")))
            return
        if result is not None:
            self._tcp.loseConnection()
            self._finish(result)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Fail, if the reply has not come."""
        self._finish(Failure(NoReply("the server accepted the connection and closed it without an answer")))

    def _cancelled(self, _: Deferred[ProbeResult]) -> None:
        self._done = True
        self._tcp.abortConnection()

    def _finish(self, result: ProbeResult | Failure) -> None:
        if not self._done:
            self._done = True
            self.result.callback(result)


def status_request(host: str, port: int, protocol: int, header: bytes) -> StatusConnection:
    """Make the request of 1.7 and later.

    :param host: the host in the handshake.
    :param port: the port in the handshake.
    :param protocol: the protocol number in the handshake.
    :param header: sent before it.
    """
    client = StatusClient(host, port, protocol)

    def receive(data: bytes) -> ProbeResult | None:
        for event in client.receive(data):
            match event:
                case StatusReceived(status=status):
                    return _result(status)
                case StatusUnreadable():
                    return ProbeResult()
        return None

    return StatusConnection(header + client.request(), receive)


def legacy_ping(host: str, port: int, header: bytes) -> StatusConnection:
    """Make the ping of before 1.7, with the same parameters."""
    client = LegacyPingClient(host, port)

    def receive(data: bytes) -> ProbeResult | None:
        reply = client.receive(data)
        if reply is None:
            return None
        # The protocol number is of another number space, or says nothing (docs/protocol.md, "Before 1.7").
        status = {"description": reply.motd, "players": {"max": reply.maximum, "online": reply.online}}
        return ProbeResult(status, reply.online, may_be_starting=not reply.before_1_7)

    return StatusConnection(header + client.request(), receive)


def _result(status: Mapping[str, object]) -> ProbeResult:
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
    counted = isinstance(online, int) and not isinstance(online, bool) and online >= 0
    return ProbeResult(status, online if counted else None, tuple(names))
