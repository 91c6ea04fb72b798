"""The last lines of a server's output, for whoever wants to read them, and those who follow it."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence

logger = logging.getLogger(__name__)

LINES_KEPT = 500
"""A crash report of a mod pack is about as long."""

LONGEST_LINE = 1000
"""Characters; with `LINES_KEPT` lines at most about 0.5 MiB a server, and nothing for one that has not run."""


class OutputBuffer:
    """One server's."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=LINES_KEPT)
        self._followers: dict[object, Callable[[str], None]] = {}

    def add(self, line: str) -> None:
        """One more line."""
        line = line[:LONGEST_LINE]
        self._lines.append(line)
        for take_line in list(self._followers.values()):
            try:
                take_line(line)
            except Exception:  # whoever reads along is to cost neither the server's output nor other readers anything
                logger.exception("A line of output could not be told")

    def lines(self) -> Sequence[str]:
        """What is kept, oldest first."""
        return tuple(self._lines)

    def subscribe(self, take_line: Callable[[str], None]) -> Callable[[], None]:
        """Has each new line given to `take_line`; returns what ends that."""
        key = object()
        self._followers[key] = take_line

        def leave() -> None:
            self._followers.pop(key, None)

        return leave
