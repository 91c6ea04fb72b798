"""Listen on a Unix socket, and create its file again where that was removed or replaced while we listen.

The file that is there at the end is removed only if it is ours. (Twisted's own port would remove another program's,
and fails to stop where there is none.)
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import stat
from pathlib import Path
from typing import cast

from twisted.internet import tcp, unix
from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IDelayedCall, IListeningPort, IReactorTime
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure
from zope.interface import implementer

from zeroscale.errors import ConfigError
from zeroscale.reactor import Reactor
from zeroscale.system.files import make_private
from zeroscale.system.path_watch import PathWatch

logger = logging.getLogger("zeroscale.system")

CHECK_INTERVAL = 10.0
"""Seconds between two looks at the file where its removal is not announced, and where it cannot be created again."""

CHECK_DELAY = 1.0
"""Seconds from an announcement to the look: lets `rm -r` end, and bounds how often a look can be caused."""


@implementer(IListeningPort)
class UnixListener:
    """One listening Unix socket.

    :param path: the file.
    :param mode: permissions of the file. When it is created again, it has the mode and owner that it had last.
    :param clock: schedules the looks at the file; None: the reactor.
    """

    def __init__(
        self,
        reactor: Reactor,
        path: Path,
        factory: Factory,
        mode: int,
        backlog: int = 50,
        clock: IReactorTime | None = None,
    ) -> None:
        self._reactor = reactor
        self._path = path
        self._factory = factory
        self._mode = mode
        self._backlog = backlog
        self._clock = reactor if clock is None else clock
        self._port: _Port | None = None
        self._directory: os.stat_result | None = None
        self._watch: PathWatch | None = None
        self._watch_error: int | None = None
        self._timer: IDelayedCall | None = None
        self._reported = ""

    def startListening(self) -> None:
        """Listen.

        :raises ConfigError: a process listens there, or there is a file that is not a socket.
        :raises CannotListenError: a system call failed.
        :raises OSError: likewise.
        """
        remove_dead_socket(self._path)
        self._port = self._listen(self._mode)
        self._directory = self._path.parent.stat()
        self._await_change()

    def stopListening(self) -> Deferred[None]:
        """Stop, and remove the file if it is ours; established connections stay."""
        port, self._port = self._port, None
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self._watch is not None:
            self._watch.close()
            self._watch = None
        return succeed(None) if port is None else maybeDeferred(port.stopListening)

    def getHost(self) -> IAddress:
        """Return the address."""
        return UNIXAddress(os.fsencode(self._path))

    def _listen(self, mode: int) -> _Port:
        # Sets the mode before it listens, so that at no time a client without permission can connect.
        port = _Port(os.fsencode(self._path), self._factory, self._backlog, mode, self._reactor)
        port.startListening()
        return port

    def _await_change(self) -> None:
        """Check the file when it changes; where that is not announced, or the file is not ours, after some time."""
        assert self._port is not None
        try:
            self._watch = self._watch or PathWatch(self._reactor, self._path, self._check_soon)
            self._watch.begin()
            is_watched = self._port.is_in_place()  # it may have changed before the watch
        except OSError as error:
            is_watched = False
            if error.errno != self._watch_error:
                logger.debug("%s is not watched, but looked at every %g s: %s", self._path, CHECK_INTERVAL, error)
            self._watch_error = error.errno
        if not is_watched:
            self._check_after(CHECK_INTERVAL)

    def _check_soon(self) -> None:
        self._check_after(CHECK_DELAY)

    def _check_after(self, seconds: float) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = self._clock.callLater(seconds, self._check)

    def _check(self) -> None:
        port = self._port
        if port is not None and not port.is_in_place():
            self._replace(port)
        if self._port is not None:
            self._await_change()

    def _replace(self, port: _Port) -> None:
        try:
            self._port = self._listen_again(port.found)
        except (ConfigError, CannotListenError, OSError) as error:
            cause = error.socketError if isinstance(error, CannotListenError) else error
            reason = getattr(cause, "strerror", None) or str(cause)
            if reason != self._reported:
                logger.error("The socket %s was removed, and cannot be created again: %s", self._path, reason)
            self._reported = reason
        else:
            self._reported = ""
            logger.warning("The socket %s was removed: it has been created again", self._path)
            port.stopListening()  # type: ignore[no-untyped-call]  # Twisted has no types here

    def _listen_again(self, former: os.stat_result) -> _Port:
        assert self._directory is not None
        _restore_directory(self._path.parent, self._directory)
        remove_dead_socket(self._path)
        port = self._listen(stat.S_IMODE(former.st_mode))
        if (port.found.st_uid, port.found.st_gid) != (former.st_uid, former.st_gid):
            with contextlib.suppress(OSError):  # root changed it, and we are not root
                os.chown(self._path, former.st_uid, former.st_gid, follow_symlinks=False)
        return port


class _Port(unix.Port):
    """Twisted's port, with another rule of when to remove the file.

    :ivar found: the file, as it was when it was last seen.
    """

    found: os.stat_result
    _created: socket.socket | None = None

    def createInternetSocket(self) -> socket.socket:
        self._created = cast(socket.socket, super().createInternetSocket())  # type: ignore[no-untyped-call]
        return self._created

    def startListening(self) -> None:
        try:
            super().startListening()  # type: ignore[no-untyped-call]  # Twisted has no types here
            self.found = os.lstat(self._bindPath)
        except (CannotListenError, OSError):
            if self._created is not None:
                self._created.close()  # Twisted leaves it open
            raise

    def is_in_place(self) -> bool:
        """Return whether the file is the one that this port has created, as far as can be known."""
        try:
            found = os.lstat(self._bindPath)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True
        # While the socket is open the kernel keeps its inode, so that no other file can get the same number.
        if not os.path.samestat(found, self.found):
            return False
        self.found = found
        return True

    def connectionLost(self, reason: Failure) -> None:
        if self.is_in_place():
            with contextlib.suppress(OSError):  # the directory is another user's: the next start replaces the file
                os.unlink(self._bindPath)  # noqa: PTH108  # bytes
        tcp.Port.connectionLost(self, reason)


class _AdoptedPort(unix.Port):
    """Twisted's port without a path, so that it neither changes the mode of the file nor removes it."""

    _shouldShutdown = False  # as for Twisted's TCP ports: the program that opened the socket still listens on it

    def __init__(self, fileName: object, factory: Factory, reactor: Reactor) -> None:
        super().__init__(b"", factory, reactor=reactor)
        self._bindPath = b"\0"  # a name that is no file


def adopt(reactor: Reactor, descriptor: int, factory: Factory) -> IListeningPort:
    """Listen on a socket of another program, which listens already; its file stays as it is.

    :param descriptor: it is duplicated.
    """
    port: _AdoptedPort = _AdoptedPort._fromListeningDescriptor(reactor, descriptor, factory)  # type: ignore[no-untyped-call]
    port.startListening()  # type: ignore[no-untyped-call]  # Twisted has no types here
    return port


def remove_dead_socket(path: Path) -> None:
    """Remove a socket on which no process listens.

    :raises ConfigError: a process listens on it, or the path is not a socket.
    :raises OSError: a system call failed.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise ConfigError(f"{path} exists and is not a socket: choose another path, or remove it")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        problem = probe.connect_ex(str(path))
    if problem in (0, errno.EAGAIN):  # EAGAIN: there is a listener, and its backlog is full
        raise ConfigError(f"another zeroscale listens on {path}: stop it, or choose another path")
    if problem != errno.ECONNREFUSED:
        raise OSError(problem, os.strerror(problem), str(path))
    path.unlink()


def _restore_directory(path: Path, former: os.stat_result) -> None:
    """Create a directory that was removed, with the mode and owner that it had.

    :raises OSError: that is not possible.
    """
    if path.exists():
        return
    make_private(path)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        created = os.fstat(descriptor)
        if (created.st_uid, created.st_gid) != (former.st_uid, former.st_gid):
            os.fchown(descriptor, former.st_uid, former.st_gid)
        os.fchmod(descriptor, stat.S_IMODE(former.st_mode))
    except PermissionError as error:  # it was another user's: it stays private
        logger.debug("%s has not the owner that it had: %s", path, error.strerror)
    finally:
        os.close(descriptor)
