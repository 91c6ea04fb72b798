"""From two live Twisted transports to one relayed pair. Chooses the relay; moves nothing itself."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping

from twisted.internet import tcp
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IPushProducer, ITransport
from twisted.python.failure import Failure

from zeroscale.errors import RelayError
from zeroscale.relay.base import HALF_CLOSED_LIMIT, Counters, Ending, Moved, Reactor, Relay, Report
from zeroscale.relay.flush import flushed
from zeroscale.relay.splice import SpliceRelay
from zeroscale.relay.transport import TransportRelay

logger = logging.getLogger(__name__)


def _log_crash(failure: Failure) -> None:
    logger.critical("The relay's thread has died: %s", failure.getTraceback())


class Relays:
    """All the relays there are, and the choice between them.

    :param forced: "splice" or "transport" has that one take every pair; "auto" decides by what the transports are.
    :param on_crash: called once in the reactor's thread if the relay's thread dies. Its pairs have been aborted and
        reported by then, and no more are taken: the caller ends the process.
    :param half_closed_limit: seconds; see `base.HALF_CLOSED_LIMIT`.
    """

    def __init__(
        self,
        reactor: Reactor,
        forced: str = "auto",
        on_crash: Callable[[Failure], None] = _log_crash,
        *,
        half_closed_limit: float = HALF_CLOSED_LIMIT,
    ) -> None:
        self._relays: list[Relay] = []
        if forced == "splice" or (forced == "auto" and sys.platform == "linux"):
            self._relays.append(SpliceRelay(reactor, on_crash, half_closed_limit))
        if forced in ("auto", "transport"):
            self._relays.append(TransportRelay(reactor, half_closed_limit))
        if not self._relays:
            raise RelayError(f"there is no relay {forced!r}: auto, splice or transport")

    def start(self) -> None:
        """Makes them ready.

        :raises RelayError: one of them cannot run here.
        """
        for relay in self._relays:
            relay.start()
        logger.debug("Relays: %s", ", ".join(relay.name for relay in self._relays))

    def hand_over(
        self,
        client: ITransport,
        backend: ITransport,
        early: bytes,
        *,
        client_finished: bool = False,
        taken: Callable[[Moved], object] = lambda _: None,
    ) -> Deferred[Report]:
        """Hands two connected transports over: pauses both, flushes what they have not yet written, relays.

        What the caller must have done:

        - `pauseProducing()` in the backend protocol's `connectionMade`. What the backend has sent meanwhile waits in
          the kernel and is relayed; what its protocol was given is the caller's to send on, or lost.
        - Nothing written to the backend through its transport: the PROXY header and the client's bytes are `early`.
        - No producer registered on either, and `loseConnection()` called on neither.
        - A client whose FIN was read already (`readConnectionLost`): `client_finished=True`.

        What it must not do from this call until the Deferred fires: call anything of either transport. What it may:
        cancel the Deferred.

        - Cancelled before the relay has them, it fails with `CancelledError`; both transports are the caller's again,
          paused, and the caller does so when one of the two protocols hears `connectionLost` in that time.
        - Cancelled later, the pair is aborted, and the Deferred fires with the report (`Outcome.aborted`).
        - When it fails, with whatever, nothing was moved and both transports are the caller's.
        - Once it has fired with the report the relay closes both transports itself, and their protocols hear
          `connectionLost`, as ever. Until then they hear nothing: neither data nor the end of it.

        :param client: what the client's protocol was given as its transport.
        :param backend: likewise, of the connection to the real server.
        :param early: what the backend is sent before anything else, counted in `Report.to_backend`.
        :param client_finished: the client's end of sending was read already: it is passed on after `early`.
        :param taken: called once the relay has the pair, with what tells how much it has moved.
        :returns: one report, at the end of the pair; or a failure with `RelayError`: a peer is gone already, or no
            relay can take them (no descriptors left, stopping, crashed).
        """
        return Deferred.fromCoroutine(self._hand_over(client, backend, early, client_finished, taken))

    async def _hand_over(
        self,
        client: ITransport,
        backend: ITransport,
        early: bytes,
        client_finished: bool,
        taken: Callable[[Moved], object],
    ) -> Report:
        relay = self._choose(client, backend)
        logger.debug("%s is relayed by %s", client.getPeer(), relay.name, extra={"relay": relay.name})
        for transport in (client, backend):
            IPushProducer(transport).pauseProducing()
        if relay.flushes:
            for transport in (client, backend):
                assert isinstance(transport, tcp.Connection)
                await flushed(transport)
        report = relay.add(client, backend, early, client_finished=client_finished)
        if isinstance(report, Ending):
            taken(report.moved)
        return await report

    def _choose(self, client: ITransport, backend: ITransport) -> Relay:
        for relay in self._relays:
            if relay.carries(client, backend):
                return relay
        raise RelayError("no relay can carry this pair")

    def counters(self) -> Mapping[str, Counters]:
        """Each relay's sums, by its name."""
        return {relay.name: relay.counters() for relay in self._relays}

    def sign_of_life(self) -> Deferred[None]:
        """Asks all of them whether they still go their rounds; see `base.Relay.sign_of_life`."""
        answered = gatherResults([relay.sign_of_life() for relay in self._relays])
        return answered.addCallback(lambda results: None)

    def stop(self, drain: float) -> Deferred[None]:
        """Takes no more pairs, gives the live ones `drain` seconds to end by themselves, then aborts them.

        A hand-over that is still flushing fails as soon as it is flushed; it is the caller's to cancel it.
        """
        stopped = gatherResults([relay.stop(drain) for relay in self._relays], consumeErrors=True)
        return stopped.addCallback(lambda results: None)
