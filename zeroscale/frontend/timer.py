"""Many timers of connections that share one delayed call of the reactor.

A delayed call of the reactor costs more than all else that a short connection needs timers for.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime

MOST_CANCELLED = 1000
"""Cancelled deadlines that are kept, at most, while they are more than half of all."""


class Deadlines:
    """Calls functions at their times. The reactor's call is due when the first of them was, even if it was cancelled.

    :param clock: schedules the one call.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._queue: list[_Deadline] = []
        self._number = 0
        self._cancelled = 0
        self._call: IDelayedCall | None = None

    def __len__(self) -> int:
        """Return how many calls are to be made."""
        return len(self._queue) - self._cancelled

    def add(self, seconds: float, function: Callable[..., object], arguments: tuple[Any, ...]) -> _Deadline:
        """Call a function after `seconds`."""
        self._number += 1
        deadline = _Deadline((self._clock.seconds() + seconds, self._number, function, arguments))
        heappush(self._queue, deadline)
        if self._queue[0] is deadline:
            self._schedule()
        return deadline

    def cancel(self, deadline: _Deadline) -> None:
        """Do not make this call, if it has not been made."""
        if deadline[2] is not None:
            deadline[2:] = None, ()
            self._cancelled += 1
            if self._cancelled > MOST_CANCELLED and 2 * self._cancelled > len(self._queue):
                self._queue = [each for each in self._queue if each[2] is not None]
                heapify(self._queue)
                self._cancelled = 0

    def _schedule(self) -> None:
        when = self._queue[0][0]
        if self._call is not None and self._call.active():
            if self._call.getTime() <= when:
                return
            self._call.cancel()
        self._call = self._clock.callLater(max(0.0, when - self._clock.seconds()), self._due)

    def _due(self) -> None:
        now = self._clock.seconds()
        try:
            while self._queue and (self._queue[0][0] <= now or self._queue[0][2] is None):
                _, _, function, arguments = deadline = heappop(self._queue)
                if function is None:
                    self._cancelled -= 1
                else:
                    deadline[2] = None
                    function(*arguments)
        finally:  # of several functions one may raise an exception, which the reactor logs
            if self._queue:
                self._schedule()


class _Deadline(list[Any]):
    """When, a number, the function, or None once it was called or cancelled, and its arguments."""


class Timer:
    """A timer, at first not running."""

    __slots__ = ("_deadline", "_deadlines")

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._deadline: _Deadline | None = None

    def start(self, seconds: float, function: Callable[..., object], *arguments: object) -> None:
        """Call a function after `seconds`, instead of the call that is still waiting."""
        self.cancel()
        self._deadline = self._deadlines.add(seconds, function, arguments)

    def cancel(self) -> None:
        """Stop the timer, if it is running."""
        if self._deadline is not None:
            self._deadlines.cancel(self._deadline)
            self._deadline = None
