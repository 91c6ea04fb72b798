"""How long a held player waits once the server is ready, and how often a starting server is asked."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from itertools import pairwise

import pytest
from survival.harness import SurvivalHarness

WAKES = 10


def wakes(harness: SurvivalHarness, count: int, start: float, shell_line: str) -> list[float]:
    """Return the seconds from the ready line to the arrival of a held player's login, of `count` wakes."""
    proxy = harness.run_small_server(idle=0, start=start, shell_line=shell_line)
    at = 0
    for number in range(count):
        harness.player(f"Player{number}").is_greeted()
        at = proxy.wait_for(": stopped( after|:)", after=at)
    assert proxy.terminate() == 0
    ready, logins = harness.times_of("ready"), harness.times_of("login")
    assert len(ready) == len(logins) == count
    return [login - was_ready for was_ready, login in zip(ready, logins, strict=True)]


@pytest.mark.slow
def test_a_held_player_joins_within_100_ms_of_the_ready_line(
    harness: SurvivalHarness, record_property: Callable[[str, object], None]
) -> None:
    waited = wakes(harness, WAKES, 0.1, "exec {}")
    median = statistics.median(waited)
    record_property("median", median)
    assert median < 0.1, sorted(waited)


@pytest.mark.slow
def test_without_readable_output_a_held_player_joins_within_5_s(harness: SurvivalHarness) -> None:
    waited = wakes(harness, 3, 1.5, "exec {} >/dev/null 2>&1")
    assert max(waited) < 5, waited


@pytest.mark.slow
def test_a_starting_server_is_asked_once_in_5_s_once_it_accepts_connections(harness: SurvivalHarness) -> None:
    harness.run_small_server(start=18)
    players = [harness.player(f"Player{number}") for number in range(3)]
    for player in players:
        player.is_greeted(40)
    asked = harness.times_of("early question")
    assert 1 <= len(asked) <= 3
    assert asked[0] >= harness.times_of("bound")[0]
    assert all(after - before > 4.9 for before, after in pairwise(asked))
    assert len(harness.times_of("question")) == 1
