"""Probing a Bedrock server by its pong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import pytest
from probes.udp_server import udp_server
from pytest_twisted import ensureDeferred
from twisted.internet import reactor

from zeroscale.probes.bedrock import BedrockProbe
from zeroscale.protocols.bedrock.offline import PING_SIZE, RakNetListener
from zeroscale.protocols.bedrock.status import ping
from zeroscale.protocols.datagrams import Answer
from zeroscale.reactor import Reactor
from zeroscale.status import ProbeResult

STATUS = b"MCPE;A Bedrock server;2193;1.26.51;3;7;1796068234912;a level;Creative;1;29311;29311;0;"


def ponging(status: bytes) -> Callable[[bytes], Sequence[bytes]]:
    listener = RakNetListener(bytes(16), 1)

    def answer(datagram: bytes) -> Sequence[bytes]:
        assert len(datagram) == PING_SIZE
        given = listener.answer(datagram, "127.0.0.1", 1, 0.0, status)
        assert isinstance(given, Answer)
        return given.datagrams

    return answer


@pytest.mark.parametrize(
    ("status", "result"),
    [
        (STATUS, ProbeResult(players=3)),
        (STATUS.replace(b"A ", b"A;"), ProbeResult()),
        (b"", ProbeResult(status_disabled=True)),
    ],
)
@ensureDeferred
async def test_players_of_a_server(status: bytes, result: ProbeResult) -> None:
    pongs: list[bytes] = []
    async with udp_server(ponging(status)) as server:
        probe = BedrockProbe(cast("Reactor", reactor), "127.0.0.1", server.port, on_pong=pongs.append)
        assert await probe.accepts_connections()
        assert await probe.ask() == result
    assert len(pongs) == 2
    assert pongs[0].endswith(status)


@ensureDeferred
async def test_a_pong_of_another_ping_is_none() -> None:
    answer = ponging(STATUS)
    other = answer(ping(b"12345678"))[0]
    async with udp_server(lambda datagram: [other, b"", *answer(datagram)]) as server:
        pongs: list[bytes] = []
        probe = BedrockProbe(cast("Reactor", reactor), "127.0.0.1", server.port, on_pong=pongs.append)
        await probe.ask()
        assert pongs
        assert pongs[0] != other


@ensureDeferred
async def test_a_server_that_is_not_to_be_found_in_its_network() -> None:
    answer = ponging(STATUS)
    async with udp_server(lambda datagram: [pong[:PING_SIZE] for pong in answer(datagram)]) as server:
        probe = BedrockProbe(cast("Reactor", reactor), "127.0.0.1", server.port)
        assert await probe.accepts_connections()
        assert await probe.ask() == ProbeResult(status_disabled=True), "it may be stopped"
