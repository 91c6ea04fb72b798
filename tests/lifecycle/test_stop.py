"""How a lifecycle stops a server."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest
from lifecycle.harness import OPERATOR, PLAYER, LifecycleHarness

from zeroscale.errors import PluginError, StartRefused
from zeroscale.status import Status


def test_a_player_who_joins_during_a_stop_waits_for_the_stop_and_the_next_start() -> None:
    harness = LifecycleHarness().stopping()
    harness.lifecycle.wake(PLAYER)
    outcome = harness.wait_to_join()
    assert harness.plugin.calls.count("start") == 1
    harness.plugin.exit(0)
    assert harness.status() is Status.starting
    assert harness.plugin.calls.count("start") == 2
    harness.become_ready()
    assert len(outcome) == 1


def test_a_wake_during_a_stop_is_kept_even_when_the_player_has_left_again() -> None:
    harness = LifecycleHarness().stopping()
    harness.lifecycle.wake(PLAYER)
    harness.plugin.exit(0)
    assert harness.status() is Status.starting


def test_the_escalation_ends_with_sigterm_and_warnings_never_with_sigkill(caplog: pytest.LogCaptureFixture) -> None:
    harness = LifecycleHarness(stop_timeout=150.0).stopping()
    outcome = harness.wait_to_join()
    harness.clock.advance(149.0)
    assert harness.plugin.signals == []
    harness.clock.advance(1.0)
    assert harness.plugin.signals == [signal.SIGTERM]
    assert outcome == []
    harness.clock.advance(150.0)
    assert harness.lifecycle.view.stop_timed_out
    assert len(outcome) == 1
    caplog.clear()
    harness.clock.pump([150.0] * 20)
    assert harness.plugin.signals == [signal.SIGTERM]
    assert harness.status() is Status.stopping
    assert len(caplog.records) == 20
    harness.plugin.exit(143)
    assert harness.status() is Status.stopped


def test_sigkill_is_sent_only_with_kill_timeout_and_the_log_warns_of_lost_data(
    caplog: pytest.LogCaptureFixture,
) -> None:
    harness = LifecycleHarness(stop_timeout=10.0, kill_timeout=30.0).stopping()
    harness.clock.advance(10.0)
    harness.clock.advance(29.0)
    assert harness.plugin.signals == [signal.SIGTERM]
    harness.clock.advance(1.0)
    assert harness.plugin.signals == [signal.SIGTERM, signal.SIGKILL]
    assert "data may be lost" in caplog.text


def test_sigterm_is_proposed_for_a_server_that_ignores_its_stop_and_obeys_sigterm(
    caplog: pytest.LogCaptureFixture,
) -> None:
    harness = LifecycleHarness(stop_timeout=150.0).stopping()
    harness.plugin.stop_returns()
    harness.clock.advance(150.0)
    harness.plugin.write_line("Saving the world")
    harness.clock.advance(10.0)
    caplog.clear()
    harness.plugin.exit(143)
    assert harness.status() is Status.stopped
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "test: did not react to its stop for 150 s, and ended 10.0 s after SIGTERM. With -a stop=SIGTERM it gets "
        "SIGTERM at once, and players wait less"
    ]


def answers_its_stop(harness: LifecycleHarness) -> None:
    harness.clock.advance(75.0)
    harness.plugin.write_line("Saving the world")
    harness.clock.advance(75.0)


def ends_late(harness: LifecycleHarness) -> None:
    harness.clock.advance(150.0)
    harness.clock.advance(10.1)


def stops_by_itself(harness: LifecycleHarness) -> None:
    harness.clock.advance(149.0)


def is_hurried(harness: LifecycleHarness) -> None:
    harness.clock.advance(75.0)
    harness.lifecycle.skip_to_sigterm()
    harness.clock.advance(0.0)


def fails_to_stop(harness: LifecycleHarness) -> None:
    assert harness.plugin.stopping is not None
    harness.plugin.stopping.errback(PluginError("its console is gone"))
    harness.clock.advance(0.0)


def is_killed(harness: LifecycleHarness) -> None:
    harness.clock.advance(150.0)
    harness.clock.advance(5.0)


def gets_no_signal(harness: LifecycleHarness) -> None:
    harness.plugin.signal_fails = PluginError("not permitted")
    harness.clock.advance(150.0)


def has_no_arguments(harness: LifecycleHarness) -> None:
    harness.plugin.sigterm_arguments = None
    harness.clock.advance(150.0)


@pytest.mark.parametrize(
    "happens",
    [
        answers_its_stop,
        ends_late,
        stops_by_itself,
        is_hurried,
        fails_to_stop,
        is_killed,
        gets_no_signal,
        has_no_arguments,
    ],
)
def test_sigterm_is_not_proposed_for_a_server_that(
    happens: Callable[[LifecycleHarness], None], caplog: pytest.LogCaptureFixture
) -> None:
    kill_timeout = 5.0 if happens is is_killed else None
    harness = LifecycleHarness(stop_timeout=150.0, kill_timeout=kill_timeout).stopping()
    happens(harness)
    harness.plugin.exit(0)
    assert harness.status() is Status.stopped
    assert "did not react" not in caplog.text


def test_a_signal_that_cannot_be_sent_is_sent_again(caplog: pytest.LogCaptureFixture) -> None:
    harness = LifecycleHarness(stop_timeout=100.0, kill_timeout=50.0).stopping()
    harness.plugin.signal_fails = PluginError("its processes cannot be found")
    harness.clock.advance(100.0)
    assert "SIGTERM could not be sent: its processes cannot be found" in caplog.text
    harness.clock.advance(2.0)
    harness.plugin.signal_fails = None
    assert harness.plugin.signals == [signal.SIGTERM] * 2
    harness.clock.advance(4.0)
    assert harness.plugin.signals == [signal.SIGTERM] * 3
    harness.clock.advance(44.0)
    assert harness.plugin.signals == [*[signal.SIGTERM] * 3, signal.SIGKILL]


def test_without_wait_the_server_has_stopped_when_stop_returns() -> None:
    harness = LifecycleHarness()
    harness.plugin.can_wait = False
    harness.stopping()
    harness.plugin.stop_returns()
    assert harness.status() is Status.stopped


def test_with_wait_the_server_has_stopped_when_its_process_is_gone() -> None:
    harness = LifecycleHarness().stopping()
    harness.plugin.stop_returns()
    assert harness.status() is Status.stopping
    harness.plugin.exit(0)
    assert harness.status() is Status.stopped


def test_a_server_whose_stop_fails_gets_sigterm_at_once(caplog: pytest.LogCaptureFixture) -> None:
    harness = LifecycleHarness(stop_timeout=100.0).running()
    harness.lifecycle.close()
    assert harness.plugin.stopping is not None
    harness.plugin.stopping.errback(PluginError("its console is gone"))
    assert "could not be asked to stop: its console is gone" in caplog.text
    harness.clock.advance(0.0)
    assert harness.plugin.signals == [signal.SIGTERM]
    harness.clock.advance(99.0)
    assert not harness.lifecycle.view.stop_timed_out
    harness.plugin.exit(143)
    assert harness.status() is Status.stopped


@pytest.mark.parametrize("can_wait", [True, False])
def test_without_signals_a_server_that_cannot_be_asked_to_stop_is_asked_again(
    can_wait: bool, caplog: pytest.LogCaptureFixture
) -> None:
    harness = LifecycleHarness(stop_timeout=100.0)
    harness.plugin.can_signal, harness.plugin.can_wait = False, can_wait
    harness.stopping()

    def refuse() -> None:
        assert harness.plugin.stopping is not None
        harness.plugin.stopping.errback(StartRefused("no more processes are allowed"))

    refuse()
    for seconds in (2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0):
        harness.clock.advance(seconds - 0.5)
        asked = harness.plugin.calls.count("stop")
        harness.clock.advance(0.5)
        assert harness.plugin.calls.count("stop") == asked + 1
        refuse()
    assert harness.status() is Status.stopping
    assert "still waiting" in caplog.text
    harness.clock.advance(60.0)
    harness.plugin.stop_returns()
    harness.plugin.exit(0)
    assert harness.status() is Status.stopped
    assert not harness.clock.getDelayedCalls()


def test_without_signals_the_stop_waits_for_a_start_that_has_not_returned() -> None:
    harness = LifecycleHarness(start_timeout=10.0)
    harness.plugin.can_signal = harness.plugin.can_wait = False
    harness.slow_start = True
    harness.lifecycle.wake(PLAYER)
    harness.clock.advance(10.0)
    assert harness.status() is Status.stopping
    assert "stop" not in harness.plugin.calls
    assert harness.plugin.starting is not None
    assert not harness.plugin.starting.called
    harness.plugin.starting.callback(None)
    assert harness.plugin.calls[-1] == "stop"
    harness.plugin.stop_returns()
    assert harness.status() is Status.failed


def test_without_signals_the_exit_is_waited_for_after_a_start_that_returned_late() -> None:
    harness = LifecycleHarness()
    harness.plugin.can_signal = False
    harness.slow_start = True
    harness.lifecycle.wake(PLAYER)
    harness.lifecycle.sleep(OPERATOR)
    harness.plugin.start_returns()
    harness.plugin.stop_returns()
    assert harness.status() is Status.stopping, "stop() has returned, but the process is still there"
    harness.plugin.exit(0)
    assert harness.status() is Status.stopped


def test_an_interruptible_start_is_interrupted_by_the_stop() -> None:
    harness = LifecycleHarness(start_timeout=10.0)
    harness.plugin.can_signal = False
    harness.plugin.interruptible_start = True
    harness.slow_start = True
    harness.lifecycle.wake(PLAYER)
    harness.clock.advance(10.0)
    assert harness.plugin.calls[-1] == "stop"
    assert harness.plugin.starting is not None
    harness.plugin.starting.errback(PluginError("it was stopped while it started"))
    assert harness.status() is Status.stopping
    harness.plugin.stop_returns()
    assert harness.status() is Status.failed
    assert harness.lifecycle.view.reason == "it was not ready within 10 s"


def test_an_interruptible_start_is_not_awaited_when_the_server_is_left() -> None:
    harness = LifecycleHarness()
    harness.plugin.interruptible_start = True
    harness.slow_start = True
    harness.lifecycle.wake(PLAYER)
    left = harness.lifecycle.close(leave=True)
    assert left.called
    assert harness.plugin.starting is not None
    harness.plugin.starting.errback(PluginError("it is not looked at any more"))


def test_without_wait_a_stop_that_raises_is_a_failure() -> None:
    harness = LifecycleHarness()
    harness.plugin.can_wait = False
    harness.stopping()
    assert harness.plugin.stopping is not None
    harness.plugin.stopping.errback(PluginError("no such container"))
    assert harness.status() is Status.failed
    assert harness.lifecycle.view.detail == "no such container"
