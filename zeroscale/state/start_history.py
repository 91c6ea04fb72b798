"""What must outlive us, for one server: how long its starts took, how often in a row it crashed, and the locks.

A file that cannot be understood costs its content and one warning, a disk that cannot be written one error: never
the start, never the proxy. Nobody waits for the disk. It does not know why a server starts or crashes.
"""

from __future__ import annotations

import logging
import statistics
from pathlib import Path
from typing import Annotated

import msgspec

from zeroscale.errors import StateError
from zeroscale.system.files import BackgroundFile, Lock, read_bounded

logger = logging.getLogger(__name__)

VERSION = 1
"""Of the file's format; another one's content is not guessed at."""

WORLD_LOCK = ".zeroscale.lock"

STARTS_KEPT = 20
"""Enough for a median that follows a growing world, and forgets the slow first start that generated it."""

LONGEST_START = 86400.0
"""Seconds; what is longer was a suspended machine, not a start."""

LONGEST_REASON = 2000
"""Characters: a sentence and the last lines of a server's output."""

LARGEST_FILE = 64 * 1024
"""Bytes; ours are a few hundred."""

Seconds = Annotated[float, msgspec.Meta(ge=0, le=LONGEST_START)]


class _History(msgspec.Struct, kw_only=True):
    version: int = VERSION
    starts: Annotated[list[Seconds], msgspec.Meta(max_length=STARTS_KEPT)] = []
    crashes: Annotated[int, msgspec.Meta(ge=0)] = 0
    reason: Annotated[str, msgspec.Meta(max_length=LONGEST_REASON)] | None = None


class StartHistory:
    """One server's records. Before `open()` and after `close()` nothing is written.

    :param directory: the server's own (`storage.server_directory`); made when there is none.
    :param world: a directory that only one zeroscale may use at a time, whatever its state directory is: where the
        server's world is. None where servers may share their working directory.
    """

    def __init__(self, directory: Path, world: Path | None = None) -> None:
        self._directory = directory
        self._file = directory / "record.json"
        self._kept = BackgroundFile(self._file)
        self._lock = Lock(directory / "lock")
        self._world_lock = Lock(world / WORLD_LOCK) if world is not None else None
        self._record = _History()

    def open(self) -> None:
        """Takes the locks and reads what is there.

        :raises StateError: another zeroscale runs this server or this world, or the directory cannot be used.
        """
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock.acquire()
        except OSError as error:
            raise StateError(
                f"cannot use {self._directory}: {error.strerror}; give another place with --state_directory"
            ) from None
        try:
            self._lock_world()
        except StateError:
            self._lock.release()
            raise
        self._read()

    def close(self) -> None:
        """Waits until all is written, and gives the locks back."""
        self._kept.flush()
        if self._world_lock is not None:
            self._world_lock.release()
        self._lock.release()

    def set_world_directory(self, world: Path | None) -> None:
        """It is another world from now on; whether that may be used is to be asked before the next start."""
        if world == (None if self._world_lock is None else self._world_lock.path.parent):
            return
        if self._world_lock is not None:
            self._world_lock.release()
        self._world_lock = None if world is None else Lock(world / WORLD_LOCK)
        self.world_lock_error()

    def world_lock_error(self) -> str | None:
        """Why its world must not be used now, in words; None: it is ours."""
        if not self._lock.held:
            return None
        try:
            self._lock_world()
        except StateError as error:
            return str(error)
        return None

    @property
    def estimate(self) -> float | None:
        """How long a start takes: the median of past ones, in seconds. None before there was one."""
        return statistics.median(self._record.starts) if self._record.starts else None

    @property
    def crashes(self) -> int:
        """How often in a row it crashed."""
        return self._record.crashes

    @property
    def reason(self) -> str | None:
        """Why it crashed last; None once that was forgotten."""
        return self._record.reason

    def record_start(self, seconds: float) -> None:
        """It became ready: remembers how long that took. Crashes before it count on: it may crash again and again.

        :param seconds: from the start to the first answer.
        """
        starts = [*self._record.starts, min(max(seconds, 0.0), LONGEST_START)][-STARTS_KEPT:]
        self._write(_History(starts=starts, crashes=self._record.crashes, reason=self._record.reason))

    def record_crash(self, reason: str) -> int:
        """Counts one more crash.

        :param reason: why.
        :returns: how many in a row.
        """
        crashes = self._record.crashes + 1
        self._write(_History(starts=self._record.starts, crashes=crashes, reason=_bounded(reason)))
        return crashes

    def clear_crashes(self) -> None:
        """Forgets the crashes."""
        if self._record.crashes or self._record.reason is not None:
            self._write(_History(starts=self._record.starts))

    def _lock_world(self) -> None:
        if self._world_lock is None or self._world_lock.held:
            return
        try:
            self._world_lock.acquire()
        except OSError as error:
            logger.warning(
                "Cannot lock %s (%s): nothing but its own session.lock keeps a second zeroscale from this world",
                self._world_lock.path,
                error.strerror,
            )

    def _read(self) -> None:
        try:
            content = read_bounded(self._file, LARGEST_FILE)
            if content is not None:
                self._record = _decoded(content)
        except OSError as error:
            logger.warning("Cannot read %s (%s): past start times are forgotten", self._file, error.strerror)
        except ValueError as error:
            logger.warning("%s is damaged (%s): kept aside as %s.damaged", self._file, error, self._file.name)
            try:
                self._file.replace(self._file.with_name(f"{self._file.name}.damaged"))
            except OSError as aside:
                logger.warning("Cannot keep %s aside: %s", self._file, aside.strerror)

    def _write(self, record: _History) -> None:
        self._record = record
        if self._lock.held:
            self._kept.write(msgspec.json.encode(record))


def _decoded(content: bytes) -> _History:
    """:raises ValueError: it is none of ours (`msgspec.DecodeError` is a ValueError)."""
    try:
        record = msgspec.json.decode(content, type=_History)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if record.version != VERSION:
        raise ValueError(f"its format is {record.version}, not {VERSION}")
    return record


def _bounded(reason: str) -> str:
    """Fit for the file: neither too long nor with what UTF-8 cannot say."""
    return reason[:LONGEST_REASON].encode("utf-8", "replace").decode()
