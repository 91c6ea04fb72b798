"""What must never happen to a server, whatever clients, operator and other programs do, in any order."""

from __future__ import annotations

import signal

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from lifecycle.event_story import EventStory
from lifecycle.harness import OPERATOR, PLAYER, LifecycleHarness
from twisted.internet.defer import succeed

from zeroscale.errors import BackendError, PluginError, ServerUnavailable
from zeroscale.events import Cause, CauseKind
from zeroscale.lifecycle.idle_monitor import PlayerSession
from zeroscale.status import ClientInfo, PlayerSign, ProbeResult, ServerSnapshot, Status


def test_observers_see_every_change_of_status() -> None:
    harness = LifecycleHarness()
    seen: list[Status] = []
    harness.lifecycle.add_observer(lambda view: seen.append(view.status))
    harness.stopping().plugin.exit(0)
    assert seen == [Status.starting, Status.running, Status.stopping, Status.stopped]


def test_session_observers_are_called_when_players_join_and_leave() -> None:
    harness = LifecycleHarness().running()
    seen: list[int] = []
    harness.lifecycle.add_session_observer(lambda: seen.append(harness.lifecycle.view.players))
    session = harness.lifecycle.admit()
    session.addCallback(lambda session: session.end())
    assert seen == [1, 0]


def test_a_restart_stops_a_running_server_and_starts_it_again() -> None:
    harness = LifecycleHarness().running()
    harness.lifecycle.restart(Cause(CauseKind.restart))
    waiting = harness.wait_to_join()
    assert (harness.status(), harness.plugin.calls[-1]) == (Status.stopping, "stop")
    harness.plugin.exit(0)
    assert harness.status() is Status.starting
    harness.become_ready()
    assert harness.status() is Status.running and isinstance(waiting[0], PlayerSession)


def test_each_start_is_counted_by_its_cause() -> None:
    harness = LifecycleHarness().running()
    before = dict(harness.stats.snapshot(harness.clock.seconds()).wakes)
    harness.lifecycle.restart(Cause(CauseKind.restart))
    harness.plugin.exit()
    harness.become_ready()
    harness.lifecycle.sleep(Cause(CauseKind.operator))
    harness.lifecycle.admit()
    harness.lifecycle.wake(Cause(CauseKind.login))
    harness.lifecycle.wake(Cause(CauseKind.login))
    harness.plugin.exit()
    after = harness.stats.snapshot(harness.clock.seconds()).wakes
    assert after == {**before, "restart": 1, "login": before.get("login", 0) + 1}


def test_a_restart_of_a_server_whose_stop_returns_at_once() -> None:
    harness = LifecycleHarness()
    harness.can_wait = harness.plugin.can_wait = False
    harness.running()
    harness.plugin.stop = lambda: succeed(None)  # type: ignore[method-assign]
    harness.plugin.alive = False
    harness.lifecycle.restart(Cause(CauseKind.restart))
    assert harness.status() is Status.starting


@pytest.mark.parametrize("state", [each for each in Status if each is not Status.running])
def test_a_restart_is_for_a_running_server_only(state: Status) -> None:
    harness = LifecycleHarness(pause_when_idle=True).in_state(state)
    calls = list(harness.plugin.calls)
    harness.lifecycle.restart(Cause(CauseKind.restart))
    assert (harness.status(), harness.plugin.calls) == (state, calls)
    if state is Status.stopping:
        harness.plugin.exit(0)
        assert harness.status() is Status.stopped


def test_a_restart_after_the_server_was_removed_does_nothing() -> None:
    harness = LifecycleHarness().running()
    harness.join()
    harness.lifecycle.retire()
    harness.lifecycle.restart(Cause(CauseKind.restart))
    assert harness.status() is Status.running


def test_only_a_running_server_is_asked_for_players_who_are_not_relayed() -> None:
    harness = LifecycleHarness()
    reasons: list[str | None] = []
    harness.probe.answer = ProbeResult({}, 2)
    harness.lifecycle.unrelayed_players().addCallback(reasons.append)
    harness.running().lifecycle.unrelayed_players().addCallback(reasons.append)
    assert reasons == [None, "players that zeroscale does not relay: 2"]


def test_a_stopped_server_has_no_timers() -> None:
    harness = LifecycleHarness().stopping()
    harness.plugin.exit(0)
    assert harness.clock.getDelayedCalls() == []


def test_a_player_who_joins_a_failed_server_gets_the_reason() -> None:
    harness = LifecycleHarness().running()
    harness.plugin.exit(1)
    assert harness.wait_to_join() == ["it ended while it ran"]


def test_without_wait_a_refused_connection_is_a_crash() -> None:
    harness = LifecycleHarness()
    harness.plugin.can_wait = False
    harness.running()
    harness.lifecycle.unreachable("connection refused")
    assert harness.status() is Status.failed


def test_with_wait_a_refused_connection_is_only_a_warning_once_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    harness = LifecycleHarness().running()
    caplog.clear()
    for _ in range(100):
        harness.lifecycle.unreachable("connection refused")
    assert harness.status() is Status.running
    assert len(caplog.records) == 1


def test_a_refused_connection_is_a_crash_where_the_plugin_doubts_that_the_server_runs() -> None:
    harness = LifecycleHarness().running()
    harness.plugin.doubtful = True
    harness.lifecycle.unreachable("connection refused")
    assert harness.status() is Status.failed
    harness.lifecycle.wake(PLAYER)
    assert harness.plugin.calls == ["adopt", "start"]


def test_a_locked_server_is_not_woken_and_players_read_why() -> None:
    harness = LifecycleHarness()
    harness.lockout = "a backup"
    harness.lifecycle.wake(PLAYER)
    assert harness.status() is Status.stopped
    assert harness.wait_to_join() == ["a backup"]
    assert harness.lifecycle.view.lockout == "a backup"
    harness.lockout = None
    harness.lifecycle.wake(PLAYER)
    assert harness.status() is Status.starting


def test_a_line_is_sent_to_the_console_only_while_the_server_runs() -> None:
    harness = LifecycleHarness()
    outcome: list[str] = []
    harness.lifecycle.send("say hello").addErrback(lambda failure: outcome.append(failure.getErrorMessage()))
    assert outcome == ["test does not run"]
    harness.running().lifecycle.send("say hello")
    assert harness.plugin.calls[-1] == "send say hello"


def test_an_observer_that_raises_does_not_disturb_the_server(caplog: pytest.LogCaptureFixture) -> None:
    harness = LifecycleHarness()
    seen: list[Status] = []

    def raises(*_: object) -> None:
        raise ValueError("an observer's own")

    harness.lifecycle.add_observer(raises)
    harness.lifecycle.add_session_observer(raises)
    harness.lifecycle.add_observer(lambda view: seen.append(view.status))
    harness.running()
    harness.join().end()
    assert seen == [Status.starting, Status.running]
    assert "an observer's own" in caplog.text


class AnyOrder(RuleBasedStateMachine):
    """Clients, server, operator, other programs and reloads, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.harness = LifecycleHarness(idle=30.0, start_timeout=100.0, stop_timeout=20.0, max_crashes=4)
        self.sessions: list[PlayerSession] = []
        self.waiters: list[list[PlayerSession | str]] = []
        self.gone: list[str] | None = None
        self.slept = False
        self.story = EventStory()
        self.joins = 0

    @initialize(
        pauses=st.booleans(), can_wait=st.booleans(), can_signal=st.booleans(), player_sign=st.sampled_from(PlayerSign)
    )
    def choose_plugin(self, pauses: bool, can_wait: bool, can_signal: bool, player_sign: PlayerSign) -> None:
        self.harness = LifecycleHarness(
            idle=30.0,
            start_timeout=100.0,
            stop_timeout=20.0,
            max_crashes=4,
            pause_when_idle=pauses,
            pause_stop_after=500.0,
            player_sign=player_sign,
        )
        self.harness.lifecycle.add_event_observer(self.story.observe)
        self.harness.can_wait = can_wait
        self.harness.can_signal = can_signal
        self.harness.plugin.can_wait, self.harness.plugin.can_signal = can_wait, can_signal

    # Clients

    @rule()
    def player_joins(self) -> None:
        self.harness.lifecycle.wake(PLAYER)
        outcome: list[PlayerSession | str] = []
        self.joins += 1
        waiting = self.harness.lifecycle.admit(ClientInfo(f"player{self.joins}"))
        waiting.addCallbacks(outcome.append, lambda failure: outcome.append(failure.getErrorMessage()))
        waiting.addTimeout(400.0, self.harness.clock)
        self.waiters.append(outcome)

    @rule()
    def scanner_wakes(self) -> None:
        self.harness.lifecycle.wake(PLAYER)

    @precondition(lambda self: self.sessions)
    @rule(data=st.data())
    def player_leaves(self, data: st.DataObject) -> None:
        self.sessions.pop(data.draw(st.integers(0, len(self.sessions) - 1))).end()

    @precondition(lambda self: self.sessions)
    @rule(data=st.data(), moved=st.sampled_from([(0, 300), (20, 300), (2000, 5000)]))
    def bytes_are_relayed(self, data: st.DataObject, moved: tuple[int, int]) -> None:
        session = data.draw(st.sampled_from(self.sessions))
        if moved > session.moved():
            session.moved = lambda: moved
            self.harness.clock.advance(1.0)  # it is noticed within a second

    @rule()
    def server_refuses_connection(self) -> None:
        if not self.harness.can_wait:
            for plugin in self.harness.plugins:
                plugin.alive = plugin.alive and self.harness.status() is not Status.running
        self.harness.lifecycle.unreachable("connection refused")

    # The server

    @precondition(lambda self: self.harness.readinesses and not self.harness.readinesses[-1].ran.called)
    @rule()
    def server_answers(self) -> None:
        self.harness.readinesses[-1].ran.callback(ProbeResult({}, 0))

    @rule(slow=st.booleans())
    def set_slow_start(self, slow: bool) -> None:
        self.harness.slow_start = slow

    @rule()
    def start_returns(self) -> None:
        for plugin in self.harness.plugins:
            plugin.start_returns()

    @precondition(lambda self: any(plugin.alive for plugin in self.harness.plugins) and self.harness.can_wait)
    @rule(code=st.sampled_from([0, 1, 137, 143, None]))
    def server_exits(self, code: int | None) -> None:
        for plugin in self.harness.plugins:
            if plugin.alive:
                plugin.exit(code)

    @rule()
    def stop_returns(self) -> None:
        for plugin in self.harness.plugins:
            if plugin.stopping is not None and not self.harness.can_wait and plugin.starting is None:
                plugin.alive = False
            plugin.stop_returns()

    @rule(can=st.booleans())
    def set_pausable(self, can: bool) -> None:
        self.harness.plugin.pause_fails = None if can else PluginError("it cannot be paused")
        self.harness.plugin.resume_fails = None if can else PluginError("it cannot be resumed")

    @rule()
    def plugin_will_doubt_its_server(self) -> None:
        self.harness.current.doubtful = True

    @rule(online=st.sampled_from([0, 3]))
    def set_players_not_relayed(self, online: int) -> None:
        self.harness.probe.answer = ProbeResult({}, online)

    @rule()
    def server_stops_answering_queries(self) -> None:
        self.harness.probe.answer = BackendError("silence")

    @rule()
    def server_writes_output(self) -> None:
        self.harness.plugin.write_line("Done? No.")

    @rule(seconds=st.sampled_from([0.0, 0.5, 5.0, 29.0, 31.0, 200.0, 4000.0]))
    def time_passes(self, seconds: float) -> None:
        self.harness.clock.advance(seconds)

    # Other programs

    @precondition(lambda self: not any(plugin.alive for plugin in self.harness.plugins))
    @rule()
    def other_program_starts_it(self) -> None:
        if self.harness.status() in (Status.stopped, Status.failed) and self.gone is None:
            self.harness.plugin.alive = True
            self.harness.plugin.report_found()

    @rule()
    def other_program_pauses_it(self) -> None:
        self.slept = self.slept or bool(self.sessions)  # it may stay paused until it is stopped
        self.harness.plugin.report_paused()

    @precondition(lambda self: self.harness.status() is Status.paused)
    @rule()
    def other_program_resumes_it(self) -> None:
        self.harness.plugin.report_found()

    # The operator

    @rule(words=st.sampled_from([None, "a backup"]))
    def operator_sets_lockout(self, words: str | None) -> None:
        self.harness.lockout = words

    @rule(words=st.sampled_from([None, "an event"]))
    def operator_keeps_awake(self, words: str | None) -> None:
        self.harness.keep_awake_reason = words

    @rule()
    def operator_wakes(self) -> None:
        waiting = self.harness.lifecycle.start_for_operator(OPERATOR)
        waiting.addErrback(lambda failure: failure.trap(ServerUnavailable, TimeoutError))
        waiting.addTimeout(400.0, self.harness.clock)

    @rule()
    def operator_stops(self) -> None:
        self.slept = True
        with self.story.asking(CauseKind.operator):
            self.harness.lifecycle.sleep(OPERATOR)

    @rule()
    def schedule_restarts(self) -> None:
        self.slept = self.slept or self.harness.status() is Status.running
        with self.story.asking(CauseKind.restart):
            self.harness.lifecycle.restart(Cause(CauseKind.restart))

    @rule(at_once=st.booleans())
    def operator_releases(self, at_once: bool) -> None:
        self.harness.lockout = self.harness.keep_awake_reason = None
        self.harness.lifecycle.allow_retry()
        if at_once:
            with self.story.asking(CauseKind.operator):
                self.harness.lifecycle.sleep_when_empty(OPERATOR)
        else:
            self.harness.lifecycle.restart_idle_timer()

    @rule()
    def operator_hurries_stop(self) -> None:
        self.harness.lifecycle.skip_to_sigterm()

    @rule()
    def plugin_is_swapped(self) -> None:
        self.harness.replace()

    @precondition(lambda self: self.gone is None)
    @rule()
    def server_is_retired(self) -> None:
        if len(self.harness.plugins) % 5 == 0:  # seldom: little happens after it
            gone = self.gone = []
            self.story.is_retired = True
            self.harness.lifecycle.retire().addCallback(lambda _: gone.append("gone"))

    @precondition(lambda self: self.gone is not None)
    @rule()
    def server_is_reinstated(self) -> None:
        if self.harness.lifecycle.reinstate():
            self.gone = None
            self.story.is_retired = False

    @invariant()
    def collect_sessions(self) -> None:
        for outcome in [outcome for outcome in self.waiters if outcome]:
            self.waiters.remove(outcome)
            (result,) = outcome
            if isinstance(result, PlayerSession):
                self.sessions.append(result)
        if self.harness.status() in (Status.stopped, Status.failed):
            self.slept = False

    @invariant()
    def events_tell_the_status(self) -> None:
        status = self.harness.status()
        told = "down" if status in (Status.stopped, Status.failed) else status.value
        # A server that was found running has no event before it answers.
        assert self.story.state == told or (self.story.state, told) == ("down", "starting")
        assert not self.story.errors

    @invariant()
    def each_session_that_counts_has_joined(self) -> None:
        assert len(self.story.players) == self.harness.lifecycle.view.players

    @invariant()
    def at_most_one_process(self) -> None:
        assert sum(plugin.alive for plugin in self.harness.plugins) <= 1

    @invariant()
    def no_sigkill(self) -> None:
        assert all(signal.SIGKILL not in plugin.signals for plugin in self.harness.plugins)

    @invariant()
    def down_means_no_process(self) -> None:
        if self.harness.status() in (Status.stopped, Status.failed):
            assert not any(plugin.alive for plugin in self.harness.plugins)

    @invariant()
    def exit_of_the_running_process_is_awaited(self) -> None:
        living = [plugin for plugin in self.harness.plugins if plugin.alive]
        if self.harness.status() is Status.running and self.harness.can_wait:
            assert [plugin for plugin in self.harness.plugins if plugin.waiting is not None] == living

    @invariant()
    def replaced_plugins_are_closed(self) -> None:
        in_use = (self.harness.current, self.harness.plugin)
        for plugin in self.harness.plugins:
            assert plugin in in_use or not plugin.calls or plugin.calls[-1] == "close"

    @invariant()
    def players_wait_only_for_a_server_that_starts(self) -> None:
        if self.harness.lifecycle.view.waiting:
            assert self.harness.status() in (Status.starting, Status.stopping)
            assert self.harness.clock.getDelayedCalls()

    @invariant()
    def never_stopped_with_players_unasked(self) -> None:
        view: ServerSnapshot = self.harness.lifecycle.view
        if view.status is Status.stopping and not self.slept:
            assert view.players == 0

    @invariant()
    def view_is_not_stale(self) -> None:
        view = self.harness.lifecycle.view
        self.harness.lifecycle.look_again()
        assert self.harness.lifecycle.view is view

    @invariant()
    def retired_server_stays_down(self) -> None:
        if self.gone is not None:
            down = self.harness.status() in (Status.stopped, Status.failed)
            assert self.gone == (["gone"] if down else [])
            assert self.harness.lifecycle.view.waiting == 0
            assert self.harness.status() is not Status.paused


AnyOrder.TestCase.settings = settings(max_examples=60, stateful_step_count=60)
TestAnyOrder = AnyOrder.TestCase
