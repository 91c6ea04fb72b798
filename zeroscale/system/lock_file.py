"""A file whose only use is the lock on it: opening it, and seeing whether it is still the one of its name.

Who locks it, and what for, is the caller's.
"""

from __future__ import annotations

import os
from pathlib import Path


def opened(path: Path, flags: int = os.O_RDWR | os.O_CREAT) -> int:
    """Opens it for `fcntl.flock`, without ever waiting and through no link.

    :param flags: as `os.open` has them. A file of another user's, which can be locked all the same, is opened for
        reading.
    :returns: a descriptor, which no child inherits by itself; the caller closes it.
    :raises OSError: it can be neither opened nor made.
    """
    further = os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        return os.open(path, flags | further, 0o644)
    except PermissionError:
        return os.open(path, os.O_RDONLY | further)


def is_named(path: Path, descriptor: int) -> bool:
    """Whether this is still the file of that name: its last holder may have removed it after it was opened.

    :raises OSError: it cannot be seen.
    """
    try:
        named = path.stat(follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(named, os.fstat(descriptor))
