"""A connected stream socket that a `SocketPoller` watches: a transport without Twisted's turns of the reactor.

It is used as Twisted's transports are, and its protocol is one of Twisted's that may half-close. It differs in this:
what is written is sent at once, a connection with nothing unsent is closed at once, and `connectionLost` is called as
soon as what is being done is over.
"""

from __future__ import annotations

import contextlib
import logging
import select
import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IConsumer, IPushProducer, ITCPTransport
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from zeroscale.errors import RelayError
from zeroscale.sockets.options import reset_on_close
from zeroscale.sockets.poller import SocketPoller

logger = logging.getLogger("zeroscale.system")

READ_SIZE = 65536
"""Bytes read at once, at most."""

UNSENT_LIMIT = 65536
"""Unsent bytes from which a producer is paused."""

Address = IPv4Address | IPv6Address | UNIXAddress

_READ, _WRITE = select.EPOLLIN, select.EPOLLOUT
_PEER_FINISHED = getattr(select, "EPOLLRDHUP", 0)
_DEAD, _HUNG_UP = select.EPOLLERR, select.EPOLLHUP

_DONE, _LOST, _ABORTED = Failure(ConnectionDone()), Failure(ConnectionLost()), Failure(ConnectionAborted())


@implementer(ITCPTransport, IPushProducer, IConsumer)
class SocketTransport:
    """One connection.

    :param sock: connected and non-blocking; it belongs to the transport.
    :param peer: the other end, as `accept` or `connect` has it.
    :param on_peer_finished: called when the peer has finished sending while it is not read.
    :ivar protocol: gets what is received.
    :ivar connected: it is open, and belongs to this transport.
    :ivar producer: the registered producer.
    :ivar reads_later: whoever pauses it will resume it; a reset waits until then, with what was received before it.
        Without this, the connection is closed as soon as the reset comes.
    """

    __slots__ = (
        "_busy",
        "_close_wanted",
        "_descriptor",
        "_finish_wanted",
        "_finished",
        "_flushed",
        "_hung_up",
        "_interest",
        "_on_peer_finished",
        "_peer",
        "_peer_finished",
        "_poller",
        "_producer_paused",
        "_reading",
        "_reason",
        "_sock",
        "_unsent",
        "connected",
        "producer",
        "protocol",
        "reads_later",
    )

    def __init__(
        self,
        poller: SocketPoller,
        sock: socket.socket,
        peer: Any,
        protocol: Any,
        on_peer_finished: Callable[[], object] = lambda: None,
    ) -> None:
        self._poller = poller
        self._sock = sock
        self._descriptor = sock.fileno()
        self._peer = peer
        self._interest: int | None = None
        self._busy = False
        self._reading = True
        self._peer_finished = self._hung_up = False
        self._unsent = b""
        self._finish_wanted = self._finished = self._close_wanted = False
        self._reason: Failure | None = None
        self._flushed: list[Deferred[None]] = []
        self.producer: Any = None
        self._producer_paused = False
        self._on_peer_finished = on_peer_finished
        self.protocol = protocol
        self.connected = 1
        self.reads_later = False

    def start(self) -> None:
        """Connect the protocol, and read what has been received already."""
        self._run(self._start)

    def handle(self, events: int) -> None:
        """Handle events of epoll(7)."""
        self._run(self._handle, events)

    # As Twisted's transports

    def getPeer(self) -> Any:
        """Return the address of the other end."""
        return address_of(self._sock.family, self._peer)

    def getHost(self) -> Any:
        """Return the address of our end."""
        return address_of(self._sock.family, self._sock.getsockname())

    def getHandle(self) -> socket.socket:
        """Return the socket."""
        return self._sock

    def write(self, data: bytes) -> None:
        """Send bytes now, and later what the kernel does not take now."""
        if not self.connected or self._close_wanted or self._finish_wanted or not data:
            return
        if self._unsent:
            self._unsent += data
        else:
            self._send(data)
        if self._unsent:
            self._update()
            if self.producer is not None and not self._producer_paused and len(self._unsent) > UNSENT_LIMIT:
                self._producer_paused = True
                self.producer.pauseProducing()

    def writeSequence(self, data: Any) -> None:
        """Send several pieces."""
        self.write(b"".join(data))

    def pauseProducing(self) -> None:
        """Stop reading."""
        self._reading = False
        self._update()

    def resumeProducing(self) -> None:
        """Read again; if the end has been read already, the protocol is told again."""
        if self.connected and not self._close_wanted:
            self._reading = True
            self._update()

    def stopProducing(self) -> None:
        """Close the connection."""
        self.loseConnection()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Have a push producer paused while much is unsent."""
        assert self.producer is None and streaming
        if self.connected:
            self.producer = producer
        else:
            producer.stopProducing()

    def unregisterProducer(self) -> None:
        """Forget the producer."""
        self.producer = None
        self._producer_paused = False
        self._after_sending()

    def loseWriteConnection(self) -> None:
        """Finish sending, once all is sent."""
        self._finish_wanted = True
        self._after_sending()

    def loseConnection(self) -> None:
        """Close, once all is sent."""
        if self.connected and not self._close_wanted:
            self._close_wanted = True
            self._reading = False
            self._after_sending()
            self._update()

    def abortConnection(self) -> None:
        """Reset the connection; what is unsent is lost."""
        if self.connected:
            with contextlib.suppress(OSError):
                reset_on_close(self._sock)
            self._close(_ABORTED)

    def getTcpNoDelay(self) -> bool:
        """Return whether small segments are sent at once."""
        return bool(self._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Set whether small segments are sent at once."""
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, enabled)

    def getTcpKeepAlive(self) -> bool:
        """Return whether a silent peer is probed."""
        return bool(self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Set whether a silent peer is probed."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, enabled)

    # For the relay

    @property
    def has_unsent(self) -> bool:
        """Whether the kernel has not taken all that was written."""
        return bool(self._unsent)

    def beside(self, sock: socket.socket) -> SocketTransport:
        """Return a transport of another connected socket, which is neither read nor watched until `resumeProducing`."""
        other = SocketTransport(self._poller, sock, None, Protocol())
        other._reading = False
        return other

    def flushed(self) -> Deferred[None]:
        """Wait until nothing is unsent; may be cancelled.

        Fails with `RelayError` if the connection is lost before.

        :raises RelayError: it is lost already, or has a producer.
        """
        if not self.connected:
            raise RelayError("the connection was lost before it could be relayed")
        if self.producer is not None:
            raise RelayError("the connection cannot be relayed while it has a producer")
        if not self._unsent:
            return succeed(None)
        flushed: Deferred[None] = Deferred(self._flushed.remove)
        self._flushed.append(flushed)
        return flushed

    def detach(self) -> socket.socket:
        """Give the socket away; the transport must not be used until `attach` or `detached_end`.

        :raises RelayError: the connection is lost, or something is unsent.
        """
        if not self.connected or self._unsent:
            raise RelayError("the connection was lost before it could be relayed")
        self.connected = 0
        if self._interest is not None:
            self._interest = None
            self._poller.forget(self._descriptor)
        return self._sock

    def attach(self) -> None:
        """Take the socket back, as it was given away; it is not read until `resumeProducing`."""
        self.connected = 1
        self._reading = False
        self._update()

    def detached_end(self, *, in_order: bool) -> None:
        """Tell the protocol that the socket's new owner has closed it.

        :param in_order: by a FIN, and not by a reset.
        """
        self._reason = _DONE if in_order else _ABORTED
        self._poller.soon(self._notify_lost)

    # Reading, sending, closing

    def _run(self, step: Callable[..., None], *arguments: object) -> None:
        self._busy = True
        try:
            step(*arguments)
        except Exception:  # of a protocol; the other connections go on
            logger.exception("A fault in zeroscale itself")
            self.abortConnection()
        finally:
            self._busy = False
        self._update()

    def _start(self) -> None:
        self.protocol.makeConnection(self)
        if self._reading and self.connected:
            self._read()

    def _handle(self, events: int) -> None:
        if events & _WRITE:
            self._flush()
        if events & (_HUNG_UP | _DEAD):
            self._hung_up = True
        if events & _READ and self._reading:
            self._read()
        elif events & _DEAD and (self._reading or not self.reads_later):
            self._close(_LOST)
        elif events & (_PEER_FINISHED | _HUNG_UP) and not self._reading and not self._peer_finished:
            self._peer_finished = True
            self._on_peer_finished()

    def _read(self) -> None:
        try:
            data = self._sock.recv(READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            self._close(_LOST)
            return
        if data:
            self.protocol.dataReceived(data)
        else:
            self._peer_finished = True
            self._reading = False
            self.protocol.readConnectionLost()

    def _flush(self) -> None:
        self._send(self._unsent)
        if self._unsent or not self.connected:
            return
        flushed, self._flushed = self._flushed, []
        for each in flushed:
            each.callback(None)
        if self._producer_paused:
            self._producer_paused = False
            self.producer.resumeProducing()
        self._after_sending()

    def _send(self, data: bytes) -> None:
        try:
            sent = self._sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._unsent = b""
            self._close(_LOST)
            return
        self._unsent = data[sent:]

    def _after_sending(self) -> None:
        if not self.connected or self._unsent or self.producer is not None:
            return
        if self._close_wanted:
            self._close(_DONE)
        elif self._finish_wanted and not self._finished:
            self._finished = True
            with contextlib.suppress(OSError):  # it is dead, which epoll reports next
                self._sock.shutdown(socket.SHUT_WR)
            self._poller.soon(self._notify_finished)

    def _close(self, reason: Failure) -> None:
        if not self.connected:
            return
        self.connected = 0
        self._sock.close()
        if self._interest is not None:
            self._interest = None
            self._poller.forget(self._descriptor, closed=True)
        self._reason = reason
        self._poller.soon(self._notify_lost)

    def _notify_finished(self) -> None:
        if self.connected:
            self.protocol.writeConnectionLost()

    def _notify_lost(self) -> None:
        for each in self._flushed:
            each.errback(RelayError("the connection was lost before it could be relayed"))
        if self.producer is not None:
            self.producer.stopProducing()
        self.protocol.connectionLost(self._reason)

    def _update(self) -> None:
        """Watch for what is waited for; in the middle of an event, when it has been handled.

        When both directions have ended, or by a reset, epoll would report that again and again while nothing is read.
        """
        if self._busy or not self.connected:
            return
        if self._hung_up and not self._reading and not self._unsent:
            if self._interest is not None:
                self._interest = None
                self._poller.forget(self._descriptor)
            return
        interest = 0 if self._peer_finished else _PEER_FINISHED
        if self._reading:
            interest |= _READ
        if self._unsent:
            interest |= _WRITE
        try:
            if self._interest is None:
                self._poller.watch(self._descriptor, interest, self)
            elif interest != self._interest:
                self._poller.change(self._descriptor, interest)
        except OSError:  # no memory, or the user's limit of watched descriptors
            self.abortConnection()
        else:
            self._interest = interest


def address_of(family: int, name: Any) -> Address:
    """Return Twisted's form of what `getsockname`, `getpeername` and `accept` return."""
    if family == socket.AF_INET:
        return IPv4Address("TCP", *name)
    if family == socket.AF_INET6:
        return IPv6Address("TCP", *name)
    return UNIXAddress(name or None)
