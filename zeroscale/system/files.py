"""Small files that must survive a power cut, and locks on directories. It does not know what is in them."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import stat
import threading
from pathlib import Path

from zeroscale.errors import ConfigError, StateError
from zeroscale.system import lock_file

logger = logging.getLogger(__name__)

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+@-]{0,99}")
"""Of a server: one path component that is neither hidden nor an option, on every file system (255 bytes)."""

LONGEST_LOCK_CONTENT = 20
"""A process id in decimal, and a newline."""


def server_directory(state_directory: Path, name: str) -> Path:
    """Where the server of this name keeps what outlives us.

    :raises ConfigError: the name cannot be a directory's.
    """
    if NAME.fullmatch(name) is None:
        raise ConfigError(
            f"server name {name!r} cannot be a directory's name: use up to 100 letters, digits and . _ + @ -, "
            "beginning with a letter, a digit or _"
        )
    return state_directory / name


def write_atomically(path: Path, content: bytes) -> None:
    """Replaces the file: after a crash at any moment it has the old content or the new one, never a part.

    One writer at a time; the caller holds the directory's lock.

    :raises OSError: the disk refused; the file has its old content, or the new one where only the last fsync failed.
    """
    new = path.with_name(f"{path.name}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    try:
        with os.fdopen(os.open(new, flags, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            new.unlink()
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def read_bounded(path: Path, limit: int) -> bytes | None:
    """The file's content; None where there is none. Anything but a regular file counts as a damaged one.

    :param limit: in bytes.
    :raises OSError: it cannot be read.
    :raises ValueError: it is longer, or no file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # opening a FIFO would block
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("it is not a regular file")
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"it is longer than {limit} bytes")
    return content


class KeptFile:
    """A small file that is written often enough that nobody should wait for the disk, 20 ms and more a time.

    A disk that refuses costs one line in the log for each kind of refusal, and nothing else.

    :param path: the file; its directory is there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._next: bytes | None = None
        self._writer: threading.Thread | None = None
        self._reported: set[int | None] = set()

    def write(self, content: bytes) -> None:
        """Has the file replaced (`write_atomically`) in a thread, that ends with it; the latest content counts."""
        with self._lock:
            self._next = content
            if self._writer is None:
                # Not a daemon: Python's own end waits for the disk.
                self._writer = threading.Thread(target=self._write, name=f"writes {self.path.name}")
                self._writer.start()

    def flush(self) -> None:
        """Waits until all is written."""
        writer = self._writer
        if writer is not None:
            writer.join()

    def _write(self) -> None:
        while True:
            with self._lock:
                content, self._next = self._next, None
                if content is None:
                    self._writer = None
                    return
            try:
                write_atomically(self.path, content)
            except OSError as error:
                if error.errno not in self._reported:
                    self._reported.add(error.errno)
                    logger.error("Cannot write %s: %s; it is kept in memory only", self.path, error.strerror)
            else:
                self._reported.clear()


class Lock:
    """An exclusive lock on a file that carries the holder's process id. The kernel frees it when we die.

    :param path: the file; there only while somebody holds the lock, or has died holding it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        """Whether we hold it."""
        return self._descriptor is not None

    def take(self) -> None:
        """Takes the lock, or says who has it.

        :raises StateError: another one holds it.
        :raises OSError: the file can be neither made nor locked.
        """
        while self._descriptor is None:
            descriptor = lock_file.opened(self.path)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(descriptor, LONGEST_LOCK_CONTENT, 0).decode("ascii", "replace").strip()
                os.close(descriptor)
                raise StateError(_held(holder, self.path)) from None
            except OSError:
                os.close(descriptor)
                raise
            if lock_file.is_named(self.path, descriptor):
                self._descriptor = descriptor
            else:  # its last holder removed it between our opening and our locking it
                os.close(descriptor)
        with contextlib.suppress(OSError):  # a full disk, or a file that is not ours: the lock holds without its words
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Gives the lock back and removes its file. More often than taken does nothing."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        try:
            with contextlib.suppress(OSError):  # a directory that has become read-only, or is gone
                self.path.unlink()
        finally:
            os.close(descriptor)


def _held(holder: str, path: Path) -> str:
    if holder == str(os.getpid()):
        return f"another server of this zeroscale holds {path}: give each a directory of its own"
    who = f"another zeroscale (process {holder})" if holder.isdecimal() else "another zeroscale"
    mend = "stop that one first, or give each server its own directory and port"
    return f"{who} serves this already, and holds {path}: {mend}"
