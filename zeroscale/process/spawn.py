"""Starting a program as a service would: nothing of ours in its hands but what it is given, and errors in words.

Knows nothing of what becomes of the process afterwards.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from zeroscale.errors import PluginError

NOT_FOR_CHILDREN = frozenset(
    {
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
        "WATCHDOG_PID",
        "LISTEN_FDS",
        "LISTEN_PID",
        "LISTEN_FDNAMES",
        "LISTEN_PIDFDID",
    }
)
"""What systemd tells a service is for the service: a server that speaks sd_notify would speak in our name."""


def spawn(
    argv: Sequence[str],
    *,
    working_directory: Path,
    environment: Mapping[str, str],
    standard_input: int,
    standard_output: int,
    kept: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Starts a program in a session of its own, no signal ignored, with no other descriptor of ours.

    :param argv: program and arguments; a program without a slash is looked for in PATH, one with a relative path
        in the working directory.
    :param working_directory: where it runs.
    :param environment: what it gets beside our own environment.
    :param standard_input: the descriptor that becomes its standard input.
    :param standard_output: the descriptor that becomes its standard output and error.
    :param kept: further descriptors that it inherits.
    :raises PluginError: it could not be started: why, and what mends it.
    """
    whole_environment = {key: value for key, value in os.environ.items() if key not in NOT_FOR_CHILDREN}
    whole_environment.update(environment)
    try:
        with _default_signals():
            return subprocess.Popen(
                list(argv),
                cwd=working_directory,
                env=whole_environment,
                stdin=standard_input,
                stdout=standard_output,
                stderr=standard_output,
                pass_fds=kept,
                start_new_session=True,
            )
    except (OSError, ValueError, IndexError) as error:
        raise PluginError(_why_not(argv, working_directory, whole_environment, error)) from error


def check(argv: Sequence[str], directory: Path) -> None:
    """Whether there is such a program, before it is wanted.

    :param argv: as for `spawn`.
    :raises PluginError: there is none, and what mends it.
    """
    program = argv[0]
    found = str(directory / program) if "/" in program else shutil.which(program)
    if found is None or not Path(found).exists():
        raise PluginError(_why_not_found(program, found, directory))


@contextlib.contextmanager
def _default_signals() -> Iterator[None]:
    """A child that is started meanwhile ignores no signal.

    Ignored signals stay ignored across exec, handled ones do not (execve(2)): a proxy started with nohup, or in a
    script's background, would give its servers a deaf ear for SIGINT. (Popen itself sees to SIGPIPE.)
    """
    ignored = []
    for number in signal.valid_signals() - {signal.SIGPIPE, signal.SIGXFSZ}:
        if signal.getsignal(number) is signal.SIG_IGN:
            with contextlib.suppress(OSError, ValueError):  # not ours to handle, or not in the main thread
                signal.signal(number, lambda _number, _frame: None)
                ignored.append(number)
    try:
        yield
    finally:
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)


def _why_not(argv: Sequence[str], directory: Path, environment: Mapping[str, str], error: Exception) -> str:
    if not argv or not isinstance(error, OSError):  # a ValueError: NUL characters
        return f"cannot start the server: {error if argv else 'its command is empty'}"
    if not directory.is_dir():
        return f"the working directory {directory} {'is no directory' if directory.exists() else 'does not exist'}"
    if not os.access(directory, os.X_OK):
        return f"may not enter the working directory {directory}"
    program = argv[0]
    found = str(directory / program) if "/" in program else shutil.which(program, path=environment.get("PATH"))
    if isinstance(error, FileNotFoundError):
        return _why_not_found(program, found, directory)
    named = found or program
    if isinstance(error, PermissionError):
        return f"may not run {named}: is it a program, and executable? (chmod +x {named})"
    if error.errno == errno.ENOEXEC:
        return f"{named} is no program; if it is a script, its first line must name an interpreter, as #!/bin/sh does"
    return f"cannot start {named}: {error.strerror or error}"


def _why_not_found(program: str, found: str | None, directory: Path) -> str:
    if found and Path(found).exists():
        return f"cannot start {found}: the interpreter that its first line names does not exist"
    if found:
        return f"cannot start {found}: there is no such file"
    if (directory / program).is_file():
        return f"there is no {program!r} in PATH: for the one in {directory} write ./{program}"
    return f"there is no {program!r} in PATH: install it, or give its whole path"
