"""Moments as a clock on the wall of a time zone shows them, and back. No clock of its own: moments are arguments.

Moments are seconds since 1970. A zone is a `tzinfo`, or None for the system's own, for which nothing is imported.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta, tzinfo

from zeroscale.errors import suggest


def find_zone(name: str) -> tzinfo:
    """Return a zone by its name: of the system's database, else of the package tzdata.

    :param name: such as `Europe/Berlin`.
    :raises ValueError: there is none of this name; the message can be appended to what was expected.
    """
    import zoneinfo  # only where a zone is named

    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):  # a path that leads elsewhere, a directory
        suggestion = suggest(name, sorted(zoneinfo.available_timezones()), show='"{}"'.format)
        raise ValueError(f"; {suggestion}" if suggestion else "") from None


def shown_at(moment: float, zone: tzinfo | None) -> datetime:
    """Return what the clock shows at a moment, without a zone."""
    return datetime.fromtimestamp(moment, zone).replace(tzinfo=None, fold=0)


def next_moment(minutes: int, zone: tzinfo | None, after: float) -> float:
    """Return the first moment after another one at which the clock begins to show a time of day; see `moment_of`.

    :param minutes: from midnight.
    """
    today = shown_at(after, zone).date()
    moments = (moment_of(today + timedelta(days=days), minutes, zone) for days in range(3))
    return next(moment for moment in moments if moment > after)


def moment_of(day: date, minutes: int, zone: tzinfo | None) -> float:
    """Return the first moment at which the clock shows a time of a day, or a later one.

    So a time that the clock shows twice is the first of the two, and one that it leaves out is the moment at which it
    is set forward. A later time is never an earlier moment.

    :param minutes: from midnight; may be more than a day's.
    """
    time = datetime.combine(day, datetime.min.time()) + timedelta(minutes=minutes)
    first = time.replace(tzinfo=zone, fold=0).timestamp()
    second = time.replace(tzinfo=zone, fold=1).timestamp()
    if second >= first:
        return first
    # The time is left out. `second` is before the clock is set forward, and `first` is after it.
    before, after = second, first
    while after - before > 1:
        middle = (before + after) // 2
        if shown_at(middle, zone) < time:
            before = middle
        else:
            after = middle
    return after
