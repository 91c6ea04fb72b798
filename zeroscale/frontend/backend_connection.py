"""Connect to the real server for a client that is about to be relayed.

Nothing that the server sends is read here: the relay reads it.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Callable
from typing import cast

from twisted.internet import error
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from zeroscale.errors import BackendError, RelayError
from zeroscale.frontend.interfaces import IStreamTransport, RelayService
from zeroscale.reactor import Reactor
from zeroscale.relay import Report
from zeroscale.relay.base import Moved, ReportDeferred
from zeroscale.sockets.connect import connect as connect_socket
from zeroscale.sockets.connect import is_unix_path
from zeroscale.sockets.options import reset_on_close
from zeroscale.sockets.poller import SocketPoller
from zeroscale.sockets.transport import SocketTransport
from zeroscale.system.host_endpoint import host_endpoint, is_address, resolve

CONNECT_TIMEOUT = 5.0
"""Seconds. The server was ready a moment ago, so a slower connection is lost; three attempts fit into the client's own
limit of 30 s."""

OTHER_ADDRESS_TIMEOUT = 1.0
"""Seconds for each address of a name but the last: a machine that does not answer on one has others."""

NO_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.EAGAIN})
"""Errors that are no fault of the server: no descriptor, memory, port of ours or thread is left."""


class BackendSocket:
    """A connection for a client with a `SocketTransport`: a socket that no transport owns.

    :ivar lost: it is known to be closed; never, since nobody watches it.
    """

    lost = False

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def hand_over(
        self,
        relays: RelayService,
        client: IStreamTransport,
        early: bytes,
        *,
        client_finished: bool,
        on_started: Callable[[Moved], object],
    ) -> ReportDeferred:
        """Hand it and the client's connection over; see `relay.Relays.relay_socket`.

        :param on_started: called with what returns the bytes moved so far.
        :raises RelayError: no relay takes them.
        """
        assert isinstance(client, SocketTransport)
        report = relays.relay_socket(client, self._sock, early, client_finished=client_finished)
        on_started(report.moved)
        return report

    def abort(self) -> None:
        """Close the connection."""
        reset_on_close(self._sock)
        self._sock.close()


@implementer(IHalfCloseableProtocol)
class BackendConnection(TwistedProtocol):
    """One connection to the real server, which is not read until the relay has it.

    :ivar lost: the connection is closed.
    """

    transport: IStreamTransport

    def __init__(self) -> None:
        self.lost = False

    def connectionMade(self) -> None:
        """Pause at once, so that the reactor reads nothing."""
        self.transport.pauseProducing()

    def connectionLost(self, reason: Failure | None = None) -> None:
        """Note that the connection is closed."""
        self.lost = True

    def readConnectionLost(self) -> None:
        """Do nothing: the relay reads this connection, and handles its end."""

    def writeConnectionLost(self) -> None:
        """Do nothing: the relay writes this connection, and handles its end."""

    def abort(self) -> None:
        """Abort the connection, if it is not closed already."""
        if not self.lost:
            self.transport.abortConnection()

    def hand_over(
        self,
        relays: RelayService,
        client: IStreamTransport,
        early: bytes,
        *,
        client_finished: bool,
        on_started: Callable[[Moved], object],
    ) -> Deferred[Report]:
        """Hand it and the client's connection over; see `relay.Relays.hand_over`."""
        return relays.hand_over(client, self.transport, early, client_finished=client_finished, on_started=on_started)


ServerConnection = BackendSocket | BackendConnection
"""A connection to the real server that nobody has read."""


async def connect(
    reactor: Reactor,
    poller: SocketPoller | None,
    host: str,
    port: int,
    begun: Deferred[socket.socket] | None = None,
) -> ServerConnection:
    """Connect to the real server. When cancelled, fails with `CancelledError` and leaves no connection behind.

    :param poller: watches the connection while it is made; None: it is the reactor's.
    :param host: a name, an address, or the path of a Unix socket, for which the port does not count.
    :param begun: what `start_connecting` has returned.
    :raises BackendError: the server does not take the connection; the message says why.
    :raises RelayError: the proxy has no descriptor left for it, or no thread to look the name up: that is no fault of
        the server.
    """
    try:
        if poller is None:
            return await _connect_by_reactor(reactor, host, port)
        if begun is not None:
            return BackendSocket(await begun)
        if is_unix_path(host) or is_address(host):
            return await _connect_to_address(reactor, poller, host, port, CONNECT_TIMEOUT)
        return await _connect_to_name(reactor, poller, host, port)
    except (error.ConnectError, OSError, ValueError) as problem:
        if isinstance(problem, error.ConnectBindError) or getattr(problem, "errno", None) in NO_RESOURCES:
            raise RelayError(f"no connection to {_address(host, port)} can be made: {_one_line(problem)}") from problem
        raise BackendError(f"{_address(host, port)}: {_one_line(problem)}") from problem


def start_connecting(
    reactor: Reactor, poller: SocketPoller, host: str, port: int
) -> BackendSocket | Deferred[socket.socket] | None:
    """Begin to connect to the real server; None: its name has to be looked up, which `connect` does.

    :raises OSError: the connection is refused, or there is no descriptor left.
    """
    if not (is_unix_path(host) or is_address(host)):
        return None
    connected = connect_socket(reactor, poller, host, port, CONNECT_TIMEOUT)
    return connected if isinstance(connected, Deferred) else BackendSocket(connected)


def abandon(connecting: Deferred[socket.socket]) -> None:
    """Close a connection that `start_connecting` has begun, however far it is."""
    # Why it fails does not matter any more.
    connecting.addCallbacks(lambda sock: BackendSocket(sock).abort(), lambda _: None)
    connecting.cancel()


async def _connect_to_address(
    reactor: Reactor, poller: SocketPoller, host: str, port: int, limit: float
) -> BackendSocket:
    sock = connect_socket(reactor, poller, host, port, limit)
    return BackendSocket(await sock if isinstance(sock, Deferred) else sock)


async def _connect_to_name(reactor: Reactor, poller: SocketPoller, name: str, port: int) -> BackendSocket:
    """Connect to the first address of a name that takes the connection."""
    *others, last = await resolve(reactor, name, port)
    for address in others:
        with contextlib.suppress(OSError):
            return await _connect_to_address(reactor, poller, address.host, port, OTHER_ADDRESS_TIMEOUT)
    return await _connect_to_address(reactor, poller, last.host, port, CONNECT_TIMEOUT)


async def _connect_by_reactor(reactor: Reactor, host: str, port: int) -> BackendConnection:
    connected: Deferred[BackendConnection] = Deferred()

    def succeeded(protocol: IProtocol) -> None:
        backend = cast(BackendConnection, protocol)
        if connected.called:
            backend.abort()
        else:
            connected.callback(backend)

    def failed(failure: Failure) -> None:
        # A cancelled endpoint fails with various errors, depending on how far it was: a name not found, for one.
        if not connected.called:
            connected.errback(failure)

    attempt = _endpoint(reactor, host, port).connect(Factory.forProtocol(BackendConnection))
    attempt.addCallbacks(succeeded, failed)
    try:
        return await connected
    except CancelledError:
        attempt.cancel()
        raise


def _endpoint(reactor: Reactor, host: str, port: int) -> IStreamClientEndpoint:
    if not is_unix_path(host):
        return host_endpoint(reactor, host, port, CONNECT_TIMEOUT)
    from twisted.internet.endpoints import UNIXClientEndpoint  # takes 0.8 MiB

    endpoint: IStreamClientEndpoint = UNIXClientEndpoint(reactor, host, CONNECT_TIMEOUT)
    return endpoint


def _address(host: str, port: int) -> str:
    return host if is_unix_path(host) else f"{host}:{port}"


def _one_line(problem: Exception) -> str:
    text = problem.strerror if isinstance(problem, OSError) and problem.strerror else str(problem)
    return " ".join(text.split()).rstrip(".")
