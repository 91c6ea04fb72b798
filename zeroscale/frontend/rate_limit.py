"""Limit the requests of each address with token buckets, bounded in number. Pure: times are arguments."""

from __future__ import annotations

MINUTE = 60.0

MOST_ADDRESSES = 1024
"""Buckets kept: less than 256 KiB, and each of a hundred servers may have three such tables. An attacker with more
addresses than this is not stopped by a limit for each address."""

REPORTS_PER_ADDRESS = 6.0
REPORTS = 60.0
"""Refused logins a minute that are reported, of one address and of all: a player who tries again and again is seen."""


class Buckets:
    """One token bucket for each address, full at first.

    :param per_minute: tokens that a bucket gains in a minute, and holds at most; it holds at least one.
    :param most: buckets kept; beyond it the one that was not used for the longest time is dropped.
    """

    def __init__(self, per_minute: float, most: int = MOST_ADDRESSES) -> None:
        self._size = max(1.0, per_minute)
        self._per_second = per_minute / MINUTE
        self._most = most
        # In the order of their last use, so that buckets that are full again are found at the beginning.
        self._buckets: dict[str, tuple[float, float]] = {}

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: str | None, now: float) -> bool:
        """Take one token; return whether there was one.

        :param key: the address's key; None: it has no limit.
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


class RefusalReports:
    """Bounds how many refused logins are reported as events: a flood of logins must not become one of events.

    All of them are counted in the metrics.
    """

    def __init__(self) -> None:
        self._by_address = Buckets(REPORTS_PER_ADDRESS)
        self._all = Buckets(REPORTS)

    def may_report(self, key: str, now: float) -> bool:
        """Count a refused login; return whether to report it.

        :param key: the address's key.
        :param now: seconds of a monotonic clock.
        """
        return self._by_address.take(key, now) and self._all.take("", now)
