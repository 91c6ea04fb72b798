"""What every relay is, and what it says of its pairs. Knows no socket and no way to move a byte."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, ITCPTransport, ITransport

HALF_CLOSED_LIMIT = 600.0
"""Seconds that a pair may be silent once one side has finished sending, before we end it.

Long enough for a client that has asked everything and waits for a slow answer; a server that never closes would
otherwise keep such a pair for ever. What is owed to a peer that does not read is not silence."""

SWEEP_INTERVAL = 30.0
"""Seconds between two looks for vanished peers and for silent half-closed pairs."""

LINGER_INTERVAL = 0.01
"""Seconds between two looks at whether what came before a reset has arrived."""


class Outcome(Enum):
    """How a pair ended; the value is the one word for the log."""

    closed = "closed"
    """Both sides finished sending, and everything was delivered."""
    client_reset = "client-reset"
    backend_reset = "backend-reset"
    timed_out = "timed-out"
    """A peer vanished: it answered neither keepalive nor what was sent to it."""
    aborted = "aborted"
    """We closed it: asked to, at our own end, or because it was half-closed and silent for too long."""


@dataclass(frozen=True, slots=True)
class Report:
    """One pair's end.

    :ivar to_backend: bytes handed to the kernel for the backend, early ones included.
    :ivar to_client: bytes handed to the kernel for the client.
    :ivar outcome: how it ended.
    """

    to_backend: int
    to_client: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Counters:
    """One relay's sums since it was made.

    :ivar to_backend: bytes, of ended and live pairs.
    :ivar to_client: bytes, of ended and live pairs.
    :ivar live: pairs that are relayed now.
    :ivar total: pairs ever taken.
    """

    to_backend: int
    to_client: int
    live: int
    total: int


class Relay(Protocol):
    """Moves the bytes of pairs. Everything is called in the reactor's thread."""

    name: str
    """What the log and the metrics call it."""

    def start(self) -> None:
        """Makes it ready.

        :raises RelayError: this system cannot run it.
        """
        ...

    def carries(self, client: ITransport, backend: ITransport) -> bool:
        """Whether it can take such a pair."""
        ...

    def add(
        self, client: ITransport, backend: ITransport, early: bytes, *, client_finished: bool = False
    ) -> Deferred[Report]:
        """Takes a pair over, and both transports with it, until the report.

        Nothing may be unwritten in a transport that `flushes`, and no producer registered on either.

        :param early: what the backend is sent first.
        :param client_finished: the client's end of sending has already been read; the backend is told after `early`.
        :returns: fires once, with the report, after which the transports are closed. Cancelling it aborts the pair,
            and it still fires with the report.
        :raises RelayError: as the Deferred's failure: the pair was not taken, nothing was moved, and both transports
            are still the caller's.
        """
        ...

    @property
    def flushes(self) -> bool:
        """Whether what a transport has not yet written must be flushed before `add`."""
        ...

    def counters(self) -> Counters:
        """The sums as they are now; cheap, takes no lock."""
        ...

    def sign_of_life(self) -> Deferred[None]:
        """Asks whether it still goes its rounds.

        :returns: fires once it has answered; at once where it has ended, which it tells in other ways. A relay that
            hangs never answers: ask no second time before the first one is answered.
        """
        ...

    def stop(self, drain: float) -> Deferred[None]:
        """Takes no more pairs, lets the live ones end by themselves, then aborts the rest.

        :param drain: seconds that live pairs have.
        :returns: fires when the last pair has been reported and nothing of the relay is left.
        """
        ...


class Reactor(Protocol):
    """What the relays need of Twisted's reactor."""

    def callLater(self, delay: float, callable: Callable[..., object], /, *args: object) -> IDelayedCall:
        """Calls in so many seconds."""
        ...

    def seconds(self) -> float:
        """The time of the clock that `callLater` goes by."""
        ...

    def callFromThread(self, callable: Callable[..., object], /, *args: object) -> None:
        """Calls in the reactor's thread, soon."""
        ...


Moved = Callable[[], tuple[int, int]]
"""How many bytes of one pair have been moved so far, to the backend and to the client; cheap, takes no lock."""


class Ending(Deferred[Report]):
    """The Deferred of a pair's report: cancelling it asks for the end, and it fires when the end is there.

    An ordinary Deferred would fire when it is cancelled, while descriptors are still in use.

    :ivar moved: what has been moved of the pair until then.
    """

    def __init__(self, abort: Callable[[], None], moved: Moved = lambda: (0, 0)) -> None:
        super().__init__()
        self._abort = abort
        self.moved = moved

    def cancel(self) -> None:
        """Asks for the end; more than once, or after it, does nothing."""
        if not self.called:
            self._abort()


def close(transport: ITransport, outcome: Outcome) -> None:
    """Closes one of a reported pair's transports: in order after an orderly end, else with a reset."""
    if outcome is Outcome.closed:
        transport.loseConnection()
    else:
        ITCPTransport(transport).abortConnection()
