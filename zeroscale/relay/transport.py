"""TLS, and systems without splice: Twisted's own producers and consumers move the bytes.

What differs from the splice relay, each because Twisted's transports tell no more or do no more: a peer that only
keepalive finds dead counts as reset; what a peer sent right before its reset is lost if we write to it before it is
read; a byte counts as moved once it is written to a transport. TLS has no half-close: when one side has finished, a
TLS other is told that the connection closes, once it was sent everything; and one that leaves without ending TLS has
reset.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, ITransport

from zeroscale.errors import RelayError
from zeroscale.relay.base import HALF_CLOSED_LIMIT, SWEEP_INTERVAL, Counters, Outcome, Reactor, Report
from zeroscale.relay.transport_pair import TransportPair, carried


class TransportRelay:
    """The `base.Relay` for whatever stands on Twisted's TCP and Unix transports, TLS above all.

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
        """Makes it ready; it needs nothing."""
        self._refusal = ""

    def sign_of_life(self) -> Deferred[None]:
        """See `base.Relay.sign_of_life`: the reactor's life is its own."""
        return succeed(None)

    def carries(self, client: ITransport, backend: ITransport) -> bool:
        """Whether both end in a socket of Twisted's."""
        return carried(client) is not None and carried(backend) is not None

    def add(
        self, client: ITransport, backend: ITransport, early: bytes, *, client_finished: bool = False
    ) -> Deferred[Report]:
        """See `base.Relay.add`."""
        if self._refusal:
            return fail(RelayError(f"the relay takes no connection: {self._refusal}"))
        sides = carried(client), carried(backend)
        if sides[0] is None or sides[1] is None:
            return fail(RelayError("the transport relay can only carry Twisted's own connections"))
        pair = TransportPair(self._reactor, sides[0], sides[1], self._half_closed_limit)
        try:
            pair.seize()
        except RelayError as error:
            return fail(error)
        self._live[pair] = None
        self._total += 1
        # The first of its callbacks: who hears of the end and looks at the counters sees it counted.
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
