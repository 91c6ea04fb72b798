"""A starting server is waited for quietly and not a moment longer; and what is asked of it on real sockets."""

from __future__ import annotations

import json
import socket
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import cast

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import IReactorTime, ITCPTransport
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from zeroscale.errors import BackendError
from zeroscale.protocols import wire
from zeroscale.server import probe
from zeroscale.server.probe import MinecraftProbe, NoReply, Probe, Readiness
from zeroscale.status import Answer

STATUS = {
    "version": {"name": "Paper 1.21.4", "protocol": 769},
    "players": {"max": 20, "online": 2, "sample": [{"name": "Notch", "id": "x"}, {"name": "jeb_", "id": "y"}]},
    "description": "hello",
}
REPLY = wire.frame(0x00, wire.string(json.dumps(STATUS)))
PROXY_LOCAL = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"


class ScriptedProbe:
    """Answers when the test says so, and writes down when it was asked."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.accepts = False
        self.connected_at: list[float] = []
        self.asked_at: list[float] = []
        self.questions: list[Deferred[Answer]] = []
        self.cancelled = 0

    def connects(self) -> Deferred[bool]:
        self.connected_at.append(self._clock.seconds())
        connecting: Deferred[bool] = Deferred()
        connecting.callback(self.accepts)
        return connecting

    def ask(self) -> Deferred[Answer]:
        self.asked_at.append(self._clock.seconds())
        question: Deferred[Answer] = Deferred(self._cancelled)
        self.questions.append(question)
        return question

    def answer(self) -> None:
        self.questions[-1].callback(Answer(STATUS, 2, ("Notch", "jeb_")))

    def fail(self, error: Exception) -> None:
        self.questions[-1].errback(Failure(error))

    def _cancelled(self, _: object) -> None:
        self.cancelled += 1


class Scene:
    """A readiness under way."""

    def __init__(self, *, off: bool = False) -> None:
        self.clock = Clock()
        self.probe = ScriptedProbe(self.clock)
        self.readiness = Readiness(self.clock, cast("Probe", self.probe), status_disabled=lambda: off)
        self.answers: list[Answer] = []
        self.running = self.readiness.run().addCallback(self.answers.append)

    def pass_time(self, seconds: float) -> None:
        self.clock.pump([0.01] * round(seconds * 100))

    def left_behind(self) -> int:
        return len(self.clock.getDelayedCalls())


def test_it_connects_every_200_ms_and_asks_nothing_until_it_is_accepted() -> None:
    scene = Scene()
    scene.pass_time(1.0)
    assert scene.probe.connected_at == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], abs=0.03)
    assert scene.probe.asked_at == []
    assert scene.readiness.problem == "it does not accept connections"
    scene.probe.accepts = True
    scene.pass_time(0.21)
    assert len(scene.probe.asked_at) == 1


def test_the_first_answer_is_ready() -> None:
    scene = Scene()
    scene.probe.accepts = True
    scene.pass_time(0.2)
    scene.probe.answer()
    assert scene.answers == [Answer(STATUS, 2, ("Notch", "jeb_"))]
    assert scene.left_behind() == 0


def test_one_question_is_outstanding_and_at_most_one_comes_every_5_s() -> None:
    scene = Scene()
    scene.probe.accepts = True
    scene.pass_time(0.2)
    scene.pass_time(4.0)
    assert len(scene.probe.asked_at) == 1
    scene.probe.fail(NoReply("closed"))
    scene.pass_time(20.0)
    assert len(scene.probe.asked_at) == 2
    scene.probe.fail(TimeoutError("silent"))
    assert scene.readiness.problem == "silent"
    for _ in range(100):
        scene.pass_time(0.1)
        if len(scene.probe.asked_at) > 2 and not scene.probe.questions[-1].called:
            scene.probe.fail(BackendError("garbage"))
    gaps = [later - earlier for earlier, later in zip(scene.probe.asked_at, scene.probe.asked_at[1:], strict=False)]
    assert min(gaps) >= probe.QUESTION_EVERY - 0.001
    assert len(gaps) >= 3


def test_the_ready_line_brings_the_next_question_at_once() -> None:
    scene = Scene()
    scene.probe.accepts = True
    scene.pass_time(0.2)
    scene.probe.fail(NoReply("closed"))
    scene.pass_time(1.0)
    before = scene.clock.seconds()
    scene.readiness.hurry()
    assert scene.probe.asked_at[1:] == [before]
    scene.probe.answer()
    assert len(scene.answers) == 1


def test_the_ready_line_brings_the_next_connect_at_once() -> None:
    scene = Scene()
    scene.pass_time(0.1)
    scene.probe.accepts = True
    scene.readiness.hurry()
    assert len(scene.probe.asked_at) == 1


def test_a_question_that_hangs_when_the_ready_line_comes_is_asked_anew() -> None:
    scene = Scene()
    scene.probe.accepts = True
    scene.pass_time(1.0)
    scene.readiness.hurry()
    assert scene.probe.cancelled == 0
    scene.pass_time(probe.GRACE + 0.01)
    assert scene.probe.cancelled == 1
    assert len(scene.probe.asked_at) == 2
    scene.probe.answer()
    assert len(scene.answers) == 1
    assert scene.left_behind() == 0


def test_a_question_that_is_answered_within_the_grace_is_enough() -> None:
    scene = Scene()
    scene.probe.accepts = True
    scene.pass_time(1.0)
    scene.readiness.hurry()
    scene.probe.answer()
    assert len(scene.answers) == 1
    assert len(scene.probe.asked_at) == 1
    assert scene.left_behind() == 0


def test_the_ready_line_counts_once() -> None:
    scene = Scene()
    scene.probe.accepts = True
    scene.pass_time(0.2)
    for _ in range(50):
        scene.readiness.hurry()
        scene.pass_time(0.1)
    assert len(scene.probe.asked_at) == 2


def test_after_the_ready_line_a_status_that_is_not_made_yet_is_asked_for_again_soon() -> None:
    scene = Scene()
    scene.probe.accepts = True
    scene.pass_time(0.2)
    scene.readiness.hurry()
    scene.probe.fail(NoReply("closed, and asked before the line"))
    assert len(scene.probe.asked_at) == 2
    scene.probe.fail(NoReply("closed"))
    assert len(scene.probe.asked_at) == 2
    scene.pass_time(0.02)
    assert len(scene.probe.asked_at) == 3
    scene.probe.answer()
    assert len(scene.answers) == 1


def test_a_server_that_stays_silent_after_its_ready_line_has_its_status_off(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    scene.probe.accepts = True
    scene.pass_time(0.2)
    scene.readiness.hurry()
    hurried_at = scene.clock.seconds()
    while not scene.answers and scene.clock.seconds() < 60:
        if not scene.probe.questions[-1].called:
            scene.probe.fail(NoReply("closed"))
        scene.pass_time(0.01)
    assert scene.answers == [Answer(None, None, ())]
    assert scene.clock.seconds() - hurried_at == pytest.approx(sum(probe.RETRIES_AFTER_LINE), abs=0.1)
    assert "does not answer the server list" in caplog.text


def test_garbage_after_the_ready_line_is_not_taken_for_a_status_that_is_off() -> None:
    scene = Scene()
    scene.probe.accepts = True
    scene.readiness.hurry()
    for _ in range(6000):
        if scene.probe.questions and not scene.probe.questions[-1].called:
            scene.probe.fail(BackendError("garbage"))
        scene.pass_time(0.01)
    assert scene.answers == []
    assert len(scene.probe.asked_at) <= 60 / probe.QUESTION_EVERY + 1


def test_with_its_status_off_the_ready_line_is_ready_and_nothing_is_asked() -> None:
    scene = Scene(off=True)
    scene.probe.accepts = True
    scene.pass_time(10.0)
    assert scene.answers == []
    scene.readiness.hurry()
    assert scene.answers == [Answer(None, None, ())]
    assert scene.probe.asked_at == []
    assert scene.left_behind() == 0


def test_with_its_status_off_and_a_ready_line_before_it_accepts() -> None:
    scene = Scene(off=True)
    scene.readiness.hurry()
    scene.pass_time(1.0)
    assert scene.answers == []
    scene.probe.accepts = True
    scene.pass_time(0.21)
    assert scene.answers == [Answer(None, None, ())]


def test_with_its_status_off_and_no_ready_line_it_is_not_waited_for_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene(off=True)
    scene.probe.accepts = True
    scene.pass_time(0.2 + probe.LINELESS_GRACE)
    assert scene.answers == [Answer(None, None, ())]
    assert "without a ready line" in caplog.text


@pytest.mark.parametrize("off", [False, True])
@pytest.mark.parametrize("accepts", [False, True])
@pytest.mark.parametrize("hurried", [False, True])
def test_a_cancelled_wait_leaves_nothing_behind(off: bool, accepts: bool, hurried: bool) -> None:
    for steps in range(0, 60, 5):
        scene = Scene(off=off)
        scene.probe.accepts = accepts
        scene.clock.pump([0.01] * steps)
        if hurried:
            scene.readiness.hurry()
        if scene.answers:
            continue
        scene.running.cancel()
        failures: list[Failure] = []
        scene.running.addErrback(failures.append)
        assert failures[0].check(CancelledError)
        assert scene.left_behind() == 0
        assert all(question.called for question in scene.probe.questions)
        scene.readiness.hurry()
        assert scene.left_behind() == 0


# On sockets


class Server(Protocol):
    """Does what the test wants with what it gets."""

    def __init__(self, server: Listening) -> None:
        self._server = server
        self.received = b""

    def connectionMade(self) -> None:
        self._server.connections.append(self)

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        assert self.transport is not None
        self._server.received(self, data)

    def connectionLost(self, reason: Failure | None = None) -> None:
        self._server.lost += 1
        waiters, self._server.waiters = self._server.waiters, []
        for waiter in waiters:
            waiter.callback(None)


class Listening:
    """A server on a port of its own."""

    def __init__(self, received: Callable[[Server, bytes], None]) -> None:
        self.received = received
        self.number = 0
        self.connections: list[Server] = []
        self.lost = 0
        self.waiters: list[Deferred[None]] = []

    async def next_lost(self) -> None:
        waiter: Deferred[None] = Deferred()
        self.waiters.append(waiter)
        await waiter.addTimeout(5, IReactorTime(reactor))

    async def all_lost(self) -> None:
        while self.lost < len(self.connections) or not self.connections:
            await self.next_lost()


@asynccontextmanager
async def listening(received: Callable[[Server, bytes], None]) -> AsyncIterator[Listening]:
    server = Listening(received)
    endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
    port = await endpoint.listen(Factory.forProtocol(lambda: Server(server)))
    server.number = cast("IPv4Address", port.getHost()).port
    try:
        yield server
    finally:
        await cast("Awaitable[None]", port.stopListening())


def send(data: bytes) -> Callable[[Server, bytes], None]:
    def received(server: Server, _: bytes) -> None:
        assert server.transport is not None
        server.transport.write(data)

    return received


def close(server: Server, _: bytes) -> None:
    assert server.transport is not None
    server.transport.loseConnection()


def unused_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@ensureDeferred
async def test_a_status_is_asked_as_the_server_list_asks() -> None:
    async with listening(send(REPLY)) as server:
        asking = MinecraftProbe(reactor, "127.0.0.1", server.number, header=PROXY_LOCAL)
        assert await asking.ask() == Answer(STATUS, 2, ("Notch", "jeb_"))
        await server.all_lost()
    sent = server.connections[0].received
    assert sent.startswith(PROXY_LOCAL)
    handshake = wire.frame(
        0x00, wire.varint(-1), wire.string("127.0.0.1"), server.number.to_bytes(2, "big"), wire.varint(1)
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
        ({"max": 20, "online": 999, "sample": [{"name": "x"}] * 999}, (999, ("x",) * probe.NAMES_READ)),
        ("many", (None, ())),
        (None, (None, ())),
    ],
)
@ensureDeferred
async def test_strange_players(players: object, expected: tuple[int | None, tuple[str, ...]]) -> None:
    async with listening(send(wire.frame(0, wire.string(json.dumps({"players": players}))))) as server:
        answer = await MinecraftProbe(reactor, "127.0.0.1", server.number).ask()
        await server.all_lost()
    assert (answer.players, answer.player_names) == expected


@ensureDeferred
async def test_nobody_there() -> None:
    asking = MinecraftProbe(reactor, "127.0.0.1", unused_port())
    assert await asking.connects() is False
    with pytest.raises(BackendError, match="does not accept connections"):
        await asking.ask()


@ensureDeferred
async def test_a_name_that_does_not_resolve() -> None:
    asking = MinecraftProbe(reactor, "no-such-host.invalid", 25565)
    assert await asking.connects() is False
    with pytest.raises(BackendError):
        await asking.ask()


@ensureDeferred
async def test_a_plain_connect_says_nothing_and_closes() -> None:
    async with listening(send(b"")) as server:
        assert await MinecraftProbe(reactor, "127.0.0.1", server.number).connects() is True
        await server.all_lost()
    assert [connection.received for connection in server.connections] == [b""]


@ensureDeferred
async def test_a_plain_connect_has_a_header_where_the_server_insists_on_one() -> None:
    async with listening(send(b"")) as server:
        assert await MinecraftProbe(reactor, "127.0.0.1", server.number, header=PROXY_LOCAL).connects() is True
        await server.all_lost()
    assert [connection.received for connection in server.connections] == [PROXY_LOCAL]


@ensureDeferred
async def test_a_server_that_closes_without_an_answer() -> None:
    off = False
    async with listening(close) as server:
        asking = MinecraftProbe(reactor, "127.0.0.1", server.number, status_disabled=lambda: off)
        with pytest.raises(NoReply, match="closed it without an answer"):
            await asking.ask()
        off = True
        assert await asking.ask() == Answer(None, None, ())
        await server.all_lost()


@ensureDeferred
async def test_a_server_of_another_kind() -> None:
    async with listening(send(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n" + b"x" * 100)) as server:
        with pytest.raises(BackendError, match="not answer as Minecraft does"):
            await MinecraftProbe(reactor, "127.0.0.1", server.number).ask()
        await server.all_lost()


@ensureDeferred
async def test_a_question_that_hangs_ends_in_time_with_its_connection() -> None:
    async with listening(send(b"\x05")) as server:
        with pytest.raises(TimeoutError, match=r"did not answer within 0\.05 s"):
            await MinecraftProbe(reactor, "127.0.0.1", server.number, timeout=0.05).ask()
        await server.all_lost()


@ensureDeferred
async def test_a_cancelled_question_closes_its_connection() -> None:
    asked: Deferred[None] = Deferred()
    async with listening(lambda _, __: asked.callback(None)) as server:
        question = MinecraftProbe(reactor, "127.0.0.1", server.number).ask()
        await asked
        question.cancel()
        with pytest.raises(CancelledError):
            await question
        await server.all_lost()


def test_a_connect_that_hangs_ends_in_time() -> None:
    memory = MemoryReactorClock()
    answers: list[bool] = []
    MinecraftProbe(memory, "192.0.2.1", 25565).connects().addCallback(answers.append)
    [(host, port, _, timeout, _)] = memory.tcpClients
    assert (host, port, timeout) == ("192.0.2.1", 25565, probe.CONNECT_TIMEOUT)
    assert answers == []


@pytest.mark.parametrize("question", ["connects", "ask"])
def test_a_connect_that_is_called_back_is_a_cancelled_question(question: str) -> None:
    memory = MemoryReactorClock()
    asked: Deferred[object] = getattr(MinecraftProbe(memory, "192.0.2.1", 25565), question)()
    failures: list[Failure] = []
    asked.addErrback(failures.append)
    asked.cancel()
    assert failures[0].check(CancelledError)


@ensureDeferred
async def test_ready_follows_the_ready_line_within_50_ms() -> None:
    """As a vanilla server: bound early, it closes questions until its line is written."""
    took = []
    for _ in range(5):
        up = False

        def received(server: Server, data: bytes) -> None:
            (send(REPLY) if up else close)(server, data)  # noqa: B023

        async with listening(received) as server:
            readiness = Readiness(reactor, MinecraftProbe(reactor, "127.0.0.1", server.number))
            ready = readiness.run()
            await server.all_lost()
            while not any(connection.received for connection in server.connections):
                await server.next_lost()
            up = True
            line_at = time.perf_counter()
            readiness.hurry()
            await ready
            took.append(time.perf_counter() - line_at)
            await server.all_lost()
    assert statistics.median(took) < 0.05
