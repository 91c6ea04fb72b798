"""Waiting for what a server says or does: by events, with a deadline, never for a fixed time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from zeroscale.errors import PluginError
from zeroscale.plugins.base import ProcessServer
from zeroscale.plugins.testing import RecordedOutput
from zeroscale.process.child import ServerProcess

DEADLINE = 60.0
"""Seconds after which what has not come is given up."""

GLANCE = 0.01
"""Seconds between looks at what has no event of its own."""


_servers: list[ProcessServer] = []


def kill_at_end(server: ProcessServer) -> None:
    """Ends this server when the test has, if it still lives then."""
    _servers.append(server)


async def kill_servers() -> None:
    """Ends what `kill_at_end` was told of."""
    while _servers:
        server = _servers.pop()
        server.signal(signal.SIGKILL)
        with contextlib.suppress(PluginError, asyncio.CancelledError):  # why it ended, or that it was let go
            await server.wait()


class Bench:
    """Servers under test: made in one state directory, as successive zeroscales would, and none left behind."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.output = RecordedOutput()
        self._processes: list[ServerProcess] = []

    def process(self, ready_line: str | None = None, exclusive_directory: Path | None = None) -> ServerProcess:
        """One that says its lines to `output`."""
        process = ServerProcess(
            self.state, on_line=self.output, ready_line=ready_line, exclusive_directory=exclusive_directory
        )
        self._processes.append(process)
        return process

    async def clear(self) -> None:
        """Ends what still lives."""
        for process in self._processes:
            if process.alive:
                process.signal(signal.SIGKILL)
                await process.wait()
        last = ServerProcess(self.state)
        if await last.adopt():
            last.signal(signal.SIGKILL)
            await last.wait()


async def until(true: Callable[[], object]) -> None:
    """Waits until something is true that nobody announces."""
    async with asyncio.timeout(DEADLINE):
        while not true():  # noqa: ASYNC110 # of other processes there are no events
            await asyncio.sleep(GLANCE)


@contextlib.contextmanager
def stranger(*argv: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process with a session of its own that no server of ours knows; ended in the end."""
    with subprocess.Popen(argv, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        try:
            yield child
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)


def children() -> set[int]:
    """The children of this process, alive or not waited for."""
    return {int(child) for path in Path("/proc/self/task").glob("*/children") for child in path.read_text().split()}
