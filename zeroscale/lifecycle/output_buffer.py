"""The last lines of a server's output, and callbacks for new ones."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence

logger = logging.getLogger("zeroscale.server")

LINES_KEPT = 500
"""Lines: the crash report of a mod pack is about as long."""

LONGEST_LINE = 1000
"""Characters; with `LINES_KEPT` lines at most about 0.5 MiB a server, and nothing for one that has not run."""


class OutputBuffer:
    """Keeps the last lines of one server's output."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=LINES_KEPT)
        self._subscribers: dict[object, Callable[[str], None]] = {}

    def add(self, line: str) -> None:
        """Add a line, which is cut at `LONGEST_LINE`, and pass it to the subscribers."""
        line = line[:LONGEST_LINE]
        self._lines.append(line)
        for take_line in list(self._subscribers.values()):
            try:
                take_line(line)
            except Exception:  # it must harm neither the server's output nor other subscribers
                logger.exception("A line of output could not be passed on")

    def lines(self) -> Sequence[str]:
        """Return the lines, oldest first."""
        return tuple(self._lines)

    def subscribe(self, take_line: Callable[[str], None]) -> Callable[[], None]:
        """Register `take_line`, to be called with each new line; return a function that unregisters it."""
        key = object()
        self._subscribers[key] = take_line

        def unsubscribe() -> None:
            self._subscribers.pop(key, None)

        return unsubscribe
