"""The interface of a relay, as a Protocol, and the values that it reports. Uses no sockets."""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import Enum
from typing import Protocol

from msgspec import Struct
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import ITCPTransport, ITransport

HALF_CLOSED_LIMIT = 600.0
"""Seconds without a byte after which a half-closed pair is ended: one side has finished sending.

Long enough for a client that has sent its request and waits for a slow answer. Without the limit a server that never
closes would keep the pair for ever. While a peer does not read what was sent to it, the pair is not idle."""

SWEEP_INTERVAL = 30.0
"""Seconds between two checks for vanished peers and for idle half-closed pairs."""

LINGER_INTERVAL = 0.01
"""Seconds between two checks whether all bytes before a reset have arrived."""

SWITCH_INTERVAL = 0.0001
"""Seconds after which a busy interpreter switches to the relay's thread, which has to run three times for a message.

With Python's default of 5 ms and a reactor that is busy 80 % of the time, a player's message took 2.9 ms at the median;
with this value, 0.5 ms. It costs nothing while only one of the threads wants to run."""


class Outcome(Enum):
    """How a pair ended; the value is the word in the access log."""

    closed = "closed"
    """Both sides finished sending, and everything was delivered."""
    client_reset = "client-reset"
    backend_reset = "backend-reset"
    timed_out = "timed-out"
    """A peer vanished: it answered neither keepalive probes nor data."""
    aborted = "aborted"
    """We closed it: it was cancelled, the proxy exits, or it was half-closed and idle for too long."""


class Report(Struct, frozen=True):
    """The end of one pair.

    :ivar to_backend: bytes handed to the kernel for the backend, early ones included.
    :ivar to_client: bytes handed to the kernel for the client.
    :ivar outcome: how it ended.
    """

    to_backend: int
    to_client: int
    outcome: Outcome


class Counters(Struct, frozen=True):
    """The sums of one relay since it was made.

    :ivar to_backend: bytes to the servers, of ended and live pairs.
    :ivar to_client: bytes to the clients, of ended and live pairs.
    :ivar live: pairs relayed now.
    :ivar total: pairs ever accepted.
    :ivar small_pipes: times that the kernel refused a pipe its full size.
    """

    to_backend: int
    to_client: int
    live: int
    total: int
    small_pipes: int = 0


class Relay(Protocol):
    """Moves the bytes of pairs. All methods are called in the reactor's thread."""

    name: str
    """Its name in the log and in metrics."""

    def start(self) -> None:
        """Get ready to relay.

        :raises RelayError: the relay cannot run on this system.
        """
        ...

    def carries(self, client: ITransport, backend: ITransport) -> bool:
        """Return whether it can relay this kind of transports."""
        ...

    def add(
        self, client: ITransport, backend: ITransport, early: bytes, *, client_finished: bool = False
    ) -> ReportDeferred:
        """Relay a pair. Both transports belong to the relay until it reports.

        If `flushes`, nothing may be unwritten in them; neither may have a producer registered.

        :param early: bytes to send to the backend first.
        :param client_finished: the end of what the client sends has already been read; it is passed on after `early`.
        :returns: fires once, with the report, after which the relay closes the transports. Cancelling it aborts the
            pair, and it still fires with the report. Fails with `RelayError` if the pair was not accepted after all.
        :raises RelayError: the pair is not accepted. Then, as when the Deferred fails, nothing was moved, and both
            transports are still the caller's.
        """
        ...

    @property
    def flushes(self) -> bool:
        """Whether transports must be flushed before `add`."""
        ...

    def counters(self) -> Counters:
        """Return the sums now; cheap, takes no lock."""
        ...

    def heartbeat(self) -> Deferred[None]:
        """Check that the relay still works.

        :returns: fires once the relay has answered; at once where it has ended, which it reports by other ways. A
            relay that hangs never answers: do not call again before the first call is answered.
        """
        ...

    def stop(self, drain: float) -> Deferred[None]:
        """Accept no more pairs, wait for the live ones to end, then abort the rest.

        :param drain: seconds to wait for live pairs.
        :returns: fires when the last pair has been reported and all resources are released.
        """
        ...


Moved = Callable[[], tuple[int, int]]
"""Returns the bytes of one pair moved so far, to the backend and to the client; cheap, takes no lock."""


class ReportDeferred(Deferred[Report]):
    """The Deferred of a pair's report. Cancelling it aborts the pair, and it fires once that is done.

    An ordinary Deferred would fire at once when cancelled, while descriptors are still in use.

    :ivar moved: returns the bytes moved so far. Every relay must count: a connection counts as a player's by its bytes.
    """

    def __init__(self, abort: Callable[[], None], moved: Moved) -> None:
        super().__init__()
        self._abort = abort
        self.moved = moved

    def cancel(self) -> None:
        """Abort the pair; does nothing after its end."""
        if not self.called:
            self._abort()


def close(transport: ITransport, outcome: Outcome) -> None:
    """Close a transport of a reported pair: by a FIN if the pair ended in order, else by a reset."""
    if outcome is Outcome.closed:
        transport.loseConnection()
    else:
        ITCPTransport(transport).abortConnection()


def switch_threads_quickly() -> None:
    """Make the interpreter switch between a relay's thread and the reactor's quickly from now on."""
    sys.setswitchinterval(min(SWITCH_INTERVAL, sys.getswitchinterval()))
