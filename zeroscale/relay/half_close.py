"""Time limits of pairs that are ending. Pure: `now` is seconds of one monotonic clock."""

from __future__ import annotations

LINGER_STALLED = 5.0
"""Seconds without progress after which a reset is passed on although not everything before it has arrived."""

LINGER_LIMIT = 60.0
"""Seconds after which a reset is passed on in any case: its sender is dead, and a reader that takes a byte every few
seconds must not keep the pair for ever."""


class Linger:
    """The wait of a pair of which one end is dead, until the other end has all that was sent before.

    A reset at once would discard what the kernel still holds for it.
    """

    __slots__ = ("_arrived", "_limit", "_stalled_at")

    def __init__(self, now: float) -> None:
        self._arrived = -1
        self._stalled_at = now + LINGER_STALLED
        self._limit = now + LINGER_LIMIT

    def expired(self, now: float, arrived: int) -> bool:
        """Return whether the reset is to be passed on although bytes have not arrived.

        :param arrived: bytes that have arrived; any change is progress.
        """
        if arrived != self._arrived:
            self._arrived = arrived
            self._stalled_at = now + LINGER_STALLED
        return now >= self._stalled_at or now >= self._limit


class IdleLimit:
    """The limit of a pair of which one side has finished sending while the other may go on."""

    __slots__ = ("_idle_at", "_limit", "_moved")

    def __init__(self, now: float, moved: int, limit: float) -> None:
        self._limit = limit
        self._moved = moved
        self._idle_at = now + limit

    def expired(self, now: float, moved: int, waiting: bool) -> bool:
        """Return whether the pair has moved nothing for too long.

        :param moved: bytes moved so far; any change is activity.
        :param waiting: a peer has not yet taken bytes sent to it: a slow peer is not idle.
        """
        if waiting or moved != self._moved:
            self._moved = moved
            self._idle_at = now + self._limit
        return now >= self._idle_at
