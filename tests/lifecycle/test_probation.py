from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from zeroscale.lifecycle.probation import MOST_ADDRESSES, PROBATION, Probation


def test_a_connection_keeps_the_server_running_for_its_first_60_s() -> None:
    probation = Probation()
    probation.add("a", "203.0.113.7", 100.0)
    assert probation.until == 160.0


def test_an_address_has_60_s_in_all() -> None:
    probation = Probation()
    for number in range(3):
        probation.add(number, "203.0.113.7", 100.0 * number)
        probation.remove(number, 100.0 * number + 25.0)
    assert probation.until == 210.0
    probation.add("b", "203.0.113.7", 300.0)
    assert probation.until == 300.0
    probation.add("c", "198.51.100.1", 300.0)
    assert probation.until == 360.0


def test_grace_is_part_of_the_60_s() -> None:
    probation = Probation()
    probation.add("a", "203.0.113.7", 0.0)
    probation.remove("a", 1.0, grace=15.0)
    assert probation.until == 16.0
    probation.add("b", "203.0.113.7", 50.0)
    probation.remove("b", 90.0, grace=15.0)
    assert probation.until == 94.0


def test_connections_at_the_same_time_use_the_time_once() -> None:
    probation = Probation()
    probation.add("a", "203.0.113.7", 0.0)
    probation.add("b", "203.0.113.7", 30.0)
    probation.remove("a", 40.0)
    assert probation.until == 60.0


def test_a_new_period_gives_addresses_their_time_again_but_not_connections() -> None:
    probation = Probation()
    probation.add("a", "203.0.113.7", 0.0)
    probation.begin_period(50.0)
    assert probation.until == 60.0
    probation.add("b", "203.0.113.7", 55.0)
    assert probation.until == 110.0


def test_without_a_key_each_connection_has_its_own_time() -> None:
    probation = Probation()
    for number in range(5):
        probation.add(number, None, 100.0 * number)
        assert probation.until == 100.0 * number + 60.0
        probation.remove(number, 100.0 * number + 50.0, grace=15.0)
        assert probation.until == 100.0 * number + 60.0


def test_addresses_are_bounded_and_further_ones_share_one_time() -> None:
    probation = Probation()
    for number in range(MOST_ADDRESSES + 2):
        probation.add(number, f"address {number}", 0.0)
        probation.remove(number, 0.0)
    probation.add("a", "one more", 0.0)
    probation.remove("a", 50.0)
    probation.add("b", "another", 50.0)
    assert probation.until == 60.0
    probation.clear()
    assert probation.until == float("-inf")


@given(st.lists(st.tuples(st.floats(0, 100), st.booleans(), st.sampled_from([0.0, 15.0])), max_size=50))
def test_one_address_never_uses_more_than_60_s(steps: list[tuple[float, bool, float]]) -> None:
    probation, now, used = Probation(), 0.0, 0.0
    there: list[int] = []
    for number, (pause, joins, grace) in enumerate(steps):
        used += min(pause, max(0.0, probation.until - now))
        now += pause
        if joins:
            probation.add(number, "203.0.113.7", now)
            there.append(number)
        elif there:
            probation.remove(there.pop(0), now, grace)
    assert used + max(0.0, probation.until - now) <= PROBATION + 1e-6


@given(st.lists(st.tuples(st.floats(0, 40), st.sampled_from("ABC-"), st.sampled_from("arrp")), max_size=60))
def test_asking_for_the_time_changes_nothing(steps: list[tuple[float, str, str]]) -> None:
    asked, not_asked, now = Probation(), Probation(), 0.0
    there: list[int] = []
    for number, (pause, address, step) in enumerate(steps):
        now += pause
        leaving = there.pop(number % len(there)) if step == "r" and there else None
        if step == "a":
            there.append(number)
        for probation in (asked, not_asked):
            if step == "a":
                probation.add(number, None if address == "-" else address, now)
            elif step == "p":
                probation.begin_period(now)
            elif leaving is not None:
                probation.remove(leaving, now, 15.0)
        _ = asked.until
    assert asked.until == not_asked.until
