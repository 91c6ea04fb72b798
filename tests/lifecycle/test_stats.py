"""What is counted of one server: nothing lost, nothing counted twice, bounded."""

from __future__ import annotations

import pytest

from zeroscale.lifecycle.stats import MOST_WORDS, OTHER, START_BOUNDS, StatsRecorder
from zeroscale.status import Status


@pytest.fixture
def counts() -> StatsRecorder:
    return StatsRecorder(Status.stopped, 1000.0)


def test_a_new_one_has_counted_nothing(counts: StatsRecorder) -> None:
    tally = counts.snapshot(1000.0)
    assert set(tally.seconds_by_status) == set(Status)
    assert sum(tally.seconds_by_status.values()) == 0.0
    assert tally.start_durations == tuple((bound, 0) for bound in START_BOUNDS)
    assert (tally.starts, tally.start_seconds, tally.crashes) == (0, 0.0, 0)
    assert (dict(tally.wakes), dict(tally.outcomes), dict(tally.refusals)) == ({}, {}, {})
    assert (tally.pings, tally.logins, tally.to_backend, tally.to_client) == (0, 0, 0, 0)


def test_every_second_is_in_one_status(counts: StatsRecorder) -> None:
    counts.status_changed(Status.starting, 1010.0)
    counts.status_changed(Status.running, 1013.0)
    counts.status_changed(Status.running, 1020.0)
    counts.status_changed(Status.stopping, 1030.0)
    counts.status_changed(Status.stopped, 1031.0)
    seconds = {status: spent for status, spent in counts.snapshot(1100.0).seconds_by_status.items() if spent}
    assert seconds == {Status.stopped: 79.0, Status.starting: 3.0, Status.running: 17.0, Status.stopping: 1.0}
    assert counts.snapshot(1101.0).seconds_by_status[Status.stopped] == 80.0


def test_starts_are_counted_by_how_long_they_took(counts: StatsRecorder) -> None:
    for seconds in (0.2, 1.0, 1.1, 30.0, 601.0):
        counts.started(seconds)
    tally = counts.snapshot(1000.0)
    assert tally.starts == 5
    assert tally.start_seconds == pytest.approx(633.3)
    by_bound = dict(tally.start_durations)
    assert (by_bound[1.0], by_bound[2.5], by_bound[20.0], by_bound[30.0], by_bound[600.0]) == (2, 3, 3, 4, 4)
    assert list(by_bound.values()) == sorted(by_bound.values())
    assert tuple(by_bound) == START_BOUNDS


def test_all_else_is_counted(counts: StatsRecorder) -> None:
    for reason in ("login", "login", "operator"):
        counts.woken(reason)
    counts.ended("left")
    counts.ended("left")
    counts.refused("banned")
    counts.crashed()
    counts.pinged()
    counts.login()
    counts.relayed(3, 5)
    counts.relayed(30, 50)
    tally = counts.snapshot(1000.0)
    assert (dict(tally.wakes), dict(tally.outcomes)) == ({"login": 2, "operator": 1}, {"left": 2})
    assert (dict(tally.refusals), tally.crashes, tally.pings, tally.logins) == ({"banned": 1}, 1, 1, 1)
    assert (tally.to_backend, tally.to_client) == (33, 55)


def test_a_tally_stays_as_it_was(counts: StatsRecorder) -> None:
    before = counts.snapshot(1000.0)
    counts.woken("login")
    counts.ended("left")
    counts.status_changed(Status.running, 1005.0)
    assert (dict(before.wakes), dict(before.outcomes), before.seconds_by_status[Status.stopped]) == ({}, {}, 0.0)


def test_there_is_an_end_to_words(counts: StatsRecorder) -> None:
    for number in range(MOST_WORDS + 20):
        counts.ended(f"word {number}")
    counts.ended("word 0")
    outcomes = counts.snapshot(1000.0).outcomes
    assert len(outcomes) == MOST_WORDS + 1
    assert (outcomes[OTHER], outcomes["word 0"]) == (20, 2)


def test_what_is_being_relayed_counts_before_it_has_ended(counts: StatsRecorder) -> None:
    moved = [10, 20]
    end = counts.relaying(lambda: (moved[0], moved[1]))
    counts.relayed(1, 2)
    assert (counts.snapshot(0.0).to_backend, counts.snapshot(0.0).to_client) == (11, 22)
    moved[:] = [100, 200]
    assert (counts.snapshot(0.0).to_backend, counts.snapshot(0.0).to_client) == (101, 202)
    end()
    end()
    counts.relayed(100, 200)
    assert (counts.snapshot(0.0).to_backend, counts.snapshot(0.0).to_client) == (101, 202)
