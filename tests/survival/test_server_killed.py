"""SIGKILL of the server in every state: players read about it, none is left waiting, the next one starts a new one."""

from __future__ import annotations

import os
import signal

import pytest
from peers.programs import Program, wait_until
from survival.harness import AT_ONCE, SurvivalHarness, state_of, without_delay


def kill_server(harness: SurvivalHarness) -> None:
    os.kill(harness.server(), signal.SIGKILL)


def assert_only_killed(harness: SurvivalHarness, proxy: Program, *, runs: int, cut_saves: int = 0) -> None:
    """End the proxy; assert that the kill was the only damage to the world, and how many servers have run."""
    assert proxy.terminate() == 0
    assert harness.servers() == set()
    assert "Traceback" not in proxy.text(), proxy.text()
    report = harness.journal()
    assert (report.runs, report.cut_saves) == (runs, cut_saves)
    assert not report.damaged
    assert not report.overlapped
    assert report.closed


@pytest.mark.slow
def test_killed_while_starting(harness: SurvivalHarness) -> None:
    proxy = harness.run_demo(start=0.8)
    waiting = [harness.player(f"Waiting{number}") for number in range(3)]
    proxy.wait_for("Preparing level")
    kill_server(harness)
    for player in waiting:
        message = player.kick_message(AT_ONCE)
        assert "it ended while it started" in message
    assert "Something went wrong" in harness.motd()
    log = proxy.text()
    assert "exit code 137" in log
    assert "Preparing level" in log.partition("failed:")[2], "the last output is quoted"
    harness.player().is_greeted()
    assert_only_killed(harness, proxy, runs=2)


@pytest.mark.slow
def test_killed_while_running_without_players(harness: SurvivalHarness) -> None:
    proxy = harness.run_demo()
    harness.player().is_greeted()
    kill_server(harness)
    proxy.wait_for("crashed: it ended while it ran", AT_ONCE)
    assert "Something went wrong" in harness.motd()
    harness.player().is_greeted()
    assert_only_killed(harness, proxy, runs=2)


def test_killed_while_running_with_players(harness: SurvivalHarness) -> None:
    proxy = harness.run_demo(switches="--echo", idle=0.3)
    players = [harness.player(f"Playing{number}") for number in range(2)]
    for player in players:
        player.is_joined()
    with without_delay():
        kill_server(harness)
        for player in players:
            player.is_closed()
        proxy.wait_for("crashed: it ended while it ran")
    again = harness.player()
    again.is_joined()
    # The players of the killed server do not count on this one: it is empty once this player has left.
    again.leave()
    harness.server_is_gone(proxy)
    assert_only_killed(harness, proxy, runs=2)


@pytest.mark.slow
def test_killed_while_stopping(harness: SurvivalHarness) -> None:
    proxy = harness.run_demo(switches="--slow-stop 30", idle=0)
    harness.player().is_greeted()
    proxy.wait_for(": stopping: ")
    wait_until(lambda: "Saving worlds" in harness.console(), "it saves", program=proxy)
    waiting = harness.player("Waiting")
    proxy.wait_for("will be started again")
    assert "Going to sleep" in harness.motd()
    kill_server(harness)
    proxy.wait_for("crashed while stopping: exit code 137", AT_ONCE)
    waiting.is_greeted()
    proxy.process.kill()  # its own stop would take half a minute
    assert (harness.journal().runs, harness.journal().cut_saves) == (2, 1)
    assert not harness.journal().overlapped


@pytest.mark.slow
def test_killed_while_paused(harness: SurvivalHarness) -> None:
    proxy = harness.run_demo("--idle_action", "pause", idle=0)
    harness.player().is_greeted()
    proxy.wait_for(": pausing: ")
    wait_until(lambda: state_of(harness.server()) == "T", "it is paused")
    assert "Paused" in harness.motd()
    kill_server(harness)
    proxy.wait_for("crashed: it ended while it was paused", AT_ONCE)
    assert "Something went wrong" in harness.motd()
    harness.player().is_greeted()
    assert_only_killed(harness, proxy, runs=2)
