"""A command that does something and ends: run with a time limit, its output passed on, its end told.

What it starts, and leaves running, is not touched: only the command itself is ended when it takes too long, and its
output is a file, so that nothing breaks that goes on writing to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from zeroscale.errors import PluginError
from zeroscale.process.console_files import OutputFile
from zeroscale.process.spawn import spawn

READ_INTERVAL = 0.2
"""Seconds between two looks at the output of a command that runs."""

TERMINATE_GRACE = 5.0
"""Seconds that a command has to end after SIGTERM: it does nothing that has to be saved."""

QUOTED = 200
"""Characters of its last line of output in a message."""


class CommandTimeout(PluginError):
    """A command that was ended for it."""


@dataclass(frozen=True)
class CommandResult:
    """A command that has ended.

    :ivar code: its exit code, 128 plus the signal's number if one ended it.
    :ivar lines: what it said last, bounded in number and length.
    """

    code: int
    lines: Sequence[str]

    @property
    def last_line(self) -> str:
        """What it said last, short; empty where it said nothing."""
        said = [line.strip() for line in self.lines if line.strip()]
        return said[-1][:QUOTED] if said else ""

    def summary(self) -> str:
        """How it ended, with what it said."""
        return f"exit code {self.code}" + (f": {self.last_line}" if self.last_line else "")


class CommandRunner:
    """Runs commands for one server.

    :param directory: where they run.
    :param logs: the directory for their output, one file a kind.
    :param on_line: called with each line of their output.
    """

    def __init__(self, directory: Path, logs: Path, on_line: Callable[[str], None]) -> None:
        self._directory = directory
        self._logs = logs
        self._on_line = on_line
        self._turns: dict[str, asyncio.Lock] = {}
        self._children: set[subprocess.Popen[bytes]] = set()

    async def run(self, kind: str, argv: Sequence[str], limit: float, *, quiet: bool = False) -> CommandResult:
        """Runs a command and waits for its end.

        :param kind: what it is for, in a word; of a kind there is one at a time, others wait for their turn.
        :param argv: the command line.
        :param limit: seconds; then it gets SIGTERM, and SIGKILL `TERMINATE_GRACE` later.
        :param quiet: its output is not passed on.
        :raises CommandTimeout: it was ended for it.
        :raises PluginError: it cannot be run.
        """
        async with self._turns.setdefault(kind, asyncio.Lock()):
            return await self._run(kind, argv, limit, quiet)

    def close(self) -> None:
        """Ends the commands that run: who waits for them learns how they ended."""
        for child in self._children:
            child.terminate()

    async def _run(self, kind: str, argv: Sequence[str], limit: float, quiet: bool) -> CommandResult:
        output = OutputFile(self._logs / f"{kind}.log", (lambda _: None) if quiet else self._on_line)
        child: subprocess.Popen[bytes] | None = None
        try:
            output.rotate()
            output.open()
            writing = output.open_for_child()
            try:
                child = spawn(
                    argv,
                    working_directory=self._directory,
                    environment={},
                    standard_input=subprocess.DEVNULL,
                    standard_output=writing,
                )
            finally:
                os.close(writing)
            self._children.add(child)
            in_time = await _ended(child, limit, output.read)
            code = child.wait()
            output.finish()
        except OSError as error:
            raise PluginError(f"cannot keep the output of the {kind} command: {error}") from error
        finally:
            output.close()
            if child is not None:
                self._children.discard(child)
                if child.poll() is None:
                    child.kill()
                    child.wait()
        done = CommandResult(128 - code if code < 0 else code, tuple(output.last_lines))
        if not in_time:
            said = f"; it said: {done.last_line}" if done.last_line else ""
            raise CommandTimeout(f"the {kind} command ({argv[0]}) took more than {limit:g} s, and was ended{said}")
        return done


async def _ended(child: subprocess.Popen[bytes], limit: float, look: Callable[[], object]) -> bool:
    """Waits for a child's end, looking at its output meanwhile; whether it ended without being told to."""
    with _end_of(child.pid) as end:
        if await _in_time(child, end, limit, look):
            return True
        child.terminate()
        if not await _in_time(child, end, TERMINATE_GRACE, look):
            child.kill()
            await _in_time(child, end, TERMINATE_GRACE, look)
        return False


async def _in_time(
    child: subprocess.Popen[bytes], end: asyncio.Event, limit: float, look: Callable[[], object]
) -> bool:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + limit
    while child.poll() is None:
        left = deadline - loop.time()
        if left <= 0:
            return False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(left, READ_INTERVAL)):  # not wait_for: 3.11's may swallow being cancelled
                await end.wait()
        look()
    return True


@contextlib.contextmanager
def _end_of(process_id: int) -> Iterator[asyncio.Event]:
    """An event that is set at a child's end, where the system can tell; else whoever waits looks from time to time."""
    end = asyncio.Event()
    loop = asyncio.get_running_loop()
    try:
        descriptor = os.pidfd_open(process_id)
    except (AttributeError, OSError):
        yield end
        return

    def ended() -> None:
        end.set()
        loop.remove_reader(descriptor)

    loop.add_reader(descriptor, ended)
    try:
        yield end
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
