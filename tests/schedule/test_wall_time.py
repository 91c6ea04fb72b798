"""Moments and what a clock on the wall shows, on the days on which clocks are changed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from processes import Program, python

from zeroscale.schedule.wall_time import find_zone, moment_of, next_moment, shown_at


def utc(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("zone", "day", "time_of_day", "moment"),
    [
        ("Europe/Berlin", "2026-03-29", 1 * 60 + 59, "2026-03-29T00:59"),
        ("Europe/Berlin", "2026-03-29", 2 * 60, "2026-03-29T01:00"),  # the clock shows 3:00
        ("Europe/Berlin", "2026-03-29", 2 * 60 + 30, "2026-03-29T01:00"),
        ("Europe/Berlin", "2026-03-29", 3 * 60, "2026-03-29T01:00"),
        ("Europe/Berlin", "2026-03-29", 24 * 60, "2026-03-29T22:00"),
        ("Europe/Berlin", "2026-10-25", 2 * 60, "2026-10-25T00:00"),  # the first of two
        ("Europe/Berlin", "2026-10-25", 2 * 60 + 59, "2026-10-25T00:59"),
        ("Europe/Berlin", "2026-10-25", 3 * 60, "2026-10-25T02:00"),
        ("Europe/Berlin", "2026-10-24", 26 * 60 + 30, "2026-10-25T00:30"),
        ("Australia/Lord_Howe", "2026-10-04", 2 * 60 + 15, "2026-10-03T15:30"),  # set forward by half an hour
        ("Australia/Lord_Howe", "2026-04-05", 1 * 60 + 45, "2026-04-04T14:45"),
        ("Pacific/Apia", "2011-12-30", 12 * 60, "2011-12-30T10:00"),  # a day that is left out
        ("Asia/Kathmandu", "2026-01-01", 0, "2025-12-31T18:15"),
    ],
)
def test_a_time_of_a_day_is_a_moment(zone: str, day: str, time_of_day: int, moment: str) -> None:
    assert moment_of(date.fromisoformat(day), time_of_day, ZoneInfo(zone)) == utc(moment)


@pytest.mark.parametrize(
    ("after", "time_of_day", "moment"),
    [
        ("2026-06-01T10:00", 12 * 60 + 1, "2026-06-01T10:01"),
        ("2026-06-01T10:00", 12 * 60, "2026-06-02T10:00"),  # it is 12:00 now
        ("2026-06-01T22:30", 0, "2026-06-02T22:00"),
        ("2026-03-28T22:00", 2 * 60 + 30, "2026-03-29T01:00"),  # left out
        ("2026-10-24T23:00", 2 * 60 + 30, "2026-10-25T00:30"),
        ("2026-10-25T00:45", 2 * 60 + 30, "2026-10-26T01:30"),  # the second one does not count
    ],
)
def test_the_next_moment_of_a_time_of_day(after: str, time_of_day: int, moment: str) -> None:
    assert next_moment(time_of_day, ZoneInfo("Europe/Berlin"), utc(after)) == utc(moment)


@pytest.fixture
def berlin_is_here(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("berlin_is_here")
@pytest.mark.parametrize("day", [date(2026, 3, 29), date(2026, 10, 25), date(2026, 7, 1)])
def test_the_systems_zone_is_used_without_a_name(day: date) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    for minutes in range(0, 27 * 60, 15):
        moment = moment_of(day, minutes, berlin)
        assert moment_of(day, minutes, None) == moment
        assert shown_at(moment, None) == shown_at(moment, berlin)


ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Africa/Casablanca", "UTC"]


@given(st.sampled_from(ZONES), st.dates(date(2009, 1, 1), date(2031, 1, 1)), st.integers(0, 2 * 1440))
def test_it_is_the_first_moment_at_which_the_clock_shows_the_time_or_a_later_one(
    name: str, day: date, minutes: int
) -> None:
    zone, time_of_day = ZoneInfo(name), datetime.combine(day, datetime.min.time()) + timedelta(minutes=minutes)
    moment = moment_of(day, minutes, zone)
    assert shown_at(moment, zone) >= time_of_day
    assert shown_at(moment - 1, zone) < time_of_day
    assert moment_of(day, minutes + 1, zone) >= moment


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("Europe/Berln", '; did you mean "Europe/Berlin"?'),
        ("europe/berlin", '; did you mean "Europe/Berlin"?'),
        ("xyzzyplugh", ""),
        ("../../../etc/passwd", ""),
        ("/etc/localtime", None),
        ("Europe", None),
        ("", None),
        ("a\0b", ""),
        ("\ud800", ""),
    ],
)
def test_a_wrong_name_is_refused(name: str, hint: str | None) -> None:
    with pytest.raises(ValueError) as caught:
        find_zone(name)
    assert hint is None or str(caught.value) == hint


def test_a_system_without_a_database_has_that_of_the_package_tzdata() -> None:
    code = "from zeroscale.schedule.wall_time import find_zone; print(find_zone('Europe/Berlin'))"
    with Program(["env", "PYTHONTZPATH=", *python("-c", code)]) as program:
        assert program.wait() == 0, program.output
    assert program.lines == ["Europe/Berlin"]


def test_a_zone_is_found() -> None:
    assert str(find_zone("Europe/Berlin")) == "Europe/Berlin"
