"""Whether a status command is to be believed that says that the server runs.

One that always ends with 0 is a usual mistake: `true`, a pipe whose last command succeeds, a machine that is up while
its server is not. A command is proven once it has said that the server does not run. One that has never done so is
doubted where nothing answers on the server's port for long.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from enum import Enum
from pathlib import Path

from zeroscale.system.files import load, write_atomically

logger = logging.getLogger("zeroscale.server")

VERSION = 1
LARGEST_FILE = 4096
"""Bytes."""


class Trust(Enum):
    """How far a status command is believed."""

    unproven = "unproven"
    """It has never said that the server does not run."""
    proven = "proven"
    """It has said so."""
    doubted = "doubted"
    """It has said that the server runs though nothing answered: the port decides, until it says otherwise."""


class StatusTrust:
    """The trust in one server's status command; zeroscale's next process and the next plugin object know it, too.

    :param directory: the server's state directory.
    :param subject: the command, and what else it depends on: nothing is known of another one.
    """

    def __init__(self, directory: Path, subject: Sequence[object]) -> None:
        self._path = directory / "status-command.json"
        self._subject = hashlib.sha256(json.dumps(subject).encode()).hexdigest()
        self._level: Trust | None = None

    @property
    def level(self) -> Trust:
        """How far it is believed now."""
        if self._level is None:
            known = load(self._path, LARGEST_FILE, _parse, "the status command has to prove itself again")
            self._level = known[1] if known is not None and known[0] == self._subject else Trust.unproven
        return self._level

    def prove(self) -> None:
        """Note that the command has said that the server does not run."""
        self._set(Trust.proven)

    def doubt(self) -> bool:
        """Note that the command says that the server runs though nothing answers.

        :returns: whether that is news: False if the command is proven, or doubted already.
        """
        if self.level is not Trust.unproven:
            return False
        self._set(Trust.doubted)
        return True

    def _set(self, level: Trust) -> None:
        if self.level is level:
            return
        self._level = level
        content = {"version": VERSION, "subject": self._subject, "trust": level.value}
        try:
            write_atomically(self._path, json.dumps(content).encode() + b"\n", sync=False)
        except OSError as error:
            logger.warning(
                "Cannot write %s (%s): the next zeroscale does not know whether status= can tell",
                self._path,
                error.strerror,
            )


def _parse(content: bytes) -> tuple[str, Trust]:
    """Return the subject and the trust in it."""
    match json.loads(content):
        case {"version": int(version), **_rest} if version != VERSION:
            raise ValueError(f"it is of version {version}, not {VERSION}")
        case {"version": int(), "subject": str(subject), "trust": str(level)}:
            return subject, Trust(level)
        case _:
            raise ValueError("it is not about a status command")
