"""How often a starting server is asked."""

from __future__ import annotations

import pytest

from zeroscale.probes import pace
from zeroscale.probes.pace import Pace

ALL = [pace.LOCAL_CONNECTION, pace.REMOTE_CONNECTION, pace.STATUS, pace.REQUEST, pace.COMMAND]


def questions(each: Pace, seconds: float) -> int:
    """Return how many questions are asked in so many seconds, each of which is answered at once."""
    at, number = 0.0, 0
    while at < seconds:
        number += 1
        at += each.interval(at)
    return number


@pytest.mark.parametrize(("elapsed", "interval"), [(0, 2), (20, 2), (50, 5), (100, 10), (1000, 10)])
def test_the_interval_is_a_share_of_the_time_between_two_bounds(elapsed: float, interval: float) -> None:
    assert Pace(2, 0.1, 10).interval(elapsed) == pytest.approx(interval)


def test_a_local_server_is_connected_to_every_20_ms_for_2_s_and_every_250_ms_in_the_end() -> None:
    assert pace.LOCAL_CONNECTION.interval(0) == pace.LOCAL_CONNECTION.interval(2) == pytest.approx(0.02)
    assert pace.LOCAL_CONNECTION.interval(25) == pace.LOCAL_CONNECTION.interval(900) == pytest.approx(0.25)


@pytest.mark.parametrize("each", ALL)
def test_a_minute_costs_little_more_than_asking_at_the_longest_interval(each: Pace) -> None:
    assert questions(each, 60) < 60 / each.longest + 4 * (1 / each.share if each.share > 0.05 else 65)


@pytest.mark.parametrize("each", ALL)
@pytest.mark.parametrize("start", [0.5, 5, 30, 120])
def test_a_server_waits_for_a_small_part_of_its_start(each: Pace, start: float) -> None:
    assert each.interval(start) <= max(each.shortest, start / 10)
