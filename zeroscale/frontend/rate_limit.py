"""How often one address may ask for something: token buckets, bounded in number. Pure: times are handed in."""

from __future__ import annotations

MINUTE = 60.0

MOST_ADDRESSES = 1024
"""Buckets kept: under 256 KiB, and each of a hundred servers may need three times as much. Who has more addresses than
this is not held by a limit for each of them."""


class Buckets:
    """One bucket an address, each full at first.

    :param per_minute: how many tokens a bucket holds, and gains in a minute; it holds one at least.
    :param most: how many buckets are kept; beyond it the one that has been used the longest time ago goes.
    """

    def __init__(self, per_minute: float, most: int = MOST_ADDRESSES) -> None:
        self._size = max(1.0, per_minute)
        self._per_second = per_minute / MINUTE
        self._most = most
        # The one used last is the last: who is full again by the time it has lain idle is found at the beginning.
        self._buckets: dict[str, tuple[float, float]] = {}

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: str | None, now: float) -> bool:
        """Takes one token, if there is one.

        :param key: whose; None: somebody for whom there is no limit.
        :param now: seconds of a monotonic clock.
        """
        if key is None:
            return True
        self._forget_full(now)
        tokens, since = self._buckets.pop(key, (self._size, now))
        tokens = min(self._size, tokens + (now - since) * self._per_second)
        taken = tokens >= 1.0
        if len(self._buckets) >= self._most:
            del self._buckets[next(iter(self._buckets))]
        self._buckets[key] = (tokens - 1.0 if taken else tokens, now)
        return taken

    def _forget_full(self, now: float) -> None:
        full_after = self._size / self._per_second
        while self._buckets:
            oldest = next(iter(self._buckets))
            if now - self._buckets[oldest][1] < full_after:
                return
            del self._buckets[oldest]
