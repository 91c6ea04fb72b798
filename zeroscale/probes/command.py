"""A command that tells by its exit code whether a server is ready. Plain asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from pathlib import Path

from zeroscale.errors import BackendError


async def run(words: Sequence[str], directory: Path) -> int:
    """Runs it to its end; cancelled, it ends it, and whatever it started.

    :param directory: where it runs.
    :returns: its exit code; negative: the signal that ended it.
    :raises BackendError: it cannot be run.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *words,
            cwd=directory,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        raise BackendError(f"the command {words[0]!r} cannot be run: {error.strerror}") from error
    try:
        return await process.wait()
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        raise
