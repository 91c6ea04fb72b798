"""Relay plain TCP and Unix sockets by splice(2), driven by a thread of its own. Linux only.

This module is the reactor's side: it accepts pairs of sockets and reports their ends. `splice_loop` moves the bytes.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, ITransport
from twisted.python.failure import Failure

from zeroscale.errors import RelayError
from zeroscale.reactor import Reactor
from zeroscale.relay.base import HALF_CLOSED_LIMIT, Counters, Outcome, Report, ReportDeferred, switch_threads_quickly
from zeroscale.relay.new_pairs import NewPairs
from zeroscale.relay.pipe_pool import Pipes
from zeroscale.relay.splice_loop import SpliceLoop
from zeroscale.relay.splice_pair import Pair
from zeroscale.sockets.poller import SocketPoller
from zeroscale.sockets.transport import SocketTransport


class SpliceRelay:
    """The `base.Relay` for pairs of plain stream sockets.

    :param on_crash: called in the reactor's thread when the relay's thread has died of an error; all pairs have been
        aborted and reported by then, and no more are accepted.
    :param half_closed_limit: seconds; see `base.HALF_CLOSED_LIMIT`.
    :param poller: watches new pairs, see `new_pairs`; None: the thread relays all of them from the beginning.
    """

    name = "splice"
    flushes = True

    def __init__(
        self,
        reactor: Reactor,
        on_crash: Callable[[Failure], None],
        half_closed_limit: float = HALF_CLOSED_LIMIT,
        poller: SocketPoller | None = None,
    ) -> None:
        self._poller = poller
        self._new_pairs: NewPairs | None = None
        self._reactor = reactor
        self._on_crash = on_crash
        self._half_closed_limit = half_closed_limit
        self._pipes = Pipes()
        self._loop: SpliceLoop | None = None
        self._thread: threading.Thread | None = None
        self._live: dict[Pair, tuple[ReportDeferred, Sequence[SocketTransport]]] = {}
        self._ends: deque[tuple[Pair, Outcome | OSError]] = deque()
        self._ends_announced = False
        self._to_backend = 0
        self._to_client = 0
        self._total = 0
        self._refusal = "it has not been started"
        self._draining: IDelayedCall | None = None
        self._sweeping: IDelayedCall | None = None
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
            if self._poller is not None:
                self._new_pairs = NewPairs(
                    self._reactor,
                    self._poller,
                    self._pipes,
                    self._half_closed_limit,
                    self._ended_here,
                    self._hand_to_thread,
                )
            self._thread = threading.Thread(target=self._run, name="zeroscale-relay", daemon=True)
            self._thread.start()
        except (OSError, RuntimeError) as error:
            self._close_loops()
            raise RelayError(f"the relay cannot start: {error}") from error
        switch_threads_quickly()
        self._refusal = ""

    def carries(self, client: ITransport, backend: ITransport) -> bool:
        """Return whether both are sockets on a poller, without TLS or another wrapper."""
        return all(isinstance(each, SocketTransport) and each.connected for each in (client, backend))

    def add(
        self, client: ITransport, backend: ITransport, early: bytes, *, client_finished: bool = False
    ) -> ReportDeferred:
        """See `base.Relay.add`."""
        if not (isinstance(client, SocketTransport) and isinstance(backend, SocketTransport)):
            raise RelayError("the splice relay can relay only plain stream sockets")
        return self.add_sockets(client, backend, early, client_finished=client_finished)

    def add_sockets(
        self,
        client: socket.socket | SocketTransport,
        backend: socket.socket | SocketTransport,
        early: bytes,
        *,
        client_finished: bool = False,
    ) -> ReportDeferred:
        """Relay two connected sockets. Both belong to the relay.

        They are closed at the end, before it is reported: by a FIN if the pair ended in order, else by a reset.

        :param client: a socket that no transport owns, non-blocking, with the options that `sockets.options.prepare`
            sets, or a transport that has nothing unsent; so is `backend`.
        :param early: bytes to send to the backend first.
        :param client_finished: the end of what the client sends has already been read; it is passed on after `early`.
        :returns: see `base.Relay.add`. Fails with `RelayError` if the pair was not accepted after all.
        :raises RelayError: the pair is not accepted. Then, as when the Deferred fails, nothing was moved, and both
            sockets are still the caller's, open.
        """
        if self._refusal or self._loop is None:
            raise RelayError(f"the relay accepts no connection: {self._refusal}")
        try:
            self._pipes.reserve()
        except OSError as error:
            raise RelayError(f"the relay accepts no more connections: {error.strerror}") from error
        transports: list[SocketTransport] = []
        try:
            sockets = [_taken_from(each, transports) for each in (client, backend)]
        except RelayError:
            for transport in transports:
                transport.attach()
            raise
        pair = Pair(sockets[0], sockets[1], early, client_finished)
        report = ReportDeferred(lambda: self._abort(pair), lambda: (pair.to_backend.moved, pair.to_client.moved))
        self._live[pair] = report, transports
        self._total += 1
        new_pairs = self._new_pairs
        if new_pairs is None or new_pairs.broken:
            self._hand_to_thread(pair)
        else:
            new_pairs.admit(pair)
        return report

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

    def _ended_here(self, pair: Pair, end: Outcome | OSError) -> None:
        """Report an end; called in the reactor's thread."""
        if isinstance(end, Outcome):
            self._report(pair, end)
        else:
            self._return(pair, end)
        if not self._live:
            self._stop_sweeping()
        self._quit_when_empty()

    def _report_ends(self) -> None:
        self._ends_announced = False  # first: an end that is added from now on is announced again
        for _ in range(len(self._ends)):
            pair, end = self._ends.popleft()
            self._ended_here(pair, end)

    def _run(self) -> None:
        assert self._loop is not None
        try:
            self._loop.run()
        except BaseException:  # any exception at all: nothing else would notice that the thread has ended
            self._reactor.callFromThread(self._crashed, Failure())
        else:
            self._reactor.callFromThread(self._finished)

    def _abort(self, pair: Pair) -> None:
        if self._loop is not None and not (self._new_pairs is not None and self._new_pairs.abort(pair)):
            self._loop.abort(pair)

    def _hand_to_thread(self, pair: Pair) -> None:
        if self._loop is not None:
            self._loop.admit(pair)
            if self._sweeping is None:
                self._sweeping = self._reactor.callLater(self._loop.sweep_interval, self._sweep)

    def _sweep(self) -> None:
        if self._loop is not None:
            self._loop.sweep()
            self._sweeping = self._reactor.callLater(self._loop.sweep_interval, self._sweep)

    def _stop_sweeping(self) -> None:
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None

    def _abort_all(self) -> None:
        for pair in list(self._live):
            self._abort(pair)

    def _report(self, pair: Pair, outcome: Outcome) -> None:
        deferred, transports = self._live.pop(pair)
        report = Report(pair.to_backend.moved, pair.to_client.moved, outcome)
        self._to_backend += report.to_backend
        self._to_client += report.to_client
        deferred.callback(report)
        for transport in transports:
            transport.detached_end(in_order=outcome is Outcome.closed)

    def _return(self, pair: Pair, error: OSError) -> None:
        deferred, transports = self._live.pop(pair)
        for transport in transports:
            transport.attach()
        self._total -= 1
        refusal = RelayError(f"the relay accepts no more connections: {error.strerror}")
        deferred.errback(Failure(refusal))

    def _quit_when_empty(self) -> None:
        if self._stopped and not self._live and self._loop is not None:
            self._loop.quit()

    def _crashed(self, failure: Failure) -> None:
        self._refusal = "its thread has died"
        self._release()
        self._report_ends()
        for pair in list(self._live):
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
            self._close_loops()
        for heartbeat in list(self._heartbeats):
            self._answered(heartbeat)
        if self._draining is not None and self._draining.active():
            self._draining.cancel()
        self._stop_sweeping()

    def _close_loops(self) -> None:
        for loop in (self._new_pairs, self._loop):
            if loop is not None:
                loop.close()
        self._loop = self._new_pairs = None
        self._pipes.close()

    def _notify_stopped(self) -> None:
        stopped, self._stopped = self._stopped, []
        for deferred in stopped:
            deferred.callback(None)


def _taken_from(source: socket.socket | SocketTransport, transports: list[SocketTransport]) -> socket.socket:
    """Return the socket; a transport gives it away, and is added to the list."""
    if not isinstance(source, SocketTransport):
        return source
    taken = source.detach()
    transports.append(source)
    return taken
