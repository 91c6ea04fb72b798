"""A reactor without sockets that the test runs, whose clock stands still, and a relay of datagrams on it."""

from __future__ import annotations

import contextlib
import queue
import socket
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any, cast

from twisted.internet.task import Clock
from twisted.python.failure import Failure

from zeroscale.relay.datagram_relay import DatagramPort, DatagramRelay
from zeroscale.relay.datagram_session import DatagramClient, DatagramSession, SessionEnd
from zeroscale.sockets.datagram_socket import listen_datagrams

DEADLINE = 20.0
"""Seconds after which what has not happened will not."""


class ThreadedClock(Clock):
    """The part of a reactor that the relay uses; `until` runs it."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: queue.Queue[Callable[[], object]] = queue.Queue()

    def callFromThread(self, call: Callable[..., object], *arguments: object) -> None:
        self._calls.put(lambda: call(*arguments))

    def run_pending(self) -> None:
        """Run what waits, once."""
        for _ in range(self._calls.qsize()):
            self._calls.get()()
        self.advance(0)

    def until(self, condition: Callable[[], object]) -> None:
        """Run calls until the condition holds."""
        deadline = monotonic() + DEADLINE
        while not condition():
            assert monotonic() < deadline, "it does not happen"
            with contextlib.suppress(queue.Empty):
                self._calls.get(timeout=0.002)()
            self.advance(0)


class Observer:
    """Opens a session for each client, if it is told to, and records what it is told.

    :ivar server: where the sessions lead; None: no session is opened.
    :ivar header: of each session.
    """

    port: DatagramPort

    def __init__(self, server: tuple[str, int] | None) -> None:
        self.server = server
        self.header = b""
        self.arrivals: list[tuple[DatagramClient, list[bytes]]] = []
        self.ends: list[SessionEnd] = []
        self.sessions: list[DatagramSession] = []

    def arrived(self, client: DatagramClient, datagrams: list[bytes]) -> None:
        self.arrivals.append((client, datagrams))
        if self.server is not None:
            self.sessions.append(self.port.open_session(client, self.server, datagrams, self.header))

    def session_ended(self, session: DatagramSession, end: SessionEnd) -> None:
        self.ends.append(end)


class Relaying:
    """A relay with its ports.

    :ivar crashes: of its thread.
    """

    def __init__(self) -> None:
        self.clock = ThreadedClock()
        self.crashes: list[Failure] = []
        self.relay = DatagramRelay(cast(Any, self.clock), self.crashes.append, self.clock.seconds)

    def listen(self, server: socket.socket | None, host: str = "127.0.0.1", **limits: Any) -> Observer:
        """Open a port whose clients reach a server; None: they get no session."""
        observer = Observer(server.getsockname()[:2] if server is not None else None)
        observer.port = self.relay.listen(listen_datagrams(host, 0), observer, **limits)
        return observer

    def until(self, condition: Callable[[], object]) -> None:
        self.clock.until(condition)

    def receive(self, sock: socket.socket) -> bytes:
        """Return the next datagram."""
        return self.receive_from(sock)[0]

    def receive_from(self, sock: socket.socket) -> tuple[bytes, Any]:
        found: list[tuple[bytes, Any]] = []

        def received() -> bool:
            with contextlib.suppress(BlockingIOError):
                found.append(sock.recvfrom(65535))
            return bool(found)

        self.until(received)
        return found[0]


@contextlib.contextmanager
def relaying() -> Iterator[Relaying]:
    """Run a relay, and see that it stops in order."""
    relay = Relaying()
    relay.clock.advance(1000)
    try:
        yield relay
    finally:
        stopped: list[None] = []
        relay.relay.stop().addCallback(stopped.append)
        relay.until(lambda: stopped)


def datagram_socket(host: str = "127.0.0.1", buffer: int = 0) -> socket.socket:
    """Return a bound socket, non-blocking."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    if buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    sock.bind((host, 0))
    sock.setblocking(False)
    return sock
