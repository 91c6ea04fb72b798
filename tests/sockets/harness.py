"""A poller that the test runs instead of a reactor, and a protocol that records what it is told."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from typing import Any, cast

from twisted.internet.task import Clock
from twisted.python.failure import Failure

from zeroscale.sockets.poller import SocketPoller
from zeroscale.sockets.transport import SocketTransport

DEADLINE = 10.0
"""Seconds after which what has not happened will not."""


class Reactor(Clock):
    """The part of a reactor that a poller uses.

    :ivar readers: what it watches.
    """

    def __init__(self) -> None:
        super().__init__()
        self.readers: list[Any] = []

    def addReader(self, reader: Any) -> None:
        self.readers.append(reader)

    def removeReader(self, reader: Any) -> None:
        self.readers.remove(reader)

    def removeWriter(self, writer: Any) -> None:
        """Do nothing: a poller has no writers."""

    def turn(self, seconds: float = 0.0) -> None:
        """Let everything happen that can happen now, and wait at most so long for the first of it."""
        for reader in list(self.readers):
            if select.select([reader], [], [], seconds)[0]:
                reader.doRead()
        self.advance(0)

    def until(self, what: Callable[[], object]) -> None:
        """Take turns until something is true."""
        ends = time.monotonic() + DEADLINE
        while not what():
            assert time.monotonic() < ends, "it does not happen"
            self.turn(0.01)


class Recorder:
    """A protocol.

    :ivar told: what it was told, in order; received bytes as they came.
    :ivar react: called with each entry of `told`.
    """

    def __init__(self, react: Callable[[object], object] = lambda _: None) -> None:
        self.told: list[object] = []
        self.react = react
        self.transport: Any = None

    @property
    def received(self) -> bytes:
        return b"".join(each for each in self.told if isinstance(each, bytes))

    def makeConnection(self, transport: Any) -> None:
        self.transport = transport
        self._note("made")

    def dataReceived(self, data: bytes) -> None:
        self._note(data)

    def readConnectionLost(self) -> None:
        self._note("read lost")

    def writeConnectionLost(self) -> None:
        self._note("write lost")

    def connectionLost(self, reason: Failure) -> None:
        self._note(type(reason.value).__name__)

    def peerFinished(self) -> None:
        self._note("peer finished")

    def _note(self, what: object) -> None:
        self.told.append(what)
        self.react(what)


class Connection:
    """One connection with a transport at our end.

    :ivar peer: the other end.
    """

    def __init__(self, react: Callable[[object], object] = lambda _: None, *, start: bool = True) -> None:
        self.reactor = Reactor()
        self.poller = SocketPoller(cast(Any, self.reactor))
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self.peer = socket.create_connection(listening.getsockname())
            ours, self.address = listening.accept()
        ours.setblocking(False)
        self.peer.settimeout(DEADLINE)
        self.protocol = Recorder(react)
        self.transport = SocketTransport(self.poller, ours, self.address, self.protocol, self.protocol.peerFinished)
        if start:
            self.transport.start()

    def close(self) -> None:
        """Release everything."""
        self.peer.close()
        self.transport.abortConnection()
        self.reactor.turn()

    def receive_all(self) -> bytes:
        """Let our end run, and read at the other end until its end."""
        data = bytearray()
        self.peer.setblocking(False)
        ends: list[bool] = []

        def ended() -> bool:
            try:
                while piece := self.peer.recv(65536):
                    data.extend(piece)
            except BlockingIOError:
                return False
            ends.append(True)
            return True

        self.reactor.until(ended)
        return bytes(data)
