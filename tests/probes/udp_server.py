"""A server over UDP for probes, whose answers the test gives."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import cast

from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime, IReactorUDP
from twisted.internet.protocol import DatagramProtocol

Answers = Callable[[bytes], Sequence[bytes]]


class UdpServer(DatagramProtocol):
    """Answers each datagram with what the test's function returns.

    :ivar received: the datagrams.
    :ivar port: where it listens.
    """

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._waiting: list[Deferred[None]] = []
        self.received: list[bytes] = []
        self.port = 0

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        assert self.transport is not None
        self.received.append(datagram)
        for answer in self._answers(datagram):
            self.transport.write(answer, addr)
        waiting, self._waiting = self._waiting, []
        for deferred in waiting:
            deferred.callback(None)

    async def count(self, number: int) -> None:
        """Wait until so many datagrams have come."""
        while len(self.received) < number:
            deferred: Deferred[None] = Deferred()
            self._waiting.append(deferred)
            await deferred.addTimeout(5, IReactorTime(reactor))


@asynccontextmanager
async def udp_server(answers: Answers, port: int = 0) -> AsyncIterator[UdpServer]:
    """Listen on the loopback interface."""
    server = UdpServer(answers)
    listening = IReactorUDP(reactor).listenUDP(port, server, "127.0.0.1", 8192)
    server.port = cast("IPv4Address", listening.getHost()).port
    try:
        yield server
    finally:
        await cast("Awaitable[None]", listening.stopListening())


def silent(datagram: bytes) -> Sequence[bytes]:
    return ()
