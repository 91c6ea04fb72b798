"""Which admin socket a command is for: the one that is named, else the one that there is."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from zeroscale.config.model import default_state_directory
from zeroscale.control.socket_path import NAME_WITH_CONFIG_FILE, SUFFIX, socket_directories
from zeroscale.ctl.client import Channel, UsageError
from zeroscale.errors import BackendError

VARIABLE = "ZEROSCALE_SOCKET"


def reach(told: argparse.Namespace, server: str | None = None) -> Channel:
    """Connects to the proxy that the command line and the environment mean.

    :param server: which server the command is for, where it names one.
    :raises BackendError: none answers.
    :raises UsageError: several do, and nothing says which is meant.
    """
    named = getattr(told, "socket", None) or os.environ.get(VARIABLE)
    if named:
        return Channel(Path(named))
    state_directory = default_state_directory(os.environ, os.geteuid())
    return search(socket_directories(state_directory, os.environ), server)


def search(places: Sequence[Path], server: str | None) -> Channel:
    """Connects to the socket called `control` in the first directory where one answers; else to the one that is called
    as the server is; else to the only one that answers.

    :raises BackendError: none answers.
    :raises UsageError: several do.
    """
    found = [path for place in places for path in _sockets(place)]
    preferred = [path for path in found if path.stem == NAME_WITH_CONFIG_FILE and path.parent in places]
    namesake = [path for path in found if path.stem == server]
    answering: dict[Path, Channel] = {}
    problems: list[str] = []
    for path in (*preferred, *namesake, *found):
        if path in answering:
            continue
        try:
            channel = Channel(path)
        except BackendError as error:
            problems.append(str(error))
            continue
        if path in preferred or path in namesake:
            return channel
        answering[path] = channel
    if len(answering) == 1:
        return next(iter(answering.values()))
    for channel in answering.values():
        channel.close()
    if answering:
        names = ", ".join(map(str, answering))
        raise UsageError(f"several zeroscales run here: say which one by --socket or ${VARIABLE}: {names}")
    if problems:
        raise BackendError("; ".join(dict.fromkeys(problems)))
    looked = ", ".join(map(str, places))
    raise BackendError(f"no zeroscale runs here: no *{SUFFIX} in {looked}; if one runs elsewhere, say --socket PATH")


def _sockets(directory: Path) -> list[Path]:
    """Those in it, and those one level below, where each instance of `zeroscale@.service` has its own."""
    try:
        return sorted(
            path for path in (*directory.glob(f"*{SUFFIX}"), *directory.glob(f"*/*{SUFFIX}")) if path.is_socket()
        )
    except OSError:  # not there, or not ours to look into
        return []
