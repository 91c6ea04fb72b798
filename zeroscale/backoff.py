"""Delays between attempts that fail: doubled each time, up to a longest one. Pure."""

from __future__ import annotations

from collections.abc import Iterator


def backoff_delay(failures: int, first: float, longest: float) -> float:
    """Return the delay in seconds after so many failures in a row: `first` after one, then doubled up to `longest`."""
    return min(first * 2.0 ** min(failures - 1, 60), longest)  # 60: a float has an end, and `longest` comes sooner


class Backoff(Iterator[float]):
    """An endless iterator over the delays, which can begin anew.

    :param first: the first delay in seconds.
    :param longest: no delay is longer.
    """

    def __init__(self, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self._failures = 0

    def __next__(self) -> float:
        self._failures += 1
        return backoff_delay(self._failures, self._first, self._longest)

    def reset(self) -> None:
        """Begin anew, after a success: the next delay is the first one."""
        self._failures = 0
