"""The SQLite file of one server's history: it is opened for each batch of rows, and closed after it.

A closed file is complete by itself (SQLite removes the write-ahead log), and can be read and copied. Everything here
blocks, and belongs in a thread. A file that cannot be used is set aside, and one of a newer zeroscale is left alone.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import math
import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from zeroscale.errors import ControlError
from zeroscale.history.values import FILE, Row
from zeroscale.system.files import NOT_REGULAR, make_private, move, open_own, set_aside

logger = logging.getLogger("zeroscale.history")

VERSION = 1
"""The version of the schema, in the file's `user_version`; 0 is a file without tables."""

COLUMNS = {
    "entries": ("at", "event", "cause", "name", "address", "operator", "detail", "seconds", "count"),
    "sessions": ("at", "seconds", "state", "name", "address", "to_server", "to_client", "count"),
    "periods": ("at", "seconds", "activity"),
    "usage": ("at", "seconds", "cpu", "memory"),
}
"""The columns of each table. `at` is the begin, in seconds since 1970."""

SCHEMA = "".join(
    f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, {', '.join(columns)});CREATE INDEX {table}_at ON {table} (at);"
    for table, columns in COLUMNS.items()
)

BUSY_TIMEOUT = 5.0
"""Seconds to wait for another program that has locked the file."""

PRUNE_INTERVAL = 86400.0
PRUNE_ROWS = 20_000
"""Seconds, or rows, after which old rows are looked for again; 20 000 rows are about 3 MB."""

TRUSTED_AFTER = 3600.0
"""Seconds for which the machine's clock must have run evenly before rows are deleted for their age: a clock that is
wrong by years, as after a start without a battery, would delete all of them."""

EVEN = 60.0
"""Seconds by which a clock may differ from even running: time servers correct it, and a batch takes some time."""

PRUNED_SHARE = 0.1
"""Share of the rows that is deleted, oldest first, until the file is small enough."""

SUFFIXES = ("-wal", "-shm", "-journal")
"""Of the files that SQLite has beside its own while it is open."""


class NewerHistoryError(ControlError):
    """The file was written by a newer zeroscale."""


class HistoryFile:
    """Writes one server's history. A failure costs the rows, and one warning for each kind.

    :param directory: the server's state directory.
    :param keep: seconds for which rows are kept.
    :param max_size: bytes that the file may have.
    :param clock: returns the seconds since 1970.
    :param monotonic: returns the seconds of a clock that nobody sets.
    :ivar lost: how many rows could not be written.
    """

    def __init__(
        self,
        directory: Path,
        keep: float,
        max_size: int,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = directory / FILE
        self.lost = 0
        self._keep = keep
        self._max_size = max_size
        self._clock = clock
        self._monotonic = monotonic
        self._offset = self._clock() - self._monotonic()
        self._even_since = self._monotonic()
        self._ids: dict[tuple[str, int], int] = {}
        self._checked = False
        self._newer = False
        self._reported: set[str] = set()
        self._prune_at = -math.inf
        self._delete_old_at = -math.inf
        self._rows_since = 0

    def write(self, rows: Sequence[Row]) -> None:
        """Write rows in one transaction, and prune the file if that is due."""
        if self._newer:
            return
        try:
            try:
                self._write(rows)
            except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
                if not _is_damage(error):
                    raise
                self._set_aside(str(error))
                self._write(rows)
        except NewerHistoryError as error:
            self._newer = True
            logger.warning("%s; no history of this server is kept", error)
        except (sqlite3.Error, OSError) as error:
            self.lost += len(rows)
            reason = _reason(error, self.path.parent)
            if reason not in self._reported:
                self._reported.add(reason)
                logger.warning("Cannot write %s: %s; entries of the history are lost", self.path, reason)
        else:
            if self._reported:
                self._reported.clear()
                logger.warning("%s is written again; %d entries of the history were lost", self.path, self.lost)

    def _write(self, rows: Sequence[Row]) -> None:
        with self._open() as connection:
            ids = dict(self._ids)
            connection.execute("BEGIN IMMEDIATE")
            for row in rows:
                _put(connection, row, ids)
            connection.execute("COMMIT")
            self._ids = ids
            self._rows_since += len(rows)
            self._prune(connection)

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        self._prepare_path()
        uri = f"{self.path.absolute().as_uri()}?mode=rw"
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_TIMEOUT)
        try:
            if _version(connection, self.path) == 0:
                _create_tables(connection)
                self._ids = {}
            if not self._checked:
                _check(connection)
                self._checked = True
            connection.execute("PRAGMA synchronous = NORMAL")
            yield connection
        finally:
            connection.close()

    def _prepare_path(self) -> None:
        """Create the file with our permissions, and set aside what is no file of ours."""
        make_private(self.path.parent)
        for suffix in SUFFIXES:
            beside = self.path.with_name(FILE + suffix)
            if os.path.lexists(beside) and not stat.S_ISREG(beside.lstat().st_mode):
                set_aside(beside)
        try:
            descriptor = open_own(self.path, os.O_RDWR | os.O_CREAT)
        except (OSError, ValueError):
            if not os.path.lexists(self.path) or stat.S_ISREG(self.path.lstat().st_mode):
                raise
            self._set_aside(NOT_REGULAR)
            descriptor = open_own(self.path, os.O_RDWR | os.O_CREAT)
        other_names = os.fstat(descriptor).st_nlink > 1
        os.close(descriptor)
        if other_names:
            self._set_aside("it has another name")
            os.close(open_own(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL))

    def _set_aside(self, reason: str) -> None:
        """Rename the file, with those beside it, so that its name is free.

        :raises OSError: the directory cannot be written.
        """
        aside = set_aside(self.path)
        for suffix in SUFFIXES:
            with contextlib.suppress(FileNotFoundError):
                move(self.path.with_name(FILE + suffix), aside.with_name(aside.name + suffix))
        self._ids, self._checked = {}, False
        logger.warning("%s is damaged (%s): a new history is begun; it is now %s", self.path, reason, aside.name)

    def _prune(self, connection: sqlite3.Connection) -> None:
        """Delete the rows that are too old or too many, if it is time to look for them."""
        now = self._monotonic()
        offset = self._clock() - now
        if abs(offset - self._offset) > EVEN:  # the clock was set, or the machine was suspended
            self._offset, self._even_since = offset, now
        by_age = now >= max(self._delete_old_at, self._even_since + TRUSTED_AFTER)
        if not by_age and now < self._prune_at and self._rows_since < PRUNE_ROWS:
            return
        self._prune_at, self._rows_since = now + PRUNE_INTERVAL, 0
        if by_age:
            self._delete_old_at = now + PRUNE_INTERVAL
            for table in COLUMNS:
                connection.execute(f"DELETE FROM {table} WHERE at < ?", (self._clock() - self._keep,))
        while _used_bytes(connection) > self._max_size and _delete_oldest(connection):
            pass
        connection.executescript("PRAGMA incremental_vacuum")  # `execute` would free one page only


def open_to_read(path: Path) -> sqlite3.Connection | None:
    """Open a history to read it; None: there is none.

    A file without a write-ahead log is opened as one that does not change, so that no file is created beside it.

    :raises ControlError: it cannot be read; the message says why.
    """
    try:
        os.close(open_own(path, os.O_RDONLY))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ControlError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None
    in_use = path.with_name(path.name + SUFFIXES[0]).exists()
    options = "mode=ro" if in_use else "mode=ro&immutable=1"
    connection: sqlite3.Connection | None = None
    with reading(path):
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?{options}", uri=True, timeout=BUSY_TIMEOUT)
        connection.text_factory = lambda text: text.decode(errors="replace")  # a damaged text hides no other row
        try:
            if _version(connection, path) == 0:
                connection.close()
                return None
        except BaseException:
            connection.close()
            raise
    return connection


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Convert an error of SQLite into a ControlError that names the file."""
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:  # the latter: a message quotes what is damaged
        raise ControlError(f"cannot read {path}: {error}") from None


def _create_tables(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(f"BEGIN;{SCHEMA}PRAGMA user_version = {VERSION};COMMIT")


def _check(connection: sqlite3.Connection) -> None:
    """Check the file, and end the sessions that a killed zeroscale has left open.

    :raises sqlite3.DatabaseError: it is damaged.
    """
    [problem] = connection.execute("PRAGMA quick_check(1)").fetchone()
    if problem != "ok":
        raise sqlite3.DatabaseError(" ".join(problem.split()))
    connection.execute("UPDATE sessions SET state = 'lost' WHERE state = 'open'")


def _is_damage(error: sqlite3.DatabaseError | UnicodeDecodeError) -> bool:
    """Return whether an error shows that the file is damaged, and not that it cannot be written now."""
    if isinstance(error, UnicodeDecodeError):  # SQLite's message quotes what is damaged
        return True
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:  # ours, of quick_check
        return type(error) is sqlite3.DatabaseError
    return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)


def _reason(error: sqlite3.Error | OSError, directory: Path) -> str:
    """Return why a file cannot be written. On a full disk SQLite may say "disk I/O error", as of a broken one."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    with contextlib.suppress(OSError):
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_IOERR and not os.statvfs(directory).f_bavail:
            return os.strerror(errno.ENOSPC)
    return str(error)


def _version(connection: sqlite3.Connection, path: Path) -> int:
    """Return the version of the schema; 0: there is none.

    :raises NewerHistoryError: it is newer than ours.
    """
    [version] = connection.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise NewerHistoryError(f"{path} was written by a newer zeroscale")
    return int(version)


def _put(connection: sqlite3.Connection, row: Row, ids: dict[tuple[str, int], int]) -> None:
    key = (row.table, row.key)
    columns = COLUMNS[row.table]
    marks = ", ".join("?" * (len(columns) + 1))
    values = (ids.pop(key, None), *map(_storable, row.values))
    cursor = connection.execute(
        f"REPLACE INTO {row.table} (id, {', '.join(columns)}) VALUES ({marks})",
        values,
    )
    if not row.final:
        ids[key] = cursor.lastrowid or 0


def _storable(value: object) -> object:
    """Return a value without lone surrogates, which text of others may have."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _used_bytes(connection: sqlite3.Connection) -> int:
    [pages], [free], [size] = (
        connection.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def _delete_oldest(connection: sqlite3.Connection) -> bool:
    """Delete the oldest rows of all tables; False: there are none."""
    newest_to_delete = []
    for table in COLUMNS:
        [count] = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
        if count:
            offset = int(count * PRUNED_SHARE)
            newest_to_delete += connection.execute(
                f"SELECT at FROM {table} ORDER BY at LIMIT 1 OFFSET ?",
                (offset,),
            ).fetchone()
    if not newest_to_delete:
        return False
    for table in COLUMNS:
        connection.execute(f"DELETE FROM {table} WHERE at <= ?", (min(newest_to_delete),))
    return True
