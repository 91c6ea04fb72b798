"""A listening server for probes, whose reaction to received bytes the test gives."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import cast

from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure

from zeroscale.protocols.minecraft import packets

STATUS = {
    "version": {"name": "Paper 1.21.4", "protocol": 769},
    "players": {"max": 20, "online": 2, "sample": [{"name": "Notch", "id": "x"}, {"name": "jeb_", "id": "y"}]},
    "description": "hello",
}
REPLY = packets.frame(0x00, packets.string(json.dumps(STATUS)))
NOBODY_ON = packets.frame(0x00, packets.string('{"players": {"max": 20, "online": 0}, "description": "hello"}'))


def kick(text: str) -> bytes:
    """A reply to a ping of before 1.7."""
    return b"\xff" + len(text).to_bytes(2, "big") + text.encode("utf-16-be")


class Server(Protocol):
    """One connection; received bytes go to the test's function."""

    def __init__(self, server: Listening) -> None:
        self._server = server
        self.received = b""

    def connectionMade(self) -> None:
        self._server.connections.append(self)

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        assert self.transport is not None
        self._server.received(self, data)

    def connectionLost(self, reason: Failure | None = None) -> None:
        self._server.lost += 1
        waiters, self._server.waiters = self._server.waiters, []
        for waiter in waiters:
            waiter.callback(None)


class Listening:
    """A listening server and its connections."""

    def __init__(self, received: Callable[[Server, bytes], None]) -> None:
        self.received = received
        self.number = 0
        self.connections: list[Server] = []
        self.lost = 0
        self.waiters: list[Deferred[None]] = []

    async def next_lost(self) -> None:
        waiter: Deferred[None] = Deferred()
        self.waiters.append(waiter)
        await waiter.addTimeout(5, IReactorTime(reactor))

    async def all_lost(self) -> None:
        while self.lost < len(self.connections) or not self.connections:
            await self.next_lost()


@asynccontextmanager
async def listening(received: Callable[[Server, bytes], None]) -> AsyncIterator[Listening]:
    server = Listening(received)
    endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
    port = await endpoint.listen(Factory.forProtocol(lambda: Server(server)))
    server.number = cast("IPv4Address", port.getHost()).port
    try:
        yield server
    finally:
        await cast("Awaitable[None]", port.stopListening())


def asked_in(received: bytes) -> int | str | None:
    """The protocol number of a whole status request, or "legacy" for a ping of before 1.7; None: more is to come."""
    if received.startswith(b"\xfe\x01\xfa"):
        return "legacy" if len(received) >= 29 + int.from_bytes(received[27:29], "big") else None
    frame = packets.take_frame(received, 0, 1000) if received else None
    if frame is None or received[frame[1] :] != b"\x01\x00":
        return None  # or it is a login
    fields = packets.Fields(frame[0])
    assert fields.varint() == 0
    return fields.varint()


class ByNumber:
    """The reaction of a server that answers only some requests; it closes the connection at all others.

    :param replies: by the request's number, or "legacy"; None: it stays silent.
    :ivar port: the server's.
    :ivar asked: the requests, in their order.
    :ivar on_asked: called with each of them before it is answered.
    """

    port: int

    def __init__(self, replies: Mapping[int | str, bytes | None]) -> None:
        self.replies = dict(replies)
        self.asked: list[int | str] = []
        self.on_asked: Callable[[int | str], object] = lambda way: None

    def __call__(self, server: Server, _: bytes) -> None:
        way = asked_in(server.received)
        if way is None:
            return
        self.asked.append(way)
        self.on_asked(way)
        assert server.transport is not None
        reply = self.replies.get(way, b"")
        if reply:
            server.transport.write(reply)
        elif reply is not None:
            server.transport.loseConnection()


def send(data: bytes) -> Callable[[Server, bytes], None]:
    def received(server: Server, _: bytes) -> None:
        assert server.transport is not None
        server.transport.write(data)

    return received


def close(server: Server, _: bytes) -> None:
    assert server.transport is not None
    server.transport.loseConnection()
