"""Notice when a path comes to name another file, or when the file is written, by inotify(7). Linux only.

The file itself is watched, and the directories and symlinks through which the path leads, but not what the directories
contain: other files that come and go there cost nothing. Not noticed are a file system that is mounted over the path,
and what another machine does in a network file system.

Twisted's own inotify reads every event, and has no watch that ends with its first event. Both use ctypes, which
Twisted imports in any case.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from zeroscale.reactor import Reactor

if TYPE_CHECKING:
    from ctypes import CDLL

IN_ATTRIB = 0x4
IN_CLOSE_WRITE = 0x8
IN_DELETE_SELF = 0x400
IN_MOVE_SELF = 0x800
IN_DONT_FOLLOW = 0x2000000
IN_ONESHOT = 0x80000000
"""From <sys/inotify.h>; the same on all architectures."""

FILE_EVENTS = IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF
"""The removal of a file that is still open changes only its number of links, which is `IN_ATTRIB`."""

PASSED_EVENTS = IN_DELETE_SELF | IN_MOVE_SELF
"""Of the directories and links."""

MOST_LINKS = 40
"""Links in one path that the kernel follows (path_resolution(7))."""

QUEUE = 65536
"""Bytes of events read at once. Each watch has one event, and one for its end, so that there are never more."""


@implementer(IReadDescriptor)
class PathWatch:
    """Watches one path, once for each `begin`.

    :param changed: called when the path may name another file, or when mode, owner or times of the file have changed.
    :param content: call it also when a program that has written the file has closed it; a link at the end of the path
        is then followed.
    :raises OSError: this system has no inotify, or no more instances of it.
    """

    def __init__(self, reactor: Reactor, path: Path, changed: Callable[[], object], *, content: bool = False) -> None:
        self._reactor = reactor
        self._path = path.absolute()
        self._changed = changed
        self._content = content
        self._library = _library()
        self._descriptor = _checked(self._library.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK))
        self._is_watching = False

    def begin(self) -> None:
        """Call `changed` at the next change; only once, until `begin` is called again.

        :raises OSError: there is no such file, one of the directories above it may not be read, or there are no more
            watches.
        """
        self._end()
        with contextlib.suppress(BlockingIOError):
            os.read(self._descriptor, QUEUE)
        *passed, file = _steps(self._path, follow_last=self._content)
        self._add(file, FILE_EVENTS | (IN_CLOSE_WRITE if self._content else 0))
        for each in passed:
            self._add(each, PASSED_EVENTS)
        self._reactor.addReader(self)
        self._is_watching = True

    def close(self) -> None:
        """End the watch."""
        self._end()
        os.close(self._descriptor)

    def doRead(self) -> None:
        """Report the change; called by the reactor."""
        self._end()
        self._changed()

    def fileno(self) -> int:
        """Return the descriptor that the reactor watches."""
        return self._descriptor

    def logPrefix(self) -> str:
        """Return the name in Twisted's log."""
        return "inotify"

    def connectionLost(self, reason: Failure) -> None:
        """Do nothing: called by the reactor when it ends."""

    def _end(self) -> None:
        if self._is_watching:
            self._is_watching = False
            self._reactor.removeReader(self)

    def _add(self, path: Path, events: int) -> None:
        flags = events | IN_DONT_FOLLOW | IN_ONESHOT
        _checked(self._library.inotify_add_watch(self._descriptor, os.fsencode(path), flags))


def _steps(path: Path, *, follow_last: bool) -> Iterator[Path]:
    """Return the directories and links through which an absolute path leads, and at last the file.

    :param follow_last: follow a link at the end of the path.
    :raises OSError: there are too many links.
    """
    at = Path(path.root)
    rest = [*path.parts[:0:-1]]
    links = 0
    while rest:
        name = rest.pop()
        if name == "..":
            at = at.parent
            continue
        at /= name
        yield at
        if not at.is_symlink() or not (rest or follow_last):
            continue
        links += 1
        if links > MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
        target = at.readlink()
        at = at.parent / target.root
        rest += target.parts[: 0 if target.root else None : -1]


@functools.cache
def _library() -> CDLL:
    """Return the C library.

    :raises OSError: it has no inotify.
    """
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import ctypes

        library = ctypes.CDLL(None, use_errno=True)
        if sys.platform == "linux" and library.inotify_init1 and library.inotify_add_watch:
            return library
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


def _checked(result: int) -> int:
    """Return the result of a function of the C library.

    :raises OSError: it is an error.
    """
    if result >= 0:
        return result
    import ctypes

    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number))
