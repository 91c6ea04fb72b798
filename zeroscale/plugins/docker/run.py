"""One run of a container, from a start to its end, and how it ended. Makes no requests."""

from __future__ import annotations

import asyncio

from zeroscale.plugins.docker.container import Container

DRAIN_LIMIT = 1.0
"""Seconds for the exit code and the last output to arrive after the event of an end."""


class ContainerRun:
    """A container from one start to its end.

    :ivar run_id: see `Container.run_id`.
    :ivar ended: set once it has ended.
    :ivar reported: whether it was reported to the core.
    :ivar exit_code: None: not known.
    :ivar reason: why it has ended, if the engine reports more than the exit code.
    :ivar reader: the task that reads its output.
    """

    def __init__(self, run_id: tuple[str, str]) -> None:
        self.run_id = run_id
        self.ended = asyncio.Event()
        self.reported = False
        self.exit_code: int | None = None
        self.reason: str | None = None
        self.reader: asyncio.Task[None] | None = None
        self._has_exit_code = asyncio.Event()

    def end(self, exit_code: int | None, reason: str | None) -> None:
        """Record that it has ended.

        :param exit_code: None: not known, or not yet.
        """
        self.reason = reason
        if exit_code is not None:
            self.set_exit_code(exit_code)
        self.ended.set()

    def set_exit_code(self, exit_code: int) -> None:
        """Record the exit code, which may arrive after the end: a restart may be seen before the exit event."""
        self.exit_code = exit_code
        self._has_exit_code.set()

    async def drain(self) -> None:
        """Wait, once it has ended, for its exit code and the end of its output; at most `DRAIN_LIMIT`."""
        code_wait = asyncio.ensure_future(self._has_exit_code.wait())
        try:
            await asyncio.wait([code_wait, *([self.reader] if self.reader is not None else [])], timeout=DRAIN_LIMIT)
        finally:
            code_wait.cancel()
            await asyncio.wait([code_wait])


def end_reason(container: Container | None) -> str | None:
    """Return why a container has ended, if the engine reports more than the exit code."""
    if container is not None and container.out_of_memory:
        return f"the kernel killed container {container.name}: it used more memory than its limit"
    return None
