"""Probes of any TCP server: by connection, bytes, HTTP and command."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import cast

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from zeroscale.errors import BackendError
from zeroscale.probes import pace
from zeroscale.probes.tcp import BytesCheck, HttpStatusCheck, ResponseCheck, TcpProbe
from zeroscale.protocols import http
from zeroscale.status import ProbeResult

ASKED = http.get_request("127.0.0.1", 80, "/health")
HEALTH = HttpStatusCheck(ASKED, http.parse_status, range(200, 300))


class Server(Protocol):
    """Replies when a connection opens, or to its first bytes."""

    def __init__(self, server: Listening) -> None:
        self.server = server

    def connectionMade(self) -> None:
        self.server.open += 1
        if self.server.speaks_first:
            self._reply()

    def dataReceived(self, data: bytes) -> None:
        self.server.received += data
        if not self.server.speaks_first:
            self._reply()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.server.open -= 1
        self.server.closed += 1
        empty, self.server.empty = self.server.empty, None
        if empty is not None:
            empty.callback(None)

    def _reply(self) -> None:
        assert self.transport is not None
        for byte in self.server.reply:
            self.transport.write(bytes([byte]))
        if self.server.closes:
            self.transport.loseConnection()


class Listening:
    """A listening server and its open connections."""

    def __init__(self, reply: bytes, *, speaks_first: bool, closes: bool) -> None:
        self.reply = reply
        self.speaks_first = speaks_first
        self.closes = closes
        self.port = 0
        self.open = self.closed = 0
        self.received = b""
        self.empty: Deferred[None] | None = None

    async def all_lost(self, at_least: int = 0) -> None:
        while self.open or self.closed < at_least:
            self.empty = Deferred()
            await self.empty.addTimeout(5, IReactorTime(reactor))


@asynccontextmanager
async def listening(
    reply: bytes = b"", *, speaks_first: bool = False, closes: bool = False
) -> AsyncIterator[Listening]:
    server = Listening(reply, speaks_first=speaks_first, closes=closes)
    endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
    port = await endpoint.listen(Factory.forProtocol(lambda: Server(server)))
    server.port = cast("IPv4Address", port.getHost()).port
    try:
        yield server
        await server.all_lost()
    finally:
        await cast("Awaitable[None]", port.stopListening())


def probe(server: Listening, check: ResponseCheck | None = None, timeout: float = 5.0) -> TcpProbe:
    return TcpProbe(reactor, "127.0.0.1", server.port, check=check, timeout=timeout)


def test_what_a_check_costs_decides_how_often_a_starting_server_is_asked() -> None:
    memory = MemoryReactorClock()
    assert TcpProbe(memory, "127.0.0.1", 6380).check_pace is None
    assert TcpProbe(memory, "127.0.0.1", 6380, check=HEALTH).check_pace is pace.REQUEST
    assert TcpProbe(memory, "127.0.0.1", 6380, command=lambda: succeed(0)).check_pace is pace.COMMAND


@ensureDeferred
async def test_accepting_a_connection_is_enough() -> None:
    async with listening() as server:
        tcp_probe = probe(server)
        assert await tcp_probe.accepts_connections() is True
        assert await tcp_probe.ask() == ProbeResult(None, None, ())
    with pytest.raises(BackendError, match="does not accept connections"):
        await tcp_probe.ask()
    assert await tcp_probe.accepts_connections() is False


@pytest.mark.parametrize(("check", "more"), [(None, b""), (BytesCheck(b"+PONG", b"PING"), b"PING")])
@ensureDeferred
async def test_the_header_is_sent_first(check: BytesCheck | None, more: bytes) -> None:
    header = b"PROXY UNKNOWN\r\n"
    async with listening(b"+PONG") as server:
        tcp_probe = TcpProbe(reactor, "127.0.0.1", server.port, check=check, header=header)
        assert await tcp_probe.accepts_connections() is True
        await server.all_lost(1)
        assert server.received == header
        assert await tcp_probe.ask() == ProbeResult()
        await server.all_lost()
    assert server.received == header + header + more


@ensureDeferred
async def test_a_server_that_speaks_first() -> None:
    async with listening(b"220 mail.example.org\r\n", speaks_first=True) as server:
        assert await probe(server, BytesCheck(b"220 ")).ask() == ProbeResult()
        with pytest.raises(BackendError, match="the server sent b'2"):
            await probe(server, BytesCheck(b"SSH-")).ask()
        assert server.received == b""


@ensureDeferred
async def test_a_server_that_answers_a_request() -> None:
    async with listening(b"+PONG\r\n") as server:
        assert await probe(server, BytesCheck(b"+PONG", b"PING\r\n")).ask() == ProbeResult()
        assert server.received == b"PING\r\n"


@ensureDeferred
async def test_an_http_status() -> None:
    async with listening(b"HTTP/1.1 204 No Content\r\n\r\n") as server:
        assert await probe(server, HEALTH).ask() == ProbeResult()
        assert server.received == ASKED
        server.reply = b"HTTP/1.1 503 Service Unavailable\r\n\r\n"
        with pytest.raises(BackendError, match="the server answered with status 503"):
            await probe(server, HEALTH).ask()
        server.reply = b"SSH-2.0-OpenSSH\r\n"
        with pytest.raises(BackendError, match="not HTTP"):
            await probe(server, HEALTH).ask()


@ensureDeferred
async def test_a_server_that_closes_before_its_answer_is_complete() -> None:
    async with listening(b"22", speaks_first=True, closes=True) as server:
        with pytest.raises(BackendError, match="closed the connection"):
            await probe(server, BytesCheck(b"220 ")).ask()


@ensureDeferred
async def test_a_server_that_sends_nothing_leaves_no_connection() -> None:
    async with listening() as server:
        with pytest.raises(TimeoutError, match=r"did not give within 0\.05 s"):
            await probe(server, BytesCheck(b"220 "), 0.05).ask()


@ensureDeferred
async def test_a_cancelled_check_leaves_no_connection() -> None:
    async with listening() as server:
        asked = probe(server, HEALTH).ask()
        while not server.received:
            await _turn()
        asked.cancel()
        with pytest.raises(CancelledError):
            await asked


@pytest.mark.parametrize("code", [0, 3])
@ensureDeferred
async def test_a_command(code: int) -> None:
    async with listening() as server:
        tcp_probe = TcpProbe(reactor, "127.0.0.1", server.port, command=lambda: succeed(code))
        if code == 0:
            assert await tcp_probe.ask() == ProbeResult()
        else:
            with pytest.raises(BackendError, match="exit code 3"):
                await tcp_probe.ask()


@ensureDeferred
async def test_a_command_that_hangs_is_cancelled_in_time() -> None:
    cancelled: list[object] = []
    command: Deferred[int] = Deferred(cancelled.append)
    async with listening() as server:
        with pytest.raises(TimeoutError):
            await TcpProbe(reactor, "127.0.0.1", server.port, command=lambda: command, timeout=0.05).ask()
    assert cancelled == [command]


async def _turn() -> None:
    turn: Deferred[None] = Deferred()
    IReactorTime(reactor).callLater(0, turn.callback, None)
    await turn
