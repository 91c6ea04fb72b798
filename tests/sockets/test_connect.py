"""Connecting to an address: at once, later, never."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from sockets.harness import Reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from zeroscale.sockets.connect import connect
from zeroscale.sockets.poller import SocketPoller

TIMEOUT = 5.0


class World:
    def __init__(self) -> None:
        self.reactor = Reactor()
        self.poller = SocketPoller(cast(Any, self.reactor))
        self.results: list[Any] = []

    def connect(self, host: str, port: int) -> Any:
        connecting = connect(cast(Any, self.reactor), self.poller, host, port, TIMEOUT)
        if isinstance(connecting, Deferred):
            connecting.addBoth(self.results.append)
        return connecting


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def slow() -> Iterator[tuple[socket.socket, list[socket.socket]]]:
    """A listener that takes no connection until others are accepted: its backlog is full."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        others = []
        for _ in range(3):
            other = socket.socket()
            other.setblocking(False)
            other.connect_ex(listening.getsockname())
            others.append(other)
        yield listening, others
        for other in others:
            other.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_server_of_this_machine_is_connected_to_at_once(world: World, host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listening:
        sock = world.connect(host, listening.getsockname()[1])
        assert isinstance(sock, socket.socket)
        with sock, listening.accept()[0] as server:
            assert sock.getpeername() == server.getsockname()
            assert not sock.getblocking()
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_refused_connection(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        world.connect("127.0.0.1", port)


def test_a_server_that_takes_its_time(world: World, slow: tuple[socket.socket, list[socket.socket]]) -> None:
    listening, _ = slow
    world.connect("127.0.0.1", listening.getsockname()[1])
    world.reactor.turn()
    assert world.results == []
    accepted = []

    def accept_all() -> bool:
        listening.settimeout(0.01)
        with contextlib.suppress(TimeoutError):
            accepted.append(listening.accept()[0])
        return bool(world.results)

    world.reactor.until(accept_all)
    (sock,) = world.results
    assert isinstance(sock, socket.socket)
    assert (world.reactor.readers, world.reactor.getDelayedCalls()) == ([], [])
    for each in (sock, *accepted):
        each.close()


def test_a_server_that_does_not_answer(world: World, slow: tuple[socket.socket, list[socket.socket]]) -> None:
    world.connect("127.0.0.1", slow[0].getsockname()[1])
    world.reactor.advance(TIMEOUT)
    (failure,) = world.results
    assert isinstance(failure, Failure)
    assert failure.check(TimeoutError)
    assert (world.reactor.readers, world.reactor.getDelayedCalls()) == ([], [])


def test_a_cancelled_attempt(world: World, slow: tuple[socket.socket, list[socket.socket]]) -> None:
    world.connect("127.0.0.1", slow[0].getsockname()[1]).cancel()
    (failure,) = world.results
    assert failure.check(CancelledError)
    assert (world.reactor.readers, world.reactor.getDelayedCalls()) == ([], [])


def test_an_attempt_that_is_refused_later(
    world: World, slow: tuple[socket.socket, list[socket.socket]], monkeypatch: pytest.MonkeyPatch
) -> None:
    slow[0].getsockname()
    world.connect("127.0.0.1", slow[0].getsockname()[1])
    slow[0].close()  # what waits in the backlog is reset; a later retransmission is refused
    world.reactor.until(lambda: world.results)
    (failure,) = world.results
    assert failure.check(OSError)
    assert (world.reactor.readers, world.reactor.getDelayedCalls()) == ([], [])


def test_a_unix_socket_is_connected_to_at_once(world: World, tmp_path: Path) -> None:
    path = tmp_path / "map.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        sock = world.connect(str(path), 0)
        assert isinstance(sock, socket.socket)
        with sock, listening.accept()[0] as server:
            assert not sock.getblocking()
            sock.sendall(b"question")
            assert server.recv(100) == b"question"


def test_a_unix_socket_whose_queue_is_full_refuses_the_connection(world: World, tmp_path: Path) -> None:
    """That is a fault of the server; of TCP the same error says that this machine has no ports left."""
    path = tmp_path / "map.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen(0)
        with world.connect(str(path), 0), pytest.raises(ConnectionRefusedError, match="queue"):
            world.connect(str(path), 0)


def test_a_unix_socket_that_is_not_there(world: World, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        world.connect(str(tmp_path / "map.sock"), 0)
