"""What a command line has said, and how it is found out again when the configuration file has changed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from zeroscale.config import loader as configfile
from zeroscale.config.model import Config


@dataclass(frozen=True, slots=True)
class Invocation:
    """What the command line said.

    :ivar config: the proxy to run; all paths in it are absolute.
    :ivar log_level: the threshold of the log, as stdlib logging numbers it.
    :ivar console: what is typed on our standard input is for us and the server.
    :ivar config_file: the file that describes the proxy, absolute; None: the command line does.
    :ivar wins: what the command line says in the file's place: `state_directory`, `relay`, `log_format`,
        `log_addresses`.
    """

    config: Config
    log_level: int
    console: bool = False
    config_file: Path | None = None
    wins: Mapping[str, Any] = field(default_factory=dict)

    def read_again(self) -> Config:
        """What the configuration file says now; without one, what the command line said.

        :raises ConfigMistakes: the file has mistakes.
        """
        return self.config if self.config_file is None else _read(self.config_file, self.wins)


def from_file(path: Path, wins: Mapping[str, Any], *, log_level: int, console: bool) -> Invocation:
    """The invocation that names a configuration file.

    :param path: the file; absolute.
    :param wins: see `Invocation`.
    :raises ConfigMistakes: the file has mistakes.
    """
    return Invocation(config=_read(path, wins), log_level=log_level, console=console, config_file=path, wins=dict(wins))


def _read(path: Path, wins: Mapping[str, Any]) -> Config:
    told = configfile.read(path, os.environ, os.geteuid())
    changed = dict(wins)
    log = {name: changed.pop(f"log_{name}") for name in ("format", "addresses") if f"log_{name}" in changed}
    return msgspec.structs.replace(told, **changed, log=msgspec.structs.replace(told.log, **log))
