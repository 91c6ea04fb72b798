"""Exclusive locks on files. The kernel releases a lock when its holder dies.

A lock file has mode 0600, so that no other user can hold it, and one name. Any other file in its place is replaced
by a new one if nobody holds it, and never written to: a hard link would be another file as well.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import stat
from pathlib import Path

from zeroscale.errors import StateError
from zeroscale.system.accounts import account_name
from zeroscale.system.files import UNTRUSTED, set_aside

LOCKS = Path("/proc/locks")

LONGEST_CONTENT = 20
"""Bytes: a process id in decimal and a newline."""


class LockHeldError(Exception):
    """Another process, or another part of this one, holds a lock.

    :ivar holder: the content of the file: the holder's process id, if it has written that.
    """

    def __init__(self, holder: str) -> None:
        super().__init__(holder)
        self.holder = holder


class ForeignLockError(StateError):
    """A lock cannot be used, since its file or its holder is another user's; the message names that user."""


def acquire(path: Path) -> int:
    """Create a lock file if there is none, and lock it.

    :return: a descriptor that children do not inherit; the lock lasts until it and all its copies are closed.
    :raises LockHeldError: the lock is held.
    :raises ForeignLockError: the file is another user's, and cannot be replaced, or a process of another user holds the
        lock.
    :raises OSError: it can be neither created nor locked.
    """
    replaced = False
    while True:
        descriptor = _open(path)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise _held(path, descriptor) from None
            if is_named(path, descriptor):
                # A file system without modes and owners would show the same again: one attempt is enough.
                if replaced or _is_private(descriptor):
                    return os.dup(descriptor)
                replaced = True
                _replace(path, descriptor)
            # else its last holder removed the file after it was opened here and before it was locked
        finally:
            os.close(descriptor)


def remove(path: Path) -> None:
    """Remove a lock file, unless the lock is held. A file that cannot be removed does no harm, and is left."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | UNTRUSTED)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if is_named(path, descriptor):
                path.unlink()
        finally:
            os.close(descriptor)


def is_held(path: Path) -> bool:
    """Return whether any process holds the lock, or may hold it: that cannot be known without a free descriptor."""
    try:
        descriptor = os.open(path, os.O_RDWR | UNTRUSTED)
    except OSError as error:
        return error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two of these calls do not see each other
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def is_named(path: Path, descriptor: int) -> bool:
    """Return whether the open file is still the one at the path: it may have been removed since.

    :raises OSError: the path cannot be examined.
    """
    try:
        named = path.stat(follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(named, os.fstat(descriptor))


class Lock:
    """A lock on a file that contains the holder's process id.

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
        """Acquire the lock. If its file was removed while it was held, create it again.

        :raises StateError: another process, or another server of this one, holds it; the message names the process.
        :raises OSError: the file can be neither created nor locked.
        """
        if self._descriptor is not None:
            if is_named(self.path, self._descriptor):
                return
            os.close(self._descriptor)
            self._descriptor = None
        try:
            self._descriptor = acquire(self.path)
        except LockHeldError as error:
            raise StateError(_held_message(error.holder, self.path)) from None
        with contextlib.suppress(OSError):  # a full disk: the lock holds without the id
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Release the lock and remove its file. Does nothing where the lock is not held."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        try:
            with contextlib.suppress(OSError):  # the directory is read-only now, or removed
                if is_named(self.path, descriptor):
                    self.path.unlink()
        finally:
            os.close(descriptor)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | UNTRUSTED, 0o600)
    except OSError as error:
        if not os.path.lexists(path):
            raise
        if isinstance(error, PermissionError):
            raise ForeignLockError(_forbidden_message(path)) from None
        try:
            set_aside(path)  # a symlink, a directory or a socket
        except PermissionError:
            raise ForeignLockError(_foreign_message(path)) from None
    return os.open(path, os.O_RDWR | os.O_CREAT | UNTRUSTED, 0o600)


def _held(path: Path, descriptor: int) -> LockHeldError | ForeignLockError:
    """Return the error of a lock that is held.

    Only a file that no other user can write says who holds it. Otherwise the kernel is asked, which names the process
    that took the lock, but not those that it has left it to.
    """
    found = os.fstat(descriptor)
    if _is_private(descriptor):
        return LockHeldError(_content(descriptor))
    process = _taken_by(found)
    user = None if process is None else _user_of(process)
    ours = found.st_uid == os.geteuid()
    if user is not None and user != os.geteuid():
        whose = "" if ours else f", which belongs to user {account_name(found.st_uid)}"
        return ForeignLockError(
            f"process {process} of user {account_name(user)} holds the lock {path}{whose}: stop it, and remove the file"
        )
    if user is None and not ours:
        return ForeignLockError(_foreign_message(path))
    if ours and stat.S_ISREG(found.st_mode) and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return LockHeldError(_content(descriptor))
    return LockHeldError("" if user is None else str(process))


def _content(descriptor: int) -> str:
    return os.pread(descriptor, LONGEST_CONTENT, 0).decode("ascii", "replace").strip()


def _taken_by(found: os.stat_result) -> int | None:
    """Return the process that has locked a file (proc_locks(5)); None where that is not known."""
    try:
        lines = LOCKS.read_bytes().splitlines()
    except OSError:
        return None
    file = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}".encode()
    for line in lines:
        match line.split():
            case [_, b"FLOCK", _, _, process, locked, *_] if locked == file:
                return int(process)
    return None


def _user_of(process_id: int) -> int | None:
    """Return the user of a process (proc_pid_status(5)); None if there is none, or it is hidden."""
    try:
        status = Path(f"/proc/{process_id}/status").read_bytes()
    except OSError:
        return None
    found = re.search(rb"^Uid:\t[0-9]+\t([0-9]+)", status, re.MULTILINE)
    return int(found[1]) if found else None


def _is_private(descriptor: int) -> bool:
    found = os.fstat(descriptor)
    is_ours = found.st_uid == os.geteuid() and not found.st_mode & 0o077
    return is_ours and found.st_nlink == 1 and stat.S_ISREG(found.st_mode)


def _replace(path: Path, descriptor: int) -> None:
    """Remove a file that nobody holds, so that a new one can be created.

    :raises ForeignLockError: that is not permitted, and it is a file that must not be used.
    """
    try:
        path.unlink()
    except OSError:
        found = os.fstat(descriptor)
        if found.st_nlink > 1 or not stat.S_ISREG(found.st_mode):
            raise ForeignLockError(_foreign_message(path)) from None


def _held_message(holder: str, path: Path) -> str:
    if holder == str(os.getpid()):
        return f"another server of this zeroscale holds {path}: give each server its own directory"
    owner = f"another zeroscale (process {holder})" if holder.isdecimal() else "another zeroscale"
    return f"{owner} holds {path}: stop it first, or give each server its own directory and port"


def _forbidden_message(path: Path) -> str:
    with contextlib.suppress(OSError):
        if path.lstat().st_uid == os.geteuid():
            return f"cannot open the lock {path}: run chmod 600 on it"
    return _foreign_message(path)


def _foreign_message(path: Path) -> str:
    try:
        owner = account_name(path.lstat().st_uid)
    except OSError:
        return f"cannot use the lock {path}"
    return f"cannot use the lock {path}, which belongs to user {owner}: stop what that user runs there, and remove it"
