"""Open a lock file, and check that an open lock file is still the one at its path."""

from __future__ import annotations

import os
from pathlib import Path


def open_lock_file(path: Path, flags: int = os.O_RDWR | os.O_CREAT) -> int:
    """Open a file for `fcntl.flock`, without blocking and without following a symlink.

    :param flags: as of `os.open`. A file of another user that may not be written is opened for reading, which is
        enough for a lock.
    :return: a descriptor that children do not inherit; the caller closes it.
    :raises OSError: the file can be neither opened nor created.
    """
    more_flags = os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        return os.open(path, flags | more_flags, 0o644)
    except PermissionError:
        return os.open(path, os.O_RDONLY | more_flags)


def is_named(path: Path, descriptor: int) -> bool:
    """Return whether the open file is still the one at the path: its last holder may have removed it since.

    :raises OSError: the path cannot be examined.
    """
    try:
        named = path.stat(follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(named, os.fstat(descriptor))
