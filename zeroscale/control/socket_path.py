"""Path of the admin socket: the same for the proxy, which creates it, and for `zeroscalectl`, which looks for it.

Pure: no file access; the environment is an argument.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from zeroscale.errors import ConfigError

SUFFIX = ".sock"
NAME_WITH_CONFIG_FILE = "control"
"""Stem of the socket of a proxy with a configuration file; without one it is the name of the only server."""

SYSTEM_DIRECTORY = Path("/run/zeroscale")
MAX_PATH_BYTES = 107
"""`sun_path` has 108 bytes, the last of which is the terminator (unix(7))."""

DEFAULT_MODE = 0o660
"""Owner and group may use it. On Linux, permission to write the socket is permission to connect (unix(7))."""


class ControlSocket(Struct, frozen=True):
    """A Unix socket to listen on.

    :ivar path: absolute.
    :ivar mode: permissions of the socket file.
    """

    path: Path
    mode: int = DEFAULT_MODE


def default_socket(name: str, state_directory: Path, environment: Mapping[str, str], user_id: int) -> ControlSocket:
    """Return the default socket of a proxy.

    It is in /run for root, else in the unit's `RuntimeDirectory=` (systemd.exec(5)), else in the user's runtime
    directory (XDG Base Directory specification), else in the state directory.

    :param name: `NAME_WITH_CONFIG_FILE`, or the name of the only server.
    :raises ConfigError: the path is too long.
    """
    directory = SYSTEM_DIRECTORY if user_id == 0 else _runtime_directory(environment) or state_directory
    return ControlSocket(check_length(directory / (name + SUFFIX)))


def socket_directories(state_directory: Path, environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the directories where default sockets may be, the most likely first."""
    runtime = _runtime_directory(environment)
    return tuple(each for each in (SYSTEM_DIRECTORY, runtime, state_directory) if each is not None)


def parse_listen(text: str) -> ControlSocket:
    r"""Parse the option `control.listen`: `unix:/path`, optionally with `:mode=660` appended.

    A colon in the path is written `\:`, as in Twisted's endpoint strings.

    :raises ConfigError: the text has another form.
    """
    kind, *arguments = re.split(r"(?<!\\):", text)
    if kind != "unix" or not arguments:
        raise ConfigError(f"control: cannot listen on {text!r}: write unix:/run/zeroscale/control.sock")
    path = Path(re.sub(r"\\(.)", r"\1", arguments[0]))
    if not path.is_absolute():
        raise ConfigError(f"control: {str(path)!r} must be an absolute path")
    mode = DEFAULT_MODE
    for argument in arguments[1:]:
        match = re.fullmatch(r"mode=(?:0o?)?([0-7]{3})", argument)
        if match is None:
            raise ConfigError(f"control: {argument!r} in {text!r} is not understood: only mode=660 is allowed there")
        mode = int(match[1], 8)
    return ControlSocket(check_length(path), mode)


def check_length(path: Path) -> Path:
    """Return the path.

    :raises ConfigError: the path is too long for a Unix socket.
    """
    length = len(os.fsencode(path))
    if length > MAX_PATH_BYTES:
        raise ConfigError(
            f"the control socket's path has {length} bytes, but a socket may have at most {MAX_PATH_BYTES}: {path}; "
            'choose a shorter one ([control] listen = "unix:/run/zeroscale/control.sock")'
        )
    return path


def _runtime_directory(environment: Mapping[str, str]) -> Path | None:
    given = Path(environment.get("RUNTIME_DIRECTORY", "").partition(":")[0])
    if given.is_absolute():
        return given
    base = Path(environment.get("XDG_RUNTIME_DIR", ""))
    return base / "zeroscale" if base.is_absolute() else None  # the specification: ignore a relative path
