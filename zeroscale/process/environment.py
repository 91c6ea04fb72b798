"""The environment variables of a program that we start: inherited ones, those of a file, and given ones."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct, field

from zeroscale.errors import ConfigError, PluginError
from zeroscale.system.environment import BASIC, BASIC_PREFIX
from zeroscale.system.files import read_configured

logger = logging.getLogger("zeroscale.server")

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
"""Variables that systemd sets for the service: a server with sd_notify would send notifications for zeroscale."""

LARGEST_FILE = 64 * 1024
"""Bytes of an environment file; one has a few lines."""

_NAME = re.compile(r"[^\s=\0]+")


class ChildEnvironment(Struct, frozen=True):
    """The environment of one server and of the commands that belong to it.

    :ivar variables: variables that are added to the inherited ones; they come before those of the file.
    :ivar file: a file of NAME=VALUE lines, read at each start; None: there is none.
    :ivar only_basic: whether only `BASIC` variables are inherited.
    """

    variables: Mapping[str, str] = field(default_factory=dict)
    file: Path | None = None
    only_basic: bool = False

    def build(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the whole environment of a program that is started now.

        :param more: variables that come before all others.
        :raises PluginError: the file cannot be used; the message names the line, never its value.
        """
        inherited = {
            name: value
            for name, value in os.environ.items()
            if name not in NOT_FOR_CHILDREN and (not self.only_basic or name in BASIC or name.startswith(BASIC_PREFIX))
        }
        from_file = {} if self.file is None else read_environment_file(self.file)
        return {**inherited, **from_file, **self.variables, **(more or {})}

    def check(self) -> None:
        """Read the file, and log a warning where other users may read or write it.

        :raises PluginError: it cannot be used.
        """
        if self.file is not None:
            read_environment_file(self.file)


_modes_reported: dict[Path, int] = {}
"""Files of which a warning was logged, with their modes then: servers may share a file, and read it at each start."""


def read_environment_file(path: Path) -> dict[str, str]:
    """Read a file of NAME=VALUE lines.

    Blank lines and lines that begin with # are ignored, as is `export` before a name. A value in quotes, of either
    kind, is what stands between them. Nothing in a value is replaced. Where other users may read or write the file, a
    warning is logged, once for each mode that it has.

    :raises PluginError: it cannot be read, or a line is something else.
    """
    try:
        content = read_configured(path, LARGEST_FILE, lambda found: _check_mode(path, found.st_mode))
    except ConfigError as error:
        raise PluginError(f"environment file: {error}") from None
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise PluginError(f"the environment file {path} is not text in UTF-8") from None
    variables: dict[str, str] = {}
    for number, line in enumerate(map(str.strip, text.split("\n")), start=1):
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.removeprefix("export ").partition("=")
        name, value = name.strip(), value.strip()
        if not equals or _NAME.fullmatch(name) is None or "\0" in value:
            raise PluginError(f"the environment file {path}: line {number} is not NAME=VALUE")
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        variables[name] = value
    return variables


def _check_mode(path: Path, mode: int) -> None:
    if not mode & 0o077:
        _modes_reported.pop(path, None)
    elif _modes_reported.get(path) != mode:
        _modes_reported[path] = mode
        logger.warning("other users have access to %s, which may contain secrets: run chmod 600 on it", path)
