"""The notifications that wait for one target: their order, their bounds, and when the next attempt is due. Pure.

Not thread-safe: its user has a lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec import Struct

from zeroscale.backoff import Backoff
from zeroscale.events import ServerEvent

MOST_WAITING = 1000
"""Notifications of one target; about 1 MB in memory and 4 MB on disk. Beyond that the oldest are dropped."""

MOST_REFUSED = MOST_WAITING // 2
"""Refused logins, which strangers cause, are dropped first: they are not to push out what is important."""

LONGEST_AGE = 7 * 86400.0
"""Seconds."""

FIRST_RETRY = 1.0
LONGEST_RETRY = 600.0
"""Seconds between two attempts: at first, and at most. Each attempt that fails doubles it."""


class Waiting(Struct, eq=False):
    """One notification that waits.

    :ivar id: tells the receiver whether it has had this event already.
    :ivar path: its file; None: it is in memory only.
    :ivar gone: it was delivered or dropped.
    """

    id: str
    event: ServerEvent
    path: Path | None = None
    gone: bool = False


class TargetQueue:
    """The queue of one target. An attempt is always for the oldest one, so that the order is kept."""

    def __init__(self) -> None:
        self._waiting: deque[Waiting] = deque()
        self._backoff = Backoff(FIRST_RETRY, LONGEST_RETRY)
        self._not_before = 0.0

    def __len__(self) -> int:
        return len(self._waiting)

    def first_unsaved(self) -> Waiting | None:
        """Return the oldest one that has no file yet. All that are younger have none either."""
        found = None
        for each in reversed(self._waiting):
            if each.path is not None:
                break
            found = each
        return found

    def add(self, new: Waiting) -> Sequence[Waiting]:
        """Append one, and return those that are dropped for it."""
        if new.event.event == "refused" and len(self._waiting) >= MOST_REFUSED:
            new.gone = True
            return (new,)
        self._waiting.append(new)
        return self._drop(len(self._waiting) - MOST_WAITING)

    def restore(self, older: Iterable[Waiting]) -> Sequence[Waiting]:
        """Put those of an earlier run before all others, and return those that are dropped for it."""
        self._waiting.extendleft(reversed(list(older)))
        return self._drop(len(self._waiting) - MOST_WAITING)

    def expire(self, now: float) -> Sequence[Waiting]:
        """Drop what is too old, and return it.

        :param now: seconds since 1970.
        """
        old = 0
        while old < len(self._waiting) and now - self._waiting[old].event.at > LONGEST_AGE:
            old += 1
        return self._drop(old)

    def next(self) -> Waiting | None:
        """Return the one that is to be delivered next."""
        return self._waiting[0] if self._waiting else None

    def delay(self, now: float) -> float:
        """Return how many seconds to wait until the next attempt.

        :param now: seconds of a monotonic clock.
        """
        return max(0.0, self._not_before - now)

    def delivered(self, done: Waiting) -> None:
        """Remove one that was delivered, or can never be; the next one is due at once."""
        if not done.gone:  # else it was dropped in the meantime
            self._waiting.remove(done)
            done.gone = True
        self.retry_now()

    def failed(self, now: float, retry_after: float | None) -> None:
        """Remember that an attempt failed.

        :param now: seconds of the monotonic clock.
        :param retry_after: when the receiver wants the next one; None: it does not say.
        """
        delay = next(self._backoff)
        self._not_before = now + (delay if retry_after is None else max(retry_after, FIRST_RETRY))

    def retry_now(self) -> None:
        """Forget that attempts failed."""
        self._backoff.reset()
        self._not_before = 0.0

    def clear(self) -> Sequence[Waiting]:
        """Drop all, and return them."""
        return self._drop(len(self._waiting))

    def _drop(self, number: int) -> Sequence[Waiting]:
        dropped = [self._waiting.popleft() for _ in range(number)]
        for each in dropped:
            each.gone = True
        return dropped
