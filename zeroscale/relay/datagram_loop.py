"""A loop that relays datagrams between clients and servers. The thread of `datagram_relay` runs one.

It uses sockets, but nothing of Twisted. A datagram of a session is read into a buffer and sent from there. What comes
from a client without a session waits in its port's queue for the reactor, which decides. Epoll is level-triggered, and
a socket is read a bounded number of times in a round, so that none of them keeps the others waiting.

A descriptor is used only while it is in `_sessions` or `_ports`. It is removed before it is closed, and added only
between two rounds of events, so that a reused descriptor is never taken for its former owner's.
"""

from __future__ import annotations

import contextlib
import errno
import select
import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from zeroscale.relay.command_queue import CommandQueue
from zeroscale.relay.datagram_queue import DatagramQueue
from zeroscale.relay.datagram_session import DatagramClient, DatagramSession, Drop, SessionEnd
from zeroscale.sockets.datagram_socket import CONTROL_SPACE, LARGEST, LOCAL_ADDRESS

MOST_READ = 64
"""Datagrams read from one listening socket before the sockets of sessions have their turn."""

MOST_EVENTS = 64
"""Events read from epoll at once."""

LASTING = frozenset({errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EPROTO, errno.ENOPROTOOPT})
"""What the kernel makes of ICMP errors. Other errors concern one datagram only."""


class LoopPort:
    """What the loop has to know about a listening socket. The loop's thread alone changes it.

    :param sock: as `listen_datagrams` returns it.
    :ivar sessions: those that run, by client.
    :ivar dropped: datagrams by reason.
    :ivar heard: when the last datagram came, of whatever client.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.family = int(sock.family)
        self.local = LOCAL_ADDRESS[sock.family]
        self.queue: DatagramQueue[DatagramClient] = DatagramQueue()
        self.sessions: dict[DatagramClient, DatagramSession] = {}
        self.dropped = dict.fromkeys(Drop, 0)
        self.heard = 0.0


class DatagramObserver(Protocol):
    """Callbacks of the loop, called in its thread."""

    def arrived(self, port: LoopPort) -> None:
        """Handle what waits in the queue of a port."""
        ...

    def session_ended(self, session: DatagramSession, end: SessionEnd) -> None:
        """Handle the end of a session; its socket is closed."""
        ...

    def port_closed(self, port: LoopPort) -> None:
        """Handle the end of a port; its sessions have ended, and its socket is closed."""
        ...


class DatagramLoop:
    """Moves the datagrams of all ports.

    `add_port`, `close_port`, `admit`, `end`, `answer` and `quit` may be called in any thread, the others in the loop's.

    :param clock: returns seconds; called once in each round.
    :raises OSError: no descriptors left.
    """

    def __init__(self, observer: DatagramObserver, clock: Callable[[], float]) -> None:
        self._observer = observer
        self._clock = clock
        self._running = True
        self._sessions: dict[int, DatagramSession] = {}
        self._ports: dict[int, LoopPort] = {}
        self._buffer = bytearray(LARGEST)
        self._buffers = [self._buffer]
        self._view = memoryview(self._buffer)
        with contextlib.ExitStack() as undo:
            self._epoll = select.epoll()
            undo.callback(self._epoll.close)
            self._commands = CommandQueue(self._epoll)
            undo.pop_all()

    def add_port(self, port: LoopPort) -> None:
        """Read the datagrams of a listening socket from now on."""
        self._commands.put(partial(self._add_port, port))

    def close_port(self, port: LoopPort) -> None:
        """End the sessions of a port, and close it."""
        self._commands.put(partial(self._close_port, port))

    def admit(self, session: DatagramSession, early: Sequence[bytes], header: bytes) -> None:
        """Begin a session, whose client the port's queue expects.

        :param early: datagrams to send to the server first; what the queue has kept follows them.
        :param header: sent before the first datagram that the kernel takes, as a part of it; if it takes none of these,
            the session ends.
        """
        self._commands.put(partial(self._admit, session, early, header))

    def end(self, session: DatagramSession, end: SessionEnd) -> None:
        """End a session, if it is still live."""
        self._commands.put(partial(self._end_live, session, end))

    def answer(self, call: Callable[[], None]) -> None:
        """Call `call` in the loop's thread between two rounds of events, which shows that the loop still runs."""
        self._commands.put(call)

    def quit(self) -> None:
        """End `run`; all ports must have been closed before."""
        self._commands.put(self._quit)

    def run(self) -> None:
        """Move datagrams until `quit`. Any exception is a crash, after which only `close` may be called."""
        poll, most, sessions, ports = self._epoll.poll, MOST_EVENTS, self._sessions, self._ports
        commands, waiting = self._commands, self._commands.waiting
        pause: float | None = None  # a time limit would cost for every datagram
        while self._running:
            events = poll(pause, most)
            now = self._clock()
            for fd, _ in events:
                session = sessions.get(fd)
                if session is not None:
                    self._read_session(session, now)
                elif fd in ports:
                    self._read_port(ports[fd], now)
                elif fd == commands.fd:
                    commands.woken()
            if waiting:
                commands.run()
                pause = 0.0 if waiting else None

    def close(self) -> None:
        """Release the descriptors, once `run` has returned or raised and no other method is called any more."""
        self._epoll.close()
        for session in self._sessions.values():
            session.socket.close()
        for port in self._ports.values():
            port.socket.close()
        self._sessions.clear()
        self._ports.clear()
        self._commands.close()

    def _read_port(self, port: LoopPort, now: float) -> None:
        # All of it is in local variables, since it is used for every datagram.
        receive, buffers, view = port.socket.recvmsg_into, self._buffers, self._view
        sessions, local = port.sessions, port.local
        port.heard = now
        for _ in range(MOST_READ):
            try:
                size, control, _, address = receive(buffers, CONTROL_SPACE)
            except BlockingIOError:
                return
            except OSError:  # of the network interface; a datagram may follow
                continue
            client = (address, control[0][2][local] if control else b"")
            session = sessions.get(client)  # type: ignore[call-overload]
            if session is None:
                self._queue(port, DatagramClient(*client), bytes(view[:size]))
                continue
            session.heard = now
            try:
                session.send(view[:size])
            except OSError as error:
                self._not_sent(session, error)
            else:
                session.to_backend += 1
                session.to_backend_bytes += size
                if session.answered:
                    session.assured = True

    def _read_session(self, session: DatagramSession, now: float) -> None:
        port = session.port
        try:
            size = session.receive(self._buffer)
        except OSError as error:
            if error.errno in LASTING:
                self._end(session, SessionEnd.refused)
            return
        session.answered = now
        try:
            if session.control:
                port.socket.sendmsg((self._view[:size],), session.control, 0, session.client[0])
            else:
                port.socket.sendto(self._view[:size], session.client[0])
        except OSError as error:
            port.dropped[drop_reason(error)] += 1
        else:
            session.to_client += 1
            session.to_client_bytes += size

    def _queue(self, port: LoopPort, client: DatagramClient, datagram: bytes) -> None:
        if port.queue.put(client, datagram):
            self._observer.arrived(port)
        else:
            port.dropped[Drop.queue_full] += 1

    def _send(self, session: DatagramSession, datagram: bytes) -> None:
        try:
            session.send(datagram)
        except OSError as error:
            self._not_sent(session, error)
        else:
            session.to_backend += 1
            session.to_backend_bytes += len(datagram)

    def _not_sent(self, session: DatagramSession, error: OSError) -> None:
        session.port.dropped[drop_reason(error)] += 1
        if error.errno in LASTING and session.socket.fileno() in self._sessions:
            self._end(session, SessionEnd.refused)

    def _add_port(self, port: LoopPort) -> None:
        self._ports[port.socket.fileno()] = port
        self._epoll.register(port.socket.fileno(), select.EPOLLIN)

    def _close_port(self, port: LoopPort) -> None:
        for session in list(port.sessions.values()):
            self._end(session, SessionEnd.closed)
        if self._ports.pop(port.socket.fileno(), None) is not None:
            self._epoll.unregister(port.socket.fileno())
        port.socket.close()
        self._observer.port_closed(port)

    def _admit(self, session: DatagramSession, early: Sequence[bytes], header: bytes) -> None:
        port, fd = session.port, session.socket.fileno()
        datagrams = [*early, *port.queue.collect(session.client)]
        try:
            self._epoll.register(fd, select.EPOLLIN)
        except OSError:  # no memory, or the user's limit of watched descriptors
            port.dropped[Drop.unsent] += len(datagrams)
            session.socket.close()
            self._observer.session_ended(session, SessionEnd.failed)
            return
        self._sessions[fd] = port.sessions[session.client] = session
        for number, datagram in enumerate(datagrams):
            self._send(session, datagram if session.to_backend else header + datagram)
            if session.socket.fileno() < 0:  # it has ended by an ICMP error
                port.dropped[Drop.unsent] += len(datagrams) - number - 1
                return
        if header and not session.to_backend:  # what follows would reach the server without it
            self._end(session, SessionEnd.failed)

    def _end_live(self, session: DatagramSession, end: SessionEnd) -> None:
        if session.socket.fileno() >= 0:
            self._end(session, end)

    def _end(self, session: DatagramSession, end: SessionEnd) -> None:
        fd = session.socket.fileno()
        self._epoll.unregister(fd)
        del self._sessions[fd]
        del session.port.sessions[session.client]
        session.socket.close()
        self._observer.session_ended(session, end)

    def _quit(self) -> None:
        self._running = False


def drop_reason(error: OSError) -> Drop:
    """Return why a datagram was not sent."""
    if error.errno in (errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM):
        return Drop.no_buffer
    return Drop.too_long if error.errno == errno.EMSGSIZE else Drop.unsent
