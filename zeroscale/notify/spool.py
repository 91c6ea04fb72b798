"""The notifications that wait, on disk: a directory for each target, a file for each notification.

Files are written atomically, so that a kill or a power cut at any moment costs nothing. Everything here blocks, and
belongs in a thread.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from zeroscale.events import EVENTS
from zeroscale.notify.queue import Waiting
from zeroscale.system.files import load, make_private, set_aside, write_atomically
from zeroscale.system.lock_file import Lock

logger = logging.getLogger("zeroscale.notify")

DIRECTORY = ".notify"
"""Its name in the state directory; no server's name begins with a dot."""

LARGEST_FILE = 64 * 1024
"""Bytes; a notification has a few hundred, with the last output of a server a few thousand."""

MOST_FILES = 10_000
"""Files of one target that are read; ten times as many as can wait."""

_NAME = re.compile(r"(\d{1,18})\.json")


class Record(msgspec.Struct, frozen=True):
    """The content of a file."""

    id: str
    event: str
    values: dict[str, object]


class Spool:
    """The directory of all targets.

    :param directory: the state directory.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory / DIRECTORY
        self._lock = Lock(self._directory / ".lock")  # no target's name begins with a dot
        self._last: dict[str, int] = {}

    @property
    def is_open(self) -> bool:
        """Whether this process has the directory."""
        return self._lock.held

    def open(self) -> None:
        """Take the directory for this process.

        :raises StateError: another zeroscale has it.
        :raises OSError: it cannot be used.
        """
        _make(self._directory)
        self._lock.acquire()

    def close(self) -> None:
        """Let another process have the directory."""
        if self._lock.held:
            self._lock.release()

    def targets(self) -> Sequence[str]:
        """Return the names of the targets that have a directory.

        :raises OSError: they cannot be listed.
        """
        return sorted(each.name for each in self._directory.iterdir() if stat.S_ISDIR(each.lstat().st_mode))

    def load(self, target: str) -> Sequence[Waiting]:
        """Return the notifications of a target, oldest first. A damaged file is set aside, which costs one warning.

        :raises OSError: they cannot be listed.
        """
        directory = self._directory / target
        try:
            names = [each.name for each in directory.iterdir()]
        except FileNotFoundError:
            return []
        numbers = sorted(int(found[1]) for found in map(_NAME.fullmatch, names) if found is not None)[:MOST_FILES]
        self._last[target] = numbers[-1] if numbers else 0
        found = []
        for number in numbers:
            path = _path(directory, number)
            waiting = load(path, LARGEST_FILE, _decode, "one notification is lost")
            if waiting is not None:
                waiting.path = path
                found.append(waiting)
        return found

    def save(self, target: str, waiting: Waiting) -> Path:
        """Write a notification behind the others, and return its file.

        :raises OSError: it cannot be written.
        """
        number = self._last.get(target, 0) + 1
        directory = self._directory / target
        _make(directory)
        path = _path(directory, number)
        write_atomically(path, _encode(waiting))
        self._last[target] = number
        return path

    def remove(self, paths: Iterable[Path]) -> None:
        """Delete files. One that cannot be deleted is delivered once more after the next start."""
        for path in paths:
            with contextlib.suppress(OSError):
                path.unlink()

    def forget(self, target: str) -> int:
        """Delete everything of a target, and return how many notifications that were."""
        directory = self._directory / target
        try:
            number = sum(_NAME.fullmatch(each.name) is not None for each in directory.iterdir())
        except OSError:
            return 0
        shutil.rmtree(directory, ignore_errors=True)
        return number


def _make(directory: Path) -> None:
    """Create a directory of ours; anything else in its place is set aside, which costs one warning.

    :raises OSError: that is not possible.
    """
    if os.path.lexists(directory) and not stat.S_ISDIR(directory.lstat().st_mode):
        logger.warning("%s is no directory; it is now %s", directory, set_aside(directory).name)
    make_private(directory)


def _path(directory: Path, number: int) -> Path:
    return directory / f"{number:012d}.json"


def _encode(waiting: Waiting) -> bytes:
    values = msgspec.to_builtins(waiting.event)
    return msgspec.json.encode(Record(waiting.id, waiting.event.event, values))


def _decode(content: bytes) -> Waiting:
    record = msgspec.json.decode(content, type=Record)
    return Waiting(record.id, msgspec.convert(record.values, EVENTS[record.event]))
