from __future__ import annotations

import pytest

from zeroscale.lifecycle.stats import MOST_WORDS, OTHER, START_BOUNDS, StatsRecorder
from zeroscale.status import Status


@pytest.fixture
def recorder() -> StatsRecorder:
    return StatsRecorder(Status.stopped, 1000.0)


def test_new_counters_are_zero(recorder: StatsRecorder) -> None:
    stats = recorder.snapshot(1000.0)
    assert set(stats.seconds_by_status) == set(Status)
    assert sum(stats.seconds_by_status.values()) == 0.0
    assert stats.start_durations == tuple((bound, 0) for bound in START_BOUNDS)
    assert (stats.starts, stats.start_seconds, stats.crashes) == (0, 0.0, 0)
    assert (dict(stats.wakes), dict(stats.outcomes), dict(stats.refusals)) == ({}, {}, {})
    assert (stats.pings, stats.logins, stats.to_backend, stats.to_client) == (0, 0, 0, 0)


def test_every_second_is_in_one_status(recorder: StatsRecorder) -> None:
    recorder.status_changed(Status.starting, 1010.0)
    recorder.status_changed(Status.running, 1013.0)
    recorder.status_changed(Status.running, 1020.0)
    recorder.status_changed(Status.stopping, 1030.0)
    recorder.status_changed(Status.stopped, 1031.0)
    seconds = {status: spent for status, spent in recorder.snapshot(1100.0).seconds_by_status.items() if spent}
    assert seconds == {Status.stopped: 79.0, Status.starting: 3.0, Status.running: 17.0, Status.stopping: 1.0}
    assert recorder.snapshot(1101.0).seconds_by_status[Status.stopped] == 80.0


def test_starts_are_counted_by_how_long_they_took(recorder: StatsRecorder) -> None:
    for seconds in (0.2, 1.0, 1.1, 30.0, 601.0):
        recorder.started(seconds)
    stats = recorder.snapshot(1000.0)
    assert stats.starts == 5
    assert stats.start_seconds == pytest.approx(633.3)
    by_bound = dict(stats.start_durations)
    assert (by_bound[1.0], by_bound[2.5], by_bound[20.0], by_bound[30.0], by_bound[600.0]) == (2, 3, 3, 4, 4)
    assert list(by_bound.values()) == sorted(by_bound.values())
    assert tuple(by_bound) == START_BOUNDS


def test_wakes_outcomes_refusals_and_bytes_are_counted(recorder: StatsRecorder) -> None:
    for reason in ("login", "login", "operator"):
        recorder.woken(reason)
    recorder.ended("left")
    recorder.ended("left")
    recorder.refused("banned")
    recorder.crashed()
    recorder.pinged()
    recorder.login()
    recorder.relayed(3, 5)
    recorder.relayed(30, 50)
    stats = recorder.snapshot(1000.0)
    assert (dict(stats.wakes), dict(stats.outcomes)) == ({"login": 2, "operator": 1}, {"left": 2})
    assert (dict(stats.refusals), stats.crashes, stats.pings, stats.logins) == ({"banned": 1}, 1, 1, 1)
    assert (stats.to_backend, stats.to_client) == (33, 55)


def test_a_snapshot_does_not_change(recorder: StatsRecorder) -> None:
    before = recorder.snapshot(1000.0)
    recorder.woken("login")
    recorder.ended("left")
    recorder.status_changed(Status.running, 1005.0)
    assert (dict(before.wakes), dict(before.outcomes), before.seconds_by_status[Status.stopped]) == ({}, {}, 0.0)


def test_the_number_of_words_is_bounded(recorder: StatsRecorder) -> None:
    for number in range(MOST_WORDS + 20):
        recorder.ended(f"word {number}")
    recorder.ended("word 0")
    outcomes = recorder.snapshot(1000.0).outcomes
    assert len(outcomes) == MOST_WORDS + 1
    assert (outcomes[OTHER], outcomes["word 0"]) == (20, 2)


def test_bytes_of_a_running_relay_count(recorder: StatsRecorder) -> None:
    moved = [10, 20]
    end = recorder.relaying(lambda: (moved[0], moved[1]))
    recorder.relayed(1, 2)
    assert (recorder.snapshot(0.0).to_backend, recorder.snapshot(0.0).to_client) == (11, 22)
    moved[:] = [100, 200]
    assert (recorder.snapshot(0.0).to_backend, recorder.snapshot(0.0).to_client) == (101, 202)
    end()
    end()
    recorder.relayed(100, 200)
    assert (recorder.snapshot(0.0).to_backend, recorder.snapshot(0.0).to_client) == (101, 202)
