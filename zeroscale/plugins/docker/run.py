"""One run of a container, from a start to its end: whose it is, and how it ended. Asks no engine."""

from __future__ import annotations

import asyncio

from zeroscale.plugins.docker.container import Container

LATE = 1.0
"""Seconds in which what an engine says last comes after the news of an end."""


class Run:
    """A container from one start to its end.

    :ivar key: names it among all runs.
    :ivar ended: set once it has ended.
    :ivar claimed: the core knows of it.
    :ivar exit_code: its exit code; None: not known.
    :ivar reason: why it has ended, where that is known better than by its code.
    :ivar reader: reads its output.
    """

    def __init__(self, key: tuple[str, str]) -> None:
        self.key = key
        self.ended = asyncio.Event()
        self.claimed = False
        self.exit_code: int | None = None
        self.reason: str | None = None
        self.reader: asyncio.Task[None] | None = None
        self._coded = asyncio.Event()

    def end(self, exit_code: int | None, reason: str | None) -> None:
        """It has ended.

        :param exit_code: None: not known, or not yet.
        """
        self.reason = reason
        if exit_code is not None:
            self.note_code(exit_code)
        self.ended.set()

    def note_code(self, exit_code: int) -> None:
        """The exit code, which may come after the end: who sees a restart has not seen the end before it."""
        self.exit_code = exit_code
        self._coded.set()

    async def last_words(self) -> None:
        """Waits, once it has ended, for what comes after that news: its code, and the end of its output."""
        late = [asyncio.ensure_future(self._coded.wait())]
        try:
            await asyncio.wait([*late, *([self.reader] if self.reader is not None else [])], timeout=LATE)
        finally:
            late[0].cancel()
            await asyncio.wait(late)


def reason_of(seen: Container | None) -> str | None:
    """Why a container has ended, where the engine knows better than its exit code says."""
    if seen is not None and seen.out_of_memory:
        return f"the kernel ended it: container {seen.name} used more memory than it may"
    return None
