"""Windows as people write them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroscale.schedule.windows import DAYS, EVERY_DAY, LONGEST_TEXT, Window, parse_window


@pytest.mark.parametrize(
    ("text", "shown", "days", "start", "end"),
    [
        ("Mon-Fri 16:00-22:00", "Mon-Fri 16:00-22:00", {0, 1, 2, 3, 4}, 960, 1320),
        ("Sat,Sun 10:00-24:00", "Sat,Sun 10:00-24:00", {5, 6}, 600, 1440),
        ("sunday 0:00-1:30", "Sun 00:00-01:30", {6}, 0, 90),
        ("Fri-Mon,wed 08:00-09:00", "Fri-Mon,Wed 08:00-09:00", {4, 5, 6, 0, 2}, 480, 540),
        ("Tue-Tue 08:00-09:00", "Tue-Tue 08:00-09:00", {1}, 480, 540),
        ("22:00-02:00", "22:00-02:00", EVERY_DAY, 1320, 1560),
        ("daily 22:00-02:00", "daily 22:00-02:00", EVERY_DAY, 1320, 1560),
        ("Daily 10:00-00:00", "daily 10:00-00:00", EVERY_DAY, 600, 1440),
        ("00:00-24:00", "00:00-24:00", EVERY_DAY, 0, 1440),
        ("  mon , tues   6:00 -  7:00 ", "Mon,Tue 06:00-07:00", {0, 1}, 360, 420),
        ("Mon - Wed 6:00-7:00", "Mon-Wed 06:00-07:00", {0, 1, 2}, 360, 420),
    ],
)
def test_a_window_is_parsed(text: str, shown: str, days: set[int], start: int, end: int) -> None:
    assert parse_window(text) == Window(shown, frozenset(days), start, end)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "; its times are missing, such as 16:00-22:00"),
        ("Mon-Fri", "; its times are missing, such as 16:00-22:00"),
        ("16-22", "; its times are missing, such as 16:00-22:00"),
        ("Mon-Fri 16:00", "; its times are missing, such as 16:00-22:00"),
        ("Mon 16:00 22:00", ""),
        ("Mon 16:00-22:00 Europe/Berlin", ""),
        ("Mo-Fr 16:00-22:00", "; a day is one of Mon, Tue, Wed, Thu, Fri, Sat, Sun, or daily"),
        ("Mon, 16:00-22:00", "; a day is one of Mon, Tue, Wed, Thu, Fri, Sat, Sun, or daily"),
        ("Mon-Fri-Sun 16:00-22:00", "; a day is one of Mon, Tue, Wed, Thu, Fri, Sat, Sun, or daily"),
        ("Mon 16:00-24:01", "; a time is from 00:00 to 24:00"),
        ("Mon 16:60-22:00", "; a time is from 00:00 to 24:00"),
        ("Mon 16:0-22:00", "; a time is from 00:00 to 24:00"),
        ("Mon 24:00-02:00", "; a window begins before 24:00: write 00:00, and the day after"),
        ("Mon 08:00-08:00", "; it begins when it ends: write 00:00-24:00 for a whole day"),
        ("Mon 08:00-10:00,12:00-14:00", "; write a list of windows, each with one start and one end"),
        ("Mon 08:00-10:00; Sat 12:00-14:00", "; write a list of windows, each with one start and one end"),
        (
            "Fri 18:00-Sun 22:00",
            '; a window is within 24 hours: write one for each day, such as "Fri 18:00-24:00" and "Sat 00:00-12:00"',
        ),
        ("x" * (LONGEST_TEXT + 1), "; it is longer than 100 characters"),
        ("Mon \u0661\u0666:00-22:00", "; its times are missing, such as 16:00-22:00"),
    ],
)
def test_anything_else_is_refused_with_a_hint(text: str, hint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(hint) + "$") as caught:
        parse_window(text)
    assert str(caught.value) == hint


@given(st.text(max_size=LONGEST_TEXT + 5))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        window = parse_window(text)
    except ValueError:
        return
    assert parse_window(window.text) == window


minutes = st.integers(0, 1439)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=7), minutes, minutes)
def test_what_is_shown_is_the_same_window(days: list[int], start: int, end: int) -> None:
    if start == end:
        return
    names = ",".join(DAYS[day] for day in days)
    window = parse_window(f"{names} {start // 60}:{start % 60:02d}-{end // 60}:{end % 60:02d}")
    assert (set(window.days), window.start, window.end % 1440) == (set(days), start, end)
    assert 0 < window.end - window.start < 1440
    assert parse_window(window.text) == window
