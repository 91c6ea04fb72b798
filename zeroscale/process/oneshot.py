"""Run a program to its end, and kill it with everything that it started when that is cancelled. Plain asyncio.

Its children must not outlive it, unlike those of `command_runner`.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from zeroscale.errors import PROCESS_LIMIT
from zeroscale.process.environment import ChildEnvironment

MOST_OUTPUT = 1024 * 1024
"""Bytes of each output that are kept: all programs that are run here write a few lines."""


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
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            *argv,
            cwd=directory,
            env=ChildEnvironment().build() if environment is None else environment,
            stdin=DEVNULL,
            stdout=PIPE if capture else DEVNULL,
            stderr=PIPE if capture else DEVNULL,
            start_new_session=True,
        )
    )
    try:
        process = await asyncio.shield(starting)
        output, errors, code = await asyncio.gather(_read(process.stdout), _read(process.stderr), process.wait())
    except BlockingIOError:
        raise BlockingIOError(errno.EAGAIN, PROCESS_LIMIT) from None
    except asyncio.CancelledError:
        process = await starting  # asyncio would kill a program that is just starting, but not its children
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.communicate()  # reads the pipes to their end, and closes them
        raise
    return CompletedProgram(code, output, errors)


async def _read(stream: asyncio.StreamReader | None) -> bytes:
    kept = bytearray()
    while stream is not None and (chunk := await stream.read(64 * 1024)):
        kept += chunk[: MOST_OUTPUT - len(kept)]
    return bytes(kept)
