"""Hand a client's connection and a server's over to a relay, and choose the relay."""

from __future__ import annotations

import logging
import socket
import sys
from collections.abc import Callable, Mapping

from twisted.internet import tcp
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IAddress, IPushProducer, ITransport
from twisted.python.failure import Failure

from zeroscale.backoff import Backoff
from zeroscale.errors import RelayError
from zeroscale.reactor import Reactor
from zeroscale.relay.base import HALF_CLOSED_LIMIT, Counters, Moved, Relay, Report, ReportDeferred
from zeroscale.relay.flush import flushed
from zeroscale.relay.splice import SpliceRelay
from zeroscale.relay.transport import TransportRelay
from zeroscale.sockets.poller import SocketPoller
from zeroscale.sockets.transport import SocketTransport

logger = logging.getLogger("zeroscale.access")

FIRST_RETRY = 10.0
LONGEST_RETRY = 300.0
"""Seconds until a relay that could not start is tried again, at the next hand-over: at first, and at most."""


def _log_crash(failure: Failure) -> None:
    logger.critical("The relay's thread has died: %s", failure.getTraceback())


def _text_of(address: IAddress) -> str:
    """Return an address as the access log has it."""
    match address:
        case IPv4Address(host=host, port=port):
            return f"{host}:{port}"
        case IPv6Address(host=host, port=port):
            return f"[{host}]:{port}"
    return str(address)


def _log_choice(client: ITransport, relay: Relay) -> None:
    if logger.isEnabledFor(logging.DEBUG):
        peer = _text_of(client.getPeer())
        logger.debug("%s is relayed by %s", peer, relay.name, extra={"peer": peer, "relay": relay.name})


class Relays:
    """All relays of the proxy.

    :param forced: "splice" or "transport": relay all pairs by that one; "auto": choose by the kind of transports.
    :param on_crash: called once in the reactor's thread if the relay's thread dies. Its pairs have been aborted and
        reported by then, and no more are accepted: the caller has to end the process.
    :param half_closed_limit: seconds; see `base.HALF_CLOSED_LIMIT`.
    :param clock: returns monotonic seconds; None: the reactor's.
    :param poller: watches the sockets of new pairs; None: the relay's thread has them from the beginning.
    """

    def __init__(
        self,
        reactor: Reactor,
        forced: str = "auto",
        on_crash: Callable[[Failure], None] = _log_crash,
        *,
        half_closed_limit: float = HALF_CLOSED_LIMIT,
        clock: Callable[[], float] | None = None,
        poller: SocketPoller | None = None,
    ) -> None:
        self._relays: list[Relay] = []
        self._clock = clock or reactor.seconds
        self._failed: Relay | None = None
        self._retry_at = 0.0
        self._retries = Backoff(FIRST_RETRY, LONGEST_RETRY)
        if forced == "splice" or (forced == "auto" and sys.platform == "linux"):
            self._relays.append(SpliceRelay(reactor, on_crash, half_closed_limit, poller))
        if forced in ("auto", "transport"):
            self._relays.append(TransportRelay(reactor, half_closed_limit))
        if not self._relays:
            raise RelayError(f"unknown relay {forced!r}: use auto, splice or transport")

    def start(self) -> None:
        """Get ready to relay.

        Where one cannot run, another takes its pairs, and a warning says so; it is tried again later.

        :raises RelayError: none of the relays can run now.
        """
        for relay in list(self._relays):
            try:
                relay.start()
            except RelayError as error:
                if len(self._relays) == 1:
                    raise
                self._relays.remove(relay)
                self._failed = relay
                self._retry_at = self._clock() + next(self._retries)
                logger.warning("Relaying without %s for now, which costs more CPU time: %s", relay.name, error)
        logger.debug("Relays: %s", ", ".join(relay.name for relay in self._relays))

    def hand_over(
        self,
        client: ITransport,
        backend: ITransport,
        early: bytes,
        *,
        client_finished: bool = False,
        on_started: Callable[[Moved], object] = lambda _: None,
    ) -> Deferred[Report]:
        """Hand two connected transports over: pause both, flush what they have not yet written, relay them.

        The caller must have

        - called `pauseProducing()` in the backend protocol's `connectionMade`. What the backend has sent since then
          waits in the kernel and is relayed; what its protocol has received is not.
        - written nothing to the backend's transport: the PROXY header and the client's bytes are passed as `early`.
        - registered no producer on either transport, and not called `loseConnection()`.

        Until the Deferred fires, the caller must not call any method of either transport. It may cancel the Deferred,
        and must do so when `connectionLost` is called on one of the two protocols.

        - Cancelled before the relay has the transports, the Deferred fails with `CancelledError`, and both transports
          are the caller's again, paused.
        - Cancelled later, the pair is aborted, and the Deferred fires with the report (`Outcome.aborted`).
        - When it fails for any reason, nothing was moved, and both transports are the caller's.
        - Once it has fired with the report, the relay closes both transports, and `connectionLost` is called on their
          protocols as usual. Before that, their protocols receive neither data nor the end of it.

        :param client: the transport of the client's protocol.
        :param backend: the transport of the connection to the real server.
        :param early: bytes to send to the backend first, counted in `Report.to_backend`.
        :param client_finished: the end of what the client sends was read already (`readConnectionLost`); it is passed
            on after `early`.
        :param on_started: called once the relay has the pair, with a function that returns the bytes moved so far.
        :returns: fires with the report at the end of the pair. Fails with `RelayError` when a peer has already closed,
            or no relay accepts the pair (no descriptors left, stopping, crashed).
        """
        return Deferred.fromCoroutine(self._hand_over(client, backend, early, client_finished, on_started))

    def relay_socket(
        self, client: SocketTransport, backend: socket.socket, early: bytes, *, client_finished: bool = False
    ) -> ReportDeferred:
        """Relay a client's connection and a socket that no transport owns; see also `hand_over`.

        :param client: has nothing unsent.
        :param backend: connected, non-blocking, not yet read. It belongs to the relay once this has returned, and to
            the caller again if the Deferred fails.
        :returns: fires and may be cancelled as that of `hand_over`, once the relay has the pair.
        :raises RelayError: no relay accepts the pair, or the client has closed its connection.
        """
        self._retry_start()
        relay = self._relays[0]  # the splice relay, where there is one
        _log_choice(client, relay)
        if isinstance(relay, SpliceRelay):
            return relay.add_sockets(client, backend, early, client_finished=client_finished)
        return relay.add(client, client.beside(backend), early, client_finished=client_finished)

    async def _hand_over(
        self,
        client: ITransport,
        backend: ITransport,
        early: bytes,
        client_finished: bool,
        on_started: Callable[[Moved], object],
    ) -> Report:
        relay = self._choose(client, backend)
        _log_choice(client, relay)
        for transport in (client, backend):
            IPushProducer(transport).pauseProducing()
        if relay.flushes:
            for transport in (client, backend):
                assert isinstance(transport, tcp.Connection | SocketTransport)
                await flushed(transport)
        report = relay.add(client, backend, early, client_finished=client_finished)
        on_started(report.moved)
        return await report

    def _retry_start(self) -> None:
        if self._failed is None or self._clock() < self._retry_at:
            return
        relay = self._failed
        try:
            relay.start()
        except RelayError as error:
            self._retry_at = self._clock() + next(self._retries)
            logger.debug("Still relaying without %s: %s", relay.name, error)
        else:
            self._failed = None
            self._relays.insert(0, relay)
            logger.info("Relaying by %s now", relay.name)

    def _choose(self, client: ITransport, backend: ITransport) -> Relay:
        self._retry_start()
        for relay in self._relays:
            if relay.carries(client, backend):
                return relay
        raise RelayError("no relay can carry this pair")

    def counters(self) -> Mapping[str, Counters]:
        """Return the sums of each relay, by its name."""
        return {relay.name: relay.counters() for relay in self._relays}

    def heartbeat(self) -> Deferred[None]:
        """Check that all relays still work; see `base.Relay.heartbeat`."""
        answered = gatherResults([relay.heartbeat() for relay in self._relays])
        return answered.addCallback(lambda results: None)

    def stop(self, drain: float) -> Deferred[None]:
        """Accept no more pairs, give the live ones `drain` seconds to end, then abort them.

        A hand-over that is still flushing fails once it is flushed; the caller may cancel it before.
        """
        self._failed = None
        stopped = gatherResults([relay.stop(drain) for relay in self._relays], consumeErrors=True)
        return stopped.addCallback(lambda results: None)
