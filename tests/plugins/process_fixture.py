"""Start servers in tests, wait for them by events and with a deadline, and leave no process behind."""

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
from zeroscale.process.background import ServerSigns
from zeroscale.process.child import ServerProcess

DEADLINE = 60.0
"""Seconds after which a wait fails."""

POLL_INTERVAL = 0.01
"""Seconds between two checks of a condition without an event."""

_servers: list[ProcessServer] = []


def kill_at_end(server: ProcessServer) -> None:
    """Kill this server at the end of the test, if it is still alive."""
    _servers.append(server)


async def kill_servers() -> None:
    """Kill the servers given to `kill_at_end`."""
    while _servers:
        server = _servers.pop()
        server.signal(signal.SIGKILL)
        with contextlib.suppress(PluginError, asyncio.CancelledError):  # it failed, or was detached
            await server.wait()


class ProcessFixture:
    """Makes server processes in one state directory, as successive zeroscales do, and leaves none behind."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.output = RecordedOutput()
        self._processes: list[ServerProcess] = []

    def process(
        self,
        ready_line: str | None = None,
        exclusive_directory: Path | None = None,
        signs: ServerSigns | None = None,
        state: Path | None = None,
    ) -> ServerProcess:
        """Make one that reports its lines to `output`.

        :param state: the state directory of another server.
        """
        process = ServerProcess(
            state or self.state,
            on_line=self.output,
            ready_line=ready_line,
            exclusive_directory=exclusive_directory,
            signs=signs,
        )
        self._processes.append(process)
        return process

    async def clear(self) -> None:
        """Kill what is still alive."""
        for process in self._processes:
            if process.alive:
                process.signal(signal.SIGKILL)
                await process.wait()
        last = ServerProcess(self.state)
        if await last.adopt():
            last.signal(signal.SIGKILL)
            await last.wait()


async def until(condition: Callable[[], object]) -> None:
    """Wait until a condition is true that has no event."""
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110 # there are no events of other processes
            await asyncio.sleep(POLL_INTERVAL)


@contextlib.contextmanager
def unrelated_process(*argv: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process in a session of its own that belongs to no server of ours; kill it at the end."""
    with subprocess.Popen(argv, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        try:
            yield child
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)


def children() -> set[int]:
    """Return the children of this process, alive or not yet waited for."""
    return {int(child) for path in Path("/proc/self/task").glob("*/children") for child in path.read_text().split()}
