"""Run a program until it exits or that is cancelled, and then kill what it started. Plain asyncio.

Its children must not outlive it, unlike those of `command_runner`. One that has begun a session of its own does, but
is not waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
from asyncio.subprocess import DEVNULL
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from zeroscale.errors import PROCESS_LIMIT
from zeroscale.process.environment import ChildEnvironment

MOST_OUTPUT = 1024 * 1024
"""Bytes of each output that are kept: all programs that are run here write a few lines."""


ENDS_WITHIN = 1.0
"""Seconds for which the end of a killed program, and of what it wrote, is waited for: a process that the kernel keeps
from dying, or one that has escaped with the program's output, must not hold up whoever has run it."""


class CompletedProgram(Struct, frozen=True):
    """How a program ended.

    :ivar code: its exit code; negative: minus the number of the signal that ended it.
    :ivar output: its standard output; empty unless captured.
    :ivar errors: its standard error; empty unless captured.
    """

    code: int
    output: bytes = b""
    errors: bytes = b""


async def run_program(
    argv: Sequence[str],
    *,
    directory: Path | None = None,
    environment: Mapping[str, str] | None = None,
    capture: bool = False,
) -> CompletedProgram:
    """Run a program without standard input, in a session of its own, and wait for its end.

    :param directory: where it runs; None: where we do.
    :param environment: its environment variables; None: those of every child.
    :param capture: whether to return its output, up to `MOST_OUTPUT`, instead of discarding it.
    :raises OSError: it cannot be started.
    """
    # Pipes of our own: those of asyncio's processes can only be read to their end, and it waits for that.
    outputs: list[_Output] = []
    try:
        outputs += [await _Output.open() for _ in range(2 if capture else 0)]
        stdout, stderr = (each.write_end for each in outputs) if capture else (DEVNULL, DEVNULL)
        starting = asyncio.ensure_future(
            asyncio.create_subprocess_exec(
                *argv,
                cwd=directory,
                env=ChildEnvironment().build() if environment is None else environment,
                stdin=DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        )
        try:
            process = await asyncio.shield(starting)
            code = await process.wait()
        except BlockingIOError:
            raise BlockingIOError(errno.EAGAIN, PROCESS_LIMIT) from None
        except asyncio.CancelledError:
            await _end(await starting, outputs)  # asyncio would kill one that is just starting, but not its children
            raise
        await _end(process, outputs)
        return CompletedProgram(code, *(bytes(each.kept) for each in outputs))
    finally:
        for each in outputs:
            each.close()


async def _end(process: asyncio.subprocess.Process, outputs: Sequence[_Output]) -> None:
    """Kill a program with all that it started, and wait for the end of it and of its output."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # there is none, or all run as another user
        os.killpg(process.pid, signal.SIGKILL)
    for each in outputs:
        each.close_write_end()
    exited = asyncio.ensure_future(process.wait())
    await asyncio.wait([exited, *(each.ended for each in outputs)], timeout=ENDS_WITHIN)
    exited.cancel()


class _Output(asyncio.Protocol):
    """The beginning of what is written to a pipe.

    :ivar write_end: for the program.
    :ivar kept: what is kept of it.
    :ivar ended: fires when nobody can write any more.
    """

    def __init__(self) -> None:
        self.write_end = -1
        self.kept = bytearray()
        self.ended = asyncio.get_running_loop().create_future()
        self._transport: asyncio.BaseTransport | None = None

    @classmethod
    async def open(cls) -> _Output:
        """Make a pipe, and read it."""
        read_end, write_end = os.pipe()
        _, output = await asyncio.get_running_loop().connect_read_pipe(cls, os.fdopen(read_end, "rb", buffering=0))
        output.write_end = write_end
        return output

    def close_write_end(self) -> None:
        """Close the write end, as the program has it."""
        write_end, self.write_end = self.write_end, -1
        if write_end >= 0:
            os.close(write_end)

    def close(self) -> None:
        """Close both ends."""
        self.close_write_end()
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the transport."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Keep what there is room for."""
        self.kept += data[: MOST_OUTPUT - len(self.kept)]

    def connection_lost(self, reason: Exception | None) -> None:
        """Note the end."""
        if not self.ended.done():
            self.ended.set_result(None)
