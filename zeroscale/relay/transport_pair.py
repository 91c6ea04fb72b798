"""One pair that Twisted's transports relay: two sides, and when they are done with each other."""

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
from zeroscale.relay.base import LINGER_INTERVAL, Ending, Outcome, Reactor, Report, close
from zeroscale.relay.flush import flushed
from zeroscale.relay.half_close import Linger, Silence
from zeroscale.relay.socket_options import has_died, prepare, unacknowledged, vanished


class Carried(Structural):
    """What we ask of a transport."""

    connected: int

    def write(self, data: bytes, /) -> None: ...
    def pauseProducing(self) -> None: ...
    def resumeProducing(self) -> None: ...
    def registerProducer(self, producer: object, streaming: bool, /) -> None: ...
    def unregisterProducer(self) -> None: ...
    def loseConnection(self) -> None: ...


def carried(transport: ITransport) -> Carried | None:
    """The transport, if it is one of those that we know how to take over; None otherwise."""
    bare = isinstance(transport, tcp.Connection) and not transport.TLS
    wrapped = isinstance(transport, ProtocolWrapper) and _bottom(transport) is not None
    return cast(Carried, transport) if bare or wrapped else None


def _bottom(transport: object) -> tcp.Connection | None:
    while isinstance(transport, ProtocolWrapper):
        transport = transport.transport
    return transport if isinstance(transport, tcp.Connection) else None


@implementer(IPushProducer)
class _Throttle:
    """One transport as the producer of the other. A transport whose consumer is lost closes at once, and not as the
    reset of the other should be passed on: this one leaves that to the pair."""

    def __init__(self, carried: Carried) -> None:
        self.pauseProducing = carried.pauseProducing
        self.resumeProducing = carried.resumeProducing

    def stopProducing(self) -> None:
        """The consumer is lost, of which the pair hears by itself."""


@implementer(IHalfCloseableProtocol)
class _Side(Protocol):
    """The protocol of a transport while it is relayed, in place of its own.

    :ivar finished: it sends nothing any more.
    :ivar told: it has been sent everything, and that nothing more comes.
    :ivar lost: its transport is gone, and why.
    :ivar moved: bytes it has sent that were written to the other.
    """

    other: _Side

    def __init__(self, pair: TransportPair, carried: Carried, connection: tcp.Connection) -> None:
        self._pair = pair
        self.carried = carried
        self.connection = connection
        self.finished = False
        self.told = False
        self.lost: Failure | None = None
        self.moved = 0
        self._holder = "wrappedProtocol" if isinstance(carried, ProtocolWrapper) else "protocol"
        self._own: Protocol | None = None

    def seize(self) -> None:
        """Puts itself in the place of the transport's own protocol."""
        self._own = getattr(self.carried, self._holder)
        setattr(self.carried, self._holder, self)

    def release(self) -> None:
        """Puts the transport's own protocol back."""
        if self.lost is None:
            setattr(self.carried, self._holder, self._own)

    def tell(self) -> None:
        """Tells the transport's own protocol that the connection was lost in our hands."""
        if self.lost is not None and self._own is not None:
            self._own.connectionLost(self.lost)

    def give(self, data: bytes) -> None:
        """Writes to the other what this one has sent."""
        self.moved += len(data)
        self.other.carried.write(data)

    def unacknowledged(self) -> int:
        """Bytes in its kernel's hands that have not arrived."""
        return 0 if self.lost is not None else unacknowledged(self.connection.getHandle())

    def dataReceived(self, data: bytes) -> None:
        self._pair.received(self, data)

    def readConnectionLost(self) -> None:
        self._pair.finished(self)

    def writeConnectionLost(self) -> None:
        self.told = True
        self._pair.look()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = reason
        self._pair.lost(self)


class TransportPair:
    """Relays one pair.

    :ivar report: fires at its end; cancelling it aborts the pair.
    """

    def __init__(self, reactor: Reactor, client: Carried, backend: Carried, half_closed_limit: float) -> None:
        self._reactor = reactor
        self._half_closed_limit = half_closed_limit
        bottoms = _bottom(client), _bottom(backend)
        assert bottoms[0] is not None and bottoms[1] is not None
        self.client = _Side(self, client, bottoms[0])
        self.backend = _Side(self, backend, bottoms[1])
        self.client.other, self.backend.other = self.backend, self.client
        self._sides = self.client, self.backend
        self.report = Ending(lambda: self.end(Outcome.aborted), lambda: (self.client.moved, self.backend.moved))
        self._over = False
        self._outcome: Outcome | None = None
        self._silence: Silence | None = None
        self._linger: Linger | None = None
        self._flushing: Deferred[None] | None = None
        self._flushed = False
        self._looking: IDelayedCall | None = None

    def seize(self) -> None:
        """Takes the transports over.

        :raises RelayError: they are still the caller's: one is gone, or has a producer.
        """
        if not all(side.carried.connected for side in self._sides):
            raise RelayError("the connection was lost before it could be relayed")
        if any(side.connection.producer is not None for side in self._sides):
            raise RelayError("a connection cannot be relayed while it has a producer")
        for side in self._sides:
            with contextlib.suppress(OSError):  # it is dead already, which its transport tells next
                prepare(side.connection.getHandle())
            side.seize()
            side.carried.registerProducer(_Throttle(side.other.carried), True)

    def start(self, early: bytes, client_finished: bool) -> None:
        """Begins to move bytes, the early ones first."""
        self.backend.carried.resumeProducing()
        if not client_finished:
            self.client.carried.resumeProducing()
        self.client.give(early)
        if client_finished:
            self.finished(self.client)

    def received(self, side: _Side, data: bytes) -> None:
        """The side sent something."""
        if self._over or self._outcome is not None:
            return
        if side.other.lost is not None:
            # As TCP answers what is sent to a socket that was closed.
            self._reset(side.other, None)
        else:
            side.give(data)

    def finished(self, side: _Side) -> None:
        """The side sends nothing any more; all that it sent has been written to the other."""
        if self._over or side.finished:
            return
        side.finished = True
        other = side.other.carried
        if side.other.lost is None:
            other.unregisterProducer()
            if isinstance(other, tcp.Connection):
                other.loseWriteConnection()
            else:
                other.loseConnection()
        if self._silence is None:
            self._silence = Silence(self._reactor.seconds(), self._progress(), self._half_closed_limit)
        self.look()

    def lost(self, side: _Side) -> None:
        """The side's transport is gone."""
        assert side.lost is not None
        if self._over:
            return
        if self._outcome is not None:
            self.end(self._outcome)
        elif side.lost.check(ConnectionDone):
            self.finished(side)
            if side.other.lost is None:
                # Paused for the side that is gone, it would never be heard to finish.
                side.other.carried.resumeProducing()
            self.look()
        else:
            self._reset(side, None)

    def look(self) -> None:
        """Ends the pair if both sides are done."""
        if self._over or self._outcome is not None:
            return
        if all(side.lost is not None or (side.finished and side.told) for side in self._sides):
            self.end(Outcome.closed)

    def sweep(self) -> None:
        """Looks for a peer that has vanished, or reset while it was not read, and for silence on a half-closed pair."""
        for side in self._sides:
            if side.lost is not None or self._outcome is not None:
                continue
            if vanished(side.connection.getHandle()):
                self._reset(side, Outcome.timed_out)
            elif has_died(side.connection.getHandle()):
                self._reset(side, None)
        if self._silence is not None and not self._over:
            waiting = any(side.unacknowledged() for side in self._sides)
            if self._silence.is_over(self._reactor.seconds(), self._progress(), waiting):
                self.end(Outcome.aborted)

    def end(self, outcome: Outcome) -> None:
        """Reports, then closes both transports."""
        if self._over:
            return
        self._over = True
        if self._looking is not None and self._looking.active():
            self._looking.cancel()
        if self._flushing is not None:
            self._flushing.cancel()
        for side in self._sides:
            if side.lost is None:
                side.carried.unregisterProducer()
            side.release()
        self.report.callback(Report(self.client.moved, self.backend.moved, outcome))
        for side in self._sides:
            if side.lost is None:
                close(ITransport(side.carried), outcome)
            else:
                side.tell()

    def _progress(self) -> int:
        return sum(side.moved - side.unacknowledged() for side in self._sides)

    def _reset(self, dead: _Side, outcome: Outcome | None) -> None:
        """The dead side's reset is passed on once the other has what was sent before."""
        self._outcome = outcome or (Outcome.client_reset if dead is self.client else Outcome.backend_reset)
        other = dead.other
        if other.lost is not None:
            self.end(self._outcome)
            return
        other.carried.unregisterProducer()
        other.carried.pauseProducing()
        self._linger = Linger(self._reactor.seconds())
        self._looking = self._reactor.callLater(0, self._look_again, other)

    def _look_again(self, other: _Side) -> None:
        assert self._linger is not None and self._outcome is not None
        if other.told:
            self._flushed = True
        elif self._flushing is None:
            self._flushing = Deferred.fromCoroutine(flushed(other.connection))
            self._flushing.addCallbacks(self._note_flushed, self._forgive)
        owed = other.unacknowledged()
        done = (self._flushed and owed == 0) or has_died(other.connection.getHandle())
        if done or self._linger.is_over(self._reactor.seconds(), -owed):
            self.end(self._outcome)
        else:
            self._looking = self._reactor.callLater(LINGER_INTERVAL, self._look_again, other)

    def _note_flushed(self, result: None) -> None:
        self._flushed = True

    def _forgive(self, failure: Failure) -> None:
        """Lost while it was flushed, which `lost()` is told of, or cancelled by our own end."""
        failure.trap(RelayError, CancelledError)
