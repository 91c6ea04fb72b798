"""Connecting to the real server: taken, refused, given up; and nothing left behind."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterator
from typing import Any, cast

import pytest
import pytest_twisted
from twisted.internet import error
from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure

from zeroscale.errors import BackendError, RelayError
from zeroscale.frontend.backend_connection import CONNECT_TIMEOUT, BackendConnection, connect


class Names:
    """Lookups that end when the test says so."""

    def __init__(self) -> None:
        self.answer: Deferred[list[IPv4Address]] | None = None

    def look_up(self, _name: str, port: int) -> Deferred[list[IPv4Address]]:
        self.port = port
        self.answer = Deferred()
        return self.answer

    def found(self, *addresses: str) -> None:
        assert self.answer is not None
        self.answer.callback([IPv4Address("TCP", address, self.port) for address in addresses])

    def failed(self, problem: Exception) -> None:
        assert self.answer is not None
        self.answer.errback(Failure(problem))


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    names = Names()
    monkeypatch.setattr("zeroscale.system.host_endpoint.look_up", names.look_up)
    return names


class FrontendHarness:
    """One attempt to connect."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.reactor = cast(Any, MemoryReactorClock())
        self.results: list[object] = []
        self.connecting = Deferred.fromCoroutine(connect(self.reactor, None, host, 25575))
        self.connecting.addBoth(self.results.append)

    @property
    def factory(self) -> Any:
        return self.reactor.tcpClients[-1][2]

    def accept(self) -> StringTransport:
        transport = StringTransport()
        self.factory.buildProtocol(None).makeConnection(transport)
        return transport

    def refuse(self, problem: Exception) -> None:
        self.factory.clientConnectionFailed(self.reactor.connectors[-1], Failure(problem))

    def failed(self, kind: type[Exception]) -> str:
        (failure,) = self.results
        assert isinstance(failure, Failure)
        failure.trap(kind)
        return failure.getErrorMessage()


def connected(transport: Any) -> BackendConnection:
    """A connection that stands."""
    backend: Any = BackendConnection()
    backend.makeConnection(transport)
    assert isinstance(backend, BackendConnection)
    return backend


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_an_address_is_connected_to_at_once_and_not_read(names: Names, host: str) -> None:
    harness = FrontendHarness(host)
    assert harness.reactor.tcpClients[0][:2] == (host, 25575)
    assert names.answer is None, "looking up an address would take a thread"
    transport = harness.accept()
    (backend,) = harness.results
    assert isinstance(backend, BackendConnection)
    assert transport.producerState == "paused"


def test_a_name_is_looked_up(names: Names) -> None:
    harness = FrontendHarness("minecraft.internal")
    names.found("192.0.2.1")
    assert harness.reactor.tcpClients[0][:2] == ("192.0.2.1", 25575)
    harness.accept()
    assert isinstance(harness.results[0], BackendConnection)


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        (error.ConnectionRefusedError(111, "Connection refused"), "Connection was refused by other side: 111: Connec"),
        (error.NoRouteError(113, "No route to host"), "No route to host"),
        (error.TCPTimedOutError(110, "timed out"), "timed out"),
        (error.TimeoutError("User timeout"), "User timeout caused connection failure"),
    ],
)
def test_a_server_that_does_not_take_it(problem: Exception, expected: str) -> None:
    harness = FrontendHarness()
    harness.refuse(problem)
    message = harness.failed(BackendError)
    assert message.startswith("127.0.0.1:25575: ")
    assert expected in message


def test_a_server_that_does_not_answer_is_given_up_in_time() -> None:
    harness = FrontendHarness()
    assert harness.reactor.tcpClients[0][3] == CONNECT_TIMEOUT


@pytest.mark.parametrize(
    "problem", [socket.gaierror(socket.EAI_NONAME, "Name or service not known"), UnicodeError("label too long")]
)
def test_a_name_that_has_no_address(names: Names, problem: Exception) -> None:
    harness = FrontendHarness("nowhere.internal")
    names.failed(problem)
    message = harness.failed(BackendError)
    assert "nowhere.internal has no address: " in message
    assert str(problem.args[-1]) in message


def test_no_thread_for_a_lookup_is_not_the_servers_fault(names: Names) -> None:
    harness = FrontendHarness("minecraft.internal")
    names.failed(BlockingIOError(errno.EAGAIN, "no more threads are allowed"))
    assert "no more threads are allowed" in harness.failed(RelayError)


def test_no_descriptor_is_not_the_servers_fault() -> None:
    harness = FrontendHarness()
    harness.refuse(error.ConnectBindError(24, "Too many open files"))
    assert "Too many open files" in harness.failed(RelayError)


def test_given_up_while_connecting() -> None:
    harness = FrontendHarness()
    harness.connecting.cancel()
    harness.failed(CancelledError)
    assert harness.reactor.connectors[0].stoppedConnecting
    assert harness.reactor.getDelayedCalls() == []


def test_given_up_while_the_name_is_looked_up(names: Names) -> None:
    harness = FrontendHarness("minecraft.internal")
    harness.connecting.cancel()
    harness.failed(CancelledError)
    assert names.answer is not None
    assert names.answer.called
    assert harness.reactor.tcpClients == []


def test_given_up_and_connected_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    late: Deferred[BackendConnection] = Deferred(lambda _: late.callback(backend))
    transport = StringTransport()
    backend = connected(transport)
    monkeypatch.setattr(
        "zeroscale.frontend.backend_connection.host_endpoint",
        lambda *_: type("Late", (), {"connect": lambda self, factory: late})(),
    )
    harness = FrontendHarness()
    harness.connecting.cancel()
    harness.failed(CancelledError)
    assert transport.disconnected


def test_a_lost_connection_is_not_dropped_again() -> None:
    transport = StringTransport()
    backend = connected(transport)
    backend.readConnectionLost()
    backend.writeConnectionLost()
    assert not transport.disconnecting
    backend.connectionLost()
    backend.abort()
    assert not transport.disconnecting


# With the kernel's sockets


def global_reactor() -> Any:
    from twisted.internet import reactor

    return reactor


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        yield listener


@pytest_twisted.ensureDeferred
async def test_the_first_bytes_of_a_server_stay_in_the_kernel(listener: socket.socket) -> None:
    reactor = global_reactor()
    backend = await connect(reactor, None, *listener.getsockname())
    server, _ = listener.accept()
    with server:
        server.sendall(b"SSH-2.0\r\n")
        server.shutdown(socket.SHUT_WR)
        kept = b""
        while not kept:
            await deferLater(reactor, 0.001)
            with contextlib.suppress(BlockingIOError):
                kept = cast(Any, backend).transport.getHandle().recv(100, socket.MSG_PEEK)
        assert kept == b"SSH-2.0\r\n"
        before = backend.lost
        backend.abort()
        await deferLater(reactor, 0)
        assert (before, backend.lost) == (False, True)


@pytest_twisted.ensureDeferred
async def test_a_refused_connection(listener: socket.socket) -> None:
    reactor = global_reactor()
    address = listener.getsockname()
    listener.close()
    with pytest.raises(BackendError, match="refused"):
        await connect(reactor, None, *address)


@pytest_twisted.ensureDeferred
async def test_a_name_of_this_machine(listener: socket.socket) -> None:
    reactor = global_reactor()
    backend = await connect(reactor, None, "localhost", listener.getsockname()[1])
    listener.accept()[0].close()
    backend.abort()
