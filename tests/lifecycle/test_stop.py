"""How a server is stopped, as its lifecycle does it."""

from __future__ import annotations

import signal

import pytest
from lifecycle.harness import Scene

from zeroscale.errors import PluginError
from zeroscale.status import Status


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
    assert scene.life.view.stop_timed_out
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
    assert not scene.life.view.stop_timed_out
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


def test_without_signals_the_exit_is_waited_for_after_a_start_that_returned_late() -> None:
    scene = Scene()
    scene.plugin.can_signal = False
    scene.slow_start = True
    scene.life.wake("a player")
    scene.life.sleep()
    scene.plugin.started()
    scene.plugin.stopped()
    assert scene.status() is Status.stopping, "stop() has returned, but the process is still there"
    scene.plugin.end(0)
    assert scene.status() is Status.stopped


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
