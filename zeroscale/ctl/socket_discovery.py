"""Find the admin socket that a command is for."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from zeroscale.config.model import default_state_directory
from zeroscale.control.socket_path import NAME_WITH_CONFIG_FILE, SUFFIX, socket_directories
from zeroscale.ctl.client import ControlClient, UsageError
from zeroscale.errors import BackendError, ZeroscaleError
from zeroscale.reports import ProxyReport

VARIABLE = "ZEROSCALE_SOCKET"

MOST_PROBLEMS = 3
"""Sockets that are named where none answers; killed zeroscales leave theirs."""


def connect(args: argparse.Namespace, server: str | None = None) -> ControlClient:
    """Connect to the proxy that --socket or the environment names, else to the one that is found.

    :param server: the server that the command names, if it names one.
    :raises BackendError: no proxy answers.
    :raises UsageError: several proxies answer, and nothing says which is meant.
    """
    named = _named(args)
    return _connect_to(named) if named is not None else search(_directories(), server)


def connect_all(args: argparse.Namespace) -> Sequence[ControlClient]:
    """Connect to the proxy that --socket or the environment names, else to all that may be asked.

    :raises BackendError: no proxy answers.
    """
    named = _named(args)
    return [_connect_to(named)] if named is not None else _answering(_directories())


def search(directories: Sequence[Path], server: str | None) -> ControlClient:
    """Connect to a socket that answers, in this order of preference.

    The first is the only one that answers, the second the only one whose proxy has the server, the third, where no
    proxy has it or none is named, a socket called `control` in one of the directories, in their order.

    :raises BackendError: none answers.
    :raises UsageError: several answer, or have the server.
    """
    answering = _answering(directories)
    having = (
        [client for client in answering if _name_of(client, server) is not None]
        if server and len(answering) > 1
        else []
    )
    candidates = having or answering
    is_clear = len(candidates) == 1 or (not having and _is_preferred(candidates[0].path, directories))
    chosen = candidates[0] if is_clear else None
    for client in answering:
        if client is not chosen:
            client.close()
    if chosen is None:
        what = f"have a server {server!r}" if having else "run here"
        names = ", ".join(str(client.path) for client in candidates)
        raise UsageError(f"several zeroscales {what}: choose one with --socket or ${VARIABLE}: {names}")
    return chosen


def _named(args: argparse.Namespace) -> Path | None:
    named = getattr(args, "socket", None) or os.environ.get(VARIABLE)
    return Path(named) if named else None


def _connect_to(path: Path) -> ControlClient:
    """Connect to a socket, also by the name that it had in earlier versions: that of a server that is renamed now.

    :raises BackendError: nothing answers.
    """
    try:
        return ControlClient(path)
    except BackendError:
        if path.suffix != SUFFIX or path.exists():
            raise
        for other in sorted(path.parent.glob(f"*{SUFFIX}")):
            with contextlib.suppress(BackendError):
                client = ControlClient(other)
                if _name_of(client, path.stem) not in (None, path.stem):
                    return client
                client.close()
        raise


def _directories() -> Sequence[Path]:
    return socket_directories(default_state_directory(os.environ, os.geteuid()), os.environ)


def _answering(directories: Sequence[Path]) -> Sequence[ControlClient]:
    """Connect to all sockets in the directories, those called `control` first.

    :raises BackendError: none answers.
    """
    found = [path for directory in directories for path in _sockets(directory)]
    found.sort(key=lambda path: not _is_preferred(path, directories))
    answering: list[ControlClient] = []
    problems: list[str] = []
    for path in dict.fromkeys(found):
        try:
            answering.append(ControlClient(path))
        except BackendError as error:
            problems.append(str(error))
    if answering:
        return answering
    if problems:
        more = f"; and {len(problems) - MOST_PROBLEMS} more do not" if len(problems) > MOST_PROBLEMS else ""
        raise BackendError("; ".join(problems[:MOST_PROBLEMS]) + more)
    searched = ", ".join(map(str, directories))
    raise BackendError(f"no zeroscale runs here: no *{SUFFIX} in {searched}; if one runs elsewhere, give --socket PATH")


def _name_of(client: ControlClient, server: str) -> str | None:
    """Return the name of a proxy's server that has this name, or had it in earlier versions; None: there is none."""
    try:
        return client.ask(ProxyReport, "status", server=server).servers[0].name
    except (ZeroscaleError, IndexError):
        return None


def _is_preferred(path: Path, directories: Sequence[Path]) -> bool:
    return path.stem == NAME_WITH_CONFIG_FILE and path.parent in directories


def _sockets(directory: Path) -> list[Path]:
    """Return the sockets in a directory and one level below, where instances of `zeroscale@.service` have theirs."""
    try:
        return sorted(
            path for path in (*directory.glob(f"*{SUFFIX}"), *directory.glob(f"*/*{SUFFIX}")) if path.is_socket()
        )
    except OSError:  # it does not exist, or may not be read
        return []
