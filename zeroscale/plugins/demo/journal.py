"""The demo server's world: a journal in which a cut save, a lost record or a second server at work cannot hide.

Each line is one record with the checksum of itself and of the record before. Pure files: knows no network.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import zlib
from dataclasses import dataclass
from pathlib import Path

SAVE_PARTS = 8
"""Records of one save, so that it takes a while and can be cut."""


@dataclass(frozen=True, slots=True)
class JournalReport:
    """What a journal tells.

    :ivar runs: how many times a server has opened it.
    :ivar saves: how many saves were finished.
    :ivar cut_saves: how many saves were begun and not finished.
    :ivar damaged: a record is torn, or its checksum is wrong.
    :ivar overlapped: two servers have had it open at the same time, or a whole record is missing.
    :ivar closed: the last record is the end of a save: the last server stopped as servers should.
    """

    runs: int
    saves: int
    cut_saves: int
    damaged: bool
    overlapped: bool
    closed: bool

    @property
    def consistent(self) -> bool:
        """Whether the world has suffered nothing."""
        return not (self.cut_saves or self.damaged or self.overlapped)


class Journal:
    """A journal as one running server has it open."""

    def __init__(self, path: Path) -> None:
        """Opens it, or makes it, and writes down that it did.

        :raises OSError: it cannot be written.
        """
        self._run = secrets.token_hex(4)
        self._previous = _last_checksum(path)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._write("opened", alone=self._lock())

    def tick(self) -> None:
        """The world goes on."""
        self._write("tick")

    def begin_save(self) -> None:
        """A save begins; `SAVE_PARTS` parts and `end_save` are to follow."""
        self._write("saving")

    def save_part(self) -> None:
        """One part of the save."""
        self._write("part")

    def end_save(self) -> None:
        """The save is whole; the journal is closed."""
        self._write("saved")
        self.let_go()

    def let_go(self) -> None:
        """Closes the journal as it is: what is left of a server that was killed."""
        os.close(self._descriptor)

    def _lock(self) -> bool:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _write(self, kind: str, *, alone: bool = True) -> None:
        content = json.dumps({"run": self._run, "kind": kind, "alone": alone, "previous": self._previous})
        self._previous = zlib.crc32(content.encode())
        os.write(self._descriptor, f"{self._previous:08x} {content}\n".encode())
        os.fsync(self._descriptor)


def verify_journal(path: Path) -> JournalReport:
    """Reads a journal from its beginning.

    :raises OSError: it cannot be read.
    """
    runs = saves = cut_saves = 0
    damaged = overlapped = False
    previous = 0
    saving: str | None = None
    kind = ""
    for line in path.read_bytes().splitlines(keepends=True):
        record = _record(line)
        if record is None:
            damaged = True
            continue
        kind, run, checksum = str(record["kind"]), str(record["run"]), zlib.crc32(line[9:-1])
        overlapped = overlapped or not record["alone"] or record["previous"] != previous
        previous = checksum
        if saving is not None and run != saving:  # its server is gone, and it was not finished
            cut_saves += 1
            saving = None
        if kind == "opened":
            runs += 1
        elif kind == "saving":
            saving = run
        elif kind == "saved":
            saves += 1
            saving = None
    return JournalReport(
        runs=runs,
        saves=saves,
        cut_saves=cut_saves + (saving is not None),
        damaged=damaged,
        overlapped=overlapped,
        closed=kind == "saved",
    )


def _record(line: bytes) -> dict[str, object] | None:
    checksum, _, content = line.rstrip(b"\n").partition(b" ")
    try:
        if not line.endswith(b"\n") or int(checksum, 16) != zlib.crc32(content):
            return None
        record = json.loads(content)
    except ValueError:
        return None
    known = isinstance(record, dict) and record.keys() == {"run", "kind", "alone", "previous"}
    return record if known else None


def _last_checksum(path: Path) -> int:
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return 0
    try:
        return int(lines[-1].partition(b" ")[0], 16) if lines else 0
    except ValueError:
        return 0
