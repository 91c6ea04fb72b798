"""Locks that a server inherits, so that the kernel keeps them until its last process has ended.

A multiplexer (tmux, screen) that a start script has started inherits them, too, but runs until its last window is
closed, and does not pass them on. One that is its only holder counts as no holder.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from zeroscale.process import procfs
from zeroscale.system import lock_file


def acquire(path: Path) -> int:
    """Acquire the lock.

    :returns: its descriptor, which the server must inherit and the caller then close.
    :raises LockHeldError: a process holds it.
    :raises StateError: its file is another user's.
    :raises OSError: its file cannot be opened.
    """
    try:
        return lock_file.acquire(path)
    except lock_file.LockHeldError:
        if is_held(path):
            raise
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        return lock_file.acquire(path)


def is_held(path: Path) -> bool:
    """Return whether any process holds the lock, whether it can be found or not."""
    if not lock_file.is_held(path):
        return False
    found = procfs.lock_holders(path)
    return not found or any(not procfs.is_multiplexer(holder) for holder in found)


def holders(path: Path) -> list[int]:
    """Return the live processes that hold the lock, except those that we may not inspect."""
    if not lock_file.is_held(path):  # far cheaper than reading every descriptor of every process
        return []
    return [
        holder for holder in procfs.lock_holders(path) if procfs.is_live(holder) and not procfs.is_multiplexer(holder)
    ]
