"""When players are warned of a stop."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from zeroscale.schedule.countdown import Countdown

WARNINGS = (600.0, 300.0, 60.0)


def warnings_of(countdown: Countdown, now: float) -> list[tuple[float, float]]:
    """Return when each warning is given, and the seconds that are left, with a timer that is never late."""
    given = []
    while countdown.next_at < countdown.stop_at:
        now = max(now, countdown.next_at)
        countdown, is_due = countdown.advance(now)
        assert is_due
        given.append((now, countdown.stop_at - now))
    return given


def test_each_warning_is_given_at_its_time() -> None:
    countdown = Countdown.begin(0.0, 1000.0, WARNINGS)
    assert warnings_of(countdown, 0.0) == [(400.0, 600.0), (700.0, 300.0), (940.0, 60.0)]


def test_a_stop_that_is_announced_late_is_warned_of_at_once() -> None:
    late = Countdown.begin(0.0, 180.0, WARNINGS, announce=True)
    assert warnings_of(late, 0.0) == [(0.0, 180.0), (120.0, 60.0)]
    exactly = Countdown.begin(0.0, 600.0, WARNINGS, announce=True)
    assert warnings_of(exactly, 0.0) == [(0.0, 600.0), (300.0, 300.0), (540.0, 60.0)]
    assert warnings_of(Countdown.begin(0.0, 180.0, WARNINGS), 0.0) == [(120.0, 60.0)], "it was known before"


def test_without_warnings_only_the_stop_is_due() -> None:
    countdown = Countdown.begin(0.0, 30.0, (), announce=True)
    assert countdown.next_at == 30.0
    assert countdown.advance(30.0) == (countdown, False)


def test_a_late_timer_gives_one_warning() -> None:
    countdown, is_due = Countdown.begin(0.0, 1000.0, WARNINGS).advance(710.0)
    assert (countdown.warn_at, is_due) == ((940.0,), True)
    countdown, is_due = countdown.advance(1000.0)
    assert (countdown.warn_at, is_due) == ((), False), "the server stops now"


@given(
    now=st.integers(0, 10**5),
    length=st.integers(0, 10**5),
    before=st.lists(st.integers(0, 10**5), max_size=5),
    announce=st.booleans(),
    lateness=st.lists(st.integers(0, 100), min_size=12, max_size=12),
)
def test_a_countdown_ends_at_its_stop_and_gives_no_more_warnings_than_configured(
    now: int, length: int, before: list[int], announce: bool, lateness: list[int]
) -> None:
    stop_at = now + length
    countdown = Countdown.begin(now, stop_at, before, announce=announce)
    given = 0
    moment: float = now
    for late in lateness:
        assert moment <= countdown.next_at <= stop_at or countdown.next_at == stop_at
        moment = max(moment, countdown.next_at) + late
        countdown, is_due = countdown.advance(moment)
        assert countdown.stop_at == stop_at
        assert moment < stop_at or not is_due
        given += is_due
    assert countdown.warn_at == (), "each call passes one at least"
    assert given <= len(set(before))
