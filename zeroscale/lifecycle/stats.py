"""Counts what happens to one server and its clients: the mutable side of `reports.ServerStats`.

Uses no clock and no metrics format: the clock's reading is passed in.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from itertools import accumulate
from types import MappingProxyType

from zeroscale.reports import ServerStats
from zeroscale.status import Status

START_BOUNDS = (1.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 180.0, 300.0, 600.0)
"""Seconds: a resumed server takes less than one, a small Minecraft server 10 to 30, a heavily modded one minutes."""

MOST_WORDS = 64
"""Words of one kind that are counted apart. About 24 are in use, and each becomes a time series of the metrics."""

OTHER = "other"
"""Counts all words beyond that number."""


class StatsRecorder:
    """The counters of one server, which only grow; see `snapshot`.

    :param status: the server's status.
    :param now: the monotonic clock's reading, in seconds.
    """

    def __init__(self, status: Status, now: float) -> None:
        self._status = status
        self._since = now
        self._seconds_in = dict.fromkeys(Status, 0.0)
        self._wakes: Counter[str] = Counter()
        self._starts = [0] * (len(START_BOUNDS) + 1)
        self._start_seconds = 0.0
        self._crashes = 0
        self._outcomes: Counter[str] = Counter()
        self._refusals: Counter[str] = Counter()
        self._pings = 0
        self._logins = 0
        self._to_backend = 0
        self._to_client = 0
        self._relaying: dict[object, Callable[[], tuple[int, int]]] = {}

    def status_changed(self, status: Status, now: float) -> None:
        """Count time for this status from now on; it may be the same as before."""
        self._seconds_in[self._status] += now - self._since
        self._status, self._since = status, now

    def woken(self, reason: str) -> None:
        """Count a wake.

        :param reason: `login`, `connection` or `operator`.
        """
        _count(self._wakes, reason)

    def started(self, seconds: float) -> None:
        """Count a start that has become ready after so many seconds."""
        self._starts[bisect_left(START_BOUNDS, seconds)] += 1
        self._start_seconds += seconds

    def crashed(self) -> None:
        """Count a failure of the server."""
        self._crashes += 1

    def ended(self, outcome: str) -> None:
        """Count the end of a client connection.

        :param outcome: the word of the access log.
        """
        _count(self._outcomes, outcome)

    def refused(self, word: str) -> None:
        """Count a refused login.

        :param word: the reason in one word.
        """
        _count(self._refusals, word)

    def pinged(self) -> None:
        """Count a status request, whether the proxy or the server has answered it."""
        self._pings += 1

    def login(self) -> None:
        """Count a login, or the connection of a client with an unknown protocol."""
        self._logins += 1

    def relaying(self, moved: Callable[[], tuple[int, int]]) -> Callable[[], None]:
        """Include the bytes of a relay that has not ended.

        :param moved: returns how many bytes went to the server and to the client so far.
        :returns: ends that; the caller then passes the sums to `relayed`.
        """
        key = object()
        self._relaying[key] = moved

        def end() -> None:
            self._relaying.pop(key, None)

        return end

    def relayed(self, to_backend: int, to_client: int) -> None:
        """Count the bytes of a relay that has ended."""
        self._to_backend += to_backend
        self._to_client += to_client

    def snapshot(self, now: float) -> ServerStats:
        """Return the counters as they are now, as values that do not change any more."""
        seconds_in = dict(self._seconds_in)
        seconds_in[self._status] += now - self._since
        moving = [moved() for moved in self._relaying.values()]
        cumulative = tuple(accumulate(self._starts))
        return ServerStats(
            seconds_by_status=MappingProxyType(seconds_in),
            wakes=MappingProxyType(dict(self._wakes)),
            start_durations=tuple(zip(START_BOUNDS, cumulative, strict=False)),
            starts=cumulative[-1],
            start_seconds=self._start_seconds,
            crashes=self._crashes,
            outcomes=MappingProxyType(dict(self._outcomes)),
            refusals=MappingProxyType(dict(self._refusals)),
            pings=self._pings,
            logins=self._logins,
            to_backend=self._to_backend + sum(to_backend for to_backend, _ in moving),
            to_client=self._to_client + sum(to_client for _, to_client in moving),
        )


def _count(counter: Counter[str], word: str) -> None:
    counter[word if word in counter or len(counter) < MOST_WORDS else OTHER] += 1
