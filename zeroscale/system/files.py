"""Atomic writes, bounded reads, a background writer for small files, and an exclusive lock on a file."""

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
"""A server's name: one path component that is neither hidden nor an option, and fits every file system (255 bytes)."""

LONGEST_LOCK_CONTENT = 20
"""Bytes: a process id in decimal and a newline."""


def server_directory(state_directory: Path, name: str) -> Path:
    """Return the state directory of the server of this name.

    :raises ConfigError: the name cannot be the name of a directory.
    """
    if NAME.fullmatch(name) is None:
        raise ConfigError(
            f"server name {name!r} cannot be a directory's name: use up to 100 letters, digits and . _ + @ -, "
            "beginning with a letter, a digit or _"
        )
    return state_directory / name


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file: after a crash at any moment it has the old content or the new one, never a part.

    Only one writer at a time is allowed; the caller holds the directory's lock.

    :raises OSError: writing failed; the file has its old content, or the new one where only the last fsync failed.
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
    """Return the content of a file; None if there is no file.

    :param limit: the most bytes it may have.
    :raises OSError: it cannot be read.
    :raises ValueError: it is longer, or not a regular file.
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


class BackgroundFile:
    """A small file that is written in a thread, since a synchronous write takes 20 ms and more.

    A failure to write is logged once for each kind of error, and the content is kept in memory.

    :param path: the file; its directory exists.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._next: bytes | None = None
        self._writer: threading.Thread | None = None
        self._reported: set[int | None] = set()

    def write(self, content: bytes) -> None:
        """Replace the file (`write_atomically`) in a thread; only the latest content counts."""
        with self._lock:
            self._next = content
            if self._writer is None:
                # Not a daemon thread: the interpreter waits for the write when it exits.
                self._writer = threading.Thread(target=self._write, name=f"write {self.path.name}")
                self._writer.start()

    def flush(self) -> None:
        """Wait until everything is written."""
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
    """An exclusive lock on a file that contains the holder's process id. The kernel releases it when the holder dies.

    :param path: the file; it exists only while the lock is held, or after the holder was killed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        """Return whether this process holds the lock."""
        return self._descriptor is not None

    def acquire(self) -> None:
        """Acquire the lock.

        :raises StateError: another process, or another server of this one, holds it; the message names the process.
        :raises OSError: the file can be neither created nor locked.
        """
        while self._descriptor is None:
            descriptor = lock_file.open_lock_file(self.path)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(descriptor, LONGEST_LOCK_CONTENT, 0).decode("ascii", "replace").strip()
                os.close(descriptor)
                raise StateError(_held_message(holder, self.path)) from None
            except OSError:
                os.close(descriptor)
                raise
            if lock_file.is_named(self.path, descriptor):
                self._descriptor = descriptor
            else:  # its last holder removed the file after it was opened here and before it was locked
                os.close(descriptor)
        with contextlib.suppress(OSError):  # a full disk, or a file of another user: the lock holds without the id
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Release the lock and remove its file. Does nothing where the lock is not held."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        try:
            with contextlib.suppress(OSError):  # the directory is read-only now, or removed
                self.path.unlink()
        finally:
            os.close(descriptor)


def _held_message(holder: str, path: Path) -> str:
    if holder == str(os.getpid()):
        return f"another server of this zeroscale holds {path}: give each server its own directory"
    owner = f"another zeroscale (process {holder})" if holder.isdecimal() else "another zeroscale"
    return f"{owner} holds {path}: stop it first, or give each server its own directory and port"
