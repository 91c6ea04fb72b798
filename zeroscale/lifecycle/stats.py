"""What is counted of one server since we began: the mutable side of `status.ServerStats`.

Whoever sees a thing happen says so here, at once; nobody reads but through `tally()`. Knows no clock and no metrics:
the clock's reading is handed in.
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
"""Words of one kind that are told apart; there are two dozen, and each is a time series wherever metrics are kept."""

OTHER = "other"
"""Stands for the words beyond that."""


class StatsRecorder:
    """One server's counters. All of them only grow.

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
        """It is in this status from now on; said of the one it is in already, it changes nothing."""
        self._seconds_in[self._status] += now - self._since
        self._status, self._since = status, now

    def woken(self, reason: str) -> None:
        """Somebody woke it: `login`, `connection`, `operator`."""
        _count(self._wakes, reason)

    def started(self, seconds: float) -> None:
        """A start became ready, after so many seconds."""
        self._starts[bisect_left(START_BOUNDS, seconds)] += 1
        self._start_seconds += seconds

    def crashed(self) -> None:
        """It has failed."""
        self._crashes += 1

    def ended(self, outcome: str) -> None:
        """A connection that had found it is over; the log's one word for how."""
        _count(self._outcomes, outcome)

    def refused(self, word: str) -> None:
        """A login was refused; one word for why."""
        _count(self._refusals, word)

    def pinged(self) -> None:
        """Its status was asked for, whoever answered."""
        self._pings += 1

    def login(self) -> None:
        """A player, or a client whose protocol we do not speak, wanted in."""
        self._logins += 1

    def relaying(self, moved: Callable[[], tuple[int, int]]) -> Callable[[], None]:
        """Somebody is relayed.

        :param moved: how many bytes, to the server and to him, so far.
        :returns: ends that; what was moved is then to be told to `relayed`.
        """
        key = object()
        self._relaying[key] = moved

        def end() -> None:
            self._relaying.pop(key, None)

        return end

    def relayed(self, to_backend: int, to_client: int) -> None:
        """So many bytes more went to it and came from it."""
        self._to_backend += to_backend
        self._to_client += to_client

    def snapshot(self, now: float) -> ServerStats:
        """All of it, as it is now; what is counted later does not change it."""
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
