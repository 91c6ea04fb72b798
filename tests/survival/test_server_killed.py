"""kill -9 of the server in every state: said where players look, nobody left waiting, a fresh one for the next."""

from __future__ import annotations

import os
import signal

import pytest
from peers.programs import Program, wait_until
from survival.harness import AT_ONCE, Scene, at_once, state_of


def kill_server(scene: Scene) -> None:
    os.kill(scene.server(), signal.SIGKILL)


def assert_well(scene: Scene, proxy: Program, *, runs: int, cut_saves: int = 0) -> None:
    """Ends the proxy; holds that the world has suffered nothing but the kill, with so many servers in all."""
    assert proxy.terminate() == 0
    assert scene.servers() == set()
    assert "Traceback" not in proxy.text(), proxy.text()
    report = scene.journal()
    assert (report.runs, report.cut_saves) == (runs, cut_saves)
    assert not report.damaged
    assert not report.overlapped
    assert report.closed


@pytest.mark.slow
def test_while_it_starts(scene: Scene) -> None:
    proxy = scene.demo(start=0.8)
    waiting = [scene.player(f"Waiting{number}") for number in range(3)]
    proxy.wait_for("Preparing level")
    kill_server(scene)
    for player in waiting:
        words = player.is_told(AT_ONCE)
        assert "it ended while it started" in words
    assert "Something went wrong" in scene.motd()
    log = proxy.text()
    assert "exit code 137" in log
    assert "Preparing level" in log.partition("failed:")[2], "its last words are quoted"
    scene.player().is_greeted()
    assert_well(scene, proxy, runs=2)


@pytest.mark.slow
def test_while_it_runs_with_nobody_on(scene: Scene) -> None:
    proxy = scene.demo()
    scene.player().is_greeted()
    kill_server(scene)
    proxy.wait_for("failed: it ended while it ran", AT_ONCE)
    assert "Something went wrong" in scene.motd()
    scene.player().is_greeted()
    assert_well(scene, proxy, runs=2)


def test_while_it_runs_with_players_on(scene: Scene) -> None:
    proxy = scene.demo(switches="--echo", idle=0.3)
    players = [scene.player(f"Playing{number}") for number in range(2)]
    for player in players:
        player.is_in()
    with at_once("hearing of it"):
        kill_server(scene)
        for player in players:
            player.is_closed()
        proxy.wait_for("failed: it ended while it ran")
    again = scene.player()
    again.is_in()
    # Those who were on the one that was killed are not counted on this one: once this player has left, nobody is on.
    again.leave()
    scene.server_is_gone(proxy)
    assert_well(scene, proxy, runs=2)


@pytest.mark.slow
def test_while_it_stops(scene: Scene) -> None:
    proxy = scene.demo(switches="--slow-stop 30", idle=0)
    scene.player().is_greeted()
    proxy.wait_for("Stopping demo")
    wait_until(lambda: "Saving worlds" in scene.console(), "it saves", program=proxy)
    waiting = scene.player("Waiting")
    proxy.wait_for("Will start .* again")
    assert "Going to sleep" in scene.motd()
    kill_server(scene)
    proxy.wait_for("crashed while stopping: exit code 137", AT_ONCE)
    waiting.is_greeted()
    proxy.process.kill()  # else its own stop would take half a minute
    assert (scene.journal().runs, scene.journal().cut_saves) == (2, 1)
    assert not scene.journal().overlapped


@pytest.mark.slow
def test_while_it_is_paused(scene: Scene) -> None:
    proxy = scene.demo("--idle_action", "pause", idle=0)
    scene.player().is_greeted()
    proxy.wait_for("Pausing demo")
    wait_until(lambda: state_of(scene.server()) == "T", "it is paused")
    assert "Paused" in scene.motd()
    kill_server(scene)
    proxy.wait_for("failed: it ended while it was paused", AT_ONCE)
    assert "Something went wrong" in scene.motd()
    scene.player().is_greeted()
    assert_well(scene, proxy, runs=2)
