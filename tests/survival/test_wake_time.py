"""How long a held player waits once the server is ready, and how quietly a starting server is waited for."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from itertools import pairwise

import pytest
from survival.harness import Scene

WAKES = 10


def wakes(scene: Scene, count: int, start: float, through: str) -> list[float]:
    """Seconds from the server's being ready to a held player's bytes reaching it, in so many wakes."""
    proxy = scene.small(idle=0, start=start, through=through)
    at = 0
    for number in range(count):
        scene.player(f"Player{number}").is_greeted()
        at = proxy.wait_for("is offline", after=at)
    assert proxy.terminate() == 0
    ready, logins = scene.moments("ready"), scene.moments("login")
    assert len(ready) == len(logins) == count
    return [login - was_ready for was_ready, login in zip(ready, logins, strict=True)]


@pytest.mark.slow
def test_a_held_player_is_in_within_100_ms_of_the_ready_line(
    scene: Scene, record_property: Callable[[str, object], None]
) -> None:
    waited = wakes(scene, WAKES, 0.1, "exec {}")
    median = statistics.median(waited)
    record_property("median", median)
    assert median < 0.1, sorted(waited)


@pytest.mark.slow
def test_without_readable_output_it_takes_no_5_s(scene: Scene) -> None:
    waited = wakes(scene, 3, 1.5, "exec {} >/dev/null 2>&1")
    assert max(waited) < 5, waited


@pytest.mark.slow
def test_a_starting_server_is_asked_once_in_5_s_and_not_before_it_accepts(scene: Scene) -> None:
    scene.small(start=18)
    players = [scene.player(f"Player{number}") for number in range(3)]
    for player in players:
        player.is_greeted(40)
    asked = scene.moments("early question")
    assert 1 <= len(asked) <= 3
    assert asked[0] >= scene.moments("bound")[0]
    assert all(after - before > 4.9 for before, after in pairwise(asked))
    assert len(scene.moments("question")) == 1
