"""Real sockets on both sides of a relay: peers that play a script in a thread, and Twisted transports between them."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import random
import select
import socket
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from time import monotonic
from typing import Any, TypeAlias

import pytest
import pytest_twisted
from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.threads import deferToThread, deferToThreadPool
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool
from zope.interface import implementer

from zeroscale.relay import Relays, Report
from zeroscale.relay.base import Moved
from zeroscale.sockets.poller import SocketPoller
from zeroscale.sockets.transport import SocketTransport

reactor: Any = global_reactor

DEADLINE = 30.0
"""Seconds after which what should have happened will not."""


def reset(sock: socket.socket) -> None:
    """Closes with a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def unsent(sock: socket.socket) -> int:
    """Bytes that the other kernel has not acknowledged."""
    return int.from_bytes(fcntl.ioctl(sock, termios.TIOCOUTQ, b"\0\0\0\0"), sys.byteorder)


def tcp_pair(buffers: int = 0) -> tuple[socket.socket, socket.socket]:
    """Two ends of a TCP connection on loopback; `buffers` bounds what the kernel keeps between them, each way."""
    with socket.socket() as listener:
        if buffers:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffers)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffers)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        peer = socket.socket()
        if buffers:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffers)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffers)
        peer.connect(listener.getsockname())
        ours, _ = listener.accept()
    return peer, ours


def unix_pair(buffers: int = 0) -> tuple[socket.socket, socket.socket]:
    """Two ends of a Unix stream connection."""
    ends = socket.socketpair()
    for end in ends:
        if buffers:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffers)
    return ends


Connect = Callable[[int], tuple[socket.socket, socket.socket]]


@implementer(IHalfCloseableProtocol)
class Ours(Protocol):
    """The protocol of one of the proxy's transports: paused at once, and keeps what it receives."""

    transport: Any

    def __init__(self) -> None:
        self.received = b""
        self.finished = False
        self.reason: Failure | None = None
        self.lost: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        self.transport.pauseProducing()

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def readConnectionLost(self) -> None:
        self.finished = True

    def writeConnectionLost(self) -> None:
        raise AssertionError("unexpected call")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.reason = reason
        self.lost.callback(None)


Wrap: TypeAlias = "Callable[[Factory[Ours]], Factory[Any]]"  # in quotes: not generic before Twisted 25


on_a_poller = True
"""Whether the sockets of new pairs are on a poller, as the splice relay needs them; else Twisted has them."""

poller = SocketPoller(reactor)


def adopt(sock: socket.socket, wrap: Wrap | None = None) -> Ours:
    """Makes the socket a transport; `wrap` wraps the factory of its protocol, as TLS does."""
    protocol = Ours()
    sock.setblocking(False)
    if on_a_poller and wrap is None:
        SocketTransport(poller, sock, None, protocol).start()
        return protocol
    factory = Factory.forProtocol(lambda: protocol)
    wrapped: Any = wrap(factory) if wrap else factory
    reactor.adoptStreamConnection(sock.fileno(), sock.family, wrapped)
    sock.close()
    return protocol


class Pair:
    """A client and a backend, each a raw socket of the test's, and the proxy's transports to them."""

    def __init__(self, connect: Connect = tcp_pair, buffers: int = 0, wrap: Wrap | None = None) -> None:
        self.client, ours = connect(buffers)
        self.to_client = adopt(ours, wrap)
        self.backend, ours = connect(buffers)
        self.to_backend = adopt(ours)

    def hand_over(
        self,
        relays: Relays,
        early: bytes = b"",
        *,
        client_finished: bool = False,
        on_started: Callable[[Moved], object] = lambda _: None,
    ) -> Deferred[Report]:
        return relays.hand_over(
            self.to_client.transport,
            self.to_backend.transport,
            early,
            client_finished=client_finished,
            on_started=on_started,
        )

    async def gone(self) -> None:
        """Waits until both transports are closed, and closes the peers."""
        await within(self.to_client.lost)
        await within(self.to_backend.lost)
        self.client.close()
        self.backend.close()

    async def close(self) -> None:
        """Ends what was not handed over, or handed back."""
        for ours in (self.to_client, self.to_backend):
            if ours.reason is None:
                ours.transport.abortConnection()
        await self.gone()


def within(deferred: Deferred[Any]) -> Deferred[Any]:
    """The Deferred, with the deadline."""
    return deferred.addTimeout(DEADLINE, reactor)


async def later(seconds: float = 0.0) -> None:
    """Lets the reactor work."""
    waiting: Deferred[None] = Deferred()
    reactor.callLater(seconds, waiting.callback, None)
    await waiting


async def until(condition: Callable[[], bool]) -> None:
    """Waits until something is so."""
    deadline = monotonic() + DEADLINE
    while not condition():
        assert monotonic() < deadline, "it did not come about"
        await later(0.002)


def receive(sock: socket.socket, count: int = -1) -> Deferred[bytes]:
    """Receives so many bytes, or everything until the end, in a thread. A reset raises ConnectionResetError."""

    def work() -> bytes:
        sock.settimeout(DEADLINE)
        taken = bytearray()
        while count < 0 or len(taken) < count:
            data = sock.recv(65536 if count < 0 else min(65536, count - len(taken)))
            if not data:
                break
            taken += data
        return bytes(taken)

    return within(deferToThread(work))


def send(sock: socket.socket, data: bytes) -> Deferred[None]:
    """Sends all of it, in a thread."""
    sock.settimeout(DEADLINE)
    return within(deferToThread(sock.sendall, data))


class Finale(Enum):
    """How a peer leaves once it has sent everything."""

    finish = "finishes sending, and reads to the end"
    reset = "resets at once"
    deliver_and_reset = "waits until its kernel is rid of everything, then resets"
    finish_and_reset = "finishes sending, waits until its kernel is rid of that, then resets"


@dataclass(frozen=True)
class Script:
    """What a peer does. Pauses are seconds.

    :ivar writes: what it sends: each a pause before, and a size.
    :ivar reads: how it reads, over and over again: each a pause before, and at most how many bytes.
    """

    writes: tuple[tuple[float, int], ...] = ()
    reads: tuple[tuple[float, int], ...] = ((0.0, 65536),)
    finale: Finale = Finale.finish
    seed: int = 0

    @property
    def data(self) -> bytes:
        return random.Random(self.seed).randbytes(sum(size for _, size in self.writes))


@dataclass
class Played:
    """What came of it.

    :ivar sent: bytes its kernel took.
    :ivar ended: it has read to the other's end.
    :ivar error: the errno that its connection died of, or 0.
    """

    received: bytearray = field(default_factory=bytearray)
    sent: int = 0
    ended: bool = False
    error: int = 0


class Player:
    """Plays a script on a socket; blocks, so in a thread."""

    def __init__(self, sock: socket.socket, script: Script) -> None:
        self._socket = sock
        self._script = script
        self._data = memoryview(script.data)
        self._writes = list(script.writes)
        self._read = 0
        self.played = Played()

    def __call__(self) -> Played:
        sock, played = self._socket, self.played
        sock.setblocking(False)
        deadline = monotonic() + DEADLINE
        until = 0
        write_at, read_at = monotonic() + self._pause_to_write(), monotonic() + self._pause_to_read()
        finished = False
        while True:
            now = monotonic()
            assert now < deadline, f"stuck: {played.sent} sent, {len(played.received)} received"
            if until == played.sent and self._writes and now >= write_at:
                until += self._writes.pop(0)[1]
                write_at = now + self._pause_to_write()
            if not finished and not self._writes and until == played.sent:
                finished = self._finish()
            if played.error or sock.fileno() < 0 or (finished and played.ended):
                return played
            wanted, wake_at = 0, deadline
            if played.sent < until:
                wanted = select.POLLOUT
            elif self._writes:
                wake_at = write_at
            elif not finished:
                wake_at = now + 0.005
            if not played.ended:
                if now >= read_at:
                    wanted |= select.POLLIN
                else:
                    wake_at = min(wake_at, read_at)
            poll = select.poll()
            poll.register(sock, wanted)
            happened = dict(poll.poll(max(0.0, wake_at - now) * 1000)).get(sock.fileno(), 0)
            if happened & select.POLLERR:
                self._receive_the_rest()
                played.error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) or errno.ECONNRESET
            elif happened & select.POLLHUP and played.ended:
                played.error = errno.EPIPE
            else:
                if happened & select.POLLOUT:
                    self._write(until)
                if happened & (select.POLLIN | select.POLLHUP) and not played.error:
                    self._receive()
                    read_at = monotonic() + self._pause_to_read()

    def _pause_to_write(self) -> float:
        return self._writes[0][0] if self._writes else 0.0

    def _pause_to_read(self) -> float:
        return self._script.reads[self._read % len(self._script.reads)][0]

    def _write(self, until: int) -> None:
        try:
            self.played.sent += self._socket.send(self._data[self.played.sent : until])
        except BlockingIOError:
            pass
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.ECONNRESET):
                raise
            self._receive_the_rest()
            self.played.error = error.errno

    def _receive(self) -> None:
        size = self._script.reads[self._read % len(self._script.reads)][1]
        self._read += 1
        try:
            data = self._socket.recv(size)
        except BlockingIOError:
            return
        except OSError as error:
            self.played.error = error.errno or 0
            return
        self.played.received += data
        self.played.ended = not data

    def _receive_the_rest(self) -> None:
        """What came before a reset can still be read."""
        with contextlib.suppress(OSError):
            while data := self._socket.recv(65536):
                self.played.received += data

    def _finish(self) -> bool:
        """Does what the finale says; whether that is done."""
        finale = self._script.finale
        if finale is Finale.finish:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_WR)
            return True
        if finale is Finale.finish_and_reset:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_WR)
        if finale is Finale.reset or unsent(self._socket) == 0:
            reset(self._socket)
            return True
        return False


def play(sock: socket.socket, script: Script, threads: ThreadPool | None = None) -> Deferred[Played]:
    """Plays it in a thread, of the reactor's few or of a pool's."""
    player = Player(sock, script)
    pool = reactor.getThreadPool() if threads is None else threads
    return within(deferToThreadPool(reactor, pool, player))


@contextlib.contextmanager
def started(relays: Relays) -> Iterator[Relays]:
    """Starts them, and stops them at the end, from a test that is no coroutine."""
    relays.start()
    try:
        yield relays
    finally:
        pytest_twisted.blockon(within(relays.stop(0)))


def with_small_pipes(case: str) -> dict[str, Any]:
    """Runs a case of `small_pipes.py` as a user without privileges, and returns what it saw."""
    if os.geteuid() != 0:
        pytest.skip("uses up a user's pages for pipes: needs root, to do so as a user that has nothing else")
    if not 0 < int(Path("/proc/sys/fs/pipe-user-pages-soft").read_text()) <= 1 << 16:
        pytest.skip("fs.pipe-user-pages-soft is not low enough to use up these pages")
    command = [sys.executable, "-P", "-W", "error", str(Path(__file__).with_name("small_pipes.py")), case]
    done = subprocess.run(command, capture_output=True, text=True, timeout=2 * DEADLINE, check=False)
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen
