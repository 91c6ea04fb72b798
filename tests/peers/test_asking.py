"""Real servers are asked for their status in every way that zeroscale knows."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import cast

import pytest
from peers.harness import PeerHarness, server_command
from peers.programs import Program
from ports import free_port
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol

from zeroscale.probes.base import Stage
from zeroscale.probes.minecraft import MinecraftProbe
from zeroscale.probes.status_connection import legacy_ping, status_request
from zeroscale.protocols.minecraft.versions import NEWEST, protocol_number
from zeroscale.status import ProbeResult

pytestmark = [pytest.mark.slow, pytest.mark.peers("node"), pytest.mark.usefixtures("npm_packages")]


@pytest.mark.parametrize(
    ("engine", "version"),
    [
        ("minecraft-protocol", "1.7.10"),
        ("minecraft-protocol", "1.12.2"),
        ("minecraft-protocol", "1.21.4"),
        ("flying-squid", "1.16.5"),
    ],
)
@ensureDeferred
async def test_a_real_server_is_asked_in_every_way(harness: PeerHarness, engine: str, version: str) -> None:
    port = free_port()
    harness.track(Program(server_command(engine, version, port), harness.directory)).wait_for("Server listening")
    probe = MinecraftProbe(reactor, "127.0.0.1", port)
    result = await cast("Awaitable[ProbeResult]", probe.ask(Stage.said_ready))
    assert result.status is not None
    assert result.status["version"] == {"name": version, "protocol": protocol_number(version)}
    assert result.players == 0
    endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port)
    newest, legacy = status_request("127.0.0.1", port, NEWEST, b""), legacy_ping("127.0.0.1", port, b"")
    for connection in (newest, legacy):
        await connectProtocol(endpoint, connection)
        assert (await connection.result).players == 0
