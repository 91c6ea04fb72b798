"""What the transitions do, and how the events of plugin and server become inputs of the machine."""

from __future__ import annotations

import logging

import pytest
from lifecycle.harness import PLAYER, LifecycleHarness
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectingCancelledError

from zeroscale.errors import PluginError
from zeroscale.status import ProbeResult, Status


@pytest.mark.parametrize("code", [0, 129, 130, 143])
def test_a_clean_exit_while_running_is_no_crash(code: int) -> None:
    harness = LifecycleHarness().running()
    harness.plugin.exit(code)
    assert harness.status() is Status.stopped
    assert harness.start_history.crashes == 0
    harness.lifecycle.wake(PLAYER)
    assert harness.status() is Status.starting


@pytest.mark.parametrize("code", [1, 137, 139])
def test_any_other_exit_while_running_is_a_crash(code: int) -> None:
    harness = LifecycleHarness().running()
    harness.plugin.exit(code)
    assert harness.status() is Status.failed
    assert harness.start_history.crashes == 1


def test_after_each_crash_in_a_row_the_wait_is_longer_and_ends_in_no_retry() -> None:
    harness = LifecycleHarness(max_crashes=3)
    harness.running().plugin.exit(1)
    harness.lifecycle.wake(PLAYER)
    assert harness.status() is Status.starting
    harness.plugin.exit(1)
    harness.lifecycle.wake(PLAYER)
    assert harness.status() is Status.failed
    harness.clock.advance(10.0)
    harness.lifecycle.wake(PLAYER)
    assert harness.status() is Status.starting
    harness.plugin.exit(1)
    assert harness.lifecycle.view.retry_at is None
    harness.clock.advance(86400.0)
    harness.lifecycle.wake(PLAYER)
    assert harness.status() is Status.failed


def test_a_server_that_crashes_soon_after_each_start_is_not_retried_in_the_end() -> None:
    harness = LifecycleHarness(max_crashes=3)
    for _ in range(3):
        harness.clock.advance(600.0)
        harness.running()
        harness.clock.advance(10.0)
        harness.plugin.exit(1)
    assert harness.lifecycle.view.retry_at is None


def test_a_crash_after_an_hour_does_not_count_with_earlier_ones() -> None:
    harness = LifecycleHarness(max_crashes=2)
    for _ in range(5):
        harness.running()
        harness.join()
        harness.clock.advance(3600.0)
        harness.plugin.exit(1)
        assert harness.lifecycle.view.retry_at is not None


def test_an_idle_server_is_asked_for_players_and_stopped() -> None:
    harness = LifecycleHarness(idle=60.0).running()
    harness.clock.advance(59.0)
    assert harness.probe.asked == 0
    harness.clock.advance(1.0)
    assert harness.probe.asked == 1
    assert harness.status() is Status.stopping
    harness.plugin.exit(0)
    assert harness.status() is Status.stopped


def test_a_server_with_a_relayed_player_is_never_stopped() -> None:
    harness = LifecycleHarness(idle=60.0).running()
    session = harness.join()
    harness.clock.advance(86400.0)
    assert harness.status() is Status.running
    session.end()
    session.end()
    assert harness.lifecycle.view.players == 0
    harness.clock.advance(60.0)
    assert harness.status() is Status.stopping


def test_a_player_who_joins_during_the_query_keeps_the_server_running() -> None:
    harness = LifecycleHarness(idle=60.0).running()
    harness.probe.slow = True
    harness.clock.advance(60.0)
    harness.join()
    assert harness.probe.questions[0].called
    assert harness.status() is Status.running


@pytest.mark.parametrize("end", ["a player joins", "it is stopped"])
def test_a_cancelled_query_has_no_effect_whatever_error_it_ends_with(
    end: str, caplog: pytest.LogCaptureFixture
) -> None:
    harness = LifecycleHarness().running()
    question: Deferred[ProbeResult] = Deferred(lambda it: it.errback(ConnectingCancelledError(None)))
    harness.probe.ask = lambda: question  # type: ignore[method-assign] # as Twisted's endpoints do
    harness.clock.advance(60.0)
    if end == "a player joins":
        harness.join()
    else:
        harness.lifecycle.close()
    assert question.called
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    harness.clock.advance(0.0)
    assert len(harness.clock.getDelayedCalls()) == (0 if end == "a player joins" else 1), "the next step of its stop"


def test_a_cancelled_start_has_no_effect_whatever_error_it_ends_with(caplog: pytest.LogCaptureFixture) -> None:
    harness = LifecycleHarness()
    harness.probe.accepts_connections = lambda: connecting  # type: ignore[method-assign] # as Twisted's endpoints do
    connecting: Deferred[bool] = Deferred(lambda it: it.errback(ConnectingCancelledError(None)))
    harness.plugin.can_wait = False
    harness.lifecycle.wake(PLAYER)
    closed = harness.lifecycle.close()
    assert connecting.called
    assert harness.status() is Status.stopping
    harness.plugin.stop_returns()
    assert closed.called
    assert harness.status() is Status.stopped
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_server_that_is_kept_awake_is_not_asked_for_players() -> None:
    harness = LifecycleHarness(idle=60.0).running()
    harness.keep_awake_reason = "a file is there"
    harness.clock.advance(60.0)
    assert harness.status() is Status.running
    assert harness.probe.asked == 0
    harness.keep_awake_reason = None
    harness.clock.advance(60.0)
    assert harness.status() is Status.stopping


def test_a_busy_server_is_not_stopped_and_is_asked_last() -> None:
    harness = LifecycleHarness(idle=60.0).running()
    asked: list[str | None] = []

    def busy() -> Deferred[str | None]:
        asked.append(answer)
        return succeed(answer)

    answer: str | None = "busy: a backup"
    harness.busy = busy
    harness.probe.answer = ProbeResult({}, 2)
    harness.clock.advance(60.0)
    assert (harness.status(), asked) == (Status.running, []), "players are on it"
    harness.probe.answer = ProbeResult({}, 0)
    harness.keep_awake_reason = "a file is there"
    harness.clock.advance(60.0)
    assert (harness.status(), asked) == (Status.running, [])
    harness.keep_awake_reason = None
    harness.clock.advance(60.0)
    assert (harness.status(), len(asked)) == (Status.running, 1)
    assert harness.lifecycle.awake_reasons[0].text == "busy: a backup"
    answer = None
    harness.clock.advance(60.0)
    assert (harness.status(), len(asked)) == (Status.stopping, 2)


def test_a_busy_server_that_was_removed_is_stopped() -> None:
    harness = LifecycleHarness(idle=60.0).running()
    harness.busy = lambda: succeed("busy: a backup")
    harness.lifecycle.retire()
    harness.clock.advance(0.0)
    assert harness.status() is Status.stopping


def test_a_player_who_joins_ends_the_question_whether_the_server_is_busy() -> None:
    harness = LifecycleHarness(idle=60.0).running()
    cancelled: list[object] = []
    harness.busy = lambda: Deferred(cancelled.append)
    harness.clock.advance(60.0)
    assert cancelled == []
    harness.join()
    assert (harness.status(), len(cancelled)) == (Status.running, 1)


def test_a_lockout_during_a_stop_rejects_the_players_who_wait() -> None:
    harness = LifecycleHarness().stopping()
    harness.lifecycle.wake(PLAYER)
    outcome = harness.wait_to_join()
    harness.lockout = "a backup"
    harness.plugin.exit(0)
    assert harness.status() is Status.stopped
    assert outcome == ["a backup"]


# Pausing


def test_an_idle_server_is_paused_and_a_wake_resumes_it() -> None:
    harness = LifecycleHarness(pause_when_idle=True).running()
    harness.clock.advance(60.0)
    assert harness.status() is Status.paused
    assert harness.plugin.calls[-1] == "pause"
    harness.lifecycle.wake(PLAYER)
    outcome = harness.wait_to_join()
    assert harness.status() is Status.starting
    assert harness.plugin.calls[-1] == "resume"
    assert harness.readinesses[-1].hurried == 1  # a server that was ready does not write its line again
    harness.become_ready()
    assert len(outcome) == 1
    assert harness.start_history.starts == [0.0]


def test_a_paused_server_is_resumed_and_stopped_after_pause_stop_after() -> None:
    harness = LifecycleHarness(pause_when_idle=True, pause_stop_after=600.0).running()
    harness.clock.advance(60.0)
    harness.clock.advance(600.0)
    assert harness.status() is Status.stopping
    assert harness.plugin.calls[-2:] == ["resume", "stop"]


def test_a_resumed_server_that_does_not_answer_has_failed() -> None:
    harness = LifecycleHarness(pause_when_idle=True).running()
    harness.clock.advance(60.0)
    harness.lifecycle.wake(PLAYER)
    harness.clock.advance(60.0)
    assert harness.status() is Status.stopping
    harness.plugin.exit(143)
    assert harness.status() is Status.failed


# Other programs


def test_the_servers_address_is_read_at_each_start() -> None:
    harness = LifecycleHarness()
    harness.lifecycle.wake(PLAYER)
    assert harness.addresses == [None, None]
    harness.become_ready()
    harness.plugin.exit(0)
    harness.plugin.address = "172.20.0.2", 25565
    harness.plugin.report_found()
    assert harness.addresses[2:] == [("172.20.0.2", 25565)]
    harness.become_ready()
    harness.plugin.exit(0)
    harness.lifecycle.wake(PLAYER)
    assert harness.addresses[3:] == [None, ("172.20.0.2", 25565)]


def test_a_server_started_by_another_program_is_taken_over_and_no_second_one_is_started() -> None:
    harness = LifecycleHarness()
    harness.plugin.report_found()
    assert harness.status() is Status.starting
    assert "start" not in harness.plugin.calls
    harness.become_ready()
    assert harness.status() is Status.running
    assert harness.start_history.starts == []
    harness.clock.advance(60.0)
    assert harness.status() is Status.stopping


def test_a_server_that_is_reported_as_found_may_be_stopping() -> None:
    """As after a beginning at which the plugin could not look for it."""
    harness = LifecycleHarness(opened=False)
    harness.adopt_fails = PluginError("its API is away")
    Deferred.fromCoroutine(harness.lifecycle.open())
    harness.adopt_fails = None
    harness.plugin.adoptable = harness.plugin.found_stopping = True
    harness.plugin.report_found()
    assert harness.status() is Status.stopping
    assert harness.plugin.calls[-1] == "stop"


def test_a_player_is_held_while_a_server_that_was_reported_as_found_is_looked_at() -> None:
    harness = LifecycleHarness()
    harness.plugin.adoptable = harness.plugin.found_stopping = True
    harness.plugin.adopting = Deferred()
    harness.plugin.report_found()
    harness.lifecycle.wake(PLAYER)
    outcome = harness.wait_to_join()
    assert "start" not in harness.plugin.calls
    harness.plugin.adopting.callback(None)
    assert harness.status() is Status.stopping
    assert outcome == []


@pytest.mark.parametrize("problem", [None, PluginError("its API is away")])
def test_a_server_that_is_reported_as_found_is_taken_over_where_adopt_does_not_know_it(
    problem: PluginError | None,
) -> None:
    harness = LifecycleHarness()
    harness.adopt_fails = problem
    harness.plugin.report_found()
    assert harness.status() is Status.starting
    assert "start" not in harness.plugin.calls
    harness.become_ready()
    assert harness.status() is Status.running


def test_a_server_found_before_open_is_left_to_open() -> None:
    harness = LifecycleHarness(opened=False)
    harness.plugin.report_found()
    assert harness.status() is Status.stopped


def test_a_failed_server_started_by_another_program_is_taken_over() -> None:
    harness = LifecycleHarness().running()
    harness.plugin.exit(1)
    assert harness.status() is Status.failed
    harness.plugin.report_found()
    harness.become_ready()
    assert harness.status() is Status.running
    assert len(harness.plugins) == 1


@pytest.mark.parametrize("code", [0, 1])
def test_a_restart_by_another_program_is_followed_though_the_exit_is_reported_after_the_start(code: int) -> None:
    harness = LifecycleHarness().running()
    harness.plugin.report_found()
    assert harness.status() is Status.running
    harness.plugin.exit(code)
    assert harness.status() is Status.starting
    assert harness.plugin.calls.count("start") == 1  # that of `running()`
    assert harness.plugin.waiting is not None


def test_an_earlier_restart_by_another_program_is_forgotten() -> None:
    harness = LifecycleHarness()
    harness.lifecycle.wake(PLAYER)
    harness.plugin.report_found()
    harness.become_ready()
    harness.plugin.exit(0)
    assert harness.status() is Status.stopped


def test_a_server_paused_by_another_program_is_paused_and_a_login_resumes_it() -> None:
    harness = LifecycleHarness().running()
    harness.plugin.report_paused()
    assert harness.status() is Status.paused
    harness.lifecycle.wake(PLAYER)
    assert harness.plugin.calls[-1] == "resume"
    harness.become_ready()
    assert harness.status() is Status.running


def test_a_paused_server_resumed_by_another_program_runs_again() -> None:
    harness = LifecycleHarness(pause_when_idle=True).running()
    harness.clock.advance(60.0)
    assert harness.status() is Status.paused
    harness.plugin.report_found()
    harness.become_ready()
    assert harness.status() is Status.running


def test_players_relayed_during_a_pause_by_another_program_still_count() -> None:
    harness = LifecycleHarness().running()
    session = harness.join()
    harness.plugin.report_paused()
    harness.plugin.report_found()
    harness.become_ready()
    assert harness.lifecycle.view.players == 1
    harness.clock.advance(600.0)
    assert harness.status() is Status.running
    session.end()
    harness.clock.advance(60.0)
    assert harness.status() is Status.stopping


# Plugins that fail


def test_a_pause_that_fails_late_does_not_stop_the_next_server() -> None:
    harness = LifecycleHarness(pause_when_idle=True).running()
    pausing = harness.plugin.pausing = Deferred()
    harness.clock.advance(60.0)
    assert harness.status() is Status.paused
    harness.plugin.exit(0)
    harness.running()
    pausing.errback(PluginError("there is nothing to pause"))
    assert harness.status() is Status.running


def test_a_pause_that_fails_after_a_wake_does_not_stop_the_server() -> None:
    harness = LifecycleHarness(pause_when_idle=True).running()
    harness.plugin.pausing = Deferred()
    harness.clock.advance(60.0)
    harness.lifecycle.wake(PLAYER)
    harness.plugin.pausing.errback(PluginError("it cannot be paused"))
    assert harness.status() is Status.starting
    harness.become_ready()
    assert harness.status() is Status.running


def test_a_server_that_cannot_be_paused_is_stopped() -> None:
    harness = LifecycleHarness(pause_when_idle=True).running()
    harness.plugin.pause_fails = PluginError("it cannot be paused")
    harness.plugin.resume_fails = PluginError("it is not paused")
    harness.clock.advance(60.0)
    assert harness.status() is Status.stopping
    assert harness.plugin.calls[-1] == "stop"


def test_a_paused_server_that_cannot_be_resumed_is_stopped_before_it_has_failed() -> None:
    harness = LifecycleHarness(pause_when_idle=True).running()
    harness.clock.advance(60.0)
    harness.plugin.resume_fails = PluginError("it cannot be resumed")
    outcome = harness.wait_to_join()
    harness.lifecycle.wake(PLAYER)
    assert harness.status() is Status.stopping
    assert outcome == ["it could not be started"]
    harness.plugin.exit(143)
    assert harness.status() is Status.failed
    assert harness.lifecycle.view.detail == "it cannot be resumed"


def test_a_server_without_an_address_is_stopped_before_it_has_failed() -> None:
    harness = LifecycleHarness()
    harness.plugin.address = PluginError("it is not in that network")
    harness.lifecycle.wake(PLAYER)
    assert harness.status() is Status.stopping
    harness.plugin.exit(0)
    assert harness.status() is Status.failed
    assert harness.lifecycle.view.detail == "it is not in that network"


@pytest.mark.parametrize("can_wait", [True, False])
def test_a_server_that_starts_only_after_the_stop_was_requested_is_stopped_again(can_wait: bool) -> None:
    harness = LifecycleHarness()
    harness.plugin.can_wait = can_wait
    harness.slow_start = True
    harness.lifecycle.wake(PLAYER)
    closed = harness.lifecycle.close()
    harness.plugin.stop_returns()
    assert harness.status() is Status.stopping
    assert harness.plugin.starting is not None
    harness.plugin.starting.callback(None)
    assert harness.plugin.calls.count("stop") == 2
    assert not closed.called
    harness.plugin.stop_returns()
    if can_wait:
        harness.plugin.exit(0)
    assert closed.called


def test_a_start_that_fails_after_the_stop_was_requested_leaves_nothing_to_stop() -> None:
    harness = LifecycleHarness()
    harness.slow_start = True
    harness.lifecycle.wake(PLAYER)
    closed = harness.lifecycle.close()
    harness.plugin.stop_returns()
    assert harness.plugin.starting is not None
    harness.plugin.alive = False
    harness.plugin.starting.errback(PluginError("it was stopped while it started"))
    assert harness.plugin.calls.count("stop") == 1
    assert closed.called
