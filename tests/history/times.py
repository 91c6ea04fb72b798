"""Two clocks that are set by hand, and a server's history made with them."""

from __future__ import annotations

from pathlib import Path

from zeroscale.history.database import HistoryFile
from zeroscale.history.journal import ServerJournal
from zeroscale.history.values import Row

DAY = 86400.0
START = 1_800_000_000.0
"""Some day in 2027."""


class Times:
    """A monotonic clock, and a wall clock that may be set.

    :ivar elapsed: seconds by the monotonic clock.
    :ivar jumped: how far the wall clock was set forward.
    """

    def __init__(self) -> None:
        self.elapsed = 0.0
        self.jumped = 0.0

    def advance(self, seconds: float) -> None:
        self.elapsed += seconds

    def monotonic(self) -> float:
        return 5000.0 + self.elapsed

    def wall(self) -> float:
        return START + self.elapsed + self.jumped

    def journal(self, *, addresses: bool = True) -> ServerJournal:
        return ServerJournal(self.monotonic, self.wall, self.monotonic(), addresses=addresses)

    def file(self, directory: Path, *, keep: float = 400 * DAY, max_size: int = 10**8) -> HistoryFile:
        return HistoryFile(directory, keep, max_size, self.wall, self.monotonic)


def entry(at: float, event: str = "stopped", *, name: str = "", detail: str = "", key: int = 0) -> Row:
    """Return a row of the entries."""
    return Row("entries", key, (at, event, "", name, "", "", detail, None, 1))
