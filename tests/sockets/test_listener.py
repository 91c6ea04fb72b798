"""Listening ports of Twisted whose connections a poller accepts."""

from __future__ import annotations

import errno
import logging
import select
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from sockets.harness import Reactor, Recorder
from twisted.internet import tcp
from twisted.internet.address import IPv4Address
from twisted.internet.protocol import Factory

from zeroscale.sockets import poller
from zeroscale.sockets.listener import MOST_ACCEPTED, PAUSE, listening_reactor
from zeroscale.sockets.poller import SocketPoller


class Connections(Factory):
    """Makes recorders; fails when the test says so."""

    noisy = False

    def __init__(self) -> None:
        self.made: list[tuple[object, Recorder]] = []
        self.failing = False

    def buildProtocol(self, addr: object) -> Any:
        if self.failing:
            raise ValueError("a fault")
        self.made.append((addr, Recorder()))
        return self.made[-1][1]


class World:
    """A reactor whose listening ports are the poller's."""

    def __init__(self) -> None:
        self.reactor = Reactor()
        self.factory = Connections()
        self.poller = SocketPoller(cast(Any, self.reactor))
        self.listening = listening_reactor(cast(Any, self.reactor), self.poller, self.factory)
        self.port: Any = None
        self.address = ("127.0.0.1", 0)
        self.clients: list[socket.socket] = []

    def listen(self) -> None:
        self.port = self.listening.listenTCP(0, self.factory, 50, "127.0.0.1")
        self.address = (self.port.getHost().host, self.port.getHost().port)

    def connect(self) -> socket.socket:
        self.clients.append(socket.create_connection(self.address))
        return self.clients[-1]

    @property
    def accepted(self) -> list[Recorder]:
        return [recorder for _, recorder in self.factory.made]

    def close(self) -> None:
        for client in self.clients:
            client.close()
        for recorder in self.accepted:
            recorder.transport.abortConnection()
        if self.port is not None:
            self.port.stopListening()
        self.reactor.turn()
        self.reactor.turn()
        assert self.reactor.readers == []


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.close()


def test_connections_are_accepted_with_their_addresses(world: World) -> None:
    world.listen()
    client = world.connect()
    client.sendall(b"hello")
    world.reactor.until(lambda: world.accepted and world.accepted[0].received)
    address, recorder = world.factory.made[0]
    assert address == IPv4Address("TCP", *client.getsockname())
    assert recorder.told == ["made", b"hello"]


def test_what_is_accepted_sends_at_once_and_is_probed(world: World) -> None:
    world.listen()
    world.connect()
    world.reactor.until(lambda: world.accepted)
    transport = world.accepted[0].transport
    assert transport.getTcpNoDelay()
    assert transport.getTcpKeepAlive()


def test_a_port_that_stops_accepts_nothing_and_its_connections_stay(world: World) -> None:
    world.listen()
    client = world.connect()
    world.reactor.until(lambda: world.accepted)
    world.port.stopListening()
    world.reactor.turn()
    with pytest.raises(ConnectionRefusedError):
        world.connect()
    client.sendall(b"still here")
    world.reactor.until(lambda: world.accepted[0].received == b"still here")


def test_a_socket_that_listens_already(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        world.port = world.listening.adoptStreamPort(listening.fileno(), socket.AF_INET, world.factory)
        world.address = listening.getsockname()
    world.connect()
    world.reactor.until(lambda: world.accepted)


def test_a_unix_socket(world: World, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    world.port = world.listening.listenUNIX(str(path), world.factory)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(b"hello")
        world.reactor.until(lambda: world.accepted and world.accepted[0].received == b"hello")


def test_ports_of_another_factory_are_the_reactors(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    for name in ("listenTCP", "listenUNIX", "adoptStreamPort"):
        monkeypatch.setattr(world.reactor, name, lambda *_, name=name: calls.append(name), raising=False)
    other = Connections()
    world.listening.listenTCP(0, other)
    world.listening.listenUNIX("path", other)
    world.listening.adoptStreamPort(0, socket.AF_INET, other)
    assert calls == ["listenTCP", "listenUNIX", "adoptStreamPort"]


def test_readers_that_are_no_ports_are_the_reactors(world: World) -> None:
    reader = cast(Any, object())
    world.listening.addReader(reader)
    assert world.reactor.readers == [reader]
    world.listening.removeReader(reader)
    assert world.reactor.readers == []


def test_without_a_poller_the_ports_are_the_reactors(world: World) -> None:
    reactor = cast(Any, world.reactor)
    assert listening_reactor(reactor, None, world.factory) is reactor


def test_others_are_served_while_many_connections_wait_to_be_accepted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poller, "TURN", 60.0)  # a busy machine does not end a turn
    world.listen()
    ours, theirs = socket.socketpair()
    accepted: list[int] = []

    class Other:
        def handle(self, events: int) -> None:
            ours.recv(1)
            accepted.append(len(world.accepted))

    with ours, theirs:
        for _ in range(MOST_ACCEPTED + 3):
            world.connect()
        world.poller.watch(ours.fileno(), select.EPOLLIN, Other())
        theirs.send(b"!")
        world.reactor.until(lambda: len(world.accepted) == MOST_ACCEPTED + 3)
        assert accepted == [MOST_ACCEPTED]
        world.poller.forget(ours.fileno())


def test_a_fault_in_the_factory_does_not_close_the_port(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.listen()
    world.factory.failing = True
    client = world.connect()
    client.settimeout(10)
    world.reactor.until(lambda: "a fault" in caplog.text)
    assert client.recv(1) == b""
    world.factory.failing = False
    world.connect()
    world.reactor.until(lambda: world.accepted)


class Listening:
    """A listening socket of which the first `accept` fails."""

    def __init__(self, real: socket.socket, error: int) -> None:
        self._real = real
        self.errors = [error]
        self.calls = 0

    def _accept(self) -> Any:
        self.calls += 1
        if self.errors:
            raise OSError(self.errors.pop(), "it fails")
        return cast(Any, self._real)._accept()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def failing(world: World, error: int, monkeypatch: pytest.MonkeyPatch) -> Listening:
    """Listen on a socket of which the first `accept` fails."""
    made: list[Listening] = []

    class Port(tcp.Port):
        def createInternetSocket(self) -> Any:
            made.append(Listening(super().createInternetSocket(), error))  # type: ignore[no-untyped-call]
            return made[-1]

    monkeypatch.setattr(tcp, "Port", Port)
    world.listen()
    return made[0]


@pytest.mark.parametrize("error", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EINVAL])
def test_where_no_descriptor_is_left_clients_wait(
    world: World, error: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    listening = failing(world, error, monkeypatch)
    world.connect()
    world.reactor.until(lambda: caplog.records)
    for _ in range(10):
        world.reactor.turn(0.01)
    assert listening.calls == 1, "it spins"
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    world.reactor.advance(PAUSE)
    world.reactor.until(lambda: world.accepted)


def test_a_long_lack_of_descriptors_is_reported_once(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    listening = failing(world, errno.EMFILE, monkeypatch)
    listening.errors *= 3
    for shortage in (1, 2):
        world.connect()
        for _ in range(3):
            world.reactor.until(world.reactor.getDelayedCalls)
            world.reactor.advance(PAUSE)
        world.reactor.until(lambda: len(world.accepted) == shortage)  # noqa: B023  # called at once
        assert len(caplog.records) == shortage
        listening.errors += [errno.EMFILE] * 3


def test_a_port_that_cannot_be_watched_is_watched_later(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failing(world, errno.EMFILE, monkeypatch)
    world.connect()
    world.reactor.until(lambda: caplog.records)
    with monkeypatch.context() as patch:
        patch.setattr(world.poller, "watch", no_memory)
        world.reactor.advance(PAUSE)
    assert world.accepted == []
    world.reactor.advance(PAUSE)
    world.reactor.until(lambda: world.accepted)


def no_memory(*_: object) -> None:
    raise OSError(errno.ENOMEM, "no memory")


def test_a_port_can_stop_while_nothing_is_accepted(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failing(world, errno.EMFILE, monkeypatch)
    world.connect()
    world.reactor.until(lambda: caplog.records)
    world.port.stopListening()
    world.reactor.turn()
    assert world.reactor.getDelayedCalls() == []


@pytest.mark.parametrize("error", [errno.ECONNABORTED, errno.EPERM, errno.EPROTO])
def test_a_connection_that_is_gone_is_passed_over(world: World, error: int, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(world, error, monkeypatch)
    world.connect()
    world.reactor.until(lambda: world.accepted)
