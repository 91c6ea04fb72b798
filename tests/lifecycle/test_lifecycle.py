"""A server's life on a clock of its own: what each input does in each state, and what must never happen."""

from __future__ import annotations

import signal

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from lifecycle.harness import Scene
from twisted.internet.defer import Deferred, fail

from zeroscale.errors import BackendError, PluginError, ServerUnavailable
from zeroscale.lifecycle.idle_monitor import PlayerSession
from zeroscale.status import ProbeResult, ServerSnapshot, Status


def test_at_our_end_nothing_is_taken_over_any_more() -> None:
    scene = Scene().stopping()
    scene.life.close()
    scene.plugin.found()
    scene.plugin.end(0)
    assert scene.status() is Status.stopped
    scene.plugin.found()
    assert scene.status() is Status.stopped


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


def test_our_end_does_not_wait_for_ever_for_a_server_that_does_not_need_us(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene(stop_timeout=10.0)
    scene.plugin.is_remote = True
    scene.plugin.can_signal = False
    scene.running()
    ended: list[None] = []
    scene.life.close().addCallback(ended.append)
    scene.clock.advance(9.9)
    assert ended == []
    scene.clock.advance(0.2)
    assert ended == [None]
    assert "it is left to end without us, for the next zeroscale to take over" in caplog.text
    assert scene.clock.getDelayedCalls() == []


def test_a_retired_server_that_does_not_need_us_is_waited_for_until_our_end() -> None:
    scene = Scene(stop_timeout=10.0)
    scene.plugin.is_remote = True
    scene.plugin.can_signal = False
    scene.running()
    gone = retired(scene)
    for _ in range(5):
        scene.clock.advance(60.0)
    assert (scene.status(), gone) == (Status.stopping, [])
    ended: list[None] = []
    scene.life.close().addCallback(ended.append)
    scene.clock.advance(60.0)
    assert (ended, gone) == ([None], ["gone"])
    assert scene.plugin.calls.count("close") == 1


def test_a_server_elsewhere_has_its_sigterm_before_it_is_left() -> None:
    scene = Scene(stop_timeout=10.0)
    scene.plugin.is_remote = True
    scene.running()
    closed = scene.life.close()
    scene.clock.advance(10.0)
    assert [*scene.plugin.signals, closed.called] == [signal.SIGTERM, False]
    scene.clock.advance(10.0)
    assert closed.called


@pytest.mark.parametrize(("elsewhere", "adopts", "ends"), [(True, False, False), (False, True, False)])
def test_what_would_be_lost_is_waited_for(elsewhere: bool, adopts: bool, ends: bool) -> None:
    scene = Scene(stop_timeout=10.0)
    scene.plugin.is_remote, scene.plugin.can_adopt, scene.plugin.can_signal = elsewhere, adopts, False
    scene.running()
    closed = scene.life.close()
    for _ in range(50):
        scene.clock.advance(10.0)
    assert closed.called == ends


def test_who_hurries_our_end_need_not_wait_for_a_server_that_does_not_need_us() -> None:
    scene = Scene()
    scene.plugin.is_remote = True
    scene.plugin.can_signal = False
    scene.running()
    closed = scene.life.close()
    scene.life.skip_to_sigterm()
    scene.clock.advance(0)
    assert closed.called


def test_a_server_elsewhere_that_does_not_stop_is_waited_for_while_we_go_on() -> None:
    scene = Scene(stop_timeout=10.0)
    scene.plugin.is_remote = True
    scene.plugin.can_signal = False
    scene.stopping()
    for _ in range(50):
        scene.clock.advance(10.0)
    assert scene.status() is Status.stopping
    scene.plugin.end()
    assert scene.status() is Status.stopped


def test_who_waits_at_our_end_is_told() -> None:
    scene = Scene()
    scene.life.wake("somebody")
    said = scene.waiter()
    scene.life.close()
    assert said == ["the proxy is shutting down"]


def test_who_hurries_our_end_gets_sigterm_sent_at_once() -> None:
    scene = Scene().running()
    closed = scene.life.close()
    scene.life.skip_to_sigterm()
    scene.clock.advance(0)
    assert scene.plugin.signals == [signal.SIGTERM]
    scene.life.skip_to_sigterm()
    scene.clock.advance(0)
    assert scene.plugin.signals == [signal.SIGTERM]
    scene.plugin.end(143)
    assert closed.called


def test_every_change_of_status_is_told_to_who_watches() -> None:
    scene = Scene()
    seen: list[Status] = []
    scene.life.add_observer(lambda view: seen.append(view.status))
    scene.stopping().plugin.end(0)
    assert seen == [Status.starting, Status.running, Status.stopping, Status.stopped]


def test_players_who_come_and_go_are_told_to_who_watches() -> None:
    scene = Scene().running()
    seen: list[int] = []
    scene.life.add_session_observer(lambda: seen.append(scene.life.view.players))
    visit = scene.life.admit()
    visit.addCallback(lambda visit: visit.end())
    assert seen == [1, 0]


def test_nothing_is_left_on_the_clock_once_it_sleeps() -> None:
    scene = Scene().stopping()
    scene.plugin.end(0)
    assert scene.clock.getDelayedCalls() == []


# Retiring


def retired(scene: Scene) -> list[str]:
    """Retires it; what is returned gets a word when it is gone."""
    gone: list[str] = []
    scene.life.retire().addCallback(lambda _: gone.append("gone"))
    return gone


@pytest.mark.parametrize("state", ["stopped", "starting", "running", "stopping", "paused", "failed"])
def test_a_server_that_is_retired_goes_from_every_state(state: str) -> None:
    scene = Scene(pauses=True)
    scene.in_state(Status(state))
    waiting = scene.waiter() if state == "starting" else []
    gone = retired(scene)
    if state == "starting":
        assert waiting == ["this server is not served here any more"]
    if state not in ("stopped", "failed"):
        assert gone == []
        scene.clock.advance(0.0)
        assert scene.status() is Status.stopping
        scene.plugin.end(0)
    assert gone == ["gone"]
    assert not scene.plugin.alive
    scene.life.wake("somebody")
    assert scene.status() in (Status.stopped, Status.failed)


def test_a_retired_server_goes_once_nobody_is_on_it_though_it_is_kept_awake() -> None:
    scene = Scene().running()
    visit = scene.admitted()
    scene.kept_awake = "its operator keeps it awake"
    retired(scene)
    scene.clock.advance(600.0)
    assert scene.status() is Status.running
    visit.end()
    scene.clock.advance(0.0)
    assert scene.status() is Status.stopping


def test_a_retired_server_that_somebody_else_pauses_is_still_on_its_way_out() -> None:
    scene = Scene().running()
    visit = scene.admitted()
    gone = retired(scene)
    scene.plugin.paused()
    scene.plugin.found()
    visit.end()
    scene.clock.advance(0.0)
    scene.plugin.end(0)
    assert gone == ["gone"]


def test_a_retired_server_that_somebody_is_on_can_be_served_again() -> None:
    scene = Scene(idle=30.0).running()
    visit = scene.admitted()
    gone = retired(scene)
    assert scene.life.reinstate()
    scene.admitted().end()
    visit.end()
    scene.clock.advance(29.0)
    assert scene.status() is Status.running
    scene.clock.advance(1.0)
    scene.plugin.end(0)
    assert (scene.status(), gone) == (Status.stopped, [])
    scene.life.wake("somebody")
    assert scene.status() is Status.starting


@pytest.mark.parametrize("state", ["stopped", "starting", "stopping", "paused", "failed"])
def test_a_retired_server_that_does_not_run_any_more_stays_retired(state: str) -> None:
    scene = Scene(pauses=True)
    scene.in_state(Status(state))
    gone = retired(scene)
    assert not scene.life.reinstate()
    if scene.plugin.alive:
        scene.plugin.end(0)
    assert gone == ["gone"]


def test_our_end_is_not_taken_back() -> None:
    scene = Scene().running()
    assert not scene.life.reinstate()
    scene.life.close(leave=True)
    assert not scene.life.reinstate()


def test_a_server_that_was_left_is_not_touched_any_more() -> None:
    scene = Scene().running()
    assert scene.life.close(leave=True).called
    scene.plugin.paused()
    assert "pause" not in scene.plugin.calls
    scene.plugin.can_wait = False
    scene.life.unreachable("connection refused")
    assert scene.records.crashes == 0


class Storm(RuleBasedStateMachine):
    """Anything, in any order: clients, the server, its operator, others who handle it, and a configuration anew."""

    def __init__(self) -> None:
        super().__init__()
        self.scene = Scene(idle=30.0, start_timeout=100.0, stop_timeout=20.0, max_crashes=4)
        self.visits: list[PlayerSession] = []
        self.waiters: list[list[PlayerSession | str]] = []
        self.gone: list[str] | None = None
        self.slept = False

    @initialize(pauses=st.booleans(), can_wait=st.booleans(), can_signal=st.booleans())
    def its_kind(self, pauses: bool, can_wait: bool, can_signal: bool) -> None:
        self.scene = Scene(
            idle=30.0, start_timeout=100.0, stop_timeout=20.0, max_crashes=4, pauses=pauses, pause_stop_after=500.0
        )
        self.scene.can_wait = can_wait
        self.scene.can_signal = can_signal
        self.scene.plugin.can_wait, self.scene.plugin.can_signal = can_wait, can_signal

    # Clients

    @rule()
    def somebody_joins(self) -> None:
        self.scene.life.wake("somebody")
        said: list[PlayerSession | str] = []
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

    @rule()
    def it_takes_no_connection(self) -> None:
        if not self.scene.can_wait:
            for plugin in self.scene.plugins:
                plugin.alive = plugin.alive and self.scene.status() is not Status.running
        self.scene.life.unreachable("connection refused")

    # The server

    @precondition(lambda self: self.scene.readinesses and not self.scene.readinesses[-1].ran.called)
    @rule()
    def it_answers(self) -> None:
        self.scene.readinesses[-1].ran.callback(ProbeResult({}, 0))

    @rule(slow=st.booleans())
    def it_takes_its_time_to_start(self, slow: bool) -> None:
        self.scene.slow_start = slow

    @rule()
    def its_start_returns(self) -> None:
        for plugin in self.scene.plugins:
            plugin.started()

    @precondition(lambda self: any(plugin.alive for plugin in self.scene.plugins) and self.scene.can_wait)
    @rule(code=st.sampled_from([0, 1, 137, 143, None]))
    def it_ends(self, code: int | None) -> None:
        for plugin in self.scene.plugins:
            if plugin.alive:
                plugin.end(code)

    @rule()
    def its_stop_returns(self) -> None:
        for plugin in self.scene.plugins:
            if plugin.stopping is not None and not self.scene.can_wait and plugin.starting is None:
                plugin.alive = False
            plugin.stopped()

    @rule(can=st.booleans())
    def it_can_or_cannot_be_paused_and_resumed(self, can: bool) -> None:
        self.scene.plugin.pause_fails = None if can else PluginError("it will not freeze")
        self.scene.plugin.resume_fails = None if can else PluginError("it will not thaw")

    @rule(online=st.sampled_from([0, 3]))
    def others_come_and_go(self, online: int) -> None:
        self.scene.probe.answer = ProbeResult({}, online)

    @rule()
    def it_falls_silent(self) -> None:
        self.scene.probe.answer = BackendError("silence")

    @rule()
    def it_says_something(self) -> None:
        self.scene.plugin.take_line("Done? No.")

    @rule(seconds=st.sampled_from([0.0, 0.5, 5.0, 29.0, 31.0, 200.0, 4000.0]))
    def time_passes(self, seconds: float) -> None:
        self.scene.clock.advance(seconds)

    # Others who handle it

    @precondition(lambda self: not any(plugin.alive for plugin in self.scene.plugins))
    @rule()
    def somebody_else_starts_it(self) -> None:
        if self.scene.status() in (Status.stopped, Status.failed) and self.gone is None:
            self.scene.plugin.alive = True
            self.scene.plugin.found()

    @rule()
    def somebody_else_pauses_it(self) -> None:
        self.slept = self.slept or bool(self.visits)  # and may leave it so until it is stopped
        self.scene.plugin.paused()

    @precondition(lambda self: self.scene.status() is Status.paused)
    @rule()
    def somebody_else_resumes_it(self) -> None:
        self.scene.plugin.found()

    # Its operator

    @rule(words=st.sampled_from([None, "a backup"]))
    def its_operator_holds_it_down(self, words: str | None) -> None:
        self.scene.lockout = words

    @rule(words=st.sampled_from([None, "an event"]))
    def its_operator_keeps_it_up(self, words: str | None) -> None:
        self.scene.kept_awake = words

    @rule()
    def its_operator_starts_it(self) -> None:
        waiting = self.scene.life.start_for_operator()
        waiting.addErrback(lambda failure: failure.trap(ServerUnavailable, TimeoutError))
        waiting.addTimeout(400.0, self.scene.clock)

    @rule()
    def its_operator_puts_it_to_sleep(self) -> None:
        self.slept = True
        self.scene.life.sleep()

    @rule(at_once=st.booleans())
    def its_operator_takes_it_all_back(self, at_once: bool) -> None:
        self.scene.lockout = self.scene.kept_awake = None
        self.scene.life.allow_retry()
        self.scene.life.restart_idle_timer(at_once=at_once)

    @rule()
    def somebody_hurries(self) -> None:
        self.scene.life.skip_to_sigterm()

    @rule()
    def it_is_to_be_another(self) -> None:
        self.scene.replace()

    @precondition(lambda self: self.gone is None)
    @rule()
    def it_is_not_served_any_more(self) -> None:
        if len(self.scene.plugins) % 5 == 0:  # seldom: nothing happens after it
            gone = self.gone = []
            self.scene.life.retire().addCallback(lambda _: gone.append("gone"))

    @precondition(lambda self: self.gone is not None)
    @rule()
    def it_is_served_again(self) -> None:
        if self.scene.life.reinstate():
            self.gone = None

    @invariant()
    def sorted_out(self) -> None:
        for said in [said for said in self.waiters if said]:
            self.waiters.remove(said)
            (what,) = said
            if isinstance(what, PlayerSession):
                self.visits.append(what)
        if self.scene.status() in (Status.stopped, Status.failed):
            self.slept = False

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
    def the_one_that_lives_is_the_one_that_is_watched(self) -> None:
        living = [plugin for plugin in self.scene.plugins if plugin.alive]
        if self.scene.status() is Status.running and self.scene.can_wait:
            assert [plugin for plugin in self.scene.plugins if plugin.waiting is not None] == living

    @invariant()
    def a_plugin_that_was_replaced_is_closed(self) -> None:
        in_use = {id(plugin) for plugin in (self.scene.life._incumbent.plugin, self.scene.plugin)}
        for plugin in self.scene.plugins:
            assert id(plugin) in in_use or not plugin.calls or plugin.calls[-1] == "close"

    @invariant()
    def nobody_waits_for_a_server_that_nobody_starts(self) -> None:
        if self.scene.life.view.waiting:
            assert self.scene.status() in (Status.starting, Status.stopping)
            assert self.scene.clock.getDelayedCalls()

    @invariant()
    def it_was_never_stopped_under_a_player_unasked(self) -> None:
        view: ServerSnapshot = self.scene.life.view
        if view.status is Status.stopping and not self.slept:
            assert view.players == 0

    @invariant()
    def whoever_is_retired_and_gone_is_told_so_and_stays_gone(self) -> None:
        if self.gone is not None:
            down = self.scene.status() in (Status.stopped, Status.failed)
            assert self.gone == (["gone"] if down else [])
            assert self.scene.life.view.waiting == 0
            assert self.scene.status() is not Status.paused


Storm.TestCase.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
TestStorm = Storm.TestCase
