"""The demo server's world: a journal that shows an interrupted save, a lost record or two servers at once.

Each line is one record with its own checksum and that of the record before. Uses files only, no network.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import zlib
from pathlib import Path

from msgspec import Struct

RECORDS_PER_SAVE = 8
"""Records of one save, so that a save takes a while and can be interrupted."""


class JournalReport(Struct, frozen=True):
    """The result of reading a journal.

    :ivar runs: how many times a server has opened it.
    :ivar saves: how many saves were finished.
    :ivar cut_saves: how many saves were begun and not finished.
    :ivar damaged: whether a record is incomplete or its checksum is wrong.
    :ivar overlapped: whether two servers have had it open at the same time, or a whole record is missing.
    :ivar closed: whether the last record is the end of a save, so that the last server has stopped cleanly.
    """

    runs: int
    saves: int
    cut_saves: int
    damaged: bool
    overlapped: bool
    closed: bool

    @property
    def consistent(self) -> bool:
        """Whether nothing is lost or damaged."""
        return not (self.cut_saves or self.damaged or self.overlapped)


class Journal:
    """A journal that a running server has open."""

    def __init__(self, path: Path) -> None:
        """Open or create the journal, and record that.

        :raises OSError: it cannot be written.
        """
        self._run = secrets.token_hex(4)
        self._previous = _last_checksum(path)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._write("opened", exclusive=self._lock())

    def tick(self) -> None:
        """Record a tick of the world."""
        self._write("tick")

    def begin_save(self) -> None:
        """Record the start of a save, to be followed by `RECORDS_PER_SAVE` calls of `save_part` and by `end_save`."""
        self._write("saving")

    def save_part(self) -> None:
        """Record one part of the save."""
        self._write("part")

    def end_save(self) -> None:
        """Record the end of the save, and close the journal."""
        self._write("saved")
        self.close()

    def close(self) -> None:
        """Close the journal as it is, like a server that is killed."""
        os.close(self._descriptor)

    def _lock(self) -> bool:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _write(self, kind: str, *, exclusive: bool = True) -> None:
        content = json.dumps({"run": self._run, "kind": kind, "alone": exclusive, "previous": self._previous})
        self._previous = zlib.crc32(content.encode())
        os.write(self._descriptor, f"{self._previous:08x} {content}\n".encode())
        os.fsync(self._descriptor)


def verify_journal(path: Path) -> JournalReport:
    """Read a journal from its beginning.

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
        if saving is not None and run != saving:  # its server has ended without finishing it
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
