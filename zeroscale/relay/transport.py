"""Relay pairs by producers and consumers, Twisted's or ours: for TLS, and for systems without splice.

Twisted's transports cannot do or report all that the splice relay can. A peer that only keepalive finds dead counts
as reset; what a peer sent right before its reset is lost if we write to it before that is read; a byte counts as moved
once it is written to a transport. TLS has no half-close: when one side has finished sending, a TLS connection to the
other is closed once all was sent to it, and a peer that closes without ending TLS counts as reset.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, ITransport

from zeroscale.errors import RelayError
from zeroscale.reactor import Reactor
from zeroscale.relay.base import HALF_CLOSED_LIMIT, SWEEP_INTERVAL, Counters, Outcome, Report, ReportDeferred
from zeroscale.relay.transport_pair import TransportPair, as_relay_transport


class TransportRelay:
    """The `base.Relay` for all transports of TCP and Unix sockets, TLS above all.

    :param half_closed_limit: seconds; see `base.HALF_CLOSED_LIMIT`.
    """

    name = "transport"
    flushes = False

    def __init__(self, reactor: Reactor, half_closed_limit: float = HALF_CLOSED_LIMIT) -> None:
        self._reactor = reactor
        self._half_closed_limit = half_closed_limit
        self._live: dict[TransportPair, None] = {}
        self._to_backend = 0
        self._to_client = 0
        self._total = 0
        self._refusal = "it has not been started"
        self._sweeping: IDelayedCall | None = None
        self._draining: IDelayedCall | None = None
        self._stopped: list[Deferred[None]] = []

    def start(self) -> None:
        """Accept pairs from now on."""
        self._refusal = ""

    def heartbeat(self) -> Deferred[None]:
        """See `base.Relay.heartbeat`: it runs in the reactor, so it answers at once."""
        return succeed(None)

    def carries(self, client: ITransport, backend: ITransport) -> bool:
        """Return whether both are transports of plain sockets, or wrappers of such."""
        return as_relay_transport(client) is not None and as_relay_transport(backend) is not None

    def add(
        self, client: ITransport, backend: ITransport, early: bytes, *, client_finished: bool = False
    ) -> ReportDeferred:
        """See `base.Relay.add`."""
        if self._refusal:
            raise RelayError(f"the relay accepts no connection: {self._refusal}")
        sides = as_relay_transport(client), as_relay_transport(backend)
        if sides[0] is None or sides[1] is None:
            raise RelayError("the transport relay can relay only TCP and Unix connections, and TLS on them")
        pair = TransportPair(self._reactor, sides[0], sides[1], self._half_closed_limit)
        pair.take_over()
        self._live[pair] = None
        self._total += 1
        # The first of its callbacks, so that later ones see the pair counted.
        pair.report.addCallback(self._ended, pair)
        if self._sweeping is None:
            self._sweeping = self._reactor.callLater(self._sweep_interval, self._sweep)
        pair.start(early, client_finished)
        return pair.report

    def counters(self) -> Counters:
        """See `base.Relay.counters`."""
        return Counters(
            self._to_backend + sum(pair.client.moved for pair in self._live),
            self._to_client + sum(pair.backend.moved for pair in self._live),
            len(self._live),
            self._total,
        )

    def stop(self, drain: float) -> Deferred[None]:
        """See `base.Relay.stop`."""
        self._refusal = "it is being stopped"
        if self._draining is not None and self._draining.active():
            self._draining.cancel()
        if self._live and drain > 0:
            self._draining = self._reactor.callLater(drain, self._abort_all)
        else:
            self._abort_all()
        if not self._live:
            return succeed(None)
        stopped: Deferred[None] = Deferred()
        self._stopped.append(stopped)
        return stopped

    @property
    def _sweep_interval(self) -> float:
        return min(SWEEP_INTERVAL, self._half_closed_limit / 4)

    def _sweep(self) -> None:
        self._sweeping = None
        for pair in list(self._live):
            pair.sweep()
        if self._live:
            self._sweeping = self._reactor.callLater(self._sweep_interval, self._sweep)

    def _abort_all(self) -> None:
        for pair in list(self._live):
            pair.end(Outcome.aborted)

    def _ended(self, report: Report, pair: TransportPair) -> Report:
        del self._live[pair]
        self._to_backend += report.to_backend
        self._to_client += report.to_client
        if not self._live:
            for timer in (self._sweeping, self._draining):
                if timer is not None and timer.active():
                    timer.cancel()
            self._sweeping = None
            stopped, self._stopped = self._stopped, []
            for deferred in stopped:
                deferred.callback(None)
        return report
