"""A server's life on a clock of its own: what each input does in each state, and what must never happen."""

from __future__ import annotations

import signal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from lifecycle.harness import LifecycleHarness

from zeroscale.errors import BackendError, PluginError, ServerUnavailable
from zeroscale.lifecycle.idle_monitor import PlayerSession
from zeroscale.status import ProbeResult, ServerSnapshot, Status


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


def test_a_stopped_server_has_no_timers() -> None:
    harness = LifecycleHarness().stopping()
    harness.plugin.exit(0)
    assert harness.clock.getDelayedCalls() == []


class Storm(RuleBasedStateMachine):
    """Anything, in any order: clients, the server, its operator, others who handle it, and a configuration anew."""

    def __init__(self) -> None:
        super().__init__()
        self.harness = LifecycleHarness(idle=30.0, start_timeout=100.0, stop_timeout=20.0, max_crashes=4)
        self.sessions: list[PlayerSession] = []
        self.waiters: list[list[PlayerSession | str]] = []
        self.gone: list[str] | None = None
        self.slept = False

    @initialize(pauses=st.booleans(), can_wait=st.booleans(), can_signal=st.booleans())
    def its_kind(self, pauses: bool, can_wait: bool, can_signal: bool) -> None:
        self.harness = LifecycleHarness(
            idle=30.0,
            start_timeout=100.0,
            stop_timeout=20.0,
            max_crashes=4,
            pause_when_idle=pauses,
            pause_stop_after=500.0,
        )
        self.harness.can_wait = can_wait
        self.harness.can_signal = can_signal
        self.harness.plugin.can_wait, self.harness.plugin.can_signal = can_wait, can_signal

    # Clients

    @rule()
    def somebody_joins(self) -> None:
        self.harness.lifecycle.wake("a player")
        outcome: list[PlayerSession | str] = []
        waiting = self.harness.lifecycle.admit()
        waiting.addCallbacks(outcome.append, lambda failure: outcome.append(failure.getErrorMessage()))
        waiting.addTimeout(400.0, self.harness.clock)
        self.waiters.append(outcome)

    @rule()
    def somebody_only_knocks(self) -> None:
        self.harness.lifecycle.wake("a scanner")

    @precondition(lambda self: self.sessions)
    @rule(data=st.data())
    def somebody_leaves(self, data: st.DataObject) -> None:
        self.sessions.pop(data.draw(st.integers(0, len(self.sessions) - 1))).end()

    @rule()
    def it_takes_no_connection(self) -> None:
        if not self.harness.can_wait:
            for plugin in self.harness.plugins:
                plugin.alive = plugin.alive and self.harness.status() is not Status.running
        self.harness.lifecycle.unreachable("connection refused")

    # The server

    @precondition(lambda self: self.harness.readinesses and not self.harness.readinesses[-1].ran.called)
    @rule()
    def it_answers(self) -> None:
        self.harness.readinesses[-1].ran.callback(ProbeResult({}, 0))

    @rule(slow=st.booleans())
    def it_takes_its_time_to_start(self, slow: bool) -> None:
        self.harness.slow_start = slow

    @rule()
    def its_start_returns(self) -> None:
        for plugin in self.harness.plugins:
            plugin.start_returns()

    @precondition(lambda self: any(plugin.alive for plugin in self.harness.plugins) and self.harness.can_wait)
    @rule(code=st.sampled_from([0, 1, 137, 143, None]))
    def it_ends(self, code: int | None) -> None:
        for plugin in self.harness.plugins:
            if plugin.alive:
                plugin.exit(code)

    @rule()
    def its_stop_returns(self) -> None:
        for plugin in self.harness.plugins:
            if plugin.stopping is not None and not self.harness.can_wait and plugin.starting is None:
                plugin.alive = False
            plugin.stop_returns()

    @rule(can=st.booleans())
    def it_can_or_cannot_be_paused_and_resumed(self, can: bool) -> None:
        self.harness.plugin.pause_fails = None if can else PluginError("it will not freeze")
        self.harness.plugin.resume_fails = None if can else PluginError("it will not thaw")

    @rule(online=st.sampled_from([0, 3]))
    def others_come_and_go(self, online: int) -> None:
        self.harness.probe.answer = ProbeResult({}, online)

    @rule()
    def it_falls_silent(self) -> None:
        self.harness.probe.answer = BackendError("silence")

    @rule()
    def it_says_something(self) -> None:
        self.harness.plugin.write_line("Done? No.")

    @rule(seconds=st.sampled_from([0.0, 0.5, 5.0, 29.0, 31.0, 200.0, 4000.0]))
    def time_passes(self, seconds: float) -> None:
        self.harness.clock.advance(seconds)

    # Others who handle it

    @precondition(lambda self: not any(plugin.alive for plugin in self.harness.plugins))
    @rule()
    def somebody_else_starts_it(self) -> None:
        if self.harness.status() in (Status.stopped, Status.failed) and self.gone is None:
            self.harness.plugin.alive = True
            self.harness.plugin.report_found()

    @rule()
    def somebody_else_pauses_it(self) -> None:
        self.slept = self.slept or bool(self.sessions)  # and may leave it so until it is stopped
        self.harness.plugin.report_paused()

    @precondition(lambda self: self.harness.status() is Status.paused)
    @rule()
    def somebody_else_resumes_it(self) -> None:
        self.harness.plugin.report_found()

    # Its operator

    @rule(words=st.sampled_from([None, "a backup"]))
    def its_operator_holds_it_down(self, words: str | None) -> None:
        self.harness.lockout = words

    @rule(words=st.sampled_from([None, "an event"]))
    def its_operator_keeps_it_up(self, words: str | None) -> None:
        self.harness.keep_awake_reason = words

    @rule()
    def its_operator_starts_it(self) -> None:
        waiting = self.harness.lifecycle.start_for_operator()
        waiting.addErrback(lambda failure: failure.trap(ServerUnavailable, TimeoutError))
        waiting.addTimeout(400.0, self.harness.clock)

    @rule()
    def its_operator_puts_it_to_sleep(self) -> None:
        self.slept = True
        self.harness.lifecycle.sleep()

    @rule(at_once=st.booleans())
    def its_operator_takes_it_all_back(self, at_once: bool) -> None:
        self.harness.lockout = self.harness.keep_awake_reason = None
        self.harness.lifecycle.allow_retry()
        self.harness.lifecycle.restart_idle_timer(at_once=at_once)

    @rule()
    def somebody_hurries(self) -> None:
        self.harness.lifecycle.skip_to_sigterm()

    @rule()
    def it_is_to_be_another(self) -> None:
        self.harness.replace()

    @precondition(lambda self: self.gone is None)
    @rule()
    def it_is_not_served_any_more(self) -> None:
        if len(self.harness.plugins) % 5 == 0:  # seldom: nothing happens after it
            gone = self.gone = []
            self.harness.lifecycle.retire().addCallback(lambda _: gone.append("gone"))

    @precondition(lambda self: self.gone is not None)
    @rule()
    def it_is_served_again(self) -> None:
        if self.harness.lifecycle.reinstate():
            self.gone = None

    @invariant()
    def sorted_out(self) -> None:
        for outcome in [outcome for outcome in self.waiters if outcome]:
            self.waiters.remove(outcome)
            (what,) = outcome
            if isinstance(what, PlayerSession):
                self.sessions.append(what)
        if self.harness.status() in (Status.stopped, Status.failed):
            self.slept = False

    @invariant()
    def at_most_one_process(self) -> None:
        assert sum(plugin.alive for plugin in self.harness.plugins) <= 1

    @invariant()
    def nobody_kills_unasked(self) -> None:
        assert all(signal.SIGKILL not in plugin.signals for plugin in self.harness.plugins)

    @invariant()
    def gone_means_gone(self) -> None:
        if self.harness.status() in (Status.stopped, Status.failed):
            assert not any(plugin.alive for plugin in self.harness.plugins)

    @invariant()
    def the_one_that_lives_is_the_one_that_is_watched(self) -> None:
        living = [plugin for plugin in self.harness.plugins if plugin.alive]
        if self.harness.status() is Status.running and self.harness.can_wait:
            assert [plugin for plugin in self.harness.plugins if plugin.waiting is not None] == living

    @invariant()
    def a_plugin_that_was_replaced_is_closed(self) -> None:
        in_use = (self.harness.current, self.harness.plugin)
        for plugin in self.harness.plugins:
            assert plugin in in_use or not plugin.calls or plugin.calls[-1] == "close"

    @invariant()
    def nobody_waits_for_a_server_that_nobody_starts(self) -> None:
        if self.harness.lifecycle.view.waiting:
            assert self.harness.status() in (Status.starting, Status.stopping)
            assert self.harness.clock.getDelayedCalls()

    @invariant()
    def it_was_never_stopped_under_a_player_unasked(self) -> None:
        view: ServerSnapshot = self.harness.lifecycle.view
        if view.status is Status.stopping and not self.slept:
            assert view.players == 0

    @invariant()
    def whoever_is_retired_and_gone_is_told_so_and_stays_gone(self) -> None:
        if self.gone is not None:
            down = self.harness.status() in (Status.stopped, Status.failed)
            assert self.gone == (["gone"] if down else [])
            assert self.harness.lifecycle.view.waiting == 0
            assert self.harness.status() is not Status.paused


Storm.TestCase.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
TestStorm = Storm.TestCase
