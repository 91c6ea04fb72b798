from __future__ import annotations

import logging

import pytest
from lifecycle.harness import Scene
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectingCancelledError

from zeroscale.errors import PluginError
from zeroscale.status import ProbeResult, Status


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
    question: Deferred[ProbeResult] = Deferred(lambda it: it.errback(ConnectingCancelledError(None)))
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


# What others do with it


def test_where_it_is_reached_is_asked_each_time_it_runs() -> None:
    scene = Scene()
    scene.life.wake("somebody")
    assert scene.moves == [None, None]
    scene.become_ready()
    scene.plugin.end(0)
    scene.plugin.address = "172.20.0.2", 25565
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


# What goes wrong in a plugin


def test_a_pause_that_fails_late_does_not_stop_the_next_server() -> None:
    scene = Scene(pauses=True).running()
    pausing = scene.plugin.pausing = Deferred()
    scene.clock.advance(60.0)
    assert scene.status() is Status.paused
    scene.plugin.end(0)
    scene.running()
    pausing.errback(PluginError("there is nothing to pause"))
    assert scene.status() is Status.running


def test_a_pause_that_fails_when_somebody_wants_in_again_does_not_stop_it() -> None:
    scene = Scene(pauses=True).running()
    scene.plugin.pausing = Deferred()
    scene.clock.advance(60.0)
    scene.life.wake("somebody")
    scene.plugin.pausing.errback(PluginError("it will not freeze"))
    assert scene.status() is Status.starting
    scene.become_ready()
    assert scene.status() is Status.running


def test_a_server_that_cannot_be_paused_is_stopped() -> None:
    scene = Scene(pauses=True).running()
    scene.plugin.pause_fails = PluginError("it will not freeze")
    scene.plugin.resume_fails = PluginError("it is not frozen")
    scene.clock.advance(60.0)
    assert scene.status() is Status.stopping
    assert scene.plugin.calls[-1] == "stop"


def test_a_paused_server_that_cannot_be_resumed_is_gone_before_it_has_failed() -> None:
    scene = Scene(pauses=True).running()
    scene.clock.advance(60.0)
    scene.plugin.resume_fails = PluginError("it will not thaw")
    said = scene.waiter()
    scene.life.wake("somebody")
    assert scene.status() is Status.stopping
    assert said == ["it could not be started"]
    scene.plugin.end(143)
    assert scene.status() is Status.failed
    assert scene.life.view.detail == "it will not thaw"


def test_a_server_of_which_nobody_can_say_where_it_is_reached_is_gone_before_it_has_failed() -> None:
    scene = Scene()
    scene.plugin.address = PluginError("it is not in that network")
    scene.life.wake("somebody")
    assert scene.status() is Status.stopping
    scene.plugin.end(0)
    assert scene.status() is Status.failed
    assert scene.life.view.detail == "it is not in that network"


@pytest.mark.parametrize("can_wait", [True, False])
def test_a_server_that_comes_up_only_after_it_was_asked_to_stop_is_asked_again(can_wait: bool) -> None:
    scene = Scene()
    scene.plugin.can_wait = can_wait
    scene.slow_start = True
    scene.life.wake("somebody")
    closed = scene.life.close()
    scene.plugin.stopped()
    assert scene.status() is Status.stopping
    assert scene.plugin.starting is not None
    scene.plugin.starting.callback(None)
    assert scene.plugin.calls.count("stop") == 2
    assert not closed.called
    scene.plugin.stopped()
    if can_wait:
        scene.plugin.end(0)
    assert closed.called


def test_a_start_that_fails_once_it_was_asked_to_stop_has_left_nothing_to_stop() -> None:
    scene = Scene()
    scene.slow_start = True
    scene.life.wake("somebody")
    closed = scene.life.close()
    scene.plugin.stopped()
    assert scene.plugin.starting is not None
    scene.plugin.alive = False
    scene.plugin.starting.errback(PluginError("it was stopped while it started"))
    assert scene.plugin.calls.count("stop") == 1
    assert closed.called


# Who watches


def test_a_watcher_that_raises_costs_the_server_nothing(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    seen: list[Status] = []

    def raises(*_: object) -> None:
        raise ValueError("a watcher's own")

    scene.life.add_observer(raises)
    scene.life.add_session_observer(raises)
    scene.life.add_observer(lambda view: seen.append(view.status))
    scene.running()
    scene.admitted().end()
    assert seen == [Status.starting, Status.running]
    assert "a watcher's own" in caplog.text
