"""Run an operator's command to its end, with a time limit, and report its output.

Processes that it leaves running are not ended, unlike those of `oneshot`: only the command itself is ended when it
takes too long, and its output is a file, so that processes may continue to write to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from zeroscale.errors import PluginError, StartRefused
from zeroscale.process.console_files import OutputFile
from zeroscale.process.environment import ChildEnvironment
from zeroscale.process.spawn import PASSING_ERRORS, spawn

READ_INTERVAL = 0.2
"""Seconds between two reads of the output of a running command."""

TERMINATE_GRACE = 5.0
"""Seconds from SIGTERM to SIGKILL: a command has nothing to save."""

LONGEST_QUOTE = 200
"""Characters of the last line of output that are quoted in a message."""


class CommandTimeout(PluginError):
    """A command took too long, and was ended."""


class CommandResult(Struct, frozen=True):
    """How a command ended.

    :ivar code: its exit code, 128 plus the signal's number if a signal ended it.
    :ivar lines: the last lines of its output, bounded in number and length.
    """

    code: int
    lines: Sequence[str]

    @property
    def last_line(self) -> str:
        """The last line of its output that is not blank, shortened; empty where there is none."""
        lines = [line.strip() for line in self.lines if line.strip()]
        return lines[-1][:LONGEST_QUOTE] if lines else ""

    def summary(self) -> str:
        """Return its exit code and last line of output, for a message."""
        return f"exit code {self.code}" + (f": {self.last_line}" if self.last_line else "")


class CommandRunner:
    """Runs the commands of one server.

    :param directory: where they run.
    :param logs: the directory for their output, one file for each kind.
    :param on_line: called with each line of their output.
    :ivar environment: their environment variables.
    """

    def __init__(
        self,
        directory: Path,
        logs: Path,
        on_line: Callable[[str], None],
        environment: ChildEnvironment | None = None,
    ) -> None:
        self._directory = directory
        self._logs = logs
        self._on_line = on_line
        self.environment = environment or ChildEnvironment()
        self._locks: dict[str, asyncio.Lock] = {}
        self._children: set[subprocess.Popen[bytes]] = set()

    async def run(self, kind: str, argv: Sequence[str], limit: float, *, quiet: bool = False) -> CommandResult:
        """Run a command and wait for its end.

        :param kind: what it is for, in a word, such as `stop`; commands of one kind run one after the other.
        :param argv: the command line.
        :param limit: seconds; then it gets SIGTERM, and SIGKILL `TERMINATE_GRACE` later.
        :param quiet: do not report its output.
        :raises CommandTimeout: it took too long.
        :raises StartRefused: it cannot be run now, for want of processes, descriptors or disk space.
        :raises PluginError: it cannot be run.
        """
        async with self._locks.setdefault(kind, asyncio.Lock()):
            return await self._run(kind, argv, limit, quiet)

    def close(self) -> None:
        """Send SIGTERM to the commands that run; `run` then returns as usual."""
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
                    environment=self.environment.build(),
                    standard_input=subprocess.DEVNULL,
                    standard_output=writing,
                )
            finally:
                os.close(writing)
            self._children.add(child)
            in_time = await _wait_or_terminate(child, limit, lambda: _read(output))
            code = child.wait()
            with contextlib.suppress(OSError):
                output.finish()
        except OSError as error:
            failure = StartRefused if error.errno in PASSING_ERRORS else PluginError
            raise failure(f"cannot keep the output of the {kind} command: {error}") from error
        finally:
            output.close()
            if child is not None:
                self._children.discard(child)
                if child.poll() is None:
                    child.kill()
                    child.wait()
        done = CommandResult(128 - code if code < 0 else code, tuple(output.last_lines))
        if not in_time:
            output_quote = f"; its last output: {done.last_line}" if done.last_line else ""
            raise CommandTimeout(
                f"the {kind} command ({argv[0]}) took more than {limit:g} s, and was ended{output_quote}"
            )
        return done


def _read(output: OutputFile) -> None:
    with contextlib.suppress(OSError):  # a full disk must not end a command, which may be stopping a server
        output.read()


async def _wait_or_terminate(child: subprocess.Popen[bytes], limit: float, read: Callable[[], object]) -> bool:
    """Wait for a child's end and read its output; end the child after the limit.

    :returns: whether it ended by itself.
    """
    with _exit_event(child.pid) as ended:
        if await _wait(child, ended, limit, read):
            return True
        child.terminate()
        if not await _wait(child, ended, TERMINATE_GRACE, read):
            child.kill()
            await _wait(child, ended, TERMINATE_GRACE, read)
        return False


async def _wait(child: subprocess.Popen[bytes], ended: asyncio.Event, limit: float, read: Callable[[], object]) -> bool:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + limit
    while child.poll() is None:
        left = deadline - loop.time()
        if left <= 0:
            return False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(left, READ_INTERVAL)):  # not wait_for: 3.11's may swallow being cancelled
                await ended.wait()
        read()
    return True


@contextlib.contextmanager
def _exit_event(process_id: int) -> Iterator[asyncio.Event]:
    """Make an event that is set at a child's end; never set where the system has no pidfds, so that callers poll."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    try:
        descriptor = os.pidfd_open(process_id)
    except (AttributeError, OSError):
        yield ended
        return

    def on_exit() -> None:
        ended.set()
        loop.remove_reader(descriptor)

    loop.add_reader(descriptor, on_exit)
    try:
        yield ended
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
