"""Probes of a Minecraft server by its status, on real sockets."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from typing import cast

import pytest
from ports import free_port
from probes.asked_server import REPLY, STATUS, ByNumber, Server, close, kick, listening, send
from pytest_twisted import ensureDeferred
from quarry.net.server import ServerFactory
from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.protocol import Protocol
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from zope.interface import directlyProvides

from zeroscale.errors import BackendError
from zeroscale.probes import minecraft
from zeroscale.probes.base import NoReply, NotAccepting, SilentStatus, Stage
from zeroscale.probes.minecraft import MinecraftProbe
from zeroscale.protocols.minecraft import packets
from zeroscale.protocols.minecraft.versions import NEWEST
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
async def test_a_server_of_another_kind() -> None:
    async with listening(send(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n" + b"x" * 100)) as server:
        with pytest.raises(BackendError, match="not answer as Minecraft does"):
            await MinecraftProbe(reactor, "127.0.0.1", server.number).ask()
        await server.all_lost()


# In which way a server is asked

NAMELESS = {key: value for key, value in STATUS.items() if key != "version"}
"""What is kept of a status whose version may be our own number, returned."""

OLD = kick("\u00a71\x0078\x001.6.4\x00An old server\x003\x0020")
BETA = kick("An older server\u00a70\u00a78")
NEW = kick("\u00a71\x00127\x001.21.4\x00A new server\x001\x0020")
"""The reply of 1.7 and later to a ping of before 1.7."""


@pytest.fixture
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minecraft, "PATIENCE", 0.02)


@asynccontextmanager
async def asked(
    replies: Mapping[int | str, bytes | None], *, player: int | None = None, within: float = 5.0
) -> AsyncIterator[tuple[MinecraftProbe, ByNumber]]:
    by_number = ByNumber(replies)
    async with listening(by_number) as server:
        by_number.port = server.number
        probe = MinecraftProbe(reactor, "127.0.0.1", server.number, timeout=within, player_protocol=lambda: player)
        yield probe, by_number
        await server.all_lost()


@pytest.mark.parametrize(
    ("replies", "player", "ways", "result"),
    [
        ({-1: REPLY, 758: REPLY, NEWEST: REPLY}, 758, [-1], ProbeResult(STATUS, 2, ("Notch", "jeb_"))),
        ({758: REPLY, NEWEST: REPLY}, 758, [-1, 758], ProbeResult(NAMELESS, 2, ("Notch", "jeb_"))),
        ({NEWEST: REPLY}, 758, [-1, 758, NEWEST], ProbeResult(NAMELESS, 2, ("Notch", "jeb_"))),
        ({NEWEST: REPLY}, None, [-1, NEWEST], ProbeResult(NAMELESS, 2, ("Notch", "jeb_"))),
        ({NEWEST: REPLY}, NEWEST, [-1, NEWEST], ProbeResult(NAMELESS, 2, ("Notch", "jeb_"))),
        ({NEWEST: REPLY}, -1, [-1, NEWEST], ProbeResult(NAMELESS, 2, ("Notch", "jeb_"))),
        (
            {"legacy": OLD},
            758,
            [-1, 758, NEWEST, "legacy"],
            ProbeResult({"description": "An old server", "players": {"max": 20, "online": 3}}, 3),
        ),
        (
            {"legacy": BETA},
            None,
            [-1, NEWEST, "legacy"],
            ProbeResult({"description": "An older server", "players": {"max": 8, "online": 0}}, 0),
        ),
    ],
)
@ensureDeferred
async def test_where_the_undecided_number_brings_no_reply_others_are_tried_and_the_one_that_does_is_remembered(
    replies: Mapping[int | str, bytes], player: int | None, ways: list[int | str], result: ProbeResult
) -> None:
    async with asked(replies, player=player) as (probe, server):
        assert await probe.ask() == result
        assert server.asked == ways
        assert await probe.ask() == result
        assert await probe.ask(Stage.said_ready) == result
        assert server.asked == [*ways, ways[-1], ways[-1]]


@ensureDeferred
async def test_quarrys_server_is_asked_with_the_last_players_number() -> None:
    factory = ServerFactory()
    factory.motd = "awake"
    factory.log_level = logging.CRITICAL
    port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
    number = cast("IPv4Address", port.getHost()).port
    player: int | None = None
    probe = MinecraftProbe(reactor, "127.0.0.1", number, player_protocol=lambda: player)
    with pytest.raises(NoReply):
        await probe.ask(Stage.said_ready)
    player = 758
    players = {"online": 0, "max": 20}
    assert await probe.ask() == ProbeResult({"description": {"text": "awake"}, "players": players}, 0)
    await cast("Awaitable[None]", port.stopListening())


@ensureDeferred
async def test_another_address_is_asked_from_the_beginning() -> None:
    async with asked({758: REPLY}, player=758) as (probe, server), asked({-1: REPLY}) as (_, others):
        await probe.ask()
        probe.set_address("127.0.0.1", others.port)
        assert (await probe.ask()).status == STATUS
        assert others.asked == [-1]
        assert server.asked == [-1, 758]


@ensureDeferred
async def test_a_way_that_brings_no_reply_any_more_is_given_up() -> None:
    async with asked({758: REPLY}, player=758) as (probe, server):
        await probe.ask()
        server.replies = {-1: REPLY}
        server.asked.clear()
        assert (await probe.ask()).status == STATUS
        assert server.asked == [758, -1]
        await probe.ask()
        assert server.asked == [758, -1, -1]


@ensureDeferred
async def test_after_a_silent_check_a_server_is_asked_from_the_beginning(impatience: None) -> None:
    async with asked({758: REPLY}, player=758, within=0.2) as (probe, server):
        await probe.ask()
        server.replies = {758: None, -1: REPLY}
        with pytest.raises(SilentStatus, match=r"did not answer within 0\.2 s"):
            await probe.ask()
        assert server.asked == [-1, 758, 758]
        assert (await probe.ask()).status == STATUS
        assert server.asked == [-1, 758, 758, -1]


class SilentServer:
    """A server on a fake clock that takes connections, and says nothing by itself."""

    def __init__(self) -> None:
        self.memory = MemoryReactorClock()
        self.probe = MinecraftProbe(self.memory, "192.0.2.1", 25565, player_protocol=lambda: 758)
        self.connections: list[Protocol] = []
        self.outcome: list[object] = []
        self.probe.ask().addBoth(self.outcome.append)

    def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds * 10)):
            for *_, factory, _, _ in self.memory.tcpClients[len(self.connections) :]:
                connection = cast("Protocol", factory.buildProtocol(cast("IPv4Address", None)))
                transport = StringTransport()
                directlyProvides(transport, ITCPTransport)
                connection.transport = transport
                connection.connectionMade()
                self.connections.append(connection)
            self.memory.advance(0.1)


@pytest.mark.parametrize("seconds", [0.5, 6, 14.8])
def test_a_reply_may_take_15_s(seconds: float) -> None:
    server = SilentServer()
    server.pass_time(seconds)
    assert server.outcome == []
    server.connections[0].dataReceived(REPLY)
    assert server.outcome == [ProbeResult(STATUS, 2, ("Notch", "jeb_"))]
    assert server.memory.getDelayedCalls() == []


def test_silence_ends_after_30_s() -> None:
    server = SilentServer()
    server.pass_time(29.9)
    assert server.outcome == []
    server.pass_time(0.3)
    (outcome,) = server.outcome
    assert isinstance(outcome, Failure)
    assert outcome.check(SilentStatus)
    assert server.memory.getDelayedCalls() == []


@ensureDeferred
async def test_a_silent_server_is_asked_in_every_way_and_not_for_ever(impatience: None) -> None:
    async with asked({-1: None, 758: None, NEWEST: None, "legacy": None}, player=758, within=1.0) as (probe, server):
        with pytest.raises(SilentStatus):
            await probe.ask()
        assert server.asked[:4] == [-1, 758, NEWEST, "legacy"]


@ensureDeferred
async def test_a_server_that_is_silent_to_other_requests_is_asked_by_the_ping_before_1_7(impatience: None) -> None:
    async with asked({-1: None, NEWEST: None, "legacy": OLD}) as (probe, server):
        assert (await probe.ask()).players == 3
        assert server.asked == [-1, NEWEST, "legacy"]
        await probe.ask()
        assert server.asked == [-1, NEWEST, "legacy", "legacy"]


@ensureDeferred
async def test_a_new_server_that_answers_only_the_ping_before_1_7_may_be_starting() -> None:
    async with asked({"legacy": NEW}) as (probe, server):
        status = {"description": "A new server", "players": {"max": 20, "online": 1}}
        assert await probe.ask() == ProbeResult(status, 1, may_be_starting=True)
        with pytest.raises(NoReply):
            await probe.ask(Stage.said_ready)
        server.replies = {-1: REPLY}
        assert (await probe.ask()).status == STATUS


@ensureDeferred
async def test_a_server_that_has_come_up_in_between_is_asked_for_its_own_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(minecraft, "ASK_AGAIN_AFTER", 0.0)
    async with asked({758: REPLY}, player=758) as (probe, server):
        server.on_asked = lambda way: server.replies.update({-1: REPLY} if way == 758 else {})
        assert (await probe.ask()).status == STATUS
        await probe.ask()
        assert server.asked == [-1, 758, -1, -1]


@ensureDeferred
async def test_a_starting_server_is_asked_in_one_way_each_time() -> None:
    async with asked({}, player=758) as (probe, server):
        for _ in range(6):
            with pytest.raises(NoReply):
                await probe.ask(Stage.starting)
        assert server.asked == [-1, 758, "legacy", NEWEST, -1, 758]
        server.replies = {"legacy": OLD}
        assert (await probe.ask(Stage.starting)).players == 3
        await probe.ask()
        assert server.asked[6:] == ["legacy", "legacy"]


@ensureDeferred
async def test_a_starting_server_of_1_7_or_later_is_sent_the_ping_before_1_7_once() -> None:
    async with asked({"legacy": NEW}) as (probe, server):
        for _ in range(6):
            with contextlib.suppress(NoReply):
                assert (await probe.ask(Stage.starting)).may_be_starting
        assert server.asked == [-1, "legacy", -1, NEWEST, -1, NEWEST]
        probe.set_address("127.0.0.1", server.port)
        server.asked.clear()
        for _ in range(2):
            with contextlib.suppress(NoReply):
                await probe.ask(Stage.starting)
        assert server.asked == [-1, "legacy"]


@ensureDeferred
async def test_a_starting_server_that_is_silent_is_asked_in_other_ways_too(impatience: None) -> None:
    async with asked({-1: None, 758: None, "legacy": OLD}, player=758) as (probe, server):
        assert (await probe.ask(Stage.starting)).players == 3
        assert server.asked == [-1, 758, "legacy"]


@ensureDeferred
async def test_a_starting_server_is_asked_at_first_in_the_way_that_has_worked_before_too() -> None:
    async with asked({758: REPLY}, player=758) as (probe, server):
        await probe.ask()
        probe.set_address("127.0.0.1", server.port)
        server.asked.clear()
        server.replies = {}
        for _ in range(3):
            with pytest.raises(NoReply):
                await probe.ask(Stage.starting)
        assert server.asked == [-1, 758, 758, "legacy"]


@ensureDeferred
async def test_a_starting_server_that_comes_up_is_asked_for_its_own_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minecraft, "ASK_AGAIN_AFTER", 0.0)
    async with asked({}, player=758) as (probe, server):
        with pytest.raises(NoReply):
            await probe.ask(Stage.starting)
        server.replies = {-1: REPLY, 758: REPLY}
        assert (await probe.ask(Stage.starting)).status == STATUS
        await probe.ask()
        assert server.asked == [-1, 758, -1, -1]


@ensureDeferred
async def test_a_server_that_does_not_listen_is_tried_once() -> None:
    async with asked({758: REPLY}, player=758) as (probe, server):
        await probe.ask()
        probe.set_address("127.0.0.1", free_port())
        with pytest.raises(NotAccepting, match="does not accept connections"):
            await probe.ask()
        assert server.asked == [-1, 758]


@ensureDeferred
async def test_a_cancelled_question_leaves_no_connection(impatience: None) -> None:
    async with asked({-1: None, 758: None, NEWEST: None, "legacy": None}, player=758) as (probe, server):
        everything_asked: Deferred[None] = Deferred()
        server.on_asked = lambda way: everything_asked.callback(None) if way == "legacy" else None
        question = probe.ask()
        await everything_asked
        question.cancel()
        with pytest.raises(CancelledError):
            await question
