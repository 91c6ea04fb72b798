"""Probe a Bedrock server by an Unconnected Ping, as the server list does."""

from __future__ import annotations

import os
from collections.abc import Callable

from zeroscale.errors import ProtocolError
from zeroscale.probes.base import PROBE_TIMEOUT
from zeroscale.probes.datagram import DatagramProbe
from zeroscale.protocols.bedrock import status
from zeroscale.reactor import Reactor
from zeroscale.status import ProbeResult


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
        pong = await self._answer(status.PongQuery(os.urandom(8)))
        self._on_pong(pong)
        raw = status.read_pong(pong)
        if not raw:
            return ProbeResult(status_disabled=True)
        try:
            return ProbeResult(players=status.parse(raw).players)
        except ProtocolError:
            return ProbeResult()  # as where its MOTD has a semicolon; then it is not known who is on
