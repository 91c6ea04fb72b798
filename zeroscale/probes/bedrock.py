"""Probe a Bedrock server by an Unconnected Ping, as the server list does."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from zeroscale.errors import ProtocolError
from zeroscale.probes.base import PROBE_TIMEOUT
from zeroscale.probes.datagram import DatagramProbe
from zeroscale.protocols.bedrock import status
from zeroscale.reactor import Reactor
from zeroscale.status import ProbeResult


class PongQuestion:
    """A ping that expects its own pong. Implements `datagram.Question`, whose answer is the whole pong."""

    def __init__(self) -> None:
        self._token = secrets.token_bytes(8)
        self.request = status.ping(self._token)

    def receive(self, datagram: bytes) -> bytes:
        """Return the pong.

        :raises ProtocolError: it is none, or that of another ping.
        """
        status.read_pong(datagram, self._token)
        return datagram


class BedrockProbe(DatagramProbe):
    """Checks a Bedrock server: it is up if it answers a ping, whatever it says of itself.

    :param on_pong: called with each pong.

    The other parameters are those of `BaseProbe`.
    """

    def __init__(
        self,
        reactor: Reactor,
        host: str,
        port: int,
        *,
        timeout: float = PROBE_TIMEOUT,
        header: bytes = b"",
        on_pong: Callable[[bytes], None] = lambda pong: None,
    ) -> None:
        super().__init__(reactor, host, port, timeout=timeout, header=header)
        self._on_pong = on_pong

    async def _result(self) -> ProbeResult:
        pong = await self._answer(PongQuestion())
        self._on_pong(pong)
        try:
            return ProbeResult(players=status.parse(status.read_pong(pong)).players)
        except ProtocolError:
            return ProbeResult()  # as where its MOTD has a semicolon; then it is not known who is on
