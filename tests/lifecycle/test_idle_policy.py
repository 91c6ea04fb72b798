from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from zeroscale.lifecycle.idle_policy import IdlePolicy, SessionCounts, stop_at

PLAYERS = IdlePolicy(900.0)
MINECRAFT = IdlePolicy(900.0, ignore_short_sessions=True)


def test_it_may_sleep_when_nobody_came_since_it_was_ready() -> None:
    assert stop_at(SessionCounts.begin(100.0), PLAYERS) == 1000.0


def test_it_may_not_sleep_while_somebody_is_there() -> None:
    two = SessionCounts.begin(0.0).joined().joined()
    assert stop_at(two, PLAYERS) is None
    assert stop_at(two.left(50.0, 10.0, PLAYERS), PLAYERS) is None


def test_the_clock_begins_when_the_last_one_leaves() -> None:
    nobody = SessionCounts.begin(0.0).joined().left(5000.0, 10.0, PLAYERS)
    assert stop_at(nobody, PLAYERS) == 5900.0


def test_a_short_minecraft_visit_does_not_restart_the_clock_but_leaves_a_moments_grace() -> None:
    nobody = SessionCounts.begin(0.0).joined().left(899.0, 898.0, MINECRAFT)
    assert stop_at(nobody, MINECRAFT) == 899.0 + 15.0
    early = SessionCounts.begin(0.0).joined().left(101.0, 100.0, MINECRAFT)
    assert stop_at(early, MINECRAFT) == 900.0


def test_the_grace_is_never_longer_than_the_idle_time() -> None:
    policy = IdlePolicy(2.0, ignore_short_sessions=True)
    assert stop_at(SessionCounts.begin(0.0).joined().left(10.0, 9.0, policy), policy) == 12.0


def test_a_short_visit_counts_like_any_other_where_it_is_not_minecraft() -> None:
    assert stop_at(SessionCounts.begin(0.0).joined().left(101.0, 100.0, PLAYERS), PLAYERS) == 1001.0


def test_whoever_never_said_a_word_leaves_the_clock_alone_everywhere() -> None:
    policy = IdlePolicy(idle_shutdown=60.0)
    there = SessionCounts.begin(0.0).joined()
    assert stop_at(there.left(50.0, 45.0, policy, silent=True), policy) == 65.0
    assert stop_at(there.left(50.0, 45.0, policy), policy) == 110.0
    assert stop_at(there.left(50.0, 10.0, policy, silent=True), policy) == 110.0


def test_it_stays_up_for_its_minimum_time() -> None:
    policy = IdlePolicy(10.0, minimum_online=60.0)
    assert stop_at(SessionCounts.begin(100.0), policy) == 160.0


def test_a_busy_server_is_asked_again_later_neither_at_once_nor_in_hours() -> None:
    assert stop_at(SessionCounts.begin(0.0).busy(900.0, PLAYERS), PLAYERS) == 1200.0
    hasty = IdlePolicy(0.0)
    assert stop_at(SessionCounts.begin(0.0).busy(0.0, hasty), hasty) == 5.0


@given(st.lists(st.tuples(st.floats(0, 1000), st.floats(0, 1000)), max_size=20))
def test_whatever_happened_it_never_sleeps_before_the_idle_time_since_the_last_long_visit(
    sessions: list[tuple[float, float]],
) -> None:
    now, counts, last_long = 0.0, SessionCounts.begin(0.0), 0.0
    for pause, length in sessions:
        joined_at = now + pause
        now = joined_at + length
        counts = counts.joined().left(now, joined_at, MINECRAFT)
        last_long = now if now - joined_at >= 30.0 else last_long
    at = stop_at(counts, MINECRAFT)
    assert at is not None
    assert at >= last_long + 900.0
    if sessions:
        assert at >= now + 15.0
