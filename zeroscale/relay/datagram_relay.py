"""Relay datagrams (UDP), driven by a thread of its own, which runs while a port is open. Linux only.

This module is the reactor's side: it opens and ends sessions, and passes what clients without one have sent to the
port's observer. `datagram_loop` moves the datagrams.
"""

from __future__ import annotations

import socket
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from zeroscale.errors import RelayError
from zeroscale.reactor import Reactor
from zeroscale.relay.base import switch_threads_quickly
from zeroscale.relay.datagram_loop import DatagramLoop, LoopPort, drop_reason
from zeroscale.relay.datagram_session import DatagramClient, DatagramCounters, DatagramSession, Drop, SessionEnd
from zeroscale.relay.session_table import SessionTable
from zeroscale.sockets.datagram_socket import connect_datagrams, dropped_by_kernel, reply_control
from zeroscale.sockets.options import descriptor_limit

MOST_CLIENTS = 64
"""Clients without a session that are passed on in one turn of the reactor."""

LONGEST_TURN = 0.002
"""Seconds after which no further one is passed on in this turn: the queue is filled again meanwhile."""

MOST_SESSIONS = 4096

RESERVE = 4
"""One part of so many of all descriptors is not for sessions: forged datagrams must not keep TCP clients and operators
out."""

SESSION_TIMEOUT = 60.0


class PortObserver(Protocol):
    """Callbacks of a port, called in the reactor's thread."""

    def arrived(self, client: DatagramClient, datagrams: list[bytes]) -> None:
        """Decide about datagrams, at least one, of a client that has no session. What is not passed on is dropped."""
        ...

    def session_ended(self, session: DatagramSession, end: SessionEnd) -> None:
        """Handle the end of a session."""
        ...


class DatagramRelay:
    """The ports for datagrams, and their thread. All methods are called in the reactor's thread.

    :param on_crash: called when the relay's thread has died of an error; all sessions have been reported by then, all
        ports are closed, and the next `listen` starts it again.
    :param clock: returns seconds, also in the relay's thread.
    """

    def __init__(
        self, reactor: Reactor, on_crash: Callable[[Failure], None], clock: Callable[[], float] = monotonic
    ) -> None:
        self._reactor = reactor
        self._on_crash = on_crash
        self._clock = clock
        self._loop: DatagramLoop | None = None
        self._thread: threading.Thread | None = None
        self._ports: dict[LoopPort, DatagramPort] = {}
        self._ends: deque[tuple[DatagramSession, SessionEnd]] = deque()
        self._announced = False
        self._later: IDelayedCall | None = None
        self._stopped: list[Deferred[None]] = []
        self._heartbeats: list[Deferred[None]] = []

    def listen(
        self,
        sock: socket.socket,
        observer: PortObserver,
        most_sessions: int = MOST_SESSIONS,
        session_timeout: float = SESSION_TIMEOUT,
    ) -> DatagramPort:
        """Read the datagrams of a socket from now on; the first one starts the thread.

        :param sock: as `listen_datagrams` returns it; it belongs to the relay, unless this fails.
        :param session_timeout: seconds without a datagram after which a session ends.
        :raises RelayError: this is not Linux, the relay is being stopped, or no descriptors or no thread are left.
        """
        if self._stopped:
            raise RelayError("the relay opens no port: it is being stopped")
        loop = self._loop or self._start()
        port = DatagramPort(self._reactor, loop, sock, observer, most_sessions, session_timeout, self._clock)
        self._ports[port.loop_port] = port
        loop.add_port(port.loop_port)
        return port

    def heartbeat(self) -> Deferred[None]:
        """Check that the thread still works; see `base.Relay.heartbeat`."""
        if self._loop is None:
            return succeed(None)
        heartbeat: Deferred[None] = Deferred()
        self._heartbeats.append(heartbeat)
        self._loop.answer(lambda: self._reactor.callFromThread(self._answer_heartbeat, heartbeat))
        return heartbeat

    def stop(self) -> Deferred[None]:
        """Close all ports.

        :returns: fires when all sessions have been reported and the thread has ended.
        """
        if self._loop is None:
            return succeed(None)
        stopped: Deferred[None] = Deferred()
        self._stopped.append(stopped)
        for port in list(self._ports.values()):
            port.close()
        return stopped

    def arrived(self, port: LoopPort) -> None:
        """See `datagram_loop.DatagramObserver`; called in the relay's thread."""
        self._announce()

    def session_ended(self, session: DatagramSession, end: SessionEnd) -> None:
        """See `datagram_loop.DatagramObserver`; called in the relay's thread."""
        self._ends.append((session, end))
        self._announce()

    def port_closed(self, port: LoopPort) -> None:
        """See `datagram_loop.DatagramObserver`; called in the relay's thread."""
        self._reactor.callFromThread(self._port_closed, port)

    def _announce(self) -> None:
        """Have the reactor's thread report all that has happened until it does so."""
        if not self._announced:
            self._announced = True
            self._reactor.callFromThread(self._report)

    def _start(self) -> DatagramLoop:
        if sys.platform != "linux":
            raise RelayError("UDP ports need Linux")
        loop: DatagramLoop | None = None
        try:
            loop = DatagramLoop(self, self._clock)
            thread = threading.Thread(target=self._run, args=(loop,), name="zeroscale-datagrams", daemon=True)
            thread.start()
        except (OSError, RuntimeError) as error:
            if loop is not None:
                loop.close()
            raise RelayError(f"the relay cannot start: {error}") from error
        switch_threads_quickly()
        self._loop, self._thread = loop, thread
        return loop

    def _run(self, loop: DatagramLoop) -> None:
        try:
            loop.run()
        except BaseException:  # any exception at all: nothing else would notice that the thread has ended
            self._reactor.callFromThread(self._crashed, loop, Failure())

    def _report(self) -> None:
        self._announced = False  # first: what happens from now on is announced again
        self._report_ends()
        try:
            for port in list(self._ports.values()):
                port.pass_on()
        finally:
            if self._later is None and any(port.has_waiting for port in self._ports.values()):
                self._later = self._reactor.callLater(0, self._report_more)

    def _report_more(self) -> None:
        self._later = None
        self._report()

    def _report_ends(self) -> None:
        while self._ends:
            session, end = self._ends.popleft()
            port = self._ports.get(session.port)
            if port is not None:
                port.ended(session, end)

    def _port_closed(self, loop_port: LoopPort) -> None:
        self._report_ends()
        port = self._ports.pop(loop_port, None)
        if port is None:
            return
        if not self._ports:
            self._release(lambda loop: loop.quit())
        port.closed()
        self._notify_stopped()

    def _crashed(self, loop: DatagramLoop, failure: Failure) -> None:
        if loop is not self._loop:
            return
        self._release(lambda _: None)
        self._report_ends()
        ports, self._ports = self._ports, {}
        for port in ports.values():
            port.abort()
        self._on_crash(failure)
        for port in ports.values():
            port.closed()
        self._notify_stopped()

    def _release(self, end: Callable[[DatagramLoop], None]) -> None:
        loop, thread = self._loop, self._thread
        self._loop = self._thread = None
        if loop is not None and thread is not None:
            end(loop)
            thread.join()  # it has nothing left to do
            loop.close()
        if self._later is not None:
            self._later.cancel()
            self._later = None
        for heartbeat in list(self._heartbeats):
            self._answer_heartbeat(heartbeat)

    def _answer_heartbeat(self, heartbeat: Deferred[None]) -> None:
        if heartbeat in self._heartbeats:
            self._heartbeats.remove(heartbeat)
            heartbeat.callback(None)

    def _notify_stopped(self) -> None:
        if not self._ports:
            stopped, self._stopped = self._stopped, []
            for deferred in stopped:
                deferred.callback(None)


class DatagramPort:
    """One listening socket, and its sessions. All methods are called in the reactor's thread.

    Made by `DatagramRelay.listen`, whose methods are the only ones that call `pass_on`, `ended`, `abort` and `closed`.
    """

    def __init__(
        self,
        reactor: Reactor,
        loop: DatagramLoop,
        sock: socket.socket,
        observer: PortObserver,
        most_sessions: int,
        session_timeout: float,
        clock: Callable[[], float],
    ) -> None:
        self._reactor = reactor
        self._loop = loop
        self._observer = observer
        self._sessions: SessionTable[DatagramClient, DatagramSession] = SessionTable(most_sessions, session_timeout)
        self._sweep_interval = session_timeout / 4
        self._clock = clock
        limit = descriptor_limit()
        self._most_descriptors = limit - limit // RESERVE
        self._dropped: Counter[Drop] = Counter()
        self._moved = (0, 0, 0, 0)
        self._total = 0
        self._unread = 0
        self._closed = False
        self._ending: set[DatagramSession] = set()
        self._sweeping: IDelayedCall | None = None
        self._closing: list[Deferred[None]] | None = None
        self.loop_port = LoopPort(sock)
        self.address: tuple[str, int] = sock.getsockname()[:2]

    @property
    def last_datagram(self) -> float:
        """When a client's last datagram came, with a session or without, by the relay's clock; 0 if none has."""
        return self.loop_port.heard

    @property
    def has_waiting(self) -> bool:
        """Whether clients without a session wait to be passed on."""
        return self._closing is None and self.loop_port.queue.has_waiting

    def sessions(self) -> list[DatagramSession]:
        """Return the live sessions."""
        return list(self._sessions)

    def set_session_timeout(self, seconds: float) -> None:
        """End sessions after this long without a datagram from now on."""
        if seconds == self._sessions.timeout:
            return
        self._sessions.timeout = seconds
        self._sweep_interval = seconds / 4
        if self._sweeping is not None:
            self._sweeping.reset(self._sweep_interval)

    def open_session(
        self, client: DatagramClient, backend: tuple[str, int], early: Sequence[bytes], header: bytes = b""
    ) -> DatagramSession:
        """Relay a client's datagrams to a server from now on.

        :param backend: the server's IPv4 or IPv6 address, and its port.
        :param early: what the client has sent so far, at least one datagram; it is sent first.
        :param header: sent before the first datagram, as a part of it.
        :raises RelayError: the port is closed, the table is full, or there is no descriptor left or no route.
        """
        if self._closing is not None:
            raise RelayError("the relay opens no session: the port is closed")
        if not early or self._sessions.get(client) is not None:
            raise ValueError("a session needs a datagram, and a client that has none")
        now = self._clock()
        room, displaced = self._sessions.room(now)
        if not room:
            raise self._table_full(early)
        try:
            sock = connect_datagrams(*backend)
        except OSError as error:
            self._dropped[Drop.unsent] += len(early)
            raise RelayError(f"the relay opens no session: {error.strerror}") from error
        if displaced is None and sock.fileno() >= self._most_descriptors:  # each takes the lowest free number
            room, displaced = self._sessions.room(now, is_full=True)
            if not room:
                sock.close()
                raise self._table_full(early)
        if displaced is not None:
            self._end(displaced, SessionEnd.displaced)
        session = DatagramSession(self.loop_port, client, sock, self.loop_port.family, now)
        self._sessions.add(client, session)
        self._total += 1
        self.loop_port.queue.expect(client)
        self._loop.admit(session, early, header)
        if self._sweeping is None:
            self._sweeping = self._reactor.callLater(self._sweep_interval, self._sweep)
        return session

    def end_session(self, session: DatagramSession) -> None:
        """End a session, if it is still live; it is reported."""
        if self._sessions.get(session.client) is session:
            self._end(session.client, SessionEnd.closed)

    def send(self, client: DatagramClient, datagram: bytes) -> bool:
        """Send a datagram to a client from the address that it used; return whether the kernel has taken it."""
        if self._closing is not None:
            return False
        control = reply_control(self.loop_port.family, client.local)
        try:
            self.loop_port.socket.sendmsg((datagram,), control, 0, client.address)
        except OSError as error:
            self._dropped[drop_reason(error)] += 1
            return False
        return True

    def counters(self) -> DatagramCounters:
        """Return the sums now; takes no lock."""
        moved = self._moved
        for session in (*self._sessions, *self._ending):
            moved = _added(moved, session)
        dropped = Counter(self.loop_port.dropped) + self._dropped
        if self.loop_port.socket.fileno() >= 0:
            self._unread = dropped_by_kernel(self.loop_port.socket)
        dropped[Drop.unread] = self._unread
        return DatagramCounters(*moved, dict(dropped), len(self._sessions), self._total)

    def close(self) -> Deferred[None]:
        """End all sessions, and close the socket.

        :returns: fires when the sessions have been reported and the port may be bound again.
        """
        if self._closed:
            return succeed(None)
        closed: Deferred[None] = Deferred()
        if self._closing is None:
            self._closing = []
            self._loop.close_port(self.loop_port)
        self._closing.append(closed)
        return closed

    def pass_on(self) -> None:
        """Pass some of the clients that wait to the observer."""
        until = self._clock() + LONGEST_TURN
        for _ in range(MOST_CLIENTS):
            found = None if self._closing is not None else self.loop_port.queue.take()
            if found is None:
                return
            client, datagrams = found
            if self._sessions.get(client) is None:
                self._observer.arrived(client, datagrams)
            else:  # they came between the end of a session and the next one's beginning: later ones may be sent already
                self._dropped[Drop.unsent] += len(datagrams)
            if self._clock() >= until:
                return

    def ended(self, session: DatagramSession, end: SessionEnd) -> None:
        """Report the end of a session."""
        self._moved = _added(self._moved, session)
        self._ending.discard(session)
        if self._sessions.get(session.client) is session:
            self._sessions.remove(session.client)
        self._observer.session_ended(session, end)

    def abort(self) -> None:
        """Report the end of all sessions: the thread has died, and closed their sockets."""
        self.loop_port.socket.close()
        for session in {*self._sessions, *self._ending}:
            session.socket.close()
            self.ended(session, SessionEnd.failed)

    def closed(self) -> None:
        """Report that the port is closed."""
        self._closed = True
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        closing, self._closing = self._closing or [], []
        for deferred in closing:
            deferred.callback(None)

    def _table_full(self, early: Sequence[bytes]) -> RelayError:
        self._dropped[Drop.table_full] += len(early)
        return RelayError(f"the relay opens no session: there are {len(self._sessions)}")

    def _end(self, client: DatagramClient, end: SessionEnd) -> None:
        session = self._sessions.get(client)
        if session is not None:
            self._sessions.remove(client)
            self._ending.add(session)
            self._loop.end(session, end)

    def _sweep(self) -> None:
        self._sweeping = None
        for client in self._sessions.idle(self._clock()):
            self._end(client, SessionEnd.idle)
        if len(self._sessions):
            self._sweeping = self._reactor.callLater(self._sweep_interval, self._sweep)


def _added(moved: tuple[int, int, int, int], session: DatagramSession) -> tuple[int, int, int, int]:
    return (
        moved[0] + session.to_backend,
        moved[1] + session.to_backend_bytes,
        moved[2] + session.to_client,
        moved[3] + session.to_client_bytes,
    )
