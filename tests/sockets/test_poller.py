"""One reader of the reactor that watches many sockets."""

from __future__ import annotations

import logging
import select
import socket
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from sockets.harness import Reactor

from zeroscale.sockets import poller
from zeroscale.sockets.poller import SocketPoller


class Handler:
    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call

    def handle(self, events: int) -> None:
        self._call()


class World:
    """A poller and sockets that it watches."""

    def __init__(self) -> None:
        self.reactor = Reactor()
        self.poller = SocketPoller(cast(Any, self.reactor))
        self.sockets: list[socket.socket] = []
        self.notes: list[object] = []

    def watch(self, name: str, also: Callable[[], object] = lambda: None) -> tuple[int, socket.socket]:
        """Watch a new socket for reading; return its descriptor and its other end."""
        ours, theirs = socket.socketpair()
        self.sockets += ours, theirs

        def handle() -> None:
            self.notes.append(name)
            ours.recv(1)
            also()

        self.poller.watch(ours.fileno(), select.EPOLLIN, Handler(handle))
        return ours.fileno(), theirs


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(poller, "TURN", 60.0)  # a busy machine does not end a turn
    world = World()
    yield world
    for each in world.sockets:
        each.close()


def fail() -> None:
    raise ValueError("a fault")


def test_it_is_among_the_readers_while_it_watches_something(world: World) -> None:
    assert world.reactor.readers == []
    first, _ = world.watch("first")
    second, _ = world.watch("second")
    assert world.reactor.readers == [world.poller]
    world.poller.forget(first)
    world.sockets[2].close()
    world.poller.forget(second, closed=True)
    assert world.reactor.readers == []


def test_events_are_handled_and_those_of_a_forgotten_socket_are_not(world: World) -> None:
    first, to_first = world.watch("first")
    _, to_second = world.watch("second")
    to_first.send(b"!")
    to_second.send(b"!")
    world.poller.forget(first)
    world.reactor.turn(1)
    assert world.notes == ["second"]


def test_a_socket_can_be_watched_for_other_events(world: World) -> None:
    descriptor, theirs = world.watch("first")
    theirs.send(b"!")
    world.poller.change(descriptor, 0)
    world.reactor.turn()
    assert world.notes == []
    world.poller.change(descriptor, select.EPOLLOUT | select.EPOLLONESHOT)
    world.reactor.turn(1)
    assert world.notes == ["first"]


def test_a_fault_in_one_handler_is_logged_and_the_others_go_on(world: World, caplog: pytest.LogCaptureFixture) -> None:
    for _, theirs in (world.watch("first", fail), world.watch("second", fail)):
        theirs.send(b"!")
    world.reactor.turn(1)
    assert sorted(map(str, world.notes)) == ["first", "second"]
    assert [record.levelno for record in caplog.records] == [logging.ERROR, logging.ERROR]


def test_what_is_to_be_done_soon_is_done_before_the_next_event(world: World) -> None:
    def later() -> None:
        world.poller.soon(lambda: world.notes.append("soon"))

    for _, theirs in (world.watch("event", later), world.watch("event", later)):
        theirs.send(b"!")
    world.reactor.turn(1)
    assert world.notes == ["event", "soon", "event", "soon"]


def test_outside_of_an_event_soon_is_the_reactors_next_turn(world: World) -> None:
    world.poller.soon(lambda: world.notes.append("first"))
    world.poller.soon(lambda: world.notes.append("second"))
    assert world.notes == []
    world.reactor.advance(0)
    assert world.notes == ["first", "second"]


def test_what_is_to_be_done_after_the_events_is_done_once(world: World) -> None:
    def done() -> None:
        world.notes.append("end")

    for _, theirs in [world.watch("event", lambda: world.poller.after_events(done)) for _ in range(3)]:
        theirs.send(b"!")
    world.reactor.turn(1)
    assert world.notes == ["event", "event", "event", "end"]
    world.poller.after_events(done)
    assert world.notes[-2:] == ["end", "end"]


def test_what_is_asked_for_soon_and_outside_of_an_event_may_ask_for_the_end_of_the_events(world: World) -> None:
    done: list[object] = []
    for name in ("first", "second"):
        world.poller.soon(lambda name=name: world.notes.append(name))  # type: ignore[misc]
        world.poller.soon(lambda: world.poller.after_events(lambda: done.append(list(world.notes))))
    world.reactor.advance(0)
    assert done == [["first", "second"]] * 2


def test_the_event_of_a_closed_socket_does_not_reach_the_next_one_with_its_number(world: World) -> None:
    """Each of the two, whichever comes first, closes the other and opens another socket."""
    watched: dict[int, socket.socket] = {}
    stale: list[int] = []

    def replace_other(own: int) -> None:
        (other,) = watched.keys() - {own}
        world.poller.forget(other)
        watched[other].close()
        new, theirs = socket.socketpair()
        world.sockets += new, theirs
        assert other in (new.fileno(), theirs.fileno())
        world.poller.watch(other, select.EPOLLIN, Handler(lambda: stale.append(other)))

    for _ in range(2):
        ours, theirs = socket.socketpair()
        world.sockets += ours, theirs
        watched[ours.fileno()] = ours
        theirs.send(b"!")

        def handle(sock: socket.socket = ours) -> None:
            sock.recv(1)
            replace_other(sock.fileno())

        world.poller.watch(ours.fileno(), select.EPOLLIN, Handler(handle))
    world.reactor.turn(1)
    assert stale == []


def test_a_turn_ends_though_there_are_more_events(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poller, "TURN", 0.0)
    for _, theirs in [world.watch("event") for _ in range(3)]:
        theirs.send(b"!")
    for number in range(1, 4):
        world.reactor.turn(1)
        assert world.notes == ["event"] * number


def test_what_follows_at_once_is_handled_in_the_same_turn(world: World) -> None:
    def answer() -> None:
        if len(world.notes) < 3:
            theirs.send(b"!")

    _, theirs = world.watch("event", answer)
    theirs.send(b"!")
    world.reactor.turn(1)
    assert world.notes == ["event", "event", "event"]
