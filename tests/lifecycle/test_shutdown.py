"""How the lifecycle of a server ends: the proxy exits, or its configuration does not have the server any more."""

from __future__ import annotations

import signal

import pytest
from lifecycle.harness import PLAYER, LifecycleHarness
from msgspec.structs import replace
from twisted.internet.defer import Deferred, fail

from zeroscale.errors import PluginError
from zeroscale.lifecycle.idle_policy import IdlePolicy
from zeroscale.status import Status


def test_at_the_exit_of_the_proxy_no_server_is_taken_over() -> None:
    harness = LifecycleHarness().stopping()
    harness.lifecycle.close()
    harness.plugin.report_found()
    harness.plugin.exit(0)
    assert harness.status() is Status.stopped
    harness.plugin.report_found()
    assert harness.status() is Status.stopped


@pytest.mark.parametrize("leave", [False, True])
def test_close_waits_until_the_plugin_is_closed_too(leave: bool) -> None:
    harness = LifecycleHarness().running()
    harness.plugin.closing = Deferred()
    closed: list[None] = []
    harness.lifecycle.close(leave=leave).addCallback(closed.append)
    if not leave:
        assert harness.plugin.calls[-1] == "stop"
        harness.plugin.exit(0)
    assert harness.plugin.calls[-1] == "close"
    assert closed == []
    harness.plugin.closing.callback(None)
    assert closed == [None]


def test_close_does_not_wait_for_ever_for_a_plugin_that_cannot_be_closed(caplog: pytest.LogCaptureFixture) -> None:
    harness = LifecycleHarness()
    harness.plugin.closing = Deferred()
    closed: list[None] = []
    harness.lifecycle.close().addCallback(closed.append)
    harness.clock.advance(5.0)
    assert closed == [None]
    harness = LifecycleHarness()
    harness.plugin.closing = fail(PluginError("the socket bites"))
    harness.lifecycle.close().addCallback(closed.append)
    assert closed == [None, None]
    assert "the socket bites" in caplog.text


@pytest.mark.parametrize("state", ["stopped", "starting", "running", "stopping", "paused", "failed"])
def test_close_stops_the_server_from_every_state_and_waits_for_its_exit(state: str) -> None:
    harness = LifecycleHarness(pause_when_idle=True)
    if state == "starting":
        harness.lifecycle.wake(PLAYER)
    elif state in ("running", "stopping", "paused"):
        harness.running()
    if state == "paused":
        harness.clock.advance(60.0)
    if state == "failed":
        harness.running().plugin.exit(1)
    if state == "stopping":
        first = harness.lifecycle.close()
        assert not first.called
    assert harness.status().value == state
    closed = harness.lifecycle.close()
    if state in ("stopped", "failed"):
        assert closed.called
    else:
        assert harness.status() is Status.stopping
        _end_and_expect(harness, closed)
    harness.lifecycle.wake(PLAYER)
    assert harness.status() in (Status.stopped, Status.failed)
    assert harness.wait_to_join() == ["the proxy is shutting down"]


def _end_and_expect(harness: LifecycleHarness, closed: Deferred[None]) -> None:
    ended: list[None] = []
    closed.addCallback(ended.append)
    assert ended == []
    harness.plugin.exit(0)
    assert ended == [None]
    assert harness.status() is Status.stopped


@pytest.mark.parametrize("state", ["starting", "running", "paused"])
def test_a_server_left_running_is_neither_stopped_nor_watched(state: str) -> None:
    harness = LifecycleHarness(pause_when_idle=True)
    harness.lifecycle.wake(PLAYER)
    if state != "starting":
        harness.become_ready()
    if state == "paused":
        harness.clock.advance(60.0)
    assert harness.lifecycle.close(leave=True).called
    assert harness.plugin.alive
    assert "stop" not in harness.plugin.calls
    assert harness.clock.getDelayedCalls() == []


def test_a_start_that_has_not_returned_is_awaited_before_the_server_is_left() -> None:
    harness = LifecycleHarness()
    harness.slow_start = True
    harness.lifecycle.wake(PLAYER)
    closed = harness.lifecycle.close(leave=True)
    ended: list[None] = []
    closed.addCallback(ended.append)
    assert ended == []
    assert harness.plugin.starting is not None
    harness.plugin.starting.callback(None)
    assert ended == [None]


def test_a_server_that_cannot_be_adopted_is_stopped_instead_of_left() -> None:
    harness = LifecycleHarness()
    harness.plugin.can_adopt = False
    harness.running().lifecycle.close(leave=True)
    assert harness.status() is Status.stopping


def test_close_does_not_wait_for_ever_for_a_remote_server(caplog: pytest.LogCaptureFixture) -> None:
    harness = LifecycleHarness(stop_timeout=10.0)
    harness.plugin.is_remote = True
    harness.plugin.can_signal = False
    harness.running()
    ended: list[None] = []
    harness.lifecycle.close().addCallback(ended.append)
    harness.clock.advance(9.9)
    assert ended == []
    harness.clock.advance(0.2)
    assert ended == [None]
    assert "it is left to stop by itself, for the next zeroscale to take over" in caplog.text
    assert harness.clock.getDelayedCalls() == []


def test_a_retired_remote_server_is_awaited_until_the_proxy_exits() -> None:
    harness = LifecycleHarness(stop_timeout=10.0)
    harness.plugin.is_remote = True
    harness.plugin.can_signal = False
    harness.running()
    gone = retired(harness)
    for _ in range(5):
        harness.clock.advance(60.0)
    assert (harness.status(), gone) == (Status.stopping, [])
    ended: list[None] = []
    harness.lifecycle.close().addCallback(ended.append)
    harness.clock.advance(60.0)
    assert (ended, gone) == ([None], ["gone"])
    assert harness.plugin.calls.count("close") == 1


def test_a_remote_server_gets_sigterm_before_it_is_left() -> None:
    harness = LifecycleHarness(stop_timeout=10.0)
    harness.plugin.is_remote = True
    harness.running()
    closed = harness.lifecycle.close()
    harness.clock.advance(10.0)
    assert [*harness.plugin.signals, closed.called] == [signal.SIGTERM, False]
    harness.clock.advance(10.0)
    assert closed.called


@pytest.mark.parametrize(("elsewhere", "adopts", "ends"), [(True, False, False), (False, True, False)])
def test_close_waits_for_a_server_that_would_be_lost(elsewhere: bool, adopts: bool, ends: bool) -> None:
    harness = LifecycleHarness(stop_timeout=10.0)
    harness.plugin.is_remote, harness.plugin.can_adopt, harness.plugin.can_signal = elsewhere, adopts, False
    harness.running()
    closed = harness.lifecycle.close()
    for _ in range(50):
        harness.clock.advance(10.0)
    assert closed.called == ends


def test_a_hurried_close_does_not_wait_for_a_remote_server() -> None:
    harness = LifecycleHarness()
    harness.plugin.is_remote = True
    harness.plugin.can_signal = False
    harness.running()
    closed = harness.lifecycle.close()
    harness.lifecycle.skip_to_sigterm()
    harness.clock.advance(0)
    assert closed.called


def test_a_remote_server_that_does_not_stop_is_awaited_while_the_proxy_runs() -> None:
    harness = LifecycleHarness(stop_timeout=10.0)
    harness.plugin.is_remote = True
    harness.plugin.can_signal = False
    harness.stopping()
    for _ in range(50):
        harness.clock.advance(10.0)
    assert harness.status() is Status.stopping
    harness.plugin.exit()
    assert harness.status() is Status.stopped


def test_close_rejects_the_players_who_wait() -> None:
    harness = LifecycleHarness()
    harness.lifecycle.wake(PLAYER)
    outcome = harness.wait_to_join()
    harness.lifecycle.close()
    assert outcome == ["the proxy is shutting down"]


def test_a_hurried_close_sends_sigterm_at_once_and_only_once() -> None:
    harness = LifecycleHarness().running()
    closed = harness.lifecycle.close()
    harness.lifecycle.skip_to_sigterm()
    harness.clock.advance(0)
    assert harness.plugin.signals == [signal.SIGTERM]
    harness.lifecycle.skip_to_sigterm()
    harness.clock.advance(0)
    assert harness.plugin.signals == [signal.SIGTERM]
    harness.plugin.exit(143)
    assert closed.called


# Retiring


def retired(harness: LifecycleHarness) -> list[str]:
    """Retires it; what is returned gets a word when it is gone."""
    gone: list[str] = []
    harness.lifecycle.retire().addCallback(lambda _: gone.append("gone"))
    return gone


@pytest.mark.parametrize("state", ["stopped", "starting", "running", "stopping", "paused", "failed"])
def test_a_retired_server_stops_from_every_state(state: str) -> None:
    harness = LifecycleHarness(pause_when_idle=True)
    harness.in_state(Status(state))
    waiting = harness.wait_to_join() if state == "starting" else []
    gone = retired(harness)
    if state == "starting":
        assert waiting == ["this server has been removed from the proxy"]
    if state not in ("stopped", "failed"):
        assert gone == []
        harness.clock.advance(0.0)
        assert harness.status() is Status.stopping
        harness.plugin.exit(0)
    assert gone == ["gone"]
    assert not harness.plugin.alive
    harness.lifecycle.wake(PLAYER)
    assert harness.status() in (Status.stopped, Status.failed)


def test_a_retired_server_stops_when_the_last_player_leaves_though_it_is_kept_awake() -> None:
    harness = LifecycleHarness().running()
    session = harness.join()
    harness.keep_awake_reason = "its operator keeps it awake"
    retired(harness)
    harness.clock.advance(600.0)
    assert harness.status() is Status.running
    session.end()
    harness.clock.advance(0.0)
    assert harness.status() is Status.stopping


def test_a_retired_server_stops_at_once_whatever_its_minimum_times_are() -> None:
    harness = LifecycleHarness()
    harness.lifecycle.apply_policy(
        replace(harness.policy, idle=IdlePolicy(60.0, minimum_online=60.0, minimum_unvisited=60.0))
    )
    harness.running()
    retired(harness)
    harness.clock.advance(0.0)
    assert harness.status() is Status.stopping


def test_a_retired_server_stops_though_another_program_has_paused_it() -> None:
    harness = LifecycleHarness().running()
    session = harness.join()
    gone = retired(harness)
    harness.plugin.report_paused()
    harness.plugin.report_found()
    session.end()
    harness.clock.advance(0.0)
    harness.plugin.exit(0)
    assert gone == ["gone"]


def test_a_retired_server_with_players_can_be_reinstated() -> None:
    harness = LifecycleHarness(idle=30.0).running()
    session = harness.join()
    gone = retired(harness)
    assert harness.lifecycle.reinstate()
    harness.join().end()
    session.end()
    harness.clock.advance(29.0)
    assert harness.status() is Status.running
    harness.clock.advance(1.0)
    harness.plugin.exit(0)
    assert (harness.status(), gone) == (Status.stopped, [])
    harness.lifecycle.wake(PLAYER)
    assert harness.status() is Status.starting


@pytest.mark.parametrize("state", ["stopped", "starting", "stopping", "paused", "failed"])
def test_a_retired_server_that_does_not_run_cannot_be_reinstated(state: str) -> None:
    harness = LifecycleHarness(pause_when_idle=True)
    harness.in_state(Status(state))
    gone = retired(harness)
    assert not harness.lifecycle.reinstate()
    if harness.plugin.alive:
        harness.plugin.exit(0)
    assert gone == ["gone"]


def test_the_exit_of_the_proxy_cannot_be_revoked() -> None:
    harness = LifecycleHarness().running()
    assert not harness.lifecycle.reinstate()
    harness.lifecycle.close(leave=True)
    assert not harness.lifecycle.reinstate()


def test_nothing_is_done_with_a_server_that_was_left() -> None:
    harness = LifecycleHarness().running()
    assert harness.lifecycle.close(leave=True).called
    harness.plugin.report_paused()
    assert "pause" not in harness.plugin.calls
    harness.plugin.can_wait = False
    harness.lifecycle.unreachable("connection refused")
    assert harness.start_history.crashes == 0
