"""Start a program as a service manager would: only the given descriptors, default signals, a session of its own.

The caller watches the process.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from zeroscale.errors import PROCESS_LIMIT, PluginError, StartRefused
from zeroscale.system.files import directory_problem, read_start

PASSING_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EIO, errno.ENOMEM})
"""Errors that end by themselves, and are no fault of what is started: a start that meets one of them is no crash."""

LONGEST_FIRST_LINE = 256
"""Bytes of the first line of a script that Linux reads."""


def spawn(
    argv: Sequence[str],
    *,
    working_directory: Path,
    environment: Mapping[str, str],
    standard_input: int,
    standard_output: int,
    pass_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own.

    :param argv: program and arguments. A program without a slash is looked for in PATH, one with a relative path in
        the working directory.
    :param environment: its environment variables, see `environment.ChildEnvironment`.
    :param standard_input: the descriptor that becomes its standard input.
    :param standard_output: the descriptor that becomes its standard output and error.
    :param pass_fds: further descriptors that it inherits.
    :raises StartRefused: there may be no more processes, or another of `PASSING_ERRORS`.
    :raises PluginError: it could not be started; the message says why, and how to fix it.
    """
    try:
        with _default_signals():
            return subprocess.Popen(
                list(argv),
                cwd=working_directory,
                env=dict(environment),
                stdin=standard_input,
                stdout=standard_output,
                stderr=standard_output,
                pass_fds=pass_fds,
                start_new_session=True,
            )
    except (BlockingIOError, MemoryError) as error:
        reason = PROCESS_LIMIT if isinstance(error, BlockingIOError) else "no memory is left"
        raise StartRefused(f"cannot start {argv[0]}: {reason}") from error
    except (OSError, ValueError, IndexError) as error:
        kind = StartRefused if getattr(error, "errno", None) in PASSING_ERRORS else PluginError
        raise kind(_start_problem(argv, working_directory, environment, error)) from error


def check_program(argv: Sequence[str], directory: Path, environment: Mapping[str, str]) -> None:
    """Check that the program exists and, if it is a script, may name an interpreter, without starting it.

    :param argv: as for `spawn`.
    :param directory: the working directory.
    :param environment: as for `spawn`.
    :raises PluginError: it does not; the message says how to fix it.
    """
    found = find_program(argv[0], directory, environment)
    if found is None or not Path(found).exists():
        raise PluginError(_missing_program(argv[0], found, directory))
    with contextlib.suppress(OSError, ValueError):  # it may be executable, and not readable
        first_line = (read_start(Path(found), LONGEST_FIRST_LINE) or b"").partition(b"\n")[0]
        if first_line.startswith(b"#!") and first_line.endswith(b"\r"):
            raise PluginError(
                f"cannot start {found}: its lines end as on Windows, so that its first one names no interpreter: run "
                rf"sed -i 's/\r$//' {shlex.quote(found)}"
            )


def find_program(program: str, directory: Path, environment: Mapping[str, str]) -> str | None:
    """Return the path at which `spawn` looks for a program; None: it is not in the PATH of the environment.

    :param program: the first word of a command line; with a slash it need not exist.
    :param directory: the working directory.
    :param environment: as for `spawn`.
    """
    if "/" in program:
        return str(directory / program)
    for each in environment.get("PATH", os.defpath).split(os.pathsep):
        path = f"{each}/{program}" if each else program
        # Path.is_file() raises an error where the directory cannot be searched.
        if os.path.isfile(path) and os.access(path, os.X_OK):  # noqa: PTH113
            return path
    return None


@contextlib.contextmanager
def _default_signals() -> Iterator[None]:
    """Ignore no signal inside the block, so that a child that is started in it does not either.

    Ignored signals stay ignored across exec, handled ones do not (execve(2)): servers of a proxy that was started
    with nohup, or in the background of a script, would ignore SIGINT. (Popen itself resets SIGPIPE.)
    """
    ignored = []
    for number in signal.valid_signals() - {signal.SIGPIPE, signal.SIGXFSZ}:
        if signal.getsignal(number) is signal.SIG_IGN:
            with contextlib.suppress(OSError, ValueError):  # cannot be handled, or not in the main thread
                signal.signal(number, lambda _number, _frame: None)
                ignored.append(number)
    try:
        yield
    finally:
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)


def _start_problem(argv: Sequence[str], directory: Path, environment: Mapping[str, str], error: Exception) -> str:
    if not argv or not isinstance(error, OSError):  # a ValueError: NUL characters
        return f"cannot start the server: {error if argv else 'its command is empty'}"
    if (problem := directory_problem(directory)) is not None:
        return f"the working directory {directory} {problem}"
    if not os.access(directory, os.X_OK):
        return f"may not enter the working directory {directory}"
    program = argv[0]
    found = find_program(program, directory, environment)
    if isinstance(error, FileNotFoundError):
        return _missing_program(program, found, directory)
    named = found or program
    if isinstance(error, PermissionError):
        return f"may not run {named}: is it a program, and executable? (chmod +x {named})"
    if error.errno == errno.ENOEXEC:
        return f"{named} is no program; if it is a script, its first line must name an interpreter, as #!/bin/sh does"
    return f"cannot start {named}: {error.strerror or error}"


def _missing_program(program: str, found: str | None, directory: Path) -> str:
    if found and Path(found).exists():
        return f"cannot start {found}: the interpreter that its first line names does not exist"
    if found:
        return f"cannot start {found}: there is no such file"
    if (directory / program).is_file():
        return f"there is no {program!r} in PATH: for the one in {directory} write ./{program}"
    return f"there is no {program!r} in PATH: install it, or give its whole path"
