"""A starting server is waited for quietly and not a moment longer: for its answer, or for a line that it writes."""

from __future__ import annotations

import logging
import statistics
import time

import pytest
from probes.asked_server import REPLY, STATUS, Server, close, listening, send
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from zeroscale.errors import BackendError
from zeroscale.probes import readiness
from zeroscale.probes.base import NoReply
from zeroscale.probes.minecraft import MinecraftProbe
from zeroscale.probes.readiness import CONNECT_EVERY, LINELESS_GRACE, LineReadiness, Readiness
from zeroscale.status import ProbeResult


class ScriptedProbe:
    """Answers when the test says so, and writes down when it was asked."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.accepts = False
        self.connected_at: list[float] = []
        self.asked_at: list[float] = []
        self.questions: list[Deferred[ProbeResult]] = []
        self.cancelled = 0

    def connects(self) -> Deferred[bool]:
        self.connected_at.append(self._clock.seconds())
        connecting: Deferred[bool] = Deferred()
        connecting.callback(self.accepts)
        return connecting

    def ask(self) -> Deferred[ProbeResult]:
        self.asked_at.append(self._clock.seconds())
        question: Deferred[ProbeResult] = Deferred(self._cancelled)
        self.questions.append(question)
        return question

    def answer(self) -> None:
        self.questions[-1].callback(ProbeResult(STATUS, 2, ("Notch", "jeb_")))

    def fail(self, error: Exception) -> None:
        self.questions[-1].errback(Failure(error))

    def _cancelled(self, _: object) -> None:
        self.cancelled += 1


class Scene:
    """A readiness under way."""

    def __init__(self, *, off: bool = False) -> None:
        self.clock = Clock()
        self.probe = ScriptedProbe(self.clock)
        self.readiness = Readiness(self.clock, self.probe, status_disabled=lambda: off)
        self.answers: list[ProbeResult] = []
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
    assert scene.answers == [ProbeResult(STATUS, 2, ("Notch", "jeb_"))]
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
    assert min(gaps) >= readiness.QUESTION_EVERY - 0.001
    assert len(gaps) >= 3


def test_the_ready_line_brings_the_next_question_at_once() -> None:
    scene = Scene()
    scene.probe.accepts = True
    scene.pass_time(0.2)
    scene.probe.fail(NoReply("closed"))
    scene.pass_time(1.0)
    before = scene.clock.seconds()
    scene.readiness.ready_line_seen()
    assert scene.probe.asked_at[1:] == [before]
    scene.probe.answer()
    assert len(scene.answers) == 1


def test_the_ready_line_brings_the_next_connect_at_once() -> None:
    scene = Scene()
    scene.pass_time(0.1)
    scene.probe.accepts = True
    scene.readiness.ready_line_seen()
    assert len(scene.probe.asked_at) == 1


def test_a_question_that_hangs_when_the_ready_line_comes_is_asked_anew() -> None:
    scene = Scene()
    scene.probe.accepts = True
    scene.pass_time(1.0)
    scene.readiness.ready_line_seen()
    assert scene.probe.cancelled == 0
    scene.pass_time(readiness.GRACE + 0.01)
    assert scene.probe.cancelled == 1
    assert len(scene.probe.asked_at) == 2
    scene.probe.answer()
    assert len(scene.answers) == 1
    assert scene.left_behind() == 0


def test_a_question_that_is_answered_within_the_grace_is_enough() -> None:
    scene = Scene()
    scene.probe.accepts = True
    scene.pass_time(1.0)
    scene.readiness.ready_line_seen()
    scene.probe.answer()
    assert len(scene.answers) == 1
    assert len(scene.probe.asked_at) == 1
    assert scene.left_behind() == 0


def test_the_ready_line_counts_once() -> None:
    scene = Scene()
    scene.probe.accepts = True
    scene.pass_time(0.2)
    for _ in range(50):
        scene.readiness.ready_line_seen()
        scene.pass_time(0.1)
    assert len(scene.probe.asked_at) == 2


def test_after_the_ready_line_a_status_that_is_not_made_yet_is_asked_for_again_soon() -> None:
    scene = Scene()
    scene.probe.accepts = True
    scene.pass_time(0.2)
    scene.readiness.ready_line_seen()
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
    scene.readiness.ready_line_seen()
    hurried_at = scene.clock.seconds()
    while not scene.answers and scene.clock.seconds() < 60:
        if not scene.probe.questions[-1].called:
            scene.probe.fail(NoReply("closed"))
        scene.pass_time(0.01)
    assert scene.answers == [ProbeResult(None, None, ())]
    assert scene.clock.seconds() - hurried_at == pytest.approx(sum(readiness.RETRIES_AFTER_LINE), abs=0.1)
    assert "does not answer the server list" in caplog.text


def test_garbage_after_the_ready_line_is_not_taken_for_a_status_that_is_off() -> None:
    scene = Scene()
    scene.probe.accepts = True
    scene.readiness.ready_line_seen()
    for _ in range(6000):
        if scene.probe.questions and not scene.probe.questions[-1].called:
            scene.probe.fail(BackendError("garbage"))
        scene.pass_time(0.01)
    assert scene.answers == []
    assert len(scene.probe.asked_at) <= 60 / readiness.QUESTION_EVERY + 1


def test_with_its_status_off_the_ready_line_is_ready_and_nothing_is_asked() -> None:
    scene = Scene(off=True)
    scene.probe.accepts = True
    scene.pass_time(10.0)
    assert scene.answers == []
    scene.readiness.ready_line_seen()
    assert scene.answers == [ProbeResult(None, None, ())]
    assert scene.probe.asked_at == []
    assert scene.left_behind() == 0


def test_with_its_status_off_and_a_ready_line_before_it_accepts() -> None:
    scene = Scene(off=True)
    scene.readiness.ready_line_seen()
    scene.pass_time(1.0)
    assert scene.answers == []
    scene.probe.accepts = True
    scene.pass_time(0.21)
    assert scene.answers == [ProbeResult(None, None, ())]


def test_with_its_status_off_and_no_ready_line_it_is_not_waited_for_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene(off=True)
    scene.probe.accepts = True
    scene.pass_time(0.2 + readiness.LINELESS_GRACE)
    assert scene.answers == [ProbeResult(None, None, ())]
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
            scene.readiness.ready_line_seen()
        if scene.answers:
            continue
        scene.running.cancel()
        failures: list[Failure] = []
        scene.running.addErrback(failures.append)
        assert failures[0].check(CancelledError)
        assert scene.left_behind() == 0
        assert all(question.called for question in scene.probe.questions)
        scene.readiness.ready_line_seen()
        assert scene.left_behind() == 0


@ensureDeferred
async def test_ready_follows_the_ready_line_within_50_ms() -> None:
    """As a vanilla server: bound early, it closes questions until its line is written."""
    took = []
    for _ in range(5):
        up = False

        def received(server: Server, data: bytes) -> None:
            (send(REPLY) if up else close)(server, data)  # noqa: B023

        async with listening(received) as server:
            waiting = Readiness(reactor, MinecraftProbe(reactor, "127.0.0.1", server.number))
            ready = waiting.run()
            await server.all_lost()
            while not any(connection.received for connection in server.connections):
                await server.next_lost()
            up = True
            line_at = time.perf_counter()
            waiting.ready_line_seen()
            await ready
            took.append(time.perf_counter() - line_at)
            await server.all_lost()
    assert statistics.median(took) < 0.05


# By a line of its output


class SimpleProbe:
    """Accepts when the test says so."""

    def __init__(self) -> None:
        self.accepts = False
        self.connected = 0

    def connects(self) -> Deferred[bool]:
        self.connected += 1
        return succeed(self.accepts)

    def ask(self) -> Deferred[ProbeResult]:
        raise AssertionError("it is not asked")


class LineScene:
    """A wait for a line."""

    def __init__(self, *, lineless: bool = False) -> None:
        self.clock = Clock()
        self.probe = SimpleProbe()
        self.readiness = LineReadiness(self.clock, self.probe)
        if lineless:
            self.readiness.ready_line_missed()
        self.answers: list[ProbeResult] = []
        self.running = self.readiness.run().addCallback(self.answers.append)

    def pass_time(self, seconds: float) -> None:
        self.clock.pump([0.1] * round(seconds * 10))


def test_a_server_is_not_disturbed_before_its_line() -> None:
    scene = LineScene()
    scene.probe.accepts = True
    scene.pass_time(100)
    assert (scene.probe.connected, scene.answers) == (0, [])
    assert scene.readiness.problem == "it has not written its ready line"
    scene.readiness.ready_line_seen()
    scene.readiness.ready_line_seen()
    assert scene.answers == [ProbeResult()]
    assert scene.clock.getDelayedCalls() == []


def test_after_its_line_it_has_to_take_a_connection() -> None:
    scene = LineScene()
    scene.readiness.ready_line_seen()
    scene.pass_time(1)
    assert scene.probe.connected == pytest.approx(1 / CONNECT_EVERY, abs=2)
    assert scene.readiness.problem == "it does not accept connections"
    scene.probe.accepts = True
    scene.pass_time(0.5)
    assert scene.answers == [ProbeResult()]


def test_a_server_that_ran_before_is_ready_once_it_has_accepted_for_a_while(caplog: pytest.LogCaptureFixture) -> None:
    scene = LineScene(lineless=True)
    scene.pass_time(100)
    assert scene.answers == []
    scene.probe.accepts = True
    with caplog.at_level(logging.WARNING):
        scene.pass_time(LINELESS_GRACE - 1)
        assert scene.answers == []
        scene.pass_time(2)
    assert scene.answers == [ProbeResult()]
    assert "without a ready line: taken for ready" in caplog.text


def test_or_when_its_line_is_found() -> None:
    scene = LineScene(lineless=True)
    scene.probe.accepts = True
    scene.pass_time(1)
    scene.readiness.ready_line_seen()
    assert scene.answers == [ProbeResult()]
    assert scene.clock.getDelayedCalls() == []


@pytest.mark.parametrize("lined", [False, True])
@pytest.mark.parametrize("lineless", [False, True])
def test_a_wait_that_is_called_off_leaves_nothing(lined: bool, lineless: bool) -> None:
    scene = LineScene(lineless=lineless)
    if lined:
        scene.readiness.ready_line_seen()
    scene.running.addErrback(lambda failure: failure.trap(CancelledError))
    scene.running.cancel()
    assert scene.clock.getDelayedCalls() == []
    scene.readiness.ready_line_seen()
    assert scene.answers == [None] or scene.answers == []
