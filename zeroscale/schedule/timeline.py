"""Which of a server's windows a moment is in, until when, and when that changes. Pure: moments are arguments.

Moments are seconds since 1970.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta, tzinfo
from enum import Enum

from msgspec import Struct

from zeroscale.schedule.wall_time import moment_of, shown_at
from zeroscale.schedule.windows import Window

DAYS_AHEAD = 14
"""How far is looked ahead: two weeks, since a window of one day in a week may be left out when a clock is changed."""

DAYS_BACK = 2
"""A window that has begun may be of the day before, and a clock may have been set back over midnight."""


class Wish(Enum):
    """What a schedule wants of a server."""

    awake = "awake"
    asleep = "asleep"
    nothing = "nothing"


class Phase(Struct, frozen=True):
    """A stretch of time in which a schedule wants the same.

    :ivar wish: what it wants.
    :ivar window: the window that it is in, as text; "": it is in none.
    :ivar begins: a moment from which on this holds: that for which it was computed.
    :ivar ends: when this changes: another wish, or another window; None: never.
    :ivar wish_ends: when the wish changes; None: never.
    """

    wish: Wish
    window: str
    begins: float
    ends: float | None
    wish_ends: float | None

    def holds_at(self, moment: float) -> bool:
        """Return whether this is so at a moment, as far as it is known: the clock may also have been set back."""
        return self.begins <= moment and (self.ends is None or moment < self.ends)


class _Span(Struct, frozen=True):
    begins: float
    ends: float
    window: Window


class Timeline:
    """The windows of one server in its time zone. Asleep beats awake; of several windows the first one counts.

    :param keep_awake: in their order.
    :param keep_asleep: in their order.
    :param zone: the time zone of the windows; None: the system's.
    """

    def __init__(self, keep_awake: Sequence[Window], keep_asleep: Sequence[Window], zone: tzinfo | None) -> None:
        self._keep_awake = tuple(keep_awake)
        self._keep_asleep = tuple(keep_asleep)
        self.zone = zone

    def phase_at(self, moment: float) -> Phase:
        """Return what is wanted at a moment, and until when."""
        awake, asleep = list(self._spans(self._keep_awake, moment)), list(self._spans(self._keep_asleep, moment))
        wish, window = _wanted(awake, asleep, moment)
        ends: float | None = None
        last = moment + DAYS_AHEAD * 86400
        changes = {each for span in (*awake, *asleep) for each in (span.begins, span.ends) if moment < each <= last}
        for change in sorted(changes):
            later_wish, later_window = _wanted(awake, asleep, change)
            if ends is None and (later_wish, later_window) != (wish, window):
                ends = change
            if later_wish is not wish:
                return Phase(wish, window, moment, ends, change)
        return Phase(wish, window, moment, ends, None)

    def _spans(self, windows: Iterable[Window], moment: float) -> Iterator[_Span]:
        today = shown_at(moment, self.zone).date()
        for window in windows:
            for offset in range(-DAYS_BACK, DAYS_AHEAD + 1):
                day = today + timedelta(days=offset)
                if day.weekday() in window.days:
                    begins, ends = (moment_of(day, minutes, self.zone) for minutes in (window.start, window.end))
                    if max(begins, moment) < ends:  # a window of times that are left out is empty
                        yield _Span(begins, ends, window)


def _wanted(awake: Iterable[_Span], asleep: Iterable[_Span], moment: float) -> tuple[Wish, str]:
    for wish, spans in ((Wish.asleep, asleep), (Wish.awake, awake)):
        for span in spans:
            if span.begins <= moment < span.ends:
                return wish, span.window.text
    return Wish.nothing, ""
