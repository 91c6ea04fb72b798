"""One pair relayed by transports, Twisted's or ours: its two sides, and how the pair ends."""

from __future__ import annotations

import contextlib
from typing import Protocol as Structural
from typing import cast

from twisted.internet import tcp
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IDelayedCall, IHalfCloseableProtocol, IPushProducer, ITransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure
from zope.interface import implementer

from zeroscale.errors import RelayError
from zeroscale.reactor import Reactor
from zeroscale.relay.base import LINGER_INTERVAL, Outcome, Report, ReportDeferred, close
from zeroscale.relay.flush import flushed
from zeroscale.relay.half_close import IdleLimit, Linger
from zeroscale.sockets.options import has_died, prepare, unacknowledged, vanished
from zeroscale.sockets.transport import SocketTransport

_Connection = tcp.Connection | SocketTransport


class _RelayTransport(Structural):
    """The part of a transport that is used."""

    connected: int

    def write(self, data: bytes, /) -> None: ...
    def pauseProducing(self) -> None: ...
    def resumeProducing(self) -> None: ...
    def registerProducer(self, producer: object, streaming: bool, /) -> None: ...
    def unregisterProducer(self) -> None: ...
    def loseConnection(self) -> None: ...


def as_relay_transport(transport: ITransport) -> _RelayTransport | None:
    """Return the transport if it can be taken over: a plain TCP or Unix connection, or wrappers on one; else None."""
    bare = isinstance(transport, SocketTransport) or (isinstance(transport, tcp.Connection) and not transport.TLS)
    wrapped = isinstance(transport, ProtocolWrapper) and _bottom(transport) is not None
    return cast(_RelayTransport, transport) if bare or wrapped else None


def _bottom(transport: object) -> _Connection | None:
    while isinstance(transport, ProtocolWrapper):
        transport = transport.transport
    return transport if isinstance(transport, tcp.Connection | SocketTransport) else None


@implementer(IPushProducer)
class _Throttle:
    """One transport as the producer of the other.

    A transport closes at once when its consumer is lost, although the other's reset is to be passed on later: this
    class leaves closing to the pair.
    """

    def __init__(self, stream: _RelayTransport) -> None:
        self.pauseProducing = stream.pauseProducing
        self.resumeProducing = stream.resumeProducing

    def stopProducing(self) -> None:
        """Do nothing: the consumer is lost, and the pair is notified of that, too."""


@implementer(IHalfCloseableProtocol)
class _Side(Protocol):
    """The protocol of a transport while it is relayed, instead of its own.

    :ivar finished: it sends nothing any more.
    :ivar write_closed: all was sent to it, and its writing side is closed.
    :ivar lost: why its transport is closed; None while it is not.
    :ivar moved: bytes it has sent that were written to the other side.
    """

    other: _Side

    def __init__(self, pair: TransportPair, stream: _RelayTransport, connection: _Connection) -> None:
        self._pair = pair
        self.stream = stream
        self.connection = connection
        self.finished = False
        self.write_closed = False
        self.lost: Failure | None = None
        self.moved = 0
        self._holder = "wrappedProtocol" if isinstance(stream, ProtocolWrapper) else "protocol"
        self._own: Protocol | None = None

    def take_over(self) -> None:
        """Replace the transport's own protocol."""
        if isinstance(self.connection, SocketTransport):
            self.connection.reads_later = True
        self._own = getattr(self.stream, self._holder)
        setattr(self.stream, self._holder, self)

    def give_back(self) -> None:
        """Put the transport's own protocol back."""
        if self.lost is None:
            setattr(self.stream, self._holder, self._own)

    def notify_lost(self) -> None:
        """Tell the transport's own protocol that the connection was lost while it was relayed."""
        if self.lost is not None and self._own is not None:
            self._own.connectionLost(self.lost)

    def pass_on(self, data: bytes) -> None:
        """Write what this side has sent to the other one."""
        self.moved += len(data)
        self.other.stream.write(data)

    def unacknowledged(self) -> int:
        """Return the bytes that the kernel has taken but the peer has not acknowledged."""
        return 0 if self.lost is not None else unacknowledged(self.connection.getHandle())

    def dataReceived(self, data: bytes) -> None:
        self._pair.received(self, data)

    def readConnectionLost(self) -> None:
        self._pair.finished(self)

    def writeConnectionLost(self) -> None:
        self.write_closed = True
        self._pair.check_done()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = reason
        self._pair.lost(self)


class TransportPair:
    """Relays one pair.

    :ivar report: fires at the end of the pair; cancelling it aborts the pair.
    """

    def __init__(
        self, reactor: Reactor, client: _RelayTransport, backend: _RelayTransport, half_closed_limit: float
    ) -> None:
        self._reactor = reactor
        self._half_closed_limit = half_closed_limit
        bottoms = _bottom(client), _bottom(backend)
        assert bottoms[0] is not None and bottoms[1] is not None
        self.client = _Side(self, client, bottoms[0])
        self.backend = _Side(self, backend, bottoms[1])
        self.client.other, self.backend.other = self.backend, self.client
        self._sides = self.client, self.backend
        self.report = ReportDeferred(lambda: self.end(Outcome.aborted), lambda: (self.client.moved, self.backend.moved))
        self._over = False
        self._outcome: Outcome | None = None
        self._idle: IdleLimit | None = None
        self._linger: Linger | None = None
        self._flushing: Deferred[None] | None = None
        self._flushed = False
        self._linger_timer: IDelayedCall | None = None

    def take_over(self) -> None:
        """Take the transports over.

        :raises RelayError: one is closed or has a producer; both are still the caller's.
        """
        if not all(side.stream.connected for side in self._sides):
            raise RelayError("the connection was lost before it could be relayed")
        if any(side.connection.producer is not None for side in self._sides):
            raise RelayError("a connection cannot be relayed while it has a producer")
        for side in self._sides:
            with contextlib.suppress(OSError):  # it is dead, which its transport reports next
                prepare(side.connection.getHandle())
            side.take_over()
            side.stream.registerProducer(_Throttle(side.other.stream), True)

    def start(self, early: bytes, client_finished: bool) -> None:
        """Begin to move bytes, the early ones first."""
        self.backend.stream.resumeProducing()
        if not client_finished:
            self.client.stream.resumeProducing()
        self.client.pass_on(early)
        if client_finished:
            self.finished(self.client)

    def received(self, side: _Side, data: bytes) -> None:
        """Handle data that a side has sent."""
        if self._over or self._outcome is not None:
            return
        if side.other.lost is not None:
            # TCP answers data for a closed socket by a reset, too.
            self._reset(side.other, None)
        else:
            side.pass_on(data)

    def finished(self, side: _Side) -> None:
        """Handle the end of what a side sends; all before it has been written to the other side."""
        if self._over or side.finished:
            return
        side.finished = True
        other = side.other.stream
        if side.other.lost is None:
            other.unregisterProducer()
            if isinstance(other, tcp.Connection | SocketTransport):
                other.loseWriteConnection()
            else:
                other.loseConnection()
        if self._idle is None:
            self._idle = IdleLimit(self._reactor.seconds(), self._progress(), self._half_closed_limit)
        self.check_done()

    def lost(self, side: _Side) -> None:
        """Handle the loss of a side's transport."""
        assert side.lost is not None
        if self._over:
            return
        if self._outcome is not None:
            self.end(self._outcome)
        elif side.lost.check(ConnectionDone):
            self.finished(side)
            if side.other.lost is None:
                # It may be paused for the lost side, and its own end would not be noticed.
                side.other.stream.resumeProducing()
            self.check_done()
        else:
            self._reset(side, None)

    def check_done(self) -> None:
        """End the pair if both sides are done."""
        if self._over or self._outcome is not None:
            return
        if all(side.lost is not None or (side.finished and side.write_closed) for side in self._sides):
            self.end(Outcome.closed)

    def sweep(self) -> None:
        """Look for a peer that vanished, or reset while it was not read, and for an idle half-closed pair."""
        for side in self._sides:
            if side.lost is not None or self._outcome is not None:
                continue
            if vanished(side.connection.getHandle()):
                self._reset(side, Outcome.timed_out)
            elif has_died(side.connection.getHandle()):
                self._reset(side, None)
        if self._idle is not None and not self._over:
            waiting = any(side.unacknowledged() for side in self._sides)
            if self._idle.expired(self._reactor.seconds(), self._progress(), waiting):
                self.end(Outcome.aborted)

    def end(self, outcome: Outcome) -> None:
        """Report the end, then close both transports."""
        if self._over:
            return
        self._over = True
        if self._linger_timer is not None and self._linger_timer.active():
            self._linger_timer.cancel()
        if self._flushing is not None:
            self._flushing.cancel()
        for side in self._sides:
            if side.lost is None:
                side.stream.unregisterProducer()
            side.give_back()
        self.report.callback(Report(self.client.moved, self.backend.moved, outcome))
        for side in self._sides:
            if side.lost is None:
                close(ITransport(side.stream), outcome)
            else:
                side.notify_lost()

    def _progress(self) -> int:
        return sum(side.moved - side.unacknowledged() for side in self._sides)

    def _reset(self, dead: _Side, outcome: Outcome | None) -> None:
        """Pass the reset of a dead side on, once the other has received what was sent before it."""
        self._outcome = outcome or (Outcome.client_reset if dead is self.client else Outcome.backend_reset)
        other = dead.other
        if other.lost is not None:
            self.end(self._outcome)
            return
        other.stream.unregisterProducer()
        other.stream.pauseProducing()
        self._linger = Linger(self._reactor.seconds())
        self._linger_timer = self._reactor.callLater(0, self._check_linger, other)

    def _check_linger(self, other: _Side) -> None:
        assert self._linger is not None and self._outcome is not None
        if other.write_closed:
            self._flushed = True
        elif self._flushing is None:
            self._flushing = Deferred.fromCoroutine(flushed(other.connection))
            self._flushing.addCallbacks(self._note_flushed, self._ignore_flush_error)
        owed = other.unacknowledged()
        done = (self._flushed and owed == 0) or has_died(other.connection.getHandle())
        if done or self._linger.expired(self._reactor.seconds(), -owed):
            self.end(self._outcome)
        else:
            self._linger_timer = self._reactor.callLater(LINGER_INTERVAL, self._check_linger, other)

    def _note_flushed(self, result: None) -> None:
        self._flushed = True

    def _ignore_flush_error(self, failure: Failure) -> None:
        """Ignore a connection lost while it was flushed, which `lost` handles, and our own cancelling."""
        failure.trap(RelayError, CancelledError)
