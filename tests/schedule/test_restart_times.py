"""When a server is restarted: against a model that goes through the days on which clocks are changed by the minute."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeroscale.schedule.restart_times import check, next_restart

BERLIN, NEW_YORK, LORD_HOWE = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"
CHANGES = [(BERLIN, 3, 29), (BERLIN, 10, 25), (NEW_YORK, 3, 8), (NEW_YORK, 11, 1)]
"""The days of 2026 on which clocks are changed: zone, month, day."""

BY_HALF_AN_HOUR = [(LORD_HOWE, 4, 5), (LORD_HOWE, 10, 4)]
"""Only for times of day: cronsim 2.8 takes `* 0 * * *` half an hour late there until the next day."""


class CronModel:
    """Debian's cron(8), by its manual: looks at the clock on the wall in every minute.

    :param minutes: the minutes of the expression; None: `*`.
    :param hours: its hours.
    """

    def __init__(self, minutes: Sequence[int] | None, hours: Sequence[int] | None) -> None:
        self._minutes = minutes
        self._hours = hours

    def runs(self, start: datetime, end: datetime) -> Iterator[float]:
        """Return the moments at which it runs, between two moments, the first one excluded."""
        moment = start.astimezone(UTC)
        passed = _wall(moment, start)  # all minutes of the wall up to this one have had their jobs
        while (moment := moment + timedelta(minutes=1)) < end.astimezone(UTC):
            wall = _wall(moment, start)
            if self._minutes is None or self._hours is None:
                runs = self._matches(wall)  # runs more often than once an hour, or every hour: by the time that passes
            else:
                missed = range(1, int((wall - passed) / timedelta(minutes=1)) + 1)
                runs = any(self._matches(passed + timedelta(minutes=each)) for each in missed)
            passed = max(passed, wall)
            if runs:
                yield moment.timestamp()

    def _matches(self, wall: datetime) -> bool:
        return (self._minutes is None or wall.minute in self._minutes) and (
            self._hours is None or wall.hour in self._hours
        )


def _wall(moment: datetime, start: datetime) -> datetime:
    return moment.astimezone(start.tzinfo).replace(tzinfo=None, fold=0)


def restarts(expression: str, zone: ZoneInfo | None, start: datetime, end: datetime) -> Iterator[float]:
    moment = next_restart(expression, zone, start.timestamp())
    while moment is not None and moment < end.timestamp():
        yield moment
        moment = next_restart(expression, zone, moment)


def midnight(zone: str, month: int, day: int) -> datetime:
    return datetime(2026, month, day, tzinfo=ZoneInfo(zone))


def field(values: Sequence[int] | None) -> str:
    return "*" if values is None else ",".join(map(str, values))


@given(
    change=st.sampled_from(CHANGES),
    minutes=st.none() | st.lists(st.integers(0, 59), min_size=1, max_size=3),
    hours=st.none() | st.lists(st.integers(0, 4), min_size=1, max_size=3),
)
@settings(max_examples=60, deadline=None)
def test_it_follows_the_model_on_the_days_on_which_clocks_are_changed(
    change: tuple[str, int, int], minutes: list[int] | None, hours: list[int] | None
) -> None:
    start = midnight(*change) - timedelta(minutes=5)
    end = start + timedelta(days=1, hours=6)
    expression = f"{field(minutes)} {field(hours)} * * *"
    assert list(restarts(expression, ZoneInfo(change[0]), start, end)) == list(
        CronModel(minutes, hours).runs(start, end)
    )


@pytest.mark.parametrize(("name", "month", "day"), CHANGES + BY_HALF_AN_HOUR)
@pytest.mark.parametrize("hour", range(5))
@pytest.mark.parametrize("minute", [0, 30, 59])
def test_a_time_of_day_comes_once_on_each_of_these_days(
    name: str, month: int, day: int, hour: int, minute: int
) -> None:
    start = midnight(name, month, day) - timedelta(minutes=1)
    end = midnight(name, month, day) + timedelta(days=1)
    [moment] = restarts(f"{minute} {hour} * * *", ZoneInfo(name), start, end)
    assert [moment] == list(CronModel([minute], [hour]).runs(start, end))


@pytest.mark.parametrize(("name", "month", "day"), CHANGES)
@pytest.mark.parametrize("expression", ["0 5 * * *", "30 2 * * *", "10 1,2 * * *", "*/20 * * * *", "15 * * * *"])
def test_the_systems_zone_is_as_good_as_one_by_its_name(
    name: str, month: int, day: int, expression: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = midnight(name, month, day)
    end = start + timedelta(days=2)
    expected = list(restarts(expression, ZoneInfo(name), start, end))
    with monkeypatch.context() as patch:
        patch.setenv("TZ", name)
        time.tzset()
        found = list(restarts(expression, None, start, end))
    time.tzset()
    assert found == expected


def test_the_next_one_is_after_the_moment_also_from_within_the_hour_that_comes_twice() -> None:
    berlin = ZoneInfo(BERLIN)
    second_time = datetime(2026, 10, 25, 2, 10, fold=1, tzinfo=berlin).timestamp()
    found = next_restart("30 2 * * *", berlin, second_time)
    assert found == datetime(2026, 10, 26, 2, 30, tzinfo=berlin).timestamp(), "it has been restarted an hour before"


def test_weekdays_and_months() -> None:
    berlin = ZoneInfo(BERLIN)
    monday = datetime(2026, 11, 30, 12, tzinfo=berlin).timestamp()
    assert next_restart("0 5 * * SUN", berlin, monday) == datetime(2026, 12, 6, 5, tzinfo=berlin).timestamp()
    assert next_restart("0 5 29 FEB *", berlin, monday) == datetime(2028, 2, 29, 5, tzinfo=berlin).timestamp()


@pytest.mark.parametrize("expression", ["0 5 * * *", "*/10 4-6 1,15 JAN-MAR MON#1", "0 0 29 2 *", " 0  5 * * * "])
def test_expressions(expression: str) -> None:
    check(expression)


@pytest.mark.parametrize(
    ("expression", "hint"),
    [
        ("", ""),
        ("5:00", ""),
        ("0 5 * *", ""),
        ("0 0 5 * * *", ""),
        ("@daily", ""),
        ("60 5 * * *", "; Bad minute"),
        ("0 0 30 2 *", "; Bad day-of-month"),
        ("* * */20 * 1L", "; there is no such day"),
        (" ".join(["0,0"] * 100), ""),
    ],
)
def test_other_texts_are_no_expressions(expression: str, hint: str) -> None:
    with pytest.raises(ValueError) as caught:
        check(expression)
    assert str(caught.value) == hint


@given(st.text(alphabet="0123456789*/-,#LW MONSUNJAN\n\x00é", max_size=40))
def test_any_other_text_is_refused_with_a_message(text: str) -> None:
    try:
        check(text)
    except ValueError:
        return
    next_restart(text, None, 0.0)
