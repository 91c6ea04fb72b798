"""Accept connections of Twisted's listening ports in a `SocketPoller`, without a Twisted transport for each connection.

A listening port is Twisted's own: it is opened, described and closed as ever. Only what the reactor would do when a
client connects is done here.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import select
import socket
from typing import Any, cast

from twisted.internet import tcp, unix
from twisted.internet.interfaces import IDelayedCall, IListeningPort
from twisted.internet.protocol import Factory

from zeroscale.reactor import Reactor
from zeroscale.sockets.options import prepare
from zeroscale.sockets.poller import SocketPoller
from zeroscale.sockets.transport import SocketTransport, address_of

logger = logging.getLogger("zeroscale.system")

MOST_ACCEPTED = 16
"""Connections accepted in one turn, at most: those that are accepted already have to be served, too."""

PAUSE = 0.1
"""Seconds for which nothing is accepted where nothing can be."""

LASTING = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EINVAL})
"""Errors of `accept` that the next call has, too: no descriptor or memory is left, or, `EINVAL`, another process has
shut the socket down."""


def listening_reactor(reactor: Reactor, poller: SocketPoller | None, factory: Factory) -> Reactor:
    """Return the reactor for what opens listening ports: `poller` then accepts the connections of plain ones.

    :param poller: None: the ports are the reactor's.
    :param factory: makes the protocols of the connections; each has `peerFinished`, see `SocketTransport`. Ports with
        another factory, such as those of TLS, are the reactor's.
    """
    return reactor if poller is None else cast(Reactor, _ListeningReactor(reactor, poller, factory))


class _ListeningReactor:
    def __init__(self, reactor: Reactor, poller: SocketPoller, factory: Factory) -> None:
        self._reactor = reactor
        self._poller = poller
        self._factory = factory
        self._listeners: dict[object, _Listener] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def listenTCP(self, port: int, factory: Factory, backlog: int = 50, interface: str = "") -> IListeningPort:
        """See `IReactorTCP.listenTCP`."""
        if factory is not self._factory:
            return self._reactor.listenTCP(port, factory, backlog, interface)
        return _started(tcp.Port(port, factory, backlog, interface, self))

    def listenUNIX(
        self, address: str, factory: Factory, backlog: int = 50, mode: int = 0o666, wantPID: bool = False
    ) -> IListeningPort:
        """See `IReactorUNIX.listenUNIX`."""
        if factory is not self._factory:
            return self._reactor.listenUNIX(address, factory, backlog, mode, wantPID)
        return _started(unix.Port(os.fsencode(address), factory, backlog, mode, self, wantPID))

    def adoptStreamPort(
        self, fileDescriptor: int, addressFamily: socket.AddressFamily, factory: Factory
    ) -> IListeningPort:
        """See `IReactorSocket.adoptStreamPort`."""
        if factory is not self._factory:
            return self._reactor.adoptStreamPort(fileDescriptor, addressFamily, factory)
        return _started(tcp.Port._fromListeningDescriptor(self, fileDescriptor, addressFamily, factory))

    def addReader(self, port: Any) -> None:
        """Begin to accept connections; called by the port. Other readers are the reactor's."""
        if not isinstance(port, tcp.Port):
            self._reactor.addReader(port)
            return
        listener = self._listeners[port] = _Listener(self._reactor, self._poller, port.socket, self._factory)
        listener.start()

    def removeReader(self, port: Any) -> None:
        """Stop accepting connections; called by the port."""
        if not isinstance(port, tcp.Port):
            self._reactor.removeReader(port)
            return
        listener = self._listeners.pop(port, None)
        if listener is not None:
            listener.stop()


class _Listener:
    """Accepts the connections of one listening socket."""

    def __init__(self, reactor: Reactor, poller: SocketPoller, sock: socket.socket, factory: Factory) -> None:
        self._reactor = reactor
        self._poller = poller
        self._sock = sock
        self._descriptor = sock.fileno()
        self._family = int(sock.family)
        self._factory = factory
        self._pause: IDelayedCall | None = None
        self._reported = False

    def start(self) -> None:
        """Accept connections from now on."""
        with contextlib.suppress(OSError):  # an inherited socket of a kind that does not have them
            prepare(self._sock)  # what is accepted inherits the options
        self._watch()

    def stop(self) -> None:
        """Accept no connections any more."""
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        else:
            self._poller.forget(self._descriptor)

    def handle(self, events: int) -> None:
        """Accept the connections that wait."""
        for _ in range(MOST_ACCEPTED):
            try:
                descriptor, peer = self._sock._accept()  # type: ignore[attr-defined]
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in LASTING:
                    self._poller.forget(self._descriptor)
                    self._pause_accepting(error)
                    return
                continue  # this one connection is gone already, or a firewall refuses it
            self._reported = False
            # socket.accept() does the same, and converts family and type to enumerations and back.
            sock = socket.socket(self._family, socket.SOCK_STREAM, 0, descriptor)
            try:
                sock.setblocking(False)
                protocol: Any = self._factory.buildProtocol(address_of(self._family, peer))
                transport = SocketTransport(self._poller, sock, peer, protocol, protocol.peerFinished)
            except BaseException:
                sock.close()
                raise
            transport.start()
            if self._poller.turn_is_over():
                return

    def _watch(self) -> None:
        self._poller.watch(self._descriptor, select.EPOLLIN, self)

    def _watch_again(self) -> None:
        self._pause = None
        try:
            self._watch()
        except OSError as error:  # no memory, or the user's limit of watched descriptors
            self._pause_accepting(error)

    def _pause_accepting(self, error: OSError) -> None:
        if not self._reported:
            logger.warning("No connection can be accepted: %s", error.strerror)
        self._reported = True
        self._pause = self._reactor.callLater(PAUSE, self._watch_again)


def _started(port: Any) -> IListeningPort:
    port.startListening()
    listening: IListeningPort = port
    return listening
