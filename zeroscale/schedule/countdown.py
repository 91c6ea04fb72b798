"""When players are warned of a stop: times in, due warnings out. Pure.

Times are seconds of one clock, durations are seconds.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct


class Countdown(Struct, frozen=True):
    """The warnings before one stop.

    :ivar stop_at: when the server stops.
    :ivar warn_at: when a warning is due, in ascending order; none is after the stop.
    """

    stop_at: float
    warn_at: tuple[float, ...]

    @classmethod
    def begin(cls, now: float, stop_at: float, before: Iterable[float], *, announce: bool = False) -> Countdown:
        """Return the countdown to a stop.

        :param before: how long before the stop warnings are due, from 0 on; those whose time is over are left out.
        :param announce: also warn now, if the time of a warning is over: the stop was not known then.
        """
        times = {stop_at - seconds for seconds in before}
        warn_at = {at for at in times if at >= now}
        if announce and now < stop_at and warn_at != times:
            warn_at.add(now)
        return cls(stop_at, tuple(sorted(warn_at)))

    @property
    def next_at(self) -> float:
        """When the next warning is due, or the stop."""
        return self.warn_at[0] if self.warn_at else self.stop_at

    def advance(self, now: float) -> tuple[Countdown, bool]:
        """Return the rest of the countdown, and whether a warning is due: one of several, and none once the stop is."""
        later = tuple(at for at in self.warn_at if at > now)
        return Countdown(self.stop_at, later), later != self.warn_at and now < self.stop_at
