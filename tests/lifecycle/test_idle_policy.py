from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroscale.lifecycle.idle_policy import IdlePolicy, SessionCounts, stop_at
from zeroscale.status import PlayerSign

PLAYERS = IdlePolicy(900.0)


def test_without_players_the_idle_time_begins_when_the_server_is_ready() -> None:
    assert stop_at(SessionCounts.begin(100.0), PLAYERS) == 1000.0


def test_the_server_may_not_stop_with_players() -> None:
    two = SessionCounts.begin(0.0).joined().joined()
    assert stop_at(two, PLAYERS) is None
    assert stop_at(two.left(50.0, 10.0, PLAYERS), PLAYERS) is None


def test_the_idle_time_begins_when_the_last_player_leaves() -> None:
    empty = SessionCounts.begin(0.0).joined().left(5000.0, 10.0, PLAYERS)
    assert stop_at(empty, PLAYERS) == 5900.0


@pytest.mark.parametrize(
    ("sign", "to_server", "to_client", "counts"),
    [
        (PlayerSign.connection, 0, 0, True),
        (PlayerSign.client_bytes, 0, 5000, False),
        (PlayerSign.client_bytes, 1, 0, True),
        (PlayerSign.server_bytes, 90000, 300, False),
        (PlayerSign.server_bytes, 0, 4095, False),
        (PlayerSign.server_bytes, 0, 4096, True),
    ],
)
def test_what_shows_that_a_connection_is_a_players(
    sign: PlayerSign, to_server: int, to_client: int, counts: bool
) -> None:
    assert sign.shown_by(to_server, to_client) == counts


def test_the_grace_is_never_longer_than_the_idle_time() -> None:
    policy = IdlePolicy(2.0)
    assert stop_at(SessionCounts.begin(0.0).joined().left(10.0, 9.0, policy, silent=True), policy) == 12.0


def test_the_grace_is_not_renewed_by_the_next_short_session() -> None:
    policy = IdlePolicy(20.0)
    counts = SessionCounts.begin(0.0)
    for now in (10.0, 20.0, 30.0, 40.0):
        counts = counts.joined().left(now, now - 1.0, policy, silent=True)
    assert stop_at(counts, policy) == 25.0
    counts = counts.joined().left(50.0, 49.0, policy)  # a player's visit, then a monitor's
    assert stop_at(counts.joined().left(60.0, 59.0, policy, silent=True), policy) == 75.0


def test_probation_keeps_the_server_running() -> None:
    assert stop_at(SessionCounts.begin(0.0), PLAYERS, 950.0) == 950.0
    assert stop_at(SessionCounts.begin(0.0).joined(), PLAYERS, 950.0) is None


def test_other_short_sessions_count() -> None:
    assert stop_at(SessionCounts.begin(0.0).joined().left(101.0, 100.0, PLAYERS), PLAYERS) == 1001.0


def test_a_short_session_of_a_silent_client_never_counts() -> None:
    policy = IdlePolicy(idle_shutdown=60.0)
    there = SessionCounts.begin(0.0).joined()
    assert stop_at(there.left(50.0, 45.0, policy, silent=True), policy) == 65.0
    assert stop_at(there.left(50.0, 45.0, policy), policy) == 110.0
    assert stop_at(there.left(50.0, 10.0, policy, silent=True), policy) == 110.0


def test_the_server_runs_for_its_minimum_time() -> None:
    policy = IdlePolicy(10.0, minimum_online=60.0)
    assert stop_at(SessionCounts.begin(100.0), policy) == 160.0


def test_a_server_that_nobody_has_visited_waits_for_the_player_who_was_asked_to_join_again() -> None:
    policy = IdlePolicy(15.0, minimum_unvisited=60.0)
    woken = SessionCounts.begin(100.0)
    assert stop_at(woken, policy) == 160.0
    assert stop_at(woken.joined().left(110.0, 105.0, policy), policy) == 125.0
    assert stop_at(woken.joined().left(200.0, 150.0, policy), policy) == 215.0


def test_the_player_of_a_server_that_was_paused_has_visited_it() -> None:
    policy = IdlePolicy(15.0, minimum_unvisited=60.0)
    assert stop_at(SessionCounts.begin(100.0, players=1).left(101.0, 0.0, policy), policy) == 116.0


def test_a_busy_server_is_asked_again_neither_at_once_nor_in_hours() -> None:
    assert stop_at(SessionCounts.begin(0.0).busy(900.0, PLAYERS), PLAYERS) == 1200.0
    hasty = IdlePolicy(0.0)
    assert stop_at(SessionCounts.begin(0.0).busy(0.0, hasty), hasty) == 5.0
    curious = IdlePolicy(900.0, ask_again_at_most=60.0)
    assert stop_at(SessionCounts.begin(0.0).busy(900.0, curious), curious) == 960.0


@given(st.lists(st.tuples(st.floats(0, 1000), st.floats(0, 1000)), max_size=20))
def test_the_server_never_stops_before_the_idle_time_since_the_last_long_session(
    sessions: list[tuple[float, float]],
) -> None:
    now, counts, last_long = 0.0, SessionCounts.begin(0.0), 0.0
    for pause, length in sessions:
        joined_at = now + pause
        now = joined_at + length
        counts = counts.joined().left(now, joined_at, PLAYERS, silent=True)
        last_long = now if now - joined_at >= 30.0 else last_long
    at = stop_at(counts, PLAYERS)
    assert at is not None
    assert at >= last_long + 900.0
    assert at <= last_long + 900.0 or at <= now + 15.0
