"""Relay plain TCP and Unix sockets by splice(2), driven by a thread of its own. Linux only.

This module is the reactor's side: it accepts pairs of transports or of sockets and reports their ends. `splice_loop` is
the thread's.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable

from twisted.internet import tcp
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, ITransport
from twisted.python.failure import Failure

from zeroscale.errors import RelayError
from zeroscale.reactor import Reactor
from zeroscale.relay.base import HALF_CLOSED_LIMIT, Counters, Outcome, Report, ReportDeferred, close
from zeroscale.relay.pipe_pool import Pipes
from zeroscale.relay.splice_loop import SpliceLoop
from zeroscale.relay.splice_pair import Pair
from zeroscale.sockets.options import prepare
from zeroscale.sockets.transport import SocketTransport

SWITCH_INTERVAL = 0.0001
"""Seconds after which a busy interpreter switches to the relay's thread, which has to run three times for a message.

With Python's default of 5 ms and a reactor that is busy 80 % of the time, a player's message took 2.9 ms at the median;
with this value, 0.5 ms. It costs nothing while only one of the threads wants to run."""


class SpliceRelay:
    """The `base.Relay` for pairs of plain stream sockets.

    :param on_crash: called in the reactor's thread when the relay's thread has died of an error; all pairs have been
        aborted and reported by then, and no more are accepted.
    :param half_closed_limit: seconds; see `base.HALF_CLOSED_LIMIT`.
    """

    name = "splice"
    flushes = True

    def __init__(
        self,
        reactor: Reactor,
        on_crash: Callable[[Failure], None],
        half_closed_limit: float = HALF_CLOSED_LIMIT,
        at_turn_end: Callable[[Callable[[], object]], object] = lambda call: call(),
    ) -> None:
        self._at_turn_end = at_turn_end
        self._reactor = reactor
        self._on_crash = on_crash
        self._half_closed_limit = half_closed_limit
        self._pipes = Pipes()
        self._loop: SpliceLoop | None = None
        self._thread: threading.Thread | None = None
        self._live: dict[Pair, ReportDeferred] = {}
        self._transports: dict[Pair, tuple[ITransport, ...]] = {}
        self._ends: deque[tuple[Pair, Outcome | OSError]] = deque()
        self._ends_announced = False
        self._to_backend = 0
        self._to_client = 0
        self._total = 0
        self._refusal = "it has not been started"
        self._draining: IDelayedCall | None = None
        self._stopped: list[Deferred[None]] = []
        self._heartbeats: list[Deferred[None]] = []

    def start(self) -> None:
        """Start the thread, and make the interpreter switch threads quickly from now on.

        :raises RelayError: this is not Linux, or no descriptors or no thread are left.
        """
        if sys.platform != "linux":
            raise RelayError("the splice relay needs Linux: use --relay auto")
        try:
            self._pipes.reserve()
            self._loop = SpliceLoop(self, self._pipes, self._half_closed_limit)
            self._thread = threading.Thread(target=self._run, name="zeroscale-relay", daemon=True)
            self._thread.start()
        except (OSError, RuntimeError) as error:
            if self._loop is not None:
                self._loop.close()
                self._loop = None
            self._pipes.close()
            raise RelayError(f"the relay cannot start: {error}") from error
        sys.setswitchinterval(min(SWITCH_INTERVAL, sys.getswitchinterval()))
        self._refusal = ""

    def carries(self, client: ITransport, backend: ITransport) -> bool:
        """Return whether both are plain stream sockets, without TLS or another wrapper."""
        return _is_bare(client) and _is_bare(backend)

    def add(
        self, client: ITransport, backend: ITransport, early: bytes, *, client_finished: bool = False
    ) -> ReportDeferred:
        """See `base.Relay.add`."""
        if not self.carries(client, backend):
            raise RelayError("the splice relay can relay only plain stream sockets that are connected")
        if isinstance(client, SocketTransport) and isinstance(backend, SocketTransport):
            return self._add_detached(client, backend, early, client_finished)
        sockets = _socket_of(client), _socket_of(backend)
        for sock in sockets:
            with contextlib.suppress(OSError):  # it is dead; the first splice reports how
                prepare(sock)
        pair = Pair(sockets[0], sockets[1], early, client_finished)
        report = self._admit(pair)
        self._transports[pair] = client, backend
        return report

    def add_sockets(
        self, client: socket.socket, backend: socket.socket, early: bytes, *, client_finished: bool = False
    ) -> ReportDeferred:
        """Relay two connected sockets that no transport owns. Both belong to the relay, which closes them at the end.

        They are closed by the relay's thread before it reports: by a FIN if the pair ended in order, else by a reset.

        :param client: non-blocking, with the options that `sockets.options.prepare` sets; so is `backend`.
        :param early: bytes to send to the backend first.
        :param client_finished: the end of what the client sends has already been read; it is passed on after `early`.
        :returns: see `base.Relay.add`. Fails with `RelayError` if the pair was not accepted after all.
        :raises RelayError: the pair is not accepted. Then, as when the Deferred fails, nothing was moved, and both
            sockets are still the caller's, open.
        """
        return self._admit(Pair(client, backend, early, client_finished, owned=True))

    def relay_socket(
        self, client: SocketTransport, backend: socket.socket, early: bytes, client_finished: bool
    ) -> ReportDeferred:
        """See `Relays.relay_socket`."""
        pair = Pair(client.detach(), backend, early, client_finished, owned=True)
        try:
            report = self._admit(pair)
        except RelayError:
            client.attach()
            raise
        self._transports[pair] = (client,)
        return report

    def _add_detached(
        self, client: SocketTransport, backend: SocketTransport, early: bytes, client_finished: bool
    ) -> ReportDeferred:
        pair = Pair(client.detach(), backend.detach(), early, client_finished, owned=True)
        try:
            report = self._admit(pair)
        except RelayError:
            client.attach()
            backend.attach()
            raise
        self._transports[pair] = client, backend
        return report

    def _admit(self, pair: Pair) -> ReportDeferred:
        if self._refusal or self._loop is None:
            raise RelayError(f"the relay accepts no connection: {self._refusal}")
        try:
            self._pipes.reserve()
        except OSError as error:
            raise RelayError(f"the relay accepts no more connections: {error.strerror}") from error
        report = ReportDeferred(lambda: self._abort(pair), lambda: (pair.to_backend.moved, pair.to_client.moved))
        self._live[pair] = report
        self._total += 1
        self._loop.admit(pair, wake=False)
        self._at_turn_end(self._wake)
        return report

    def _wake(self) -> None:
        if self._loop is not None:
            self._loop.wake()

    def counters(self) -> Counters:
        """See `base.Relay.counters`."""
        live = list(self._live)
        return Counters(
            self._to_backend + sum(pair.to_backend.moved for pair in live),
            self._to_client + sum(pair.to_client.moved for pair in live),
            len(live),
            self._total,
            self._pipes.small,
        )

    def heartbeat(self) -> Deferred[None]:
        """See `base.Relay.heartbeat`."""
        if self._loop is None:
            return succeed(None)
        heartbeat: Deferred[None] = Deferred()
        self._heartbeats.append(heartbeat)
        self._loop.answer(lambda: self._reactor.callFromThread(self._answered, heartbeat))
        return heartbeat

    def stop(self, drain: float) -> Deferred[None]:
        """See `base.Relay.stop`."""
        if self._loop is None:
            return succeed(None)
        self._refusal = "it is being stopped"
        stopped: Deferred[None] = Deferred()
        self._stopped.append(stopped)
        if self._draining is not None and self._draining.active():
            self._draining.cancel()
        if not self._live:
            self._loop.quit()
        elif drain > 0:
            self._draining = self._reactor.callLater(drain, self._abort_all)
        else:
            self._abort_all()
        return stopped

    def ended(self, pair: Pair, outcome: Outcome) -> None:
        """See `splice_loop.PairObserver`; called in the relay's thread."""
        self._announce(pair, outcome)

    def refused(self, pair: Pair, error: OSError) -> None:
        """See `splice_loop.PairObserver`; called in the relay's thread."""
        self._announce(pair, error)

    def _announce(self, pair: Pair, end: Outcome | OSError) -> None:
        """Have the reactor's thread report an end, with all others that come before it does so."""
        self._ends.append((pair, end))
        if not self._ends_announced:
            self._ends_announced = True
            self._reactor.callFromThread(self._report_ends)

    def _report_ends(self) -> None:
        self._ends_announced = False  # first: an end that is added from now on is announced again
        for _ in range(len(self._ends)):
            pair, end = self._ends.popleft()
            if isinstance(end, Outcome):
                self._report(pair, end)
            else:
                self._return(pair, end)
        self._quit_when_empty()

    def _run(self) -> None:
        assert self._loop is not None
        try:
            self._loop.run()
        except BaseException:  # any exception at all: nothing else would notice that the thread has ended
            self._reactor.callFromThread(self._crashed, Failure())
        else:
            self._reactor.callFromThread(self._finished)

    def _abort(self, pair: Pair) -> None:
        if self._loop is not None:
            self._loop.abort(pair)

    def _abort_all(self) -> None:
        for pair in self._live:
            self._abort(pair)

    def _report(self, pair: Pair, outcome: Outcome) -> None:
        deferred = self._live.pop(pair)
        report = Report(pair.to_backend.moved, pair.to_client.moved, outcome)
        self._to_backend += report.to_backend
        self._to_client += report.to_client
        deferred.callback(report)
        for transport in self._transports.pop(pair, ()):
            if isinstance(transport, SocketTransport):
                transport.detached_end()
            else:
                close(transport, outcome)

    def _return(self, pair: Pair, error: OSError) -> None:
        for transport in self._transports.pop(pair, ()):
            if isinstance(transport, SocketTransport):
                transport.attach()
        self._total -= 1
        refusal = RelayError(f"the relay accepts no more connections: {error.strerror}")
        self._live.pop(pair).errback(Failure(refusal))

    def _quit_when_empty(self) -> None:
        if self._stopped and not self._live and self._loop is not None:
            self._loop.quit()

    def _crashed(self, failure: Failure) -> None:
        self._refusal = "its thread has died"
        self._release()
        self._report_ends()
        for pair in list(self._live):
            if pair.owned:
                with contextlib.suppress(OSError):  # closed already
                    pair.close(Outcome.aborted)
            self._report(pair, Outcome.aborted)
        self._on_crash(failure)
        self._notify_stopped()

    def _finished(self) -> None:
        self._release()
        self._notify_stopped()

    def _answered(self, heartbeat: Deferred[None]) -> None:
        if heartbeat in self._heartbeats:
            self._heartbeats.remove(heartbeat)
            heartbeat.callback(None)

    def _release(self) -> None:
        """Release all resources, once the thread has ended: calling us was the last thing it did."""
        if self._thread is not None and self._loop is not None:
            self._thread.join()
            self._loop.close()
            self._pipes.close()
            self._loop = None
        for heartbeat in list(self._heartbeats):
            self._answered(heartbeat)
        if self._draining is not None and self._draining.active():
            self._draining.cancel()

    def _notify_stopped(self) -> None:
        stopped, self._stopped = self._stopped, []
        for deferred in stopped:
            deferred.callback(None)


def _is_bare(transport: ITransport) -> bool:
    if isinstance(transport, SocketTransport):
        return bool(transport.connected)
    return isinstance(transport, tcp.Connection) and not transport.TLS and bool(transport.connected)


def _socket_of(transport: ITransport) -> socket.socket:
    assert isinstance(transport, tcp.Connection)
    return transport.getHandle()
