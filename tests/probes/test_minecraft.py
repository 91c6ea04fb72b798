"""Probes of a Minecraft server by its status, on real sockets."""

from __future__ import annotations

import json
from typing import cast

import pytest
from probes.asked_server import REPLY, STATUS, Server, close, listening, send
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.interfaces import ITCPTransport

from zeroscale.errors import BackendError
from zeroscale.probes.base import NoReply
from zeroscale.probes.minecraft import NAMES_READ, MinecraftProbe
from zeroscale.protocols.minecraft import packets
from zeroscale.status import ProbeResult

PROXY_LOCAL = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"


@ensureDeferred
async def test_a_status_request_and_its_result() -> None:
    async with listening(send(REPLY)) as server:
        probe = MinecraftProbe(reactor, "127.0.0.1", server.number, header=PROXY_LOCAL)
        assert await probe.ask() == ProbeResult(STATUS, 2, ("Notch", "jeb_"))
        await server.all_lost()
    sent = server.connections[0].received
    assert sent.startswith(PROXY_LOCAL)
    handshake = packets.frame(
        0x00, packets.varint(-1), packets.string("127.0.0.1"), server.number.to_bytes(2, "big"), packets.varint(1)
    )
    assert sent[len(PROXY_LOCAL) :] == handshake + b"\x01\x00"


@ensureDeferred
async def test_a_status_in_pieces() -> None:
    def received(server: Server, _: bytes) -> None:
        assert server.transport is not None
        cast("ITCPTransport", server.transport).setTcpNoDelay(True)
        for byte in REPLY:
            server.transport.write(bytes([byte]))

    async with listening(received) as server:
        assert (await MinecraftProbe(reactor, "localhost", server.number).ask()).players == 2
        await server.all_lost()


@pytest.mark.parametrize(
    ("players", "expected"),
    [
        ({"max": 20, "online": 0}, (0, ())),
        ({"max": 20, "online": -1}, (None, ())),
        ({"max": 20, "online": "many", "sample": "all"}, (None, ())),
        ({"max": 20, "online": 3, "sample": [1, {"name": 2}, {"name": "Notch"}]}, (3, ("Notch",))),
        ({"max": 20, "online": 999, "sample": [{"name": "x"}] * 999}, (999, ("x",) * NAMES_READ)),
        ("many", (None, ())),
        (None, (None, ())),
    ],
)
@ensureDeferred
async def test_unusual_players(players: object, expected: tuple[int | None, tuple[str, ...]]) -> None:
    async with listening(send(packets.frame(0, packets.string(json.dumps({"players": players}))))) as server:
        answer = await MinecraftProbe(reactor, "127.0.0.1", server.number).ask()
        await server.all_lost()
    assert (answer.players, answer.player_names) == expected


@ensureDeferred
async def test_a_server_that_closes_without_an_answer() -> None:
    off = False
    async with listening(close) as server:
        probe = MinecraftProbe(reactor, "127.0.0.1", server.number, status_disabled=lambda: off)
        with pytest.raises(NoReply, match="closed it without an answer"):
            await probe.ask()
        off = True
        assert await probe.ask() == ProbeResult(status_disabled=True)
        await server.all_lost()


@pytest.mark.parametrize(
    "reply",
    [
        packets.frame(0, packets.string("no JSON")),
        packets.frame(0, packets.string("[]")),
        packets.frame(0, b"\xff"),
        packets.frame(0),
    ],
)
@ensureDeferred
async def test_a_status_that_cannot_be_read_is_a_sign_of_life(reply: bytes) -> None:
    async with listening(send(reply)) as server:
        assert await MinecraftProbe(reactor, "127.0.0.1", server.number).ask() == ProbeResult()
        await server.all_lost()


@ensureDeferred
async def test_a_status_with_more_in_it_than_the_protocol_has() -> None:
    text = "\ufeff" + json.dumps(STATUS | {"x": "\u0001", "tps": float("nan")}).replace("\\u0001", "\x01") + "\x00"
    reply = packets.frame(0, packets.string(text), packets.string('{"modpackID": 17}'))
    async with listening(send(reply + b"\xff\xff\xff\xff")) as server:
        answer = await MinecraftProbe(reactor, "127.0.0.1", server.number).ask()
        await server.all_lost()
    assert answer == ProbeResult(STATUS | {"x": "\x01"}, 2, ("Notch", "jeb_"))


@ensureDeferred
async def test_a_number_of_players_that_is_no_number_is_not_known() -> None:
    reply = packets.frame(0, packets.string('{"players": {"max": 20, "online": NaN}}'))
    async with listening(send(reply)) as server:
        assert (await MinecraftProbe(reactor, "127.0.0.1", server.number).ask()).players is None
        await server.all_lost()


@ensureDeferred
async def test_a_server_of_another_kind() -> None:
    async with listening(send(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n" + b"x" * 100)) as server:
        with pytest.raises(BackendError, match="not answer as Minecraft does"):
            await MinecraftProbe(reactor, "127.0.0.1", server.number).ask()
        await server.all_lost()
