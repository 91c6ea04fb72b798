"""A player who joins at any moment of a stop is admitted, and no save is interrupted for it."""

from __future__ import annotations

import time

import pytest
from peers.programs import Program
from survival.harness import Player, SurvivalHarness

SAVING = 1.0
"""Seconds that a save takes."""

STEP = 0.05


def assert_saved(harness: SurvivalHarness, proxy: Program) -> int:
    """End the proxy; assert that no save was interrupted and no server doubled; return how many servers there were."""
    assert proxy.terminate() == 0
    assert harness.servers() == set()
    log = proxy.text()
    assert "Traceback" not in log, log
    report = harness.journal()
    assert report.consistent, report
    assert report.closed
    assert report.saves == report.runs
    return report.runs


def until(moment: float) -> None:
    """Sleep until a time of the monotonic clock: these tests are about moments."""
    time.sleep(max(0.0, moment - time.monotonic()))


@pytest.mark.slow
def test_twenty_players_one_every_50_ms_of_one_stop(harness: SurvivalHarness) -> None:
    proxy = harness.run_demo(switches=f"--slow-stop {SAVING}", idle=0)
    harness.player("First").is_greeted()
    at = proxy.wait_for(": stopping: ")
    stopping_at = time.monotonic()
    players: list[Player] = []
    for number in range(round(SAVING / STEP)):
        until(stopping_at + number * STEP)
        players.append(harness.player(f"Player{number}"))
    for player in players:
        player.is_greeted()
    assert ": stopped after" in "\n".join(proxy.lines[at:])
    assert 2 <= assert_saved(harness, proxy) <= 3


@pytest.mark.slow
def test_one_player_at_each_50_ms_of_a_stop(harness: SurvivalHarness) -> None:
    idle = 0.3
    proxy = harness.run_demo(switches=f"--slow-stop {SAVING}", idle=idle)
    rounds = range(-4, round(SAVING / STEP) + 8)
    harness.player("First").is_greeted()
    at = 0
    for number in rounds:
        # The previous player has left or is about to; after the idle time the server is asked for players and stopped.
        at = proxy.wait_for("Scheduling the stop", after=at)
        until(time.monotonic() + idle + number * STEP)
        at = len(proxy.lines)
        harness.player(f"Player{number + 4}").is_greeted()
    runs = assert_saved(harness, proxy)
    assert runs > SAVING / STEP, "most players joined during a stop"


@pytest.mark.slow
def test_three_hundred_players_in_half_a_minute(harness: SurvivalHarness) -> None:
    proxy = harness.run_demo(switches="--slow-stop 0.2", idle=0)
    players: list[Player] = []
    began = time.monotonic()
    for number in range(300):
        until(began + number * 0.1)
        players.append(harness.player(f"Player{number}"))
    for player in players:
        player.is_greeted()
    assert assert_saved(harness, proxy) > 10
