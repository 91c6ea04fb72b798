"""A player who joins at any moment of a stop gets in, and no save is cut short for it."""

from __future__ import annotations

import time

import pytest
from peers.programs import Program
from survival.harness import Player, Scene

SAVING = 1.0
"""Seconds that a save takes."""

STEP = 0.05


def assert_well(scene: Scene, proxy: Program) -> int:
    """Ends the proxy; holds that no save was cut and no server doubled. Returns how many servers there were."""
    assert proxy.terminate() == 0
    assert scene.servers() == set()
    proxy_said = proxy.text()
    assert "Traceback" not in proxy_said, proxy_said
    report = scene.journal()
    assert report.consistent, report
    assert report.closed
    assert report.saves == report.runs
    return report.runs


def until(moment: float) -> None:
    """Waits for a moment of the monotonic clock, which is what these tests are about."""
    time.sleep(max(0.0, moment - time.monotonic()))


@pytest.mark.slow
def test_twenty_players_one_every_50_ms_of_one_stop(scene: Scene) -> None:
    proxy = scene.demo(switches=f"--slow-stop {SAVING}", idle=0)
    scene.player("First").is_greeted()
    at = proxy.wait_for("Stopping demo")
    stopping_at = time.monotonic()
    players: list[Player] = []
    for number in range(round(SAVING / STEP)):
        until(stopping_at + number * STEP)
        players.append(scene.player(f"Player{number}"))
    for player in players:
        player.is_greeted()
    assert "is offline" in "\n".join(proxy.lines[at:])
    assert 2 <= assert_well(scene, proxy) <= 3


@pytest.mark.slow
def test_one_player_at_each_50_ms_of_a_stop(scene: Scene) -> None:
    idle = 0.3
    proxy = scene.demo(switches=f"--slow-stop {SAVING}", idle=idle)
    rounds = range(-4, round(SAVING / STEP) + 8)
    scene.player("First").is_greeted()
    at = 0
    for number in rounds:
        # The player before has left, or is about to: some time after that the server is asked, and stopped.
        at = proxy.wait_for("Scheduling the stop", after=at)
        until(time.monotonic() + idle + number * STEP)
        at = len(proxy.lines)
        scene.player(f"Player{number + 4}").is_greeted()
    runs = assert_well(scene, proxy)
    assert runs > SAVING / STEP, "most of them came while it stopped"


@pytest.mark.slow
def test_a_crowd_that_comes_and_goes_for_half_a_minute(scene: Scene) -> None:
    proxy = scene.demo(switches="--slow-stop 0.2", idle=0)
    players: list[Player] = []
    began = time.monotonic()
    for number in range(300):
        until(began + number * 0.1)
        players.append(scene.player(f"Player{number}"))
    for player in players:
        player.is_greeted()
    assert assert_well(scene, proxy) > 10
