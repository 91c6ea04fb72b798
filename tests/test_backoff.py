"""Delays are doubled up to the longest one, and begin anew after a success."""

from __future__ import annotations

from itertools import islice

from zeroscale.backoff import Backoff, backoff_delay


def test_delays_double_up_to_the_longest() -> None:
    assert list(islice(Backoff(0.5, 3.0), 5)) == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_after_a_success_they_begin_anew() -> None:
    delays = Backoff(1.0, 10.0)
    assert list(islice(delays, 3)) == [1.0, 2.0, 4.0]
    delays.reset()
    assert next(delays) == 1.0


def test_any_number_of_failures_has_a_delay() -> None:
    assert backoff_delay(1_000_000, 0.1, 600.0) == 600.0
