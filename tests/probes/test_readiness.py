"""Waiting for a starting server's first answer, or for its ready line."""

from __future__ import annotations

import itertools
import logging
import statistics
import time
from collections.abc import Callable, Sequence
from typing import TypeAlias

import pytest
from probes.asked_server import REPLY, STATUS, Server, close, listening, send
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from zeroscale.errors import BackendError, StartRefused
from zeroscale.probes import pace, readiness
from zeroscale.probes.base import NoReply, SilentStatus, Stage
from zeroscale.probes.minecraft import MinecraftProbe
from zeroscale.probes.pace import Pace
from zeroscale.probes.readiness import NO_LINE_GRACE, LineReadiness, Readiness
from zeroscale.status import ProbeResult

STEP = 0.01
"""Seconds by which the clock is advanced at a time: as precise as times are here."""


class ScriptedProbe:
    """Answers when the test says so, and records the times of its calls."""

    acceptance_problem: str | None = None
    connection_pace = pace.LOCAL_CONNECTION

    def __init__(self, clock: Clock, check_pace: Pace | None) -> None:
        self.check_pace = check_pace
        self._clock = clock
        self.accepts = False
        self.hindrance: str | None = None
        self.connected_at: list[float] = []
        self.asked_at: list[float] = []
        self.checks: list[Deferred[ProbeResult]] = []
        self.stages: list[Stage] = []
        self.cancelled = 0

    def accepts_connections(self) -> Deferred[bool]:
        self.connected_at.append(self._clock.seconds())
        if self.hindrance is not None:
            return fail(StartRefused(self.hindrance))
        connecting: Deferred[bool] = Deferred()
        connecting.callback(self.accepts)
        return connecting

    def ask(self, stage: Stage = Stage.running, /) -> Deferred[ProbeResult]:
        self.asked_at.append(self._clock.seconds())
        self.stages.append(stage)
        check: Deferred[ProbeResult] = Deferred(self._cancelled)
        self.checks.append(check)
        return check

    def answer(self, check: int = -1) -> None:
        self.checks[check].callback(ProbeResult(STATUS, 2, ("Notch", "jeb_")))

    def fail(self, error: Exception, check: int = -1) -> None:
        self.checks[check].errback(Failure(error))

    def _cancelled(self, _: object) -> None:
        self.cancelled += 1


class ReadinessFixture:
    """A `Readiness` that runs on a fake clock."""

    def __init__(self, *, off: bool = False, check_pace: Pace | None = pace.STATUS) -> None:
        self.clock = Clock()
        self.probe = ScriptedProbe(self.clock, check_pace)
        self.readiness = Readiness(self.clock, self.probe, status_disabled=lambda: off)
        self.answers: list[ProbeResult] = []
        self.running = self.readiness.run().addCallback(self.answers.append)

    def pass_time(self, seconds: float) -> None:
        self.clock.pump([STEP] * round(seconds / STEP))

    def left_behind(self) -> int:
        return len(self.clock.getDelayedCalls())


def gaps(times: Sequence[float]) -> list[float]:
    return [later - earlier for earlier, later in itertools.pairwise(times)]


def test_it_connects_every_20_ms_at_first_and_checks_nothing_until_it_is_accepted() -> None:
    fixture = ReadinessFixture()
    fixture.pass_time(2.0)
    assert len(fixture.probe.connected_at) == pytest.approx(100, abs=3)
    assert max(gaps(fixture.probe.connected_at)) <= 0.02 + STEP
    assert fixture.probe.asked_at == []
    assert fixture.readiness.problem == "it does not accept connections"
    fixture.probe.accepts = True
    fixture.pass_time(0.03)
    assert len(fixture.probe.asked_at) == 1


def test_a_slow_server_is_connected_to_less_often_with_time() -> None:
    fixture = ReadinessFixture()
    fixture.pass_time(60.0)
    intervals = gaps(fixture.probe.connected_at)
    assert len(intervals) < 500
    assert sorted(intervals) == pytest.approx(intervals, abs=STEP)
    assert intervals[-1] == pytest.approx(0.25, abs=STEP)


def test_a_remote_server_is_connected_to_less_often() -> None:
    fixture = ReadinessFixture()
    fixture.probe.connection_pace = pace.REMOTE_CONNECTION
    fixture.pass_time(2.0)
    assert min(gaps(fixture.probe.connected_at)[1:]) >= 0.1


def test_a_server_that_need_only_accept_is_ready_by_the_first_connection() -> None:
    fixture = ReadinessFixture(check_pace=None)
    fixture.pass_time(0.5)
    fixture.probe.accepts = True
    connected = len(fixture.probe.connected_at)
    fixture.pass_time(0.03)
    assert fixture.answers == [ProbeResult()]
    assert len(fixture.probe.connected_at) == connected + 1
    assert fixture.probe.asked_at == []
    assert fixture.left_behind() == 0


def test_a_server_that_answers_nothing_yet_is_asked_less_often_with_time() -> None:
    fixture = ReadinessFixture(check_pace=pace.REQUEST)
    fixture.probe.accepts = True
    while fixture.clock.seconds() < 30:
        fixture.pass_time(STEP)
        if fixture.probe.checks and not fixture.probe.checks[-1].called:
            fixture.probe.fail(BackendError("status 503"))
    intervals = gaps(fixture.probe.asked_at)
    assert intervals[0] == pytest.approx(0.1, abs=STEP)
    assert sorted(intervals) == pytest.approx(intervals, abs=STEP)
    assert intervals[-1] == pytest.approx(1.0, abs=STEP)
    assert len(intervals) < 60


def test_the_first_answer_is_ready() -> None:
    fixture = ReadinessFixture()
    fixture.probe.accepts = True
    fixture.pass_time(0.2)
    fixture.probe.answer()
    assert fixture.answers == [ProbeResult(STATUS, 2, ("Notch", "jeb_"))]
    assert fixture.left_behind() == 0


def test_one_check_at_a_time_and_one_every_5_s_where_the_ready_line_will_be_seen() -> None:
    fixture = ReadinessFixture()
    fixture.readiness.ready_line_expected()
    fixture.probe.accepts = True
    fixture.pass_time(0.2)
    fixture.pass_time(4.0)
    assert len(fixture.probe.asked_at) == 1
    fixture.probe.fail(NoReply("closed"))
    fixture.pass_time(20.0)
    assert len(fixture.probe.asked_at) == 2
    fixture.probe.fail(TimeoutError("silent"))
    assert fixture.readiness.problem == "silent"
    for _ in range(100):
        fixture.pass_time(0.1)
        if len(fixture.probe.asked_at) > 2 and not fixture.probe.checks[-1].called:
            fixture.probe.fail(BackendError("garbage"))
    intervals = gaps(fixture.probe.asked_at)
    assert min(intervals) >= pace.STATUS.longest - 0.001
    assert len(intervals) >= 3


def test_the_ready_line_starts_a_check_at_once() -> None:
    fixture = ReadinessFixture()
    fixture.readiness.ready_line_expected()
    fixture.probe.accepts = True
    fixture.pass_time(0.2)
    fixture.probe.fail(NoReply("closed"))
    fixture.pass_time(1.0)
    before = fixture.clock.seconds()
    fixture.readiness.ready_line_seen()
    assert fixture.probe.asked_at[1:] == [before]
    fixture.probe.answer()
    assert len(fixture.answers) == 1


def test_the_ready_line_starts_a_connection_at_once() -> None:
    fixture = ReadinessFixture()
    fixture.pass_time(0.1)
    fixture.probe.accepts = True
    fixture.readiness.ready_line_seen()
    assert len(fixture.probe.asked_at) == 1


def test_after_the_ready_line_of_a_slow_server_it_connects_often_again() -> None:
    fixture = ReadinessFixture()
    fixture.pass_time(60.0)
    fixture.readiness.ready_line_seen()
    before = len(fixture.probe.connected_at)
    fixture.pass_time(1.0)
    assert len(fixture.probe.connected_at) - before >= 30


def seen_while_checked() -> ReadinessFixture:
    """A server whose ready line came during a check, and that is checked once more."""
    fixture = ReadinessFixture()
    fixture.probe.accepts = True
    fixture.pass_time(1.0)
    fixture.readiness.ready_line_seen()
    fixture.pass_time(readiness.ANSWER_GRACE + 0.01)
    assert fixture.probe.stages == [Stage.starting, Stage.said_ready]
    return fixture


@pytest.mark.parametrize("check", [0, 1])
def test_after_the_ready_line_an_earlier_check_may_still_be_answered(check: int) -> None:
    fixture = seen_while_checked()
    assert fixture.probe.cancelled == 0
    fixture.pass_time(8.0)
    fixture.probe.answer(check)
    assert len(fixture.answers) == 1
    assert fixture.probe.cancelled == 1
    assert fixture.left_behind() == 0


def test_an_earlier_check_may_be_answered_between_two_later_ones() -> None:
    fixture = seen_while_checked()
    fixture.probe.fail(NoReply("closed"))
    assert len(fixture.probe.asked_at) == 2
    fixture.probe.answer(0)
    assert len(fixture.answers) == 1
    assert fixture.left_behind() == 0


def test_an_earlier_check_may_be_answered_while_the_server_takes_no_connection() -> None:
    fixture = seen_while_checked()
    fixture.probe.accepts = False
    fixture.probe.fail(NoReply("closed"))
    fixture.pass_time(1.0)
    fixture.probe.answer(0)
    fixture.pass_time(0.3)
    assert len(fixture.answers) == 1
    assert fixture.left_behind() == 0


def test_an_earlier_check_that_fails_does_not_disturb_a_later_one() -> None:
    fixture = seen_while_checked()
    fixture.probe.fail(BackendError("garbage"), 0)
    fixture.pass_time(8.0)
    assert len(fixture.probe.asked_at) == 2
    fixture.probe.answer(1)
    assert len(fixture.answers) == 1


@pytest.mark.parametrize("check", [0, 1])
def test_a_fault_in_a_check_ends_the_wait(check: int) -> None:
    fixture = seen_while_checked()
    failures: list[Failure] = []
    fixture.running.addErrback(failures.append)
    fixture.probe.fail(ZeroDivisionError(), check)
    assert failures[0].check(ZeroDivisionError)
    assert fixture.left_behind() == 0


def test_silence_after_the_ready_line_is_ready_too(caplog: pytest.LogCaptureFixture) -> None:
    fixture = seen_while_checked()
    fixture.probe.fail(SilentStatus("silent"), 0)
    assert fixture.answers == []
    fixture.probe.fail(SilentStatus("silent"), 1)
    assert fixture.answers == [ProbeResult()]
    assert "does not answer the server list: taken as ready" in caplog.text
    assert fixture.left_behind() == 0


def test_silence_before_the_ready_line_is_not_ready() -> None:
    fixture = ReadinessFixture()
    fixture.probe.accepts = True
    fixture.pass_time(1.0)
    fixture.readiness.ready_line_seen()
    fixture.probe.fail(SilentStatus("silent"))
    assert fixture.answers == []
    assert fixture.probe.stages == [Stage.starting, Stage.said_ready]


def test_an_answer_that_a_starting_server_gives_too_is_not_ready() -> None:
    fixture = ReadinessFixture()
    fixture.probe.accepts = True
    fixture.pass_time(0.2)
    fixture.probe.checks[-1].callback(ProbeResult({"description": "hello"}, 0, may_be_starting=True))
    fixture.pass_time(pace.STATUS.shortest - 0.05)
    assert fixture.answers == []
    assert fixture.readiness.problem == "it answers only the ping of before 1.7"
    fixture.pass_time(0.2)
    assert len(fixture.probe.asked_at) == 2


def test_an_answer_within_the_grace_is_enough() -> None:
    fixture = ReadinessFixture()
    fixture.probe.accepts = True
    fixture.pass_time(1.0)
    fixture.readiness.ready_line_seen()
    fixture.probe.answer()
    assert len(fixture.answers) == 1
    assert len(fixture.probe.asked_at) == 1
    assert fixture.left_behind() == 0


def test_the_ready_line_counts_once() -> None:
    fixture = ReadinessFixture()
    fixture.probe.accepts = True
    fixture.pass_time(0.2)
    for _ in range(50):
        fixture.readiness.ready_line_seen()
        fixture.pass_time(0.1)
    assert len(fixture.probe.asked_at) == 2


def test_after_the_ready_line_a_closed_check_is_repeated_soon() -> None:
    fixture = ReadinessFixture()
    fixture.probe.accepts = True
    fixture.pass_time(0.2)
    fixture.readiness.ready_line_seen()
    fixture.probe.fail(NoReply("closed, and asked before the line"))
    assert len(fixture.probe.asked_at) == 2
    fixture.probe.fail(NoReply("closed"))
    assert len(fixture.probe.asked_at) == 2
    fixture.pass_time(0.02)
    assert len(fixture.probe.asked_at) == 3
    fixture.probe.answer()
    assert len(fixture.answers) == 1


def test_a_server_that_keeps_closing_after_its_ready_line_has_its_status_off(caplog: pytest.LogCaptureFixture) -> None:
    fixture = ReadinessFixture()
    fixture.probe.accepts = True
    fixture.pass_time(0.2)
    fixture.readiness.ready_line_seen()
    line_at = fixture.clock.seconds()
    while not fixture.answers and fixture.clock.seconds() < 60:
        if not fixture.probe.checks[-1].called:
            fixture.probe.fail(NoReply("closed"))
        fixture.pass_time(0.01)
    assert fixture.answers == [ProbeResult(None, None, ())]
    assert fixture.clock.seconds() - line_at == pytest.approx(sum(readiness.RETRIES_AFTER_LINE), abs=0.1)
    assert "does not answer the server list" in caplog.text


def test_a_server_that_is_silent_at_some_questions_and_closes_at_others_is_asked_once_more() -> None:
    fixture = ReadinessFixture()
    fixture.probe.accepts = True
    fixture.readiness.ready_line_seen()
    fixture.pass_time(25)
    fixture.probe.fail(NoReply("closed"))
    assert fixture.answers == [ProbeResult(None, None, ())]
    assert len(fixture.probe.asked_at) == 1


def test_garbage_after_the_ready_line_does_not_mean_status_off() -> None:
    fixture = ReadinessFixture()
    fixture.probe.accepts = True
    fixture.readiness.ready_line_seen()
    for _ in range(6000):
        if fixture.probe.checks and not fixture.probe.checks[-1].called:
            fixture.probe.fail(BackendError("garbage"))
        fixture.pass_time(0.01)
    assert fixture.answers == []
    assert len(fixture.probe.asked_at) <= 60 / pace.STATUS.longest + 1


def test_with_status_off_the_ready_line_decides_and_nothing_is_checked() -> None:
    fixture = ReadinessFixture(off=True)
    fixture.probe.accepts = True
    fixture.pass_time(10.0)
    assert fixture.answers == []
    fixture.readiness.ready_line_seen()
    assert fixture.answers == [ProbeResult(None, None, ())]
    assert fixture.probe.asked_at == []
    assert fixture.left_behind() == 0


def test_with_status_off_and_a_ready_line_before_it_accepts() -> None:
    fixture = ReadinessFixture(off=True)
    fixture.readiness.ready_line_seen()
    fixture.pass_time(1.0)
    assert fixture.answers == []
    fixture.probe.accepts = True
    fixture.pass_time(0.21)
    assert fixture.answers == [ProbeResult(None, None, ())]


def test_with_status_off_and_no_ready_line_the_wait_is_limited(caplog: pytest.LogCaptureFixture) -> None:
    fixture = ReadinessFixture(off=True)
    fixture.probe.accepts = True
    fixture.pass_time(0.2 + readiness.NO_LINE_GRACE)
    assert fixture.answers == [ProbeResult(None, None, ())]
    assert "without a ready line" in caplog.text


@pytest.mark.parametrize("off", [False, True])
@pytest.mark.parametrize("accepts", [False, True])
@pytest.mark.parametrize("line_seen", [False, True])
def test_a_cancelled_wait_leaves_nothing_behind(off: bool, accepts: bool, line_seen: bool) -> None:
    for steps in range(0, 60, 5):
        fixture = ReadinessFixture(off=off)
        fixture.probe.accepts = accepts
        fixture.clock.pump([0.01] * steps)
        if line_seen:
            fixture.readiness.ready_line_seen()
        if fixture.answers:
            continue
        fixture.running.cancel()
        failures: list[Failure] = []
        fixture.running.addErrback(failures.append)
        assert failures[0].check(CancelledError)
        assert fixture.left_behind() == 0
        assert all(check.called for check in fixture.probe.checks)
        fixture.readiness.ready_line_seen()
        assert fixture.left_behind() == 0


@ensureDeferred
async def test_ready_follows_the_ready_line_within_50_ms() -> None:
    """Like a vanilla server, which closes checks until it has written its line."""
    seconds = []
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
            seconds.append(time.perf_counter() - line_at)
            await server.all_lost()
    assert statistics.median(seconds) < 0.05


# By a line of its output


class SimpleProbe:
    """Accepts when the test says so."""

    acceptance_problem: str | None = None
    connection_pace = pace.LOCAL_CONNECTION
    check_pace = None

    def __init__(self) -> None:
        self.accepts = False
        self.hindrance: str | None = None
        self.connected = 0

    def accepts_connections(self) -> Deferred[bool]:
        self.connected += 1
        return succeed(self.accepts) if self.hindrance is None else fail(StartRefused(self.hindrance))

    def ask(self, stage: Stage = Stage.running, /) -> Deferred[ProbeResult]:
        raise AssertionError("it is not asked")


class LineFixture:
    """A `LineReadiness` that runs on a fake clock."""

    def __init__(self, *, missed: bool = False) -> None:
        self.clock = Clock()
        self.probe = SimpleProbe()
        self.readiness = LineReadiness(self.clock, self.probe)
        if missed:
            self.readiness.ready_line_missed()
        self.answers: list[ProbeResult] = []
        self.running = self.readiness.run().addCallback(self.answers.append)

    def pass_time(self, seconds: float) -> None:
        self.clock.pump([STEP] * round(seconds / STEP))


def test_a_server_is_not_disturbed_before_its_line() -> None:
    fixture = LineFixture()
    fixture.probe.accepts = True
    fixture.pass_time(100)
    assert (fixture.probe.connected, fixture.answers) == (0, [])
    assert fixture.readiness.problem == "it has not written its ready line"
    fixture.readiness.ready_line_seen()
    fixture.readiness.ready_line_seen()
    assert fixture.answers == [ProbeResult()]
    assert fixture.clock.getDelayedCalls() == []


def test_after_its_line_it_must_accept_a_connection() -> None:
    fixture = LineFixture()
    fixture.pass_time(60)
    fixture.readiness.ready_line_seen()
    fixture.pass_time(1)
    assert 30 <= fixture.probe.connected <= 1 / pace.LOCAL_CONNECTION.shortest + 1
    assert fixture.readiness.problem == "it does not accept connections"
    fixture.probe.accepts = True
    fixture.pass_time(0.5)
    assert fixture.answers == [ProbeResult()]


def test_after_a_missed_line_accepting_for_a_while_is_ready(caplog: pytest.LogCaptureFixture) -> None:
    fixture = LineFixture(missed=True)
    fixture.pass_time(100)
    assert fixture.answers == []
    fixture.probe.accepts = True
    with caplog.at_level(logging.WARNING):
        fixture.pass_time(NO_LINE_GRACE - 1)
        assert fixture.answers == []
        fixture.pass_time(2)
    assert fixture.answers == [ProbeResult()]
    assert "without a ready line: taken as ready" in caplog.text


def test_after_a_missed_line_the_line_is_ready_too() -> None:
    fixture = LineFixture(missed=True)
    fixture.probe.accepts = True
    fixture.pass_time(1)
    fixture.readiness.ready_line_seen()
    assert fixture.answers == [ProbeResult()]
    assert fixture.clock.getDelayedCalls() == []


@pytest.mark.parametrize("seen", [False, True])
@pytest.mark.parametrize("missed", [False, True])
def test_a_cancelled_line_wait_leaves_nothing_behind(seen: bool, missed: bool) -> None:
    fixture = LineFixture(missed=missed)
    if seen:
        fixture.readiness.ready_line_seen()
    fixture.running.addErrback(lambda failure: failure.trap(CancelledError))
    fixture.running.cancel()
    assert fixture.clock.getDelayedCalls() == []
    fixture.readiness.ready_line_seen()
    assert fixture.answers == [None] or fixture.answers == []


AnyFixture: TypeAlias = ReadinessFixture | LineFixture


@pytest.mark.parametrize("kind", [ReadinessFixture, lambda: LineFixture(missed=True)])
def test_what_hinders_the_question_is_told_until_it_can_be_asked(kind: Callable[[], AnyFixture]) -> None:
    fixture = kind()
    fixture.pass_time(1.0)
    hindered = [fixture.readiness.hindered]
    fixture.probe.hindrance = "its name cannot be looked up"
    fixture.pass_time(1.0)
    hindered.append(fixture.readiness.hindered)
    assert fixture.readiness.problem == "its name cannot be looked up"
    fixture.probe.hindrance = None
    fixture.pass_time(1.0)
    hindered.append(fixture.readiness.hindered)
    assert hindered == [False, True, False]
    assert fixture.readiness.problem != "its name cannot be looked up"
    assert fixture.answers == []


def test_a_name_without_an_address_is_the_problem() -> None:
    probe = SimpleProbe()
    probe.acceptance_problem = "game.internal has no address: Name or service not known"
    clock = Clock()
    for waiting in (Readiness(clock, probe), LineReadiness(clock, probe)):
        waiting.ready_line_seen()
        waiting.run()
        assert waiting.problem == probe.acceptance_problem
        assert not waiting.hindered
