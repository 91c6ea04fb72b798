"""Run the operator's command that checks by its exit code whether a server is ready. Plain asyncio."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from zeroscale.errors import BackendError, PluginError
from zeroscale.process.environment import ChildEnvironment
from zeroscale.process.oneshot import run_program


async def run_ready_command(argv: Sequence[str], directory: Path, environment: ChildEnvironment) -> int:
    """Run the command to its end; when cancelled, kill it with everything that it started.

    :param directory: its working directory.
    :param environment: its environment variables.
    :returns: its exit code; negative: minus the number of the signal that ended it.
    :raises BackendError: it cannot be run.
    """
    try:
        return (await run_program(argv, directory=directory, environment=environment.build())).code
    except PluginError as error:
        raise BackendError(str(error)) from error
    except OSError as error:
        raise BackendError(f"the command {argv[0]!r} cannot be run: {error.strerror}") from error
