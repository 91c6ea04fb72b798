"""Find the admin socket that a command is for."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from zeroscale.config.model import default_state_directory
from zeroscale.control.socket_path import NAME_WITH_CONFIG_FILE, SUFFIX, socket_directories
from zeroscale.ctl.client import ControlClient, UsageError
from zeroscale.errors import BackendError

VARIABLE = "ZEROSCALE_SOCKET"


def connect(args: argparse.Namespace, server: str | None = None) -> ControlClient:
    """Connect to the proxy that --socket or the environment names, else to the one that is found.

    :param server: the server that the command names, if it names one.
    :raises BackendError: no proxy answers.
    :raises UsageError: several proxies answer, and nothing says which is meant.
    """
    named = getattr(args, "socket", None) or os.environ.get(VARIABLE)
    if named:
        return ControlClient(Path(named))
    state_directory = default_state_directory(os.environ, os.geteuid())
    return search(socket_directories(state_directory, os.environ), server)


def search(directories: Sequence[Path], server: str | None) -> ControlClient:
    """Connect to a socket that answers, in this order of preference.

    The first is a socket called `control` in one of the directories, in their order; the second a socket with the name
    of the server; the third the only one that answers.

    :raises BackendError: none answers.
    :raises UsageError: several answer.
    """
    found = [path for directory in directories for path in _sockets(directory)]
    preferred = [path for path in found if path.stem == NAME_WITH_CONFIG_FILE and path.parent in directories]
    same_name = [path for path in found if path.stem == server]
    answering: dict[Path, ControlClient] = {}
    problems: list[str] = []
    for path in (*preferred, *same_name, *found):
        if path in answering:
            continue
        try:
            client = ControlClient(path)
        except BackendError as error:
            problems.append(str(error))
            continue
        if path in preferred or path in same_name:
            return client
        answering[path] = client
    if len(answering) == 1:
        return next(iter(answering.values()))
    for client in answering.values():
        client.close()
    if answering:
        names = ", ".join(map(str, answering))
        raise UsageError(f"several zeroscales run here: choose one with --socket or ${VARIABLE}: {names}")
    if problems:
        raise BackendError("; ".join(dict.fromkeys(problems)))
    searched = ", ".join(map(str, directories))
    raise BackendError(f"no zeroscale runs here: no *{SUFFIX} in {searched}; if one runs elsewhere, give --socket PATH")


def _sockets(directory: Path) -> list[Path]:
    """Return the sockets in a directory and one level below, where instances of `zeroscale@.service` have theirs."""
    try:
        return sorted(
            path for path in (*directory.glob(f"*{SUFFIX}"), *directory.glob(f"*/*{SUFFIX}")) if path.is_socket()
        )
    except OSError:  # it does not exist, or may not be read
        return []
