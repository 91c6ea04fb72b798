"""When a pair that is on its way out may be ended: times and counts in, a decision out.

Knows no socket and no clock; `now` is handed in, in seconds of one monotonic clock.
"""

from __future__ import annotations

LINGER_STALLED = 5.0
"""Seconds without progress after which a reset is passed on although not everything before it has arrived."""

LINGER_LIMIT = 60.0
"""Seconds after which a reset is passed on however well it goes: its sender is dead, and a reader that takes a byte
every few seconds must not keep what is left of it for ever."""


class Linger:
    """One end is dead, and the other has not yet got all that was sent before.

    To reset it at once would throw away what the kernel still holds for it.
    """

    __slots__ = ("_arrived", "_limit", "_stalled_at")

    def __init__(self, now: float) -> None:
        self._arrived = -1
        self._stalled_at = now + LINGER_STALLED
        self._limit = now + LINGER_LIMIT

    def is_over(self, now: float, arrived: int) -> bool:
        """Whether the reset may be passed on although something has not arrived.

        :param arrived: bytes that have; any change is progress.
        """
        if arrived != self._arrived:
            self._arrived = arrived
            self._stalled_at = now + LINGER_STALLED
        return now >= self._stalled_at or now >= self._limit


class Silence:
    """One side has finished sending, and the other may still."""

    __slots__ = ("_limit", "_moved", "_silent_at")

    def __init__(self, now: float, moved: int, limit: float) -> None:
        self._limit = limit
        self._moved = moved
        self._silent_at = now + limit

    def is_over(self, now: float, moved: int, waiting: bool) -> bool:
        """Whether it has been silent for too long.

        :param moved: bytes moved so far; any change of it is a sign of life.
        :param waiting: a peer is owed bytes that it does not take; that it is slow is no silence.
        """
        if waiting or moved != self._moved:
            self._moved = moved
            self._silent_at = now + self._limit
        return now >= self._silent_at
