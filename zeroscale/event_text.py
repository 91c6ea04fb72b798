"""Events in words: for the log, notifications and the history. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
NEAR = 6 * 86400.0
"""Seconds within which the day of the week tells the date."""

_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def format_duration(seconds: float) -> str:
    """Return a duration in its two largest units."""
    rest = max(0, round(seconds))
    values: list[str] = []
    for name, size in _UNITS:
        count, rest = divmod(rest, size)
        if count or (name == "s" and not values):
            values.append(f"{count} {name}")
        elif values:
            values.append("")
        if len(values) == 2:
            break
    return " ".join(part for part in values if part)


def format_moment(at: float, now: float, local_time: Callable[[float], Sequence[int]]) -> str:
    """Return a moment as `22:00` if it is on the same day as now, as `Tue 22:00` or as `2026-12-09 22:00`.

    :param at: in seconds since 1970.
    :param now: in seconds since 1970.
    :param local_time: such as `time.localtime`.
    """
    year, month, day, hour, minute, _, weekday, *_ = local_time(at)
    clock = f"{hour:02}:{minute:02}"
    if (year, month, day) == tuple(local_time(now)[:3]):
        return clock
    if abs(at - now) < NEAR:
        return f"{DAYS[weekday]} {clock}"
    return f"{year}-{month:02}-{day:02} {clock}"
