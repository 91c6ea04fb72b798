"""How a server is stopped, as its lifecycle does it."""

from __future__ import annotations

import signal

import pytest
from lifecycle.harness import LifecycleHarness

from zeroscale.errors import PluginError
from zeroscale.status import Status


def test_a_player_who_comes_while_it_stops_waits_for_the_stop_and_then_for_the_start() -> None:
    harness = LifecycleHarness().stopping()
    harness.lifecycle.wake("a player")
    outcome = harness.wait_to_join()
    assert harness.plugin.calls.count("start") == 1
    harness.plugin.exit(0)
    assert harness.status() is Status.starting
    assert harness.plugin.calls.count("start") == 2
    harness.become_ready()
    assert len(outcome) == 1


def test_a_wake_while_it_stops_is_remembered_even_when_the_player_has_left_again() -> None:
    harness = LifecycleHarness().stopping()
    harness.lifecycle.wake("a player")
    harness.plugin.exit(0)
    assert harness.status() is Status.starting


def test_the_ladder_ends_with_sigterm_and_warnings_never_with_a_kill(caplog: pytest.LogCaptureFixture) -> None:
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


def test_sigkill_only_where_the_operator_asked_for_it_and_it_is_said_to_be_a_loss(
    caplog: pytest.LogCaptureFixture,
) -> None:
    harness = LifecycleHarness(stop_timeout=10.0, kill_timeout=30.0).stopping()
    harness.clock.advance(10.0)
    harness.clock.advance(29.0)
    assert harness.plugin.signals == [signal.SIGTERM]
    harness.clock.advance(1.0)
    assert harness.plugin.signals == [signal.SIGTERM, signal.SIGKILL]
    assert "data may be lost" in caplog.text


def test_a_plugin_that_cannot_wait_has_stopped_when_its_stop_returns() -> None:
    harness = LifecycleHarness()
    harness.plugin.can_wait = False
    harness.stopping()
    harness.plugin.stop_returns()
    assert harness.status() is Status.stopped


def test_a_plugin_that_can_wait_has_not_stopped_before_its_process_is_gone() -> None:
    harness = LifecycleHarness().stopping()
    harness.plugin.stop_returns()
    assert harness.status() is Status.stopping
    harness.plugin.exit(0)
    assert harness.status() is Status.stopped


def test_a_server_that_cannot_be_asked_to_stop_gets_its_sigterm_at_once(caplog: pytest.LogCaptureFixture) -> None:
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


def test_without_signals_the_stop_waits_for_a_start_that_has_not_returned() -> None:
    harness = LifecycleHarness(start_timeout=10.0)
    harness.plugin.can_signal = harness.plugin.can_wait = False
    harness.slow_start = True
    harness.lifecycle.wake("a player")
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
    harness.lifecycle.wake("a player")
    harness.lifecycle.sleep()
    harness.plugin.start_returns()
    harness.plugin.stop_returns()
    assert harness.status() is Status.stopping, "stop() has returned, but the process is still there"
    harness.plugin.exit(0)
    assert harness.status() is Status.stopped


def test_a_start_that_may_wait_for_ever_is_interrupted_by_the_stop() -> None:
    harness = LifecycleHarness(start_timeout=10.0)
    harness.plugin.can_signal = False
    harness.plugin.interruptible_start = True
    harness.slow_start = True
    harness.lifecycle.wake("a player")
    harness.clock.advance(10.0)
    assert harness.plugin.calls[-1] == "stop"
    assert harness.plugin.starting is not None
    harness.plugin.starting.errback(PluginError("it was stopped while it started"))
    assert harness.status() is Status.stopping
    harness.plugin.stop_returns()
    assert harness.status() is Status.failed
    assert harness.lifecycle.view.reason == "it was not ready within 10 s"


def test_a_start_that_may_wait_for_ever_is_not_waited_for_when_it_is_left() -> None:
    harness = LifecycleHarness()
    harness.plugin.interruptible_start = True
    harness.slow_start = True
    harness.lifecycle.wake("a player")
    left = harness.lifecycle.close(leave=True)
    assert left.called
    assert harness.plugin.starting is not None
    harness.plugin.starting.errback(PluginError("it is not looked at any more"))


def test_a_stop_that_raises_where_nobody_can_see_the_process_is_a_failure() -> None:
    harness = LifecycleHarness()
    harness.plugin.can_wait = False
    harness.stopping()
    assert harness.plugin.stopping is not None
    harness.plugin.stopping.errback(PluginError("no such container"))
    assert harness.status() is Status.failed
    assert harness.lifecycle.view.detail == "no such container"
