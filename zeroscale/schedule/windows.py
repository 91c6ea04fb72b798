"""Weekly windows as people write them: "Mon-Fri 16:00-22:00", "Sat,Sun 10:00-24:00", "22:00-02:00". Pure.

Only their syntax is here; `timeline` computes which moments they are.
"""

from __future__ import annotations

import re

from msgspec import Struct

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
EVERY_DAY = frozenset(range(7))

MINUTES_PER_DAY = 24 * 60

LONGEST_TEXT = 100
"""Characters of a window: all days and two times have fewer."""

_NAMES = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_WINDOW = r"(?:(?P<days>[^:]*?)\s+)?(?P<start>[0-9]+:[0-9]+)\s*-\s*(?P<end>[0-9]+:[0-9]+)"


class Window(Struct, frozen=True):
    """A window of each week, in minutes by a clock on the wall.

    :ivar text: as it is shown: `Mon-Fri 16:00-22:00`.
    :ivar days: the days on which it begins; 0 is Monday.
    :ivar start: when it begins, in minutes from midnight.
    :ivar end: when it ends, in minutes from the midnight before its start: more than a day where it passes midnight.
    """

    text: str
    days: frozenset[int]
    start: int
    end: int


def parse_window(text: str) -> Window:
    """Parse a window: days, and two times between which it lasts.

    Days are names with commas and ranges (`Fri-Mon` is four days), `daily`, or left out. A window whose end is not
    after its start passes midnight, and belongs to the day on which it begins.

    :raises ValueError: it is not a window; the message, which may be empty, is to be appended to what one is.
    """
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"; it is longer than {LONGEST_TEXT} characters")
    found = re.fullmatch(_WINDOW, text.strip(), re.ASCII)
    if found is None:
        raise ValueError(_hint(text))
    days = _days(found["days"] or "daily")
    start, end = _minutes(found["start"]), _minutes(found["end"])
    if start == MINUTES_PER_DAY:
        raise ValueError("; a window begins before 24:00: write 00:00, and the day after")
    if start == end:
        raise ValueError("; it begins when it ends: write 00:00-24:00 for a whole day")
    written = " ".join([*([_days_text(found["days"])] if found["days"] else []), f"{_clock(start)}-{_clock(end)}"])
    return Window(written, days, start, end if end > start else end + MINUTES_PER_DAY)


def _hint(text: str) -> str:
    times = re.findall(r"[0-9]+:[0-9]+", text)
    if len(times) == 2 and re.search(rf"{times[0]}\s*-\s*[A-Za-z]+\s+{times[1]}", text):
        return '; a window is within 24 hours: write one for each day, such as "Fri 18:00-24:00" and "Sat 00:00-12:00"'
    if len(times) > 2:
        return "; write a list of windows, each with one start and one end"
    return "; its times are missing, such as 16:00-22:00" if len(times) < 2 else ""


def _days(text: str) -> frozenset[int]:
    if text.lower() == "daily":
        return EVERY_DAY
    days: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        begin = _day(first)
        end = _day(last) if dash else begin
        days.update((begin + offset) % 7 for offset in range((end - begin) % 7 + 1))
    return frozenset(days)


def _day(text: str) -> int:
    name = text.strip().lower()
    for number, full in enumerate(_NAMES):
        if len(name) >= 3 and full.startswith(name):
            return number
    raise ValueError(f"; a day is one of {', '.join(DAYS)}, or daily")


def _minutes(text: str) -> int:
    hours, minutes = text.split(":")
    if len(hours) <= 2 and len(minutes) == 2:
        total = int(hours) * 60 + int(minutes)
        if int(minutes) < 60 and total <= MINUTES_PER_DAY:
            return total
    raise ValueError("; a time is from 00:00 to 24:00")


def _days_text(text: str) -> str:
    """Return days in their short form, as written otherwise."""
    if text.lower() == "daily":
        return "daily"
    return ",".join("-".join(DAYS[_day(name)] for name in part.split("-", 1)) for part in text.split(","))


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"
