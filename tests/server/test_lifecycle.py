from __future__ import annotations

import logging
import re
import signal
from collections.abc import Callable, Mapping
from functools import partial

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.task import Clock

from zeroscale.errors import BackendError, PluginError
from zeroscale.server.idle import IdlePolicy
from zeroscale.server.lifecycle import Lifecycle
from zeroscale.server.parts import Parts, Policy
from zeroscale.server.tally import Counts
from zeroscale.server.vigil import Visit
from zeroscale.status import Answer, ServerView, Status

LOGGER = logging.getLogger("tests.lifecycle")


class FakePlugin:
    """A plugin and its process, moved by hand."""

    can_signal = True
    can_wait = True
    can_pause = True
    can_adopt = True
    interruptible_start = False

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.calls: list[str] = []
        self.signals: list[int] = []
        self.starting: Deferred[None] | None = None
        self.stopping: Deferred[None] | None = None
        self.waiting: Deferred[int | None] | None = None
        self.adoptable = False
        self.alive = False
        self.online: int | None = None
        self.take_line: Callable[[str], None] = lambda line: None
        self.found: Callable[[], None] = lambda: None
        self.paused: Callable[[], None] = lambda: None
        self.closing: Deferred[None] = succeed(None)
        self.server_address: tuple[str, int] | None = None
        self.start_fails: PluginError | None = None

    def start(self) -> Deferred[None]:
        self.calls.append("start")
        if self.start_fails is not None:
            return fail(self.start_fails)
        self.scene.born()
        self.alive = True
        if self.scene.slow_start:
            self.starting = Deferred()
            return self.starting
        return succeed(None)

    def stop(self) -> Deferred[None]:
        self.calls.append("stop")
        self.stopping = Deferred()
        return self.stopping

    def pause(self) -> Deferred[None]:
        self.calls.append("pause")
        return succeed(None)

    def resume(self) -> Deferred[None]:
        self.calls.append("resume")
        return succeed(None)

    def wait(self) -> Deferred[int | None]:
        self.waiting = Deferred()
        return self.waiting

    def send(self, line: str) -> Deferred[str | None]:
        self.calls.append(f"send {line}")
        return succeed(None)

    def players(self) -> Deferred[int | None]:
        return succeed(self.online)

    def adopt(self) -> Deferred[bool]:
        self.calls.append("adopt")
        if self.adoptable and not self.alive:
            self.scene.born()
            self.alive = True
        return succeed(self.adoptable)

    def signal(self, signal_number: int) -> None:
        self.signals.append(signal_number)

    def fake_status(self) -> bytes | None:
        return b"asleep"

    def on_output(self, take_line: Callable[[str], None]) -> None:
        self.take_line = take_line

    def on_found(self, found: Callable[[], None]) -> None:
        self.found = found

    def on_paused(self, paused: Callable[[], None]) -> None:
        self.paused = paused

    def close(self) -> Deferred[None]:
        self.calls.append("close")
        return self.closing

    def end(self, code: int | None = 0) -> None:
        """The process ends."""
        self.alive = False
        waiting, self.waiting = self.waiting, None
        if waiting is not None and not waiting.called:
            waiting.callback(code)

    def stopped(self) -> None:
        """`stop()` returns."""
        stopping, self.stopping = self.stopping, None
        if stopping is not None:
            stopping.callback(None)


class FakeProbe:
    def __init__(self) -> None:
        self.accepts = False
        self.answer: Answer | BackendError = Answer({"description": "real"}, 0)
        self.questions: list[Deferred[Answer]] = []
        self.asked = 0
        self.slow = False

    def connects(self) -> Deferred[bool]:
        return succeed(self.accepts)

    def ask(self) -> Deferred[Answer]:
        self.asked += 1
        if self.slow:
            self.questions.append(Deferred())
            return self.questions[-1]
        return fail(self.answer) if isinstance(self.answer, BackendError) else succeed(self.answer)


class FakeReadiness:
    problem: str | None = None

    def __init__(self) -> None:
        self.ran: Deferred[Answer] = Deferred()
        self.hurried = 0
        self.linelessly = 0

    def run(self) -> Deferred[Answer]:
        return self.ran

    def hurry(self) -> None:
        self.hurried += 1

    def lineless(self) -> None:
        self.linelessly += 1


class FakeRecords:
    def __init__(self) -> None:
        self.starts: list[float] = []
        self.crashes = 0
        self.estimate: float | None = None

    def started(self, seconds: float) -> None:
        self.starts.append(seconds)

    def crashed(self, reason: str) -> int:
        self.crashes += 1
        return self.crashes

    def cleared(self) -> None:
        self.crashes = 0


class FakeMirror:
    def __init__(self) -> None:
        self.current: Mapping[str, object] | None = None
        self.stored: list[Mapping[str, object]] = []

    def store(self, status: Mapping[str, object]) -> None:
        self.stored.append(status)


class Scene:
    """A lifecycle with everything around it under our hand."""

    def __init__(
        self,
        *,
        idle: float = 60.0,
        start_timeout: float = 300.0,
        stop_timeout: float = 150.0,
        kill_timeout: float | None = None,
        max_crashes: int = 3,
        asks: bool = True,
        pauses: bool = False,
        pause_stop_after: float | None = None,
        opened: bool = True,
    ) -> None:
        self.clock = Clock()
        self.probe = FakeProbe()
        self.records = FakeRecords()
        self.mirror = FakeMirror()
        self.counts = Counts(Status.stopped, self.clock.seconds())
        self.output: list[str] = []
        self.plugins: list[FakePlugin] = []
        self.readinesses: list[FakeReadiness] = []
        self.slow_start = False
        self.obstacle: str | None = None
        self.kept_awake: str | None = None
        self.lockout: str | None = None
        self.most_alive = 0
        self.moves: list[tuple[str, int] | None] = []
        policy = Policy(
            idle=IdlePolicy(idle),
            start_timeout=start_timeout,
            stop_timeout=stop_timeout,
            kill_timeout=kill_timeout,
            max_crashes=max_crashes,
            asks=asks,
            pauses=pauses,
            pause_stop_after=pause_stop_after,
            ready_line=re.compile("Done"),
        )
        parts = Parts(
            clock=self.clock,
            plugin=self.construct(),
            construct=self.construct,
            probe=self.probe,
            readiness=self.readiness,
            records=self.records,
            mirror=self.mirror,
            counts=self.counts,
            output=self.output.append,
            obstacle=lambda: self.obstacle,
            kept_awake=lambda: self.kept_awake,
            lockout=lambda: self.lockout,
            moved=self.moves.append,
            logger=LOGGER,
        )
        self.life = Lifecycle("test", policy, parts)
        if opened:
            self.opening = Deferred.fromCoroutine(self.life.open())

    def construct(self) -> FakePlugin:
        self.plugins.append(FakePlugin(self))
        return self.plugins[-1]

    def readiness(self) -> FakeReadiness:
        self.readinesses.append(FakeReadiness())
        return self.readinesses[-1]

    def born(self) -> None:
        assert not any(plugin.alive for plugin in self.plugins), "two servers on one world"

    @property
    def plugin(self) -> FakePlugin:
        return self.plugins[-1]

    def status(self) -> Status:
        return self.life.view.status

    def become_ready(self) -> None:
        self.readinesses[-1].ran.callback(Answer({"description": "real"}, 0))

    def running(self) -> Scene:
        self.life.wake("a test")
        self.become_ready()
        assert self.status() is Status.running
        return self

    def stopping(self) -> Scene:
        self.running()
        self.clock.advance(60.0)
        assert self.status() is Status.stopping
        return self

    def admitted(self) -> Visit:
        visits: list[Visit] = []
        self.life.admit().addCallback(visits.append)
        (visit,) = visits
        return visit

    def waiter(self) -> list[Visit | str]:
        said: list[Visit | str] = []
        waiting = self.life.admit()
        waiting.addCallbacks(said.append, lambda failure: said.append(failure.getErrorMessage()))
        return said


def _note(order: list[int], number: int, _: object) -> None:
    order.append(number)


# Starting


def test_a_wake_starts_it_and_its_first_answer_makes_it_running() -> None:
    scene = Scene()
    scene.life.wake("somebody")
    assert scene.status() is Status.starting
    assert scene.plugin.calls == ["adopt", "adopt", "start"]
    scene.clock.advance(12.5)
    scene.become_ready()
    assert scene.status() is Status.running
    assert scene.records.starts == [12.5]
    assert scene.mirror.stored == [{"description": "real"}]


def test_ten_who_want_in_start_it_once_and_all_come_in_in_their_order() -> None:
    scene = Scene()
    order: list[int] = []
    for number in range(10):
        scene.life.wake(str(number))
        scene.life.admit().addCallback(partial(_note, order, number))
    assert scene.life.view.waiting == 10
    assert scene.plugin.calls.count("start") == 1
    scene.become_ready()
    assert order == list(range(10))
    assert scene.life.view.players == 10


def test_who_stops_waiting_does_not_cut_the_start_short() -> None:
    scene = Scene()
    scene.life.wake("somebody")
    waiting = scene.life.admit()
    waiting.addErrback(lambda failure: None)
    waiting.cancel()
    assert scene.life.view.waiting == 0
    scene.become_ready()
    assert scene.status() is Status.running
    assert scene.life.view.players == 0


def test_a_start_that_fails_is_told_at_once_and_the_next_login_gets_a_new_plugin() -> None:
    scene = Scene()
    scene.plugin.start_fails = PluginError("no server.jar in /srv")
    scene.life.wake("somebody")
    assert scene.status() is Status.failed
    assert scene.life.view.detail == "no server.jar in /srv"
    assert scene.life.view.retry_at == 0.0
    scene.life.wake("somebody else")
    assert len(scene.plugins) == 2
    assert scene.status() is Status.starting


def test_players_who_wait_are_told_at_once_when_it_ends_before_it_is_ready() -> None:
    scene = Scene()
    scene.life.wake("somebody")
    said = scene.waiter()
    scene.plugin.take_line("java.lang.OutOfMemoryError")
    scene.plugin.end(1)
    assert said == ["it ended while it started"]
    detail = scene.life.view.detail
    assert detail is not None
    assert "exit code 1" in detail
    assert "OutOfMemoryError" in detail


def test_an_end_before_ready_is_a_failure_even_with_exit_code_0() -> None:
    scene = Scene()
    scene.life.wake("somebody")
    scene.plugin.end(0)
    assert scene.status() is Status.failed


def test_a_plugin_that_knows_better_says_why_it_ended() -> None:
    scene = Scene()
    scene.life.wake("somebody")
    assert scene.plugin.waiting is not None
    scene.plugin.waiting.errback(PluginError("say eula=true in /srv/eula.txt"))
    assert scene.status() is Status.failed
    assert "eula=true" in str(scene.life.view.detail)


def test_a_start_that_takes_too_long_is_stopped_and_called_failed_only_when_it_is_gone() -> None:
    scene = Scene(start_timeout=300.0)
    scene.life.wake("somebody")
    said = scene.waiter()
    scene.clock.advance(300.0)
    assert scene.status() is Status.stopping
    assert said == ["it was not ready within 300 s"]
    assert scene.plugin.calls[-1] == "stop"
    scene.plugin.end(143)
    assert scene.status() is Status.failed
    assert scene.life.view.reason == "it was not ready within 300 s"


def test_output_while_starting_puts_the_deadline_off_but_not_for_ever() -> None:
    scene = Scene(start_timeout=100.0)
    scene.life.wake("somebody")
    for _ in range(5):
        scene.clock.advance(75.0)
        scene.plugin.take_line("loading")
        assert scene.status() is Status.starting
    scene.clock.advance(25.0)
    assert scene.status() is Status.stopping


def test_its_ready_line_hurries_the_next_question() -> None:
    scene = Scene()
    scene.life.wake("somebody")
    scene.plugin.take_line("Starting net.minecraft.server.Main")
    assert scene.readinesses[-1].hurried == 0
    scene.plugin.take_line("Done (3.2s)!")
    assert scene.readinesses[-1].hurried == 1


@pytest.mark.parametrize("obstacle", ["the world is open elsewhere", None])
def test_it_is_not_started_where_another_copy_may_be_running(obstacle: str | None) -> None:
    scene = Scene()
    scene.obstacle = obstacle
    scene.probe.accepts = obstacle is None
    scene.life.wake("somebody")
    assert scene.status() is Status.failed
    assert "start" not in scene.plugin.calls
    assert (obstacle or "already answers") in str(scene.life.view.detail)


def test_what_was_not_even_started_has_not_crashed() -> None:
    scene = Scene(max_crashes=2)
    scene.obstacle = "the world is open elsewhere"
    for _ in range(5):
        scene.life.wake("somebody")
        assert scene.status() is Status.failed
        assert scene.life.view.retry_at == 0.0
    assert scene.records.crashes == 0
    scene.obstacle = None
    scene.running()


# Adopting


def test_a_server_of_an_earlier_proxy_is_taken_over_and_counts_like_ours() -> None:
    scene = Scene(opened=False)
    scene.plugin.adoptable = True
    Deferred.fromCoroutine(scene.life.open())
    assert scene.status() is Status.starting
    assert scene.readinesses[-1].linelessly == 1
    scene.become_ready()
    assert scene.status() is Status.running
    assert "start" not in scene.plugin.calls
    assert scene.records.starts == []
    scene.clock.advance(60.0)
    assert scene.status() is Status.stopping
    scene.plugin.end(None)
    assert scene.status() is Status.stopped


def test_who_wants_in_before_we_have_looked_round_is_not_forgotten() -> None:
    scene = Scene(opened=False)
    scene.life.wake("an early one")
    said = scene.waiter()
    assert scene.plugin.calls == []
    Deferred.fromCoroutine(scene.life.open())
    assert scene.status() is Status.starting
    scene.become_ready()
    assert len(said) == 1


def test_an_adopted_servers_unknowable_exit_is_an_ordinary_end() -> None:
    scene = Scene(opened=False)
    scene.plugin.adoptable = True
    Deferred.fromCoroutine(scene.life.open())
    scene.become_ready()
    scene.plugin.end(None)
    assert scene.status() is Status.stopped


def test_who_waits_for_an_adopted_server_that_was_just_stopping_gets_a_fresh_one() -> None:
    scene = Scene(opened=False)
    scene.plugin.adoptable = True
    Deferred.fromCoroutine(scene.life.open())
    said = scene.waiter()
    scene.plugin.adoptable = False
    scene.plugin.end(None)
    assert scene.status() is Status.starting
    assert scene.plugin.calls[-1] == "start"
    assert scene.records.crashes == 0
    scene.become_ready()
    assert isinstance(said[0], Visit)


# Running


@pytest.mark.parametrize("code", [0, 130, 143])
def test_a_clean_end_while_running_is_somebodys_stop(code: int) -> None:
    scene = Scene().running()
    scene.plugin.end(code)
    assert scene.status() is Status.stopped
    assert scene.records.crashes == 0
    scene.life.wake("somebody")
    assert scene.status() is Status.starting


@pytest.mark.parametrize("code", [1, 137, 139])
def test_any_other_end_while_running_is_a_crash(code: int) -> None:
    scene = Scene().running()
    scene.plugin.end(code)
    assert scene.status() is Status.failed
    assert scene.records.crashes == 1


def test_crashes_in_a_row_wait_longer_and_then_stay_down() -> None:
    scene = Scene(max_crashes=3)
    scene.running().plugin.end(1)
    scene.life.wake("at once")
    assert scene.status() is Status.starting
    scene.plugin.end(1)
    scene.life.wake("too soon")
    assert scene.status() is Status.failed
    scene.clock.advance(10.0)
    scene.life.wake("late enough")
    assert scene.status() is Status.starting
    scene.plugin.end(1)
    assert scene.life.view.retry_at is None
    scene.clock.advance(86400.0)
    scene.life.wake("in vain")
    assert scene.status() is Status.failed


def test_a_server_that_crashes_soon_after_each_start_stays_down_in_the_end() -> None:
    scene = Scene(max_crashes=3)
    for _ in range(3):
        scene.clock.advance(600.0)
        scene.running()
        scene.clock.advance(10.0)
        scene.plugin.end(1)
    assert scene.life.view.retry_at is None


def test_a_crash_after_an_hour_is_not_one_more_of_those_before() -> None:
    scene = Scene(max_crashes=2)
    for _ in range(5):
        scene.running()
        scene.admitted()
        scene.clock.advance(3600.0)
        scene.plugin.end(1)
        assert scene.life.view.retry_at is not None


def test_who_wants_in_while_it_has_failed_is_told_why() -> None:
    scene = Scene().running()
    scene.plugin.end(1)
    assert scene.waiter() == ["it ended while it ran"]


def test_nobody_for_the_idle_time_and_it_is_asked_and_stopped() -> None:
    scene = Scene(idle=60.0).running()
    scene.clock.advance(59.0)
    assert scene.probe.asked == 0
    scene.clock.advance(1.0)
    assert scene.probe.asked == 1
    assert scene.status() is Status.stopping
    scene.plugin.end(0)
    assert scene.status() is Status.stopped


def test_it_is_never_stopped_while_a_player_is_relayed() -> None:
    scene = Scene(idle=60.0).running()
    visit = scene.admitted()
    scene.clock.advance(86400.0)
    assert scene.status() is Status.running
    visit.end()
    visit.end()
    assert scene.life.view.players == 0
    scene.clock.advance(60.0)
    assert scene.status() is Status.stopping


def test_players_who_came_another_way_keep_it_up() -> None:
    scene = Scene(idle=60.0).running()
    scene.probe.answer = Answer({}, 2)
    scene.clock.advance(60.0)
    assert scene.status() is Status.running
    scene.probe.answer = Answer({}, 0)
    scene.clock.advance(60.0)
    assert scene.status() is Status.stopping


@pytest.mark.parametrize(("by_plugin", "by_status"), [(2, 0), (0, 2), (None, 2), (2, None), (2, 2)])
def test_where_two_can_tell_who_is_on_the_larger_number_counts(by_plugin: int | None, by_status: int | None) -> None:
    scene = Scene(idle=60.0).running()
    scene.plugin.online = by_plugin
    scene.probe.answer = Answer({}, by_status)
    scene.clock.advance(60.0)
    assert scene.status() is Status.running
    scene.plugin.online = 0
    scene.probe.answer = Answer({}, 0)
    scene.clock.advance(60.0)
    assert scene.status() is Status.stopping


def test_a_server_that_does_not_answer_is_busy_and_that_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene(idle=60.0).running()
    scene.probe.answer = BackendError("no answer")
    with caplog.at_level(logging.WARNING):
        scene.clock.pump([60.0] * 5)
    assert scene.status() is Status.running
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert [vars(record)["server"] for record in caplog.records] == ["test"]


def test_a_player_who_joins_while_it_is_being_asked_keeps_it_up() -> None:
    scene = Scene(idle=60.0).running()
    scene.probe.slow = True
    scene.clock.advance(60.0)
    scene.admitted()
    assert scene.probe.questions[0].called
    assert scene.status() is Status.running


@pytest.mark.parametrize("end", ["a player joins", "it is stopped"])
def test_a_question_that_was_called_back_ends_as_it_likes_and_moves_nothing(
    end: str, caplog: pytest.LogCaptureFixture
) -> None:
    scene = Scene().running()
    question: Deferred[Answer] = Deferred(lambda it: it.errback(ConnectingCancelledError(None)))
    scene.probe.ask = lambda: question  # type: ignore[method-assign] # as Twisted's endpoints do
    scene.clock.advance(60.0)
    if end == "a player joins":
        scene.admitted()
    else:
        scene.life.close()
    assert question.called
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    scene.clock.advance(0.0)
    assert len(scene.clock.getDelayedCalls()) == (0 if end == "a player joins" else 1), "its ladder's next step"


def test_a_start_that_was_called_back_ends_as_it_likes_and_moves_nothing(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    scene.probe.connects = lambda: connecting  # type: ignore[method-assign] # as Twisted's endpoints do
    connecting: Deferred[bool] = Deferred(lambda it: it.errback(ConnectingCancelledError(None)))
    scene.plugin.can_wait = False
    scene.life.wake("somebody")
    closed = scene.life.close()
    assert connecting.called
    assert scene.status() is Status.stopping
    scene.plugin.stopped()
    assert closed.called
    assert scene.status() is Status.stopped
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_plugin_that_knows_who_is_on_is_asked_instead() -> None:
    scene = Scene(idle=60.0, asks=False).running()
    scene.plugin.online = 1
    scene.clock.advance(60.0)
    assert scene.status() is Status.running


def test_a_server_that_takes_no_connections_is_over_where_nobody_can_see_its_process() -> None:
    scene = Scene()
    scene.plugin.can_wait = False
    scene.running()
    scene.life.unreachable("connection refused")
    assert scene.status() is Status.failed


def test_a_server_that_takes_no_connections_is_only_warned_about_while_its_process_lives(
    caplog: pytest.LogCaptureFixture,
) -> None:
    scene = Scene().running()
    caplog.clear()
    for _ in range(100):
        scene.life.unreachable("connection refused")
    assert scene.status() is Status.running
    assert len(caplog.records) == 1


def test_what_keeps_it_awake_spares_it_the_question_too() -> None:
    scene = Scene(idle=60.0).running()
    scene.kept_awake = "a file is there"
    scene.clock.advance(60.0)
    assert scene.status() is Status.running
    assert scene.probe.asked == 0
    scene.kept_awake = None
    scene.clock.advance(60.0)
    assert scene.status() is Status.stopping


def test_nobody_wakes_it_while_it_is_held_down_and_who_wants_in_is_told_why() -> None:
    scene = Scene()
    scene.lockout = "a backup"
    scene.life.wake("somebody")
    assert scene.status() is Status.stopped
    assert scene.waiter() == ["a backup"]
    assert scene.life.view.lockout == "a backup"
    scene.lockout = None
    scene.life.wake("somebody")
    assert scene.status() is Status.starting


def test_who_waits_for_a_stop_is_told_when_it_is_held_down_meanwhile() -> None:
    scene = Scene().stopping()
    scene.life.wake("somebody")
    said = scene.waiter()
    scene.lockout = "a backup"
    scene.plugin.end(0)
    assert scene.status() is Status.stopped
    assert said == ["a backup"]


def test_a_line_is_typed_on_its_console_only_while_there_is_one() -> None:
    scene = Scene()
    said: list[str] = []
    scene.life.send("say hello").addErrback(lambda failure: said.append(failure.getErrorMessage()))
    assert said == ["test does not run"]
    scene.running().life.send("say hello")
    assert scene.plugin.calls[-1] == "send say hello"


# Stopping


def test_a_player_who_comes_while_it_stops_waits_for_the_stop_and_then_for_the_start() -> None:
    scene = Scene().stopping()
    scene.life.wake("somebody")
    said = scene.waiter()
    assert scene.plugin.calls.count("start") == 1
    scene.plugin.end(0)
    assert scene.status() is Status.starting
    assert scene.plugin.calls.count("start") == 2
    scene.become_ready()
    assert len(said) == 1


def test_a_wake_while_it_stops_is_remembered_even_when_the_player_has_left_again() -> None:
    scene = Scene().stopping()
    scene.life.wake("somebody")
    scene.plugin.end(0)
    assert scene.status() is Status.starting


def test_the_ladder_ends_with_sigterm_and_warnings_never_with_a_kill(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene(stop_timeout=150.0).stopping()
    said = scene.waiter()
    scene.clock.advance(149.0)
    assert scene.plugin.signals == []
    scene.clock.advance(1.0)
    assert scene.plugin.signals == [signal.SIGTERM]
    assert said == []
    scene.clock.advance(150.0)
    assert scene.life.view.unstoppable
    assert len(said) == 1
    caplog.clear()
    scene.clock.pump([150.0] * 20)
    assert scene.plugin.signals == [signal.SIGTERM]
    assert scene.status() is Status.stopping
    assert len(caplog.records) == 20
    scene.plugin.end(143)
    assert scene.status() is Status.stopped


def test_sigkill_only_where_the_operator_asked_for_it_and_it_is_said_to_be_a_loss(
    caplog: pytest.LogCaptureFixture,
) -> None:
    scene = Scene(stop_timeout=10.0, kill_timeout=30.0).stopping()
    scene.clock.advance(10.0)
    scene.clock.advance(29.0)
    assert scene.plugin.signals == [signal.SIGTERM]
    scene.clock.advance(1.0)
    assert scene.plugin.signals == [signal.SIGTERM, signal.SIGKILL]
    assert "data may be lost" in caplog.text


def test_a_plugin_that_cannot_wait_has_stopped_when_its_stop_returns() -> None:
    scene = Scene()
    scene.plugin.can_wait = False
    scene.stopping()
    scene.plugin.stopped()
    assert scene.status() is Status.stopped


def test_a_plugin_that_can_wait_has_not_stopped_before_its_process_is_gone() -> None:
    scene = Scene().stopping()
    scene.plugin.stopped()
    assert scene.status() is Status.stopping
    scene.plugin.end(0)
    assert scene.status() is Status.stopped


def test_a_server_that_cannot_be_asked_to_stop_gets_its_sigterm_at_once(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene(stop_timeout=100.0).running()
    scene.life.close()
    assert scene.plugin.stopping is not None
    scene.plugin.stopping.errback(PluginError("its console is gone"))
    assert "could not be asked to stop: its console is gone" in caplog.text
    scene.clock.advance(0.0)
    assert scene.plugin.signals == [signal.SIGTERM]
    scene.clock.advance(99.0)
    assert not scene.life.view.unstoppable
    scene.plugin.end(143)
    assert scene.status() is Status.stopped


def test_without_signals_the_stop_waits_for_a_start_that_has_not_returned() -> None:
    scene = Scene(start_timeout=10.0)
    scene.plugin.can_signal = scene.plugin.can_wait = False
    scene.slow_start = True
    scene.life.wake("somebody")
    scene.clock.advance(10.0)
    assert scene.status() is Status.stopping
    assert "stop" not in scene.plugin.calls
    assert scene.plugin.starting is not None
    assert not scene.plugin.starting.called
    scene.plugin.starting.callback(None)
    assert scene.plugin.calls[-1] == "stop"
    scene.plugin.stopped()
    assert scene.status() is Status.failed


def test_a_start_that_may_wait_for_ever_is_interrupted_by_the_stop() -> None:
    scene = Scene(start_timeout=10.0)
    scene.plugin.can_signal = False
    scene.plugin.interruptible_start = True
    scene.slow_start = True
    scene.life.wake("somebody")
    scene.clock.advance(10.0)
    assert scene.plugin.calls[-1] == "stop"
    assert scene.plugin.starting is not None
    scene.plugin.starting.errback(PluginError("it was stopped while it started"))
    assert scene.status() is Status.stopping
    scene.plugin.stopped()
    assert scene.status() is Status.failed
    assert scene.life.view.reason == "it was not ready within 10 s"


def test_a_start_that_may_wait_for_ever_is_not_waited_for_when_it_is_left() -> None:
    scene = Scene()
    scene.plugin.interruptible_start = True
    scene.slow_start = True
    scene.life.wake("somebody")
    left = scene.life.close(leave=True)
    assert left.called
    assert scene.plugin.starting is not None
    scene.plugin.starting.errback(PluginError("it is not looked at any more"))


def test_a_stop_that_raises_where_nobody_can_see_the_process_is_a_failure() -> None:
    scene = Scene()
    scene.plugin.can_wait = False
    scene.stopping()
    assert scene.plugin.stopping is not None
    scene.plugin.stopping.errback(PluginError("no such container"))
    assert scene.status() is Status.failed
    assert scene.life.view.detail == "no such container"


# Pausing


def test_an_idle_server_is_paused_and_a_wake_resumes_it() -> None:
    scene = Scene(pauses=True).running()
    scene.clock.advance(60.0)
    assert scene.status() is Status.paused
    assert scene.plugin.calls[-1] == "pause"
    scene.life.wake("somebody")
    said = scene.waiter()
    assert scene.status() is Status.starting
    assert scene.plugin.calls[-1] == "resume"
    assert scene.readinesses[-1].hurried == 1  # a server that was ready does not write its line again
    scene.become_ready()
    assert len(said) == 1
    assert scene.records.starts == [0.0]


def test_a_paused_server_is_stopped_in_the_end_and_resumed_for_it() -> None:
    scene = Scene(pauses=True, pause_stop_after=600.0).running()
    scene.clock.advance(60.0)
    scene.clock.advance(600.0)
    assert scene.status() is Status.stopping
    assert scene.plugin.calls[-2:] == ["resume", "stop"]


def test_a_server_that_does_not_answer_once_resumed_has_failed() -> None:
    scene = Scene(pauses=True).running()
    scene.clock.advance(60.0)
    scene.life.wake("somebody")
    scene.clock.advance(60.0)
    assert scene.status() is Status.stopping
    scene.plugin.end(143)
    assert scene.status() is Status.failed


# Our own end


def test_where_it_is_reached_is_asked_each_time_it_runs() -> None:
    scene = Scene()
    scene.life.wake("somebody")
    assert scene.moves == [None, None]
    scene.become_ready()
    scene.plugin.end(0)
    scene.plugin.server_address = "172.20.0.2", 25565
    scene.plugin.found()
    assert scene.moves[2:] == [("172.20.0.2", 25565)]
    scene.become_ready()
    scene.plugin.end(0)
    scene.life.wake("somebody")
    assert scene.moves[3:] == [None, ("172.20.0.2", 25565)]


def test_a_server_that_somebody_else_starts_is_taken_over_at_once_and_no_second_one_started() -> None:
    scene = Scene()
    scene.plugin.found()
    assert scene.status() is Status.starting
    assert "start" not in scene.plugin.calls
    scene.become_ready()
    assert scene.status() is Status.running
    assert scene.records.starts == []
    scene.clock.advance(60.0)
    assert scene.status() is Status.stopping


def test_what_is_found_before_we_have_looked_round_is_left_to_that_look() -> None:
    scene = Scene(opened=False)
    scene.plugin.found()
    assert scene.status() is Status.stopped


def test_a_failed_server_that_somebody_else_starts_is_taken_over() -> None:
    scene = Scene().running()
    scene.plugin.end(1)
    assert scene.status() is Status.failed
    scene.plugin.found()
    scene.become_ready()
    assert scene.status() is Status.running
    assert len(scene.plugins) == 1


@pytest.mark.parametrize("code", [0, 1])
def test_a_server_that_somebody_else_restarts_is_followed_though_its_end_is_told_after_its_start(code: int) -> None:
    scene = Scene().running()
    scene.plugin.found()
    assert scene.status() is Status.running
    scene.plugin.end(code)
    assert scene.status() is Status.starting
    assert scene.plugin.calls.count("start") == 1  # that of `running()`
    assert scene.plugin.waiting is not None


def test_a_restart_seen_long_ago_is_not_remembered() -> None:
    scene = Scene()
    scene.life.wake("somebody")
    scene.plugin.found()
    scene.become_ready()
    scene.plugin.end(0)
    assert scene.status() is Status.stopped


def test_at_our_end_nothing_is_taken_over_any_more() -> None:
    scene = Scene().stopping()
    scene.life.close()
    scene.plugin.found()
    scene.plugin.end(0)
    assert scene.status() is Status.stopped
    scene.plugin.found()
    assert scene.status() is Status.stopped


def test_a_server_that_somebody_else_pauses_is_paused_and_a_login_resumes_it() -> None:
    scene = Scene().running()
    scene.plugin.paused()
    assert scene.status() is Status.paused
    scene.life.wake("somebody")
    assert scene.plugin.calls[-1] == "resume"
    scene.become_ready()
    assert scene.status() is Status.running


def test_a_paused_server_that_somebody_else_resumes_runs_again() -> None:
    scene = Scene(pauses=True).running()
    scene.clock.advance(60.0)
    assert scene.status() is Status.paused
    scene.plugin.found()
    scene.become_ready()
    assert scene.status() is Status.running


def test_who_was_relayed_when_somebody_else_paused_it_still_keeps_it_up() -> None:
    scene = Scene().running()
    visit = scene.admitted()
    scene.plugin.paused()
    scene.plugin.found()
    scene.become_ready()
    assert scene.life.view.players == 1
    scene.clock.advance(600.0)
    assert scene.status() is Status.running
    visit.end()
    scene.clock.advance(60.0)
    assert scene.status() is Status.stopping


def test_a_plugin_is_closed_when_a_new_one_takes_its_place_and_hears_nothing_more_from() -> None:
    scene = Scene()
    scene.plugin.start_fails = PluginError("no")
    scene.life.wake("somebody")
    scene.life.wake("somebody else")
    first, second = scene.plugins
    assert first.calls[-1] == "close"
    assert "close" not in second.calls
    scene.become_ready()
    first.paused()
    assert scene.status() is Status.running
    second.paused()
    assert scene.status() is Status.paused


@pytest.mark.parametrize("leave", [False, True])
def test_our_end_is_over_when_the_plugin_is_closed_too(leave: bool) -> None:
    scene = Scene().running()
    scene.plugin.closing = Deferred()
    closed: list[None] = []
    scene.life.close(leave=leave).addCallback(closed.append)
    if not leave:
        assert scene.plugin.calls[-1] == "stop"
        scene.plugin.end(0)
    assert scene.plugin.calls[-1] == "close"
    assert closed == []
    scene.plugin.closing.callback(None)
    assert closed == [None]


def test_a_plugin_that_cannot_be_closed_does_not_keep_us(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    scene.plugin.closing = Deferred()
    closed: list[None] = []
    scene.life.close().addCallback(closed.append)
    scene.clock.advance(5.0)
    assert closed == [None]
    scene = Scene()
    scene.plugin.closing = fail(PluginError("the socket bites"))
    scene.life.close().addCallback(closed.append)
    assert closed == [None, None]
    assert "the socket bites" in caplog.text


@pytest.mark.parametrize("state", ["stopped", "starting", "running", "stopping", "paused", "failed"])
def test_our_end_stops_it_from_every_state_and_waits_until_it_is_gone(state: str) -> None:
    scene = Scene(pauses=True)
    if state == "starting":
        scene.life.wake("somebody")
    elif state in ("running", "stopping", "paused"):
        scene.running()
    if state == "paused":
        scene.clock.advance(60.0)
    if state == "failed":
        scene.running().plugin.end(1)
    if state == "stopping":
        first = scene.life.close()
        assert not first.called
    assert scene.status().value == state
    closed = scene.life.close()
    if state in ("stopped", "failed"):
        assert closed.called
    else:
        assert scene.status() is Status.stopping
        _end_and_expect(scene, closed)
    scene.life.wake("too late")
    assert scene.status() in (Status.stopped, Status.failed)
    assert scene.waiter() == ["the proxy is shutting down"]


def _end_and_expect(scene: Scene, closed: Deferred[None]) -> None:
    ended: list[None] = []
    closed.addCallback(ended.append)
    assert ended == []
    scene.plugin.end(0)
    assert ended == [None]
    assert scene.status() is Status.stopped


@pytest.mark.parametrize("state", ["starting", "running", "paused"])
def test_a_server_that_is_to_be_left_is_neither_stopped_nor_watched_any_more(state: str) -> None:
    scene = Scene(pauses=True)
    scene.life.wake("somebody")
    if state != "starting":
        scene.become_ready()
    if state == "paused":
        scene.clock.advance(60.0)
    assert scene.life.close(leave=True).called
    assert scene.plugin.alive
    assert "stop" not in scene.plugin.calls
    assert scene.clock.getDelayedCalls() == []


def test_a_start_on_its_way_is_waited_for_before_it_is_left() -> None:
    scene = Scene()
    scene.slow_start = True
    scene.life.wake("somebody")
    closed = scene.life.close(leave=True)
    ended: list[None] = []
    closed.addCallback(ended.append)
    assert ended == []
    assert scene.plugin.starting is not None
    scene.plugin.starting.callback(None)
    assert ended == [None]


def test_a_server_that_nobody_could_take_over_is_stopped_though_it_was_to_be_left() -> None:
    scene = Scene()
    scene.plugin.can_adopt = False
    scene.running().life.close(leave=True)
    assert scene.status() is Status.stopping


def test_who_waits_at_our_end_is_told() -> None:
    scene = Scene()
    scene.life.wake("somebody")
    said = scene.waiter()
    scene.life.close()
    assert said == ["the proxy is shutting down"]


def test_who_hurries_our_end_gets_sigterm_sent_at_once() -> None:
    scene = Scene().running()
    closed = scene.life.close()
    scene.life.hurry()
    scene.clock.advance(0)
    assert scene.plugin.signals == [signal.SIGTERM]
    scene.life.hurry()
    scene.clock.advance(0)
    assert scene.plugin.signals == [signal.SIGTERM]
    scene.plugin.end(143)
    assert closed.called


def test_every_change_of_status_is_told_to_who_watches() -> None:
    scene = Scene()
    seen: list[Status] = []
    scene.life.watch(lambda view: seen.append(view.status))
    scene.stopping().plugin.end(0)
    assert seen == [Status.starting, Status.running, Status.stopping, Status.stopped]


def test_players_who_come_and_go_are_told_to_who_watches() -> None:
    scene = Scene().running()
    seen: list[int] = []
    scene.life.watch_visits(lambda: seen.append(scene.life.view.players))
    visit = scene.life.admit()
    visit.addCallback(lambda visit: visit.end())
    assert seen == [1, 0]


def test_nothing_is_left_on_the_clock_once_it_sleeps() -> None:
    scene = Scene().stopping()
    scene.plugin.end(0)
    assert scene.clock.getDelayedCalls() == []


class Storm(RuleBasedStateMachine):
    """Anything, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.scene = Scene(idle=30.0, start_timeout=100.0, stop_timeout=20.0, max_crashes=4, pauses=False)
        self.visits: list[Visit] = []
        self.waiters: list[list[Visit | str]] = []

    @rule()
    def somebody_joins(self) -> None:
        self.scene.life.wake("somebody")
        said: list[Visit | str] = []
        waiting = self.scene.life.admit()
        waiting.addCallbacks(said.append, lambda failure: said.append(failure.getErrorMessage()))
        waiting.addTimeout(400.0, self.scene.clock)
        self.waiters.append(said)

    @rule()
    def somebody_only_knocks(self) -> None:
        self.scene.life.wake("a scanner")

    @precondition(lambda self: self.visits)
    @rule(data=st.data())
    def somebody_leaves(self, data: st.DataObject) -> None:
        self.visits.pop(data.draw(st.integers(0, len(self.visits) - 1))).end()

    @precondition(lambda self: self.scene.readinesses and not self.scene.readinesses[-1].ran.called)
    @rule()
    def it_answers(self) -> None:
        self.scene.readinesses[-1].ran.callback(Answer({}, 0))

    @precondition(lambda self: self.scene.plugin.alive)
    @rule(code=st.sampled_from([0, 1, 137, 143, None]))
    def it_ends(self, code: int | None) -> None:
        self.scene.plugin.end(code)

    @rule(seconds=st.sampled_from([0.0, 0.5, 5.0, 29.0, 31.0, 200.0, 4000.0]))
    def time_passes(self, seconds: float) -> None:
        self.scene.clock.advance(seconds)

    @rule(online=st.sampled_from([0, 3]))
    def others_come_and_go(self, online: int) -> None:
        self.scene.probe.answer = Answer({}, online)

    @rule()
    def it_falls_silent(self) -> None:
        self.scene.probe.answer = BackendError("silence")

    @rule()
    def it_says_something(self) -> None:
        self.scene.plugin.take_line("Done? No.")

    @rule()
    def somebody_hurries(self) -> None:
        self.scene.life.hurry()

    @invariant()
    def sorted_out(self) -> None:
        for said in [said for said in self.waiters if said]:
            self.waiters.remove(said)
            (what,) = said
            if isinstance(what, Visit):
                self.visits.append(what)

    @invariant()
    def at_most_one_process(self) -> None:
        assert sum(plugin.alive for plugin in self.scene.plugins) <= 1

    @invariant()
    def nobody_kills_unasked(self) -> None:
        assert all(signal.SIGKILL not in plugin.signals for plugin in self.scene.plugins)

    @invariant()
    def gone_means_gone(self) -> None:
        if self.scene.status() in (Status.stopped, Status.failed):
            assert not any(plugin.alive for plugin in self.scene.plugins)

    @invariant()
    def nobody_waits_for_a_server_that_nobody_starts(self) -> None:
        if self.scene.life.view.waiting:
            assert self.scene.status() in (Status.starting, Status.stopping)
            assert self.scene.clock.getDelayedCalls()

    @invariant()
    def it_was_never_stopped_under_a_player(self) -> None:
        view: ServerView = self.scene.life.view
        if view.status is Status.stopping and "stop" in self.scene.plugin.calls:
            assert view.players == 0


Storm.TestCase.settings = settings(max_examples=100, stateful_step_count=60, deadline=None)
TestStorm = Storm.TestCase
