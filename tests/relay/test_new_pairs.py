"""Pairs that are new are relayed in the reactor's thread, and passed on when they are not new any more."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from processes import descriptors
from relay.relay_fixture import reset, tcp_pair
from sockets.harness import Reactor

from zeroscale.relay import Outcome, command_queue, splice_loop
from zeroscale.relay.new_pairs import MOST_PASSED_ON, NEW_FOR, NewPairs
from zeroscale.relay.pipe_pool import Pipes
from zeroscale.relay.splice_pair import Pair
from zeroscale.sockets.poller import SocketPoller


class Connection:
    """A client, a backend, and what stands between them."""

    def __init__(self, early: bytes = b"", buffers: int = 0) -> None:
        self.client, self._to_client = tcp_pair(buffers)
        self.backend, self._to_backend = tcp_pair(buffers)
        self.all = (self.client, self._to_client, self.backend, self._to_backend)
        for each in self.all:
            each.setblocking(False)
        self.pair = Pair(self._to_client, self._to_backend, early)
        self.received = {self.client: bytearray(), self.backend: bytearray()}

    def got(self, peer: socket.socket) -> bytes:
        """What a peer has received so far."""
        with contextlib.suppress(BlockingIOError):
            self.received[peer] += peer.recv(1 << 20)
        return bytes(self.received[peer])

    @property
    def closed(self) -> bool:
        return self._to_client.fileno() == self._to_backend.fileno() == -1


class World:
    """The new pairs of a relay.

    :ivar ends: the pairs that have ended, and how.
    :ivar passed_on: the pairs that were passed on.
    :ivar react: called with each pair whose end was reported.
    """

    def __init__(self) -> None:
        self.reactor = Reactor()
        self.poller = SocketPoller(cast(Any, self.reactor))
        self.pipes = Pipes()
        self.ends: list[tuple[Pair, object]] = []
        self.passed_on: list[Pair] = []
        self.new_pairs = NewPairs(
            cast(Any, self.reactor),
            self.poller,
            self.pipes,
            600.0,
            self._ended,
            self.passed_on.append,
        )
        self.connections: list[Connection] = []
        self.react: Callable[[Pair], object] = lambda _: None

    def _ended(self, pair: Pair, end: object) -> None:
        self.ends.append((pair, end))
        self.react(pair)

    def connect(self, early: bytes = b"", buffers: int = 0) -> Connection:
        connection = Connection(early, buffers)
        self.connections.append(connection)
        self.new_pairs.admit(connection.pair)
        return connection

    def until(self, what: Callable[[], object]) -> None:
        self.reactor.until(what)

    def close(self) -> None:
        self.new_pairs.close()
        self.pipes.close()
        for connection in self.connections:
            connection.pair.to_backend.drop()
            connection.pair.to_client.drop()
            for each in connection.all:
                each.close()
        assert self.reactor.readers == []
        assert self.reactor.getDelayedCalls() == []


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.close()


def test_bytes_go_both_ways_and_the_end_is_reported(world: World) -> None:
    connection = world.connect(b"early ")
    connection.client.send(b"question")
    world.until(lambda: connection.got(connection.backend) == b"early question")
    connection.backend.send(b"answer")
    world.until(lambda: connection.got(connection.client) == b"answer")
    connection.client.shutdown(socket.SHUT_WR)
    connection.backend.close()
    world.until(lambda: world.ends)
    assert world.ends == [(connection.pair, Outcome.closed)]
    assert (connection.pair.to_backend.moved, connection.pair.to_client.moved) == (14, 6)
    assert connection.closed
    assert world.passed_on == []


def test_a_pair_that_lives_is_passed_on_as_it_is(world: World) -> None:
    connection = world.connect()
    connection.client.send(b"before")
    world.until(lambda: connection.got(connection.backend) == b"before")
    world.reactor.advance(NEW_FOR)
    assert world.passed_on == [connection.pair]
    assert world.ends == []
    connection.client.send(b"after")
    world.reactor.turn(0.05)
    assert connection.got(connection.backend) == b"before"
    assert not connection.closed
    assert not world.new_pairs.abort(connection.pair)


def test_a_pair_is_passed_on_with_what_its_peer_has_not_read(world: World) -> None:
    connection = world.connect(buffers=4096)
    sent = 0
    with_more = True
    while with_more:
        try:
            sent += connection.client.send(os.urandom(65536))
        except BlockingIOError:
            world.reactor.turn(0.05)
            with_more = bool(select.select([], [connection.client], [], 0)[1])
    assert connection.pair.to_backend.waiting
    world.reactor.advance(NEW_FOR)
    assert world.passed_on == [connection.pair]
    assert connection.pair.to_backend.waiting


def test_pairs_are_passed_on_in_small_groups(world: World) -> None:
    connections = [world.connect() for _ in range(MOST_PASSED_ON + 2)]
    late = world.connect()
    world.reactor.advance(NEW_FOR / 2)
    later = world.connect()
    world.reactor.advance(NEW_FOR / 2)
    assert world.passed_on == [each.pair for each in connections[:MOST_PASSED_ON]]
    world.reactor.advance(0.1)
    assert world.passed_on == [each.pair for each in [*connections, late]]
    world.reactor.advance(NEW_FOR)
    assert world.passed_on[-1] is later.pair


def test_a_reset_is_reported_and_passed_to_the_other_end(world: World) -> None:
    connection = world.connect()
    connection.client.send(b"last words")
    world.until(lambda: connection.got(connection.backend) == b"last words")
    reset(connection.client)
    world.until(lambda: world.ends)
    assert world.ends == [(connection.pair, Outcome.client_reset)]
    with pytest.raises(ConnectionResetError):
        connection.backend.recv(1)


def test_a_pair_whose_end_has_to_wait_is_passed_on_at_once(world: World) -> None:
    connection = world.connect(buffers=4096)
    connection.backend.send(bytes(100_000))
    world.reactor.turn(0.05)
    reset(connection.backend)
    world.until(lambda: world.passed_on)
    assert world.passed_on == [connection.pair]
    assert world.ends == []


def test_an_aborted_pair_is_reported_once(world: World) -> None:
    connection = world.connect()
    assert world.new_pairs.abort(connection.pair)
    assert not world.new_pairs.abort(connection.pair)
    world.reactor.turn()
    world.reactor.advance(NEW_FOR)
    assert world.ends == [(connection.pair, Outcome.aborted)]
    assert world.passed_on == []
    with pytest.raises(ConnectionResetError):
        connection.client.recv(1)


def test_a_pair_that_cannot_be_watched_is_refused(world: World) -> None:
    connection = Connection()
    world.connections.append(connection)
    twice = Pair(connection.pair.client.socket, connection.pair.client.socket)
    world.new_pairs.admit(twice)
    world.reactor.turn()
    ((refused, error),) = world.ends
    assert refused is twice
    assert isinstance(error, OSError)
    assert error.errno == errno.EEXIST
    connection.client.send(b"hello")
    select.select([connection.pair.client.socket], [], [], 10)
    assert connection.pair.client.socket.recv(10) == b"hello"


def test_a_fault_ends_its_pairs_and_takes_no_more(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def splice(*_: object) -> int:
        raise OSError(errno.EBADF, "its descriptor was closed elsewhere")

    monkeypatch.setattr(os, "splice", splice)
    connections = world.connect(), world.connect()
    connections[0].client.send(b"!")
    world.until(lambda: world.ends)
    assert world.ends == [(each.pair, Outcome.aborted) for each in connections]
    assert all(each.closed for each in connections)
    assert world.new_pairs.broken
    assert "closed elsewhere" in caplog.text


def test_more_pairs_than_a_round_admits_are_admitted_without_another_event(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_queue, "LONGEST_COMMANDS", 0.0)
    connections: list[Connection] = []
    world.poller.soon(lambda: connections.extend(world.connect(b"early") for _ in range(10)))
    world.reactor.advance(0)
    world.until(lambda: all(each.got(each.backend) == b"early" for each in connections))
    world.reactor.advance(NEW_FOR)
    assert world.passed_on == [each.pair for each in connections]


def test_many_pairs_aborted_within_an_event_are_all_reported_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    connections = [world.connect() for _ in range(10)]
    monkeypatch.setattr(command_queue, "LONGEST_COMMANDS", 0.0)

    def abort_all() -> None:
        for _ in range(2):
            assert all(world.new_pairs.abort(each.pair) for each in connections)

    world.poller.soon(abort_all)
    world.reactor.advance(NEW_FOR)
    world.until(lambda: len(world.ends) == len(connections))
    world.reactor.turn(0.01)
    assert world.ends == [(each.pair, Outcome.aborted) for each in connections]
    assert world.passed_on == []


def test_a_fault_reports_what_has_ended_or_was_aborted_before_it_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when a report aborts the other pairs."""
    ended, aborted, live = connections = [world.connect(b"early") for _ in range(3)]
    update = splice_loop.SpliceLoop._update_pair

    def fail_after(loop: splice_loop.SpliceLoop, pair: Pair) -> None:
        update(loop, pair)
        if pair.over:
            raise ValueError("a fault")

    monkeypatch.setattr(splice_loop.SpliceLoop, "_update_pair", fail_after)
    world.react = lambda _: [world.new_pairs.abort(each.pair) for each in connections]
    reset(ended.backend)

    def abort() -> None:
        world.new_pairs.abort(aborted.pair)
        world.new_pairs.handle(select.EPOLLIN)

    world.poller.soon(abort)
    world.reactor.advance(0)
    assert len(world.ends) == 3
    assert dict(world.ends) == {
        ended.pair: Outcome.backend_reset,
        aborted.pair: Outcome.aborted,
        live.pair: Outcome.aborted,
    }
    assert all(each.closed for each in connections)
    assert world.new_pairs.broken


def test_it_can_be_closed_after_a_fault_and_twice(world: World) -> None:
    world.connect()
    world.new_pairs.close()
    world.new_pairs.close()
    world.new_pairs.handle(select.EPOLLIN)
    assert world.ends == []


def test_where_the_kernel_has_no_memory_to_watch_it_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    reactor, pipes = Reactor(), Pipes()
    poller = SocketPoller(cast(Any, reactor))

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(poller, "watch", refuse)
    before = descriptors()
    with pytest.raises(OSError, match="No space"):
        NewPairs(cast(Any, reactor), poller, pipes, 600.0, lambda *_: None, lambda _: None)
    assert descriptors() == before
