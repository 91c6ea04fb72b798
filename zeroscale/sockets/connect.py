"""Connect to an address or a Unix socket without a Twisted transport; its owner alone reads the connection."""

from __future__ import annotations

import errno
import os
import select
import socket

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from zeroscale.reactor import Reactor
from zeroscale.sockets.options import prepare_for_address
from zeroscale.sockets.poller import SocketPoller

IN_PROGRESS = frozenset({errno.EINPROGRESS, errno.EALREADY, errno.EINTR})


def is_unix_path(host: str) -> bool:
    """Return whether what stands for a host is the absolute path of a Unix socket."""
    return host.startswith("/")


def connect(
    reactor: Reactor, poller: SocketPoller, host: str, port: int, timeout: float
) -> socket.socket | Deferred[socket.socket]:
    """Connect to an address.

    :param host: an IPv4 or IPv6 address, no name; or the path of a Unix socket, which has no port.
    :returns: the connected socket, at once where it is: usually, on the same machine. Else a Deferred that may be
        cancelled, and fails with an `OSError`, after `timeout` seconds with `TimeoutError`.
    :raises OSError: the connection is refused, or there is no descriptor left.
    """
    if is_unix_path(host):
        return _connect_to_path(host)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        prepare_for_address(sock, host)
        problem = sock.connect_ex((host, port))
        if problem == errno.EINPROGRESS:
            # On the same machine the other end's kernel has answered by now: asking again saves waiting for an event.
            problem = sock.connect_ex((host, port))
        if problem in IN_PROGRESS:
            return _Attempt(reactor, poller, sock, timeout).connected
        if problem:
            raise OSError(problem, os.strerror(problem))
    except BaseException:
        sock.close()
        raise
    return sock


def _connect_to_path(path: str) -> socket.socket:
    """Connect to a Unix socket, which takes the connection at once or not at all (unix(7))."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        sock.connect(path)
    except BlockingIOError:
        sock.close()
        raise ConnectionRefusedError(errno.ECONNREFUSED, "its queue of new connections is full") from None
    except BaseException:
        sock.close()
        raise
    return sock


class _Attempt:
    """A connection that is being made.

    :ivar connected: see `connect`.
    """

    def __init__(self, reactor: Reactor, poller: SocketPoller, sock: socket.socket, timeout: float) -> None:
        self._poller = poller
        self._sock = sock
        self.connected: Deferred[socket.socket] = Deferred(lambda _: self._close())
        poller.watch(sock.fileno(), select.EPOLLOUT, self)
        self._timer: IDelayedCall = reactor.callLater(timeout, self._timed_out)

    def handle(self, events: int) -> None:
        """Take the connection, or report why there is none."""
        problem = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if problem:
            self._close()
            self.connected.errback(OSError(problem, os.strerror(problem)))
        else:
            self._timer.cancel()
            self._poller.forget(self._sock.fileno())
            self.connected.callback(self._sock)

    def _timed_out(self) -> None:
        self._close()
        self.connected.errback(TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)))

    def _close(self) -> None:
        if self._timer.active():
            self._timer.cancel()
        self._poller.forget(self._sock.fileno())
        self._sock.close()
