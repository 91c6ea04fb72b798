"""Token buckets, on a clock that is a number."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from zeroscale.frontend.rate_limit import REPORTS, REPORTS_PER_ADDRESS, Buckets, RefusalReports


def test_so_many_at_once_and_then_as_many_as_a_minute_brings() -> None:
    buckets = Buckets(6)
    assert [buckets.take("a", 0.0) for _ in range(8)] == [True] * 6 + [False] * 2
    assert not buckets.take("a", 9.9)
    assert buckets.take("a", 10.0)
    assert not buckets.take("a", 10.0)
    assert [buckets.take("a", 31.0) for _ in range(3)] == [True, True, False]


def test_each_address_has_its_own_bucket() -> None:
    buckets = Buckets(1)
    assert buckets.take("a", 0.0)
    assert not buckets.take("a", 0.0)
    assert buckets.take("b", 0.0)
    assert all(buckets.take(None, 0.0) for _ in range(100))
    assert len(buckets) == 2


def test_less_than_one_a_minute_is_one_now_and_then() -> None:
    buckets = Buckets(0.5)
    assert buckets.take("a", 0.0)
    assert not buckets.take("a", 119.0)
    assert buckets.take("a", 120.0)


def test_a_full_bucket_is_forgotten() -> None:
    buckets = Buckets(6)
    for index in range(100):
        buckets.take(f"{index}", index * 0.1)
    assert len(buckets) == 100
    buckets.take("new", 65.0)
    assert len(buckets) == 50  # those used in the last minute, and the new one


def test_the_bucket_unused_longest_is_dropped() -> None:
    buckets = Buckets(1, most=3)
    for key in "abc":
        assert buckets.take(key, 0.0)
    assert not buckets.take("a", 1.0)
    assert buckets.take("d", 1.0)  # in place of b
    assert not buckets.take("a", 1.0)
    assert not buckets.take("c", 1.0)
    assert buckets.take("b", 1.0)
    for index in range(10_000):
        buckets.take(f"{index}", 2.0)
    assert len(buckets) == 3


@given(st.integers(1, 20), st.lists(st.floats(0, 30), max_size=100))
def test_in_no_minute_more_than_a_bucket_and_what_fills_it(per_minute: int, pauses: list[float]) -> None:
    buckets = Buckets(per_minute)
    now, taken = 0.0, []
    for pause in pauses:
        now += pause
        if buckets.take("a", now):
            taken.append(now)
    for start in taken:
        assert sum(start <= each <= start + 60.0 for each in taken) <= 2 * per_minute


def test_a_flood_of_refused_logins_is_not_one_of_reports() -> None:
    reports = RefusalReports()
    assert sum(reports.may_report("a", second / 100) for second in range(1000)) <= REPORTS_PER_ADDRESS + 1
    others = sum(reports.may_report(str(number), 10.0) for number in range(1000))
    assert REPORTS - REPORTS_PER_ADDRESS - 1 <= others <= REPORTS
    assert reports.may_report("b", 70.0)
