"""Where the admin socket is: the same answer for the proxy that makes it and for the tool that looks for it.

Pure: no file is looked at, no environment but the one that is handed in.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from zeroscale.errors import ConfigError

SUFFIX = ".sock"
NAME_FOR_A_FILE = "control"
"""What the socket of a proxy with a configuration file is called; without a file it is called as its server is."""

SYSTEM_DIRECTORY = Path("/run/zeroscale")
LONGEST_PATH = 107
"""Bytes: `sun_path` has 108, the last of which ends it (unix(7))."""

DEFAULT_MODE = 0o660
"""The owner and the group may use it. On Linux who may connect is who may write (unix(7))."""


@dataclass(frozen=True, slots=True)
class Place:
    """A socket to make.

    :ivar path: where.
    :ivar mode: its permissions.
    """

    path: Path
    mode: int = DEFAULT_MODE


def default_place(name: str, state_directory: Path, environment: Mapping[str, str], user_id: int) -> Place:
    """Where a proxy's socket is when nobody says: /run for root, else the unit's `RuntimeDirectory=` (systemd.exec(5)),
    else the user's runtime directory (XDG Base Directory specification), else the state directory.

    :param name: `NAME_FOR_A_FILE`, or the name of the only server there is.
    :raises ConfigError: the path is too long.
    """
    directory = SYSTEM_DIRECTORY if user_id == 0 else _runtime_directory(environment) or state_directory
    return Place(checked(directory / (name + SUFFIX)))


def directories(state_directory: Path, environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Where default sockets may be, the likeliest first."""
    runtime = _runtime_directory(environment)
    return tuple(each for each in (SYSTEM_DIRECTORY, runtime, state_directory) if each is not None)


def parse_listen(text: str) -> Place:
    """Reads what the configuration says: `unix:/path`, with `:mode=660` behind it where that is wanted.

    A colon in the path is written `\\:`, as in all of Twisted's endpoint strings.

    :raises ConfigError: it says something else.
    """
    kind, *arguments = re.split(r"(?<!\\):", text)
    if kind != "unix" or not arguments:
        raise ConfigError(f"control: cannot listen on {text!r}: say unix:/run/zeroscale/control.sock")
    path = Path(re.sub(r"\\(.)", r"\1", arguments[0]))
    if not path.is_absolute():
        raise ConfigError(f"control: {str(path)!r} must be an absolute path")
    mode = DEFAULT_MODE
    for argument in arguments[1:]:
        match = re.fullmatch(r"mode=(?:0o?)?([0-7]{3})", argument)
        if match is None:
            raise ConfigError(f"control: {argument!r} of {text!r} is not understood: mode=660 may stand there")
        mode = int(match[1], 8)
    return Place(checked(path), mode)


def checked(path: Path) -> Path:
    """The path itself.

    :raises ConfigError: the kernel takes no such path for a socket.
    """
    length = len(os.fsencode(path))
    if length > LONGEST_PATH:
        raise ConfigError(
            f"the control socket's path has {length} bytes, of which a socket may have {LONGEST_PATH}: {path}; "
            'name a shorter one ([control] listen = "unix:/run/zeroscale/control.sock")'
        )
    return path


def _runtime_directory(environment: Mapping[str, str]) -> Path | None:
    given = Path(environment.get("RUNTIME_DIRECTORY", "").partition(":")[0])
    if given.is_absolute():
        return given
    base = Path(environment.get("XDG_RUNTIME_DIR", ""))
    return base / "zeroscale" if base.is_absolute() else None  # the specification: a relative one is to be ignored
