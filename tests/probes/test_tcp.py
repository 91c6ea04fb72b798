"""Any TCP server is asked as its operator says."""

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
from twisted.python.failure import Failure

from zeroscale.errors import BackendError
from zeroscale.probes.tcp import ExpectedBytes, HttpStatus, ResponseCheck, TcpProbe
from zeroscale.protocols import http
from zeroscale.status import ProbeResult

ASKED = http.get_request("127.0.0.1", 80, "/health")
HEALTH = HttpStatus(ASKED, http.parse_status, range(200, 300))


class Server(Protocol):
    """Says something upon a connection, or upon the first bytes."""

    def __init__(self, house: Listening) -> None:
        self.house = house

    def connectionMade(self) -> None:
        self.house.open += 1
        if self.house.greets:
            self._say()

    def dataReceived(self, data: bytes) -> None:
        self.house.received += data
        if not self.house.greets:
            self._say()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.house.open -= 1
        if self.house.empty is not None and not self.house.open:
            self.house.empty.callback(None)

    def _say(self) -> None:
        assert self.transport is not None
        for byte in self.house.says:
            self.transport.write(bytes([byte]))
        if self.house.closes:
            self.transport.loseConnection()


class Listening:
    """A server on a port of its own."""

    def __init__(self, says: bytes, *, greets: bool, closes: bool) -> None:
        self.says = says
        self.greets = greets
        self.closes = closes
        self.port = 0
        self.open = 0
        self.received = b""
        self.empty: Deferred[None] | None = None

    async def all_lost(self) -> None:
        if self.open:
            self.empty = Deferred()
            await self.empty.addTimeout(5, IReactorTime(reactor))


@asynccontextmanager
async def listening(says: bytes = b"", *, greets: bool = False, closes: bool = False) -> AsyncIterator[Listening]:
    house = Listening(says, greets=greets, closes=closes)
    endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
    port = await endpoint.listen(Factory.forProtocol(lambda: Server(house)))
    house.port = cast("IPv4Address", port.getHost()).port
    try:
        yield house
        await house.all_lost()
    finally:
        await cast("Awaitable[None]", port.stopListening())


def probe(house: Listening, examiner: ResponseCheck | None = None, timeout: float = 5.0) -> TcpProbe:
    return TcpProbe(reactor, "127.0.0.1", house.port, examiner=examiner, timeout=timeout)


@ensureDeferred
async def test_that_it_takes_a_connection_is_enough() -> None:
    async with listening() as house:
        asking = probe(house)
        assert await asking.connects() is True
        assert await asking.ask() == ProbeResult(None, None, ())
    with pytest.raises(BackendError, match="does not accept connections"):
        await asking.ask()
    assert await asking.connects() is False


@pytest.mark.parametrize(("examiner", "more"), [(None, b""), (ExpectedBytes(b"+PONG", b"PING"), b"PING")])
@ensureDeferred
async def test_a_header_comes_before_all_else(examiner: ExpectedBytes | None, more: bytes) -> None:
    header = b"PROXY UNKNOWN\r\n"
    async with listening(b"+PONG") as house:
        asking = TcpProbe(reactor, "127.0.0.1", house.port, examiner=examiner, header=header)
        assert await asking.connects() is True
        await house.all_lost()
        assert house.received == header
        assert await asking.ask() == ProbeResult()
        await house.all_lost()
    assert house.received == header + header + more


@ensureDeferred
async def test_what_a_server_says_that_speaks_first() -> None:
    async with listening(b"220 mail.example.org\r\n", greets=True) as house:
        assert await probe(house, ExpectedBytes(b"220 ")).ask() == ProbeResult()
        with pytest.raises(BackendError, match="it said b'2"):
            await probe(house, ExpectedBytes(b"SSH-")).ask()
        assert house.received == b""


@ensureDeferred
async def test_what_a_server_says_that_is_asked() -> None:
    async with listening(b"+PONG\r\n") as house:
        assert await probe(house, ExpectedBytes(b"+PONG", b"PING\r\n")).ask() == ProbeResult()
        assert house.received == b"PING\r\n"


@ensureDeferred
async def test_an_http_status() -> None:
    async with listening(b"HTTP/1.1 204 No Content\r\n\r\n") as house:
        assert await probe(house, HEALTH).ask() == ProbeResult()
        assert house.received == ASKED
        house.says = b"HTTP/1.1 503 Service Unavailable\r\n\r\n"
        with pytest.raises(BackendError, match="it answered with status 503"):
            await probe(house, HEALTH).ask()
        house.says = b"SSH-2.0-OpenSSH\r\n"
        with pytest.raises(BackendError, match="not HTTP"):
            await probe(house, HEALTH).ask()


@ensureDeferred
async def test_a_server_that_closes_before_it_has_said_all() -> None:
    async with listening(b"22", greets=True, closes=True) as house:
        with pytest.raises(BackendError, match="closed the connection"):
            await probe(house, ExpectedBytes(b"220 ")).ask()


@ensureDeferred
async def test_a_server_that_says_nothing_leaves_no_connection() -> None:
    async with listening() as house:
        with pytest.raises(TimeoutError, match=r"did not say within 0\.05 s"):
            await probe(house, ExpectedBytes(b"220 "), 0.05).ask()


@ensureDeferred
async def test_a_cancelled_question_leaves_no_connection() -> None:
    async with listening() as house:
        question = probe(house, HEALTH).ask()
        while not house.received:
            await _turn()
        question.cancel()
        with pytest.raises(CancelledError):
            await question


@pytest.mark.parametrize("code", [0, 3])
@ensureDeferred
async def test_a_command(code: int) -> None:
    async with listening() as house:
        asking = TcpProbe(reactor, "127.0.0.1", house.port, command=lambda: succeed(code))
        if code == 0:
            assert await asking.ask() == ProbeResult()
        else:
            with pytest.raises(BackendError, match="exit code 3"):
                await asking.ask()


@ensureDeferred
async def test_a_command_that_hangs_is_cancelled_in_time() -> None:
    cancelled: list[object] = []
    command: Deferred[int] = Deferred(cancelled.append)
    async with listening() as house:
        with pytest.raises(TimeoutError):
            await TcpProbe(reactor, "127.0.0.1", house.port, command=lambda: command, timeout=0.05).ask()
    assert cancelled == [command]


async def _turn() -> None:
    turn: Deferred[None] = Deferred()
    IReactorTime(reactor).callLater(0, turn.callback, None)
    await turn
