"""Windows in time, against a model that goes through them minute by minute, over the days when clocks are changed."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeroscale.schedule.timeline import Phase, Timeline, Wish
from zeroscale.schedule.windows import DAYS, Window, parse_window

MINUTE = 60.0


def timeline(awake: Sequence[str] = (), asleep: Sequence[str] = (), zone: str = "Europe/Berlin") -> Timeline:
    return Timeline([parse_window(each) for each in awake], [parse_window(each) for each in asleep], ZoneInfo(zone))


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


class Model:
    """Looks at the clock each minute, and notes when a time has come for the first time.

    :param first: a moment before everything that is asked.
    :param minutes: for how long.
    """

    def __init__(self, zone: str, first: float, minutes: int) -> None:
        self.moments = [first + MINUTE * each for each in range(minutes)]
        self.shown = [datetime.fromtimestamp(moment, ZoneInfo(zone)).replace(tzinfo=None) for moment in self.moments]
        self.latest = list(accumulate(self.shown, max))

    def wanted(self, awake: Sequence[Window], asleep: Sequence[Window]) -> list[tuple[Wish, str]]:
        """Return what is wanted in each minute."""
        wanted = [(Wish.nothing, "")] * len(self.moments)
        for wish, windows in ((Wish.awake, awake), (Wish.asleep, asleep)):
            for window in reversed(windows):
                for index in self.minutes_of(window):
                    wanted[index] = wish, window.text
        return wanted

    def minutes_of(self, window: Window) -> set[int]:
        days = {shown.date() + timedelta(days=offset) for shown in self.shown for offset in (-1, 0)}
        found: set[int] = set()
        for day in days:
            if day.weekday() not in window.days:
                continue
            midnight = datetime.combine(day, datetime.min.time())
            found.update(range(self.first(midnight, window.start), self.first(midnight, window.end)))
        return found

    def first(self, midnight: datetime, minutes: int) -> int:
        time = midnight + timedelta(minutes=minutes)
        return bisect_left(self.latest, time)


CHANGES = {
    "Europe/Berlin": ["2026-03-28", "2026-10-24"],
    "America/New_York": ["2026-03-07", "2026-10-31"],
    "Australia/Lord_Howe": ["2026-04-04", "2026-10-03"],
    "Pacific/Apia": ["2011-12-28", "2010-09-24"],
    "Africa/Casablanca": ["2026-02-14", "2026-03-21"],
    "America/Santiago": ["2026-04-03", "2026-09-04"],  # at midnight
    "Asia/Kathmandu": ["2026-06-01"],
}
"""Days before the clocks are changed."""

DAYS_OF_THE_MODEL = 5

times = st.one_of(
    st.sampled_from([0, 30, 60, 90, 105, 120, 135, 150, 165, 180, 210, 1380, 1410, 1440]), st.integers(0, 1440)
)


@st.composite
def windows(draw: st.DrawFn) -> Window:
    start, end = draw(times.filter(lambda minutes: minutes < 1440)), draw(times)
    days = draw(st.frozensets(st.integers(0, 6), min_size=1))
    if start == end:
        end = (end + 1) % 1440
    names = ",".join(DAYS[day] for day in days)
    return parse_window(f"{names} {start // 60}:{start % 60:02d}-{end // 60}:{end % 60:02d}")


MODELS: dict[tuple[str, str], Model] = {}


def model(zone: str, day: str) -> Model:
    first = datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() - 14 * 3600
    return MODELS.setdefault((zone, day), Model(zone, first, DAYS_OF_THE_MODEL * 1440))


def check(zone: str, day: str, awake: Sequence[Window], asleep: Sequence[Window]) -> None:
    """Compare each minute with the model, after its first day, on which windows of the day before may end."""
    minutes = model(zone, day)
    expected = minutes.wanted(awake, asleep)
    schedule = Timeline(awake, asleep, ZoneInfo(zone))
    phase: Phase | None = None
    for index in range(1440 + 1, len(expected)):
        moment = minutes.moments[index]
        if phase is None or not phase.holds_at(moment):
            if phase is not None:
                assert phase.ends == moment, "a phase ends when another one begins"
            phase = schedule.phase_at(moment)
            fresh = phase
        else:
            fresh = schedule.phase_at(moment) if index % 61 == 0 else phase
        assert (phase.wish, phase.window) == expected[index], minutes.shown[index]
        assert (fresh.wish, fresh.window, fresh.ends, fresh.wish_ends) == (
            phase.wish,
            phase.window,
            phase.ends,
            phase.wish_ends,
        )


@pytest.mark.parametrize(("zone", "day"), [(zone, day) for zone, days in CHANGES.items() for day in days])
def test_each_minute_of_days_when_clocks_are_changed(zone: str, day: str) -> None:
    for awake, asleep in (
        (["Mon-Fri 16:00-22:00", "Sat,Sun 10:00-24:00"], []),
        (["daily 22:00-02:00"], ["daily 02:00-03:00"]),
        (["daily 22:00-02:30"], ["daily 02:30-06:00"]),
        (["02:15-02:45", "01:30-02:00"], ["01:45-01:50"]),
        (["00:00-24:00"], ["23:30-00:30"]),
        (["02:30-02:00"], []),
    ):
        check(zone, day, [parse_window(each) for each in awake], [parse_window(each) for each in asleep])


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from([(zone, day) for zone, days in CHANGES.items() for day in days]),
    st.lists(windows(), max_size=3),
    st.lists(windows(), max_size=2),
)
def test_any_windows_agree_with_the_model(change: tuple[str, str], awake: list[Window], asleep: list[Window]) -> None:
    check(*change, awake, asleep)


def test_no_window_never_changes() -> None:
    phase = timeline().phase_at(at("2026-11-30T12:00+01:00"))
    assert (phase.wish, phase.ends, phase.wish_ends) == (Wish.nothing, None, None)


def test_a_wish_that_lasts_for_ever_has_no_end_though_its_windows_change() -> None:
    phase = timeline(["00:00-12:00", "12:00-24:00"]).phase_at(at("2026-11-30T11:00+01:00"))
    assert (phase.wish, phase.window) == (Wish.awake, "00:00-12:00")
    assert (phase.ends, phase.wish_ends) == (at("2026-11-30T12:00+01:00"), None)


def test_windows_that_follow_each_other_are_one_wish() -> None:
    phase = timeline(asleep=["Mon-Fri 22:00-24:00", "Tue-Sat 00:00-07:00"]).phase_at(at("2026-11-30T23:00+01:00"))
    assert (phase.wish, phase.window) == (Wish.asleep, "Mon-Fri 22:00-24:00")
    assert phase.wish_ends == at("2026-12-01T07:00+01:00")


def test_asleep_beats_awake_and_the_first_of_several_windows_is_named() -> None:
    schedule = timeline(["Mon 10:00-20:00", "daily 12:00-23:00"], ["Mon 13:00-14:00"])
    seen = [schedule.phase_at(at(f"2026-11-30T{hour}:00+01:00")) for hour in (9, 10, 12, 13, 14, 20, 23) if hour > 9]
    assert [(phase.wish, phase.window) for phase in seen] == [
        (Wish.awake, "Mon 10:00-20:00"),
        (Wish.awake, "Mon 10:00-20:00"),
        (Wish.asleep, "Mon 13:00-14:00"),
        (Wish.awake, "Mon 10:00-20:00"),
        (Wish.awake, "daily 12:00-23:00"),
        (Wish.nothing, ""),
    ]


def test_a_window_that_is_left_out_comes_a_week_later() -> None:
    schedule = timeline(["Sun 02:00-03:00"])
    phase = schedule.phase_at(at("2026-03-22T12:00+01:00"))
    assert phase.ends == at("2026-04-05T02:00+02:00")


def test_a_clock_that_was_set_back_ends_a_phase() -> None:
    phase = timeline(["Mon 10:00-20:00"]).phase_at(at("2026-11-30T12:00+01:00"))
    assert phase.holds_at(at("2026-11-30T19:59+01:00"))
    assert not phase.holds_at(at("2026-11-30T20:00+01:00"))
    assert not phase.holds_at(at("2026-11-30T11:59+01:00"))
