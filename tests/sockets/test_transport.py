"""A connection on a poller: reading, sending, half-close, close, reset, and giving the socket away."""

from __future__ import annotations

import contextlib
import os
import select
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sockets.harness import DEADLINE, Connection
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import CancelledError

from zeroscale.errors import RelayError
from zeroscale.sockets.transport import UNSENT_LIMIT, address_of

Connect = Callable[..., Connection]


@pytest.fixture
def connect() -> Iterator[Connect]:
    connections: list[Connection] = []

    def connect(*arguments: Any, **keywords: Any) -> Connection:
        connections.append(Connection(*arguments, **keywords))
        return connections[-1]

    yield connect
    for each in connections:
        each.close()


def fill(connection: Connection) -> bytes:
    """Write more than the kernel takes."""
    data = os.urandom(65536) * 160
    connection.transport.write(data)
    assert connection.transport.has_unsent
    return data


def test_what_has_been_received_already_is_read_at_once(connect: Connect) -> None:
    connection = connect(start=False)
    connection.peer.sendall(b"hello")
    select.select([connection.transport.getHandle()], [], [], DEADLINE)
    connection.transport.start()
    assert connection.protocol.told == ["made", b"hello"]


def test_what_comes_later_is_read_when_it_comes(connect: Connect) -> None:
    connection = connect()
    assert connection.protocol.told == ["made"]
    connection.peer.sendall(b"one")
    connection.reactor.until(lambda: connection.protocol.received == b"one")
    connection.peer.sendall(b"two")
    connection.reactor.until(lambda: connection.protocol.received == b"onetwo")


def test_both_ends_have_addresses(connect: Connect) -> None:
    connection = connect()
    assert connection.transport.getPeer() == IPv4Address("TCP", *connection.peer.getsockname())
    assert connection.transport.getHost() == IPv4Address("TCP", *connection.peer.getpeername())


@pytest.mark.parametrize(
    ("family", "name", "expected"),
    [
        (socket.AF_INET6, ("::1", 5, 0, 0), IPv6Address("TCP", "::1", 5, 0, 0)),
        (socket.AF_UNIX, "/run/it", UNIXAddress("/run/it")),
        (socket.AF_UNIX, "", UNIXAddress(None)),
    ],
)
def test_addresses_of_other_families(family: int, name: Any, expected: object) -> None:
    assert address_of(family, name) == expected


def test_a_paused_connection_is_not_read(connect: Connect) -> None:
    connection: Connection = connect(lambda told: connection.transport.pauseProducing() if told == b"one" else None)
    connection.peer.sendall(b"one")
    connection.reactor.until(lambda: b"one" in connection.protocol.told)
    connection.peer.sendall(b"two")
    connection.reactor.turn(0.05)
    assert connection.protocol.received == b"one"
    connection.transport.resumeProducing()
    connection.reactor.until(lambda: connection.protocol.received == b"onetwo")


def test_a_protocol_may_pause_before_anything_is_read(connect: Connect) -> None:
    def react(told: object) -> None:
        connection.transport.pauseProducing()

    connection: Connection = connect(react, start=False)
    connection.peer.sendall(b"hello")
    connection.transport.start()
    connection.reactor.turn(0.05)
    assert connection.protocol.told == ["made"]


def test_a_peer_that_finishes_while_it_is_not_read_is_noticed_once(connect: Connect) -> None:
    connection = connect()
    connection.transport.pauseProducing()
    connection.peer.sendall(b"last words")
    connection.peer.shutdown(socket.SHUT_WR)
    connection.reactor.until(lambda: "peer finished" in connection.protocol.told)
    connection.reactor.turn(0.05)
    assert connection.protocol.told == ["made", "peer finished"]
    connection.transport.resumeProducing()
    connection.reactor.until(lambda: "read lost" in connection.protocol.told)
    assert connection.protocol.told[2:] == [b"last words", "read lost"]


def test_the_end_is_told_again_to_who_reads_again(connect: Connect) -> None:
    connection = connect()
    connection.peer.shutdown(socket.SHUT_WR)
    connection.reactor.until(lambda: connection.protocol.told == ["made", "read lost"])
    connection.reactor.turn(0.05)
    assert connection.protocol.told == ["made", "read lost"]
    connection.transport.resumeProducing()
    connection.reactor.until(lambda: connection.protocol.told == ["made", "read lost", "read lost"])


def test_what_is_unread_when_both_directions_have_ended_is_read_later(connect: Connect) -> None:
    connection = connect()
    connection.transport.loseWriteConnection()
    connection.reactor.turn()
    connection.transport.pauseProducing()
    connection.peer.sendall(b"last words")
    connection.peer.close()
    connection.reactor.until(lambda: "peer finished" in connection.protocol.told)
    assert connection.reactor.readers == [], "it would be woken by the end again and again"
    assert connection.protocol.told == ["made", "write lost", "peer finished"]
    connection.transport.resumeProducing()
    connection.reactor.until(lambda: "read lost" in connection.protocol.told)
    assert connection.protocol.told[3:] == [b"last words", "read lost"]
    assert connection.reactor.readers == []
    connection.transport.loseConnection()
    connection.reactor.turn()
    assert connection.protocol.told[5:] == ["ConnectionDone"]


def test_what_was_received_before_a_reset_is_read_later_if_that_is_wanted(connect: Connect) -> None:
    connection = connect()
    connection.transport.reads_later = True
    connection.transport.pauseProducing()
    connection.peer.sendall(b"last words")
    connection.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.peer.close()
    connection.reactor.until(lambda: connection.reactor.readers == [])
    connection.transport.resumeProducing()
    connection.reactor.until(lambda: "ConnectionLost" in connection.protocol.told)
    assert [each for each in connection.protocol.told if each != "peer finished"] == [
        "made",
        b"last words",
        "ConnectionLost",
    ]


def test_a_connection_whose_peer_has_finished_can_be_written_to(connect: Connect) -> None:
    connection = connect()
    connection.peer.shutdown(socket.SHUT_WR)
    connection.reactor.until(lambda: "read lost" in connection.protocol.told)
    connection.transport.write(b"answer")
    connection.transport.loseConnection()
    assert connection.receive_all() == b"answer"


def test_bytes_are_sent_at_once_and_the_rest_when_they_can_be(connect: Connect) -> None:
    connection = connect()
    connection.transport.write(b"")
    connection.transport.writeSequence([b"first ", b"words "])
    assert connection.peer.recv(100) == b"first words "
    data = fill(connection)
    connection.transport.write(b"the end")
    connection.transport.loseConnection()
    assert connection.receive_all() == data + b"the end"
    assert connection.protocol.told == ["made", "ConnectionDone"]


def test_nothing_is_sent_after_the_end(connect: Connect) -> None:
    connection = connect()
    connection.transport.loseWriteConnection()
    connection.transport.write(b"too late")
    assert connection.receive_all() == b""
    connection.reactor.turn()
    connection.transport.loseConnection()
    connection.transport.write(b"too late")
    connection.transport.resumeProducing()
    connection.reactor.turn()
    assert connection.protocol.told == ["made", "write lost", "ConnectionDone"]


def test_half_close_after_all_is_sent(connect: Connect) -> None:
    connection = connect()
    data = fill(connection)
    connection.transport.loseWriteConnection()
    assert "write lost" not in connection.protocol.told
    assert connection.receive_all() == data
    connection.reactor.until(lambda: "write lost" in connection.protocol.told)
    connection.peer.setblocking(True)
    connection.peer.sendall(b"answer")
    connection.reactor.until(lambda: b"answer" in connection.protocol.told)


def test_close_is_told_when_the_caller_has_returned(connect: Connect) -> None:
    connection = connect()
    connection.transport.loseConnection()
    assert connection.peer.recv(1) == b""
    assert connection.protocol.told == ["made"]
    connection.transport.loseConnection()
    connection.transport.stopProducing()
    connection.reactor.turn()
    assert connection.protocol.told == ["made", "ConnectionDone"]
    assert connection.reactor.readers == []


def test_within_an_event_close_is_told_before_the_next_one(connect: Connect) -> None:
    seen: list[list[object]] = []

    def react(told: object) -> None:
        if told == b"bye":
            connection.transport.loseConnection()
            seen.append(list(connection.protocol.told))

    connection = connect(react)
    connection.peer.sendall(b"bye")
    connection.reactor.until(lambda: "ConnectionDone" in connection.protocol.told)
    assert seen == [["made", b"bye"]]


def test_a_reset_is_sent_and_what_is_unsent_is_lost(connect: Connect) -> None:
    connection = connect()
    fill(connection)
    connection.transport.abortConnection()
    connection.transport.abortConnection()
    with pytest.raises(ConnectionResetError):
        while connection.peer.recv(65536):
            pass
    connection.reactor.turn()
    assert connection.protocol.told == ["made", "ConnectionAborted"]


@pytest.mark.parametrize("reading", [True, False])
def test_a_reset_by_the_peer(connect: Connect, reading: bool) -> None:
    connection = connect()
    if not reading:
        connection.transport.pauseProducing()
    connection.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.peer.close()
    connection.reactor.until(lambda: "ConnectionLost" in connection.protocol.told)
    assert connection.protocol.told == ["made", "ConnectionLost"]
    assert connection.reactor.readers == []


def test_writing_to_a_dead_connection_ends_it(connect: Connect) -> None:
    connection = connect()
    connection.transport.pauseProducing()
    connection.peer.close()
    for _ in range(100):
        connection.transport.write(b"more")
    connection.reactor.until(lambda: "ConnectionLost" in connection.protocol.told)


def test_a_fault_of_the_protocol_ends_its_connection_only(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    def react(told: object) -> None:
        if told == b"bad":
            raise ValueError("a fault")

    connection = connect(react)
    connection.peer.sendall(b"bad")
    connection.reactor.until(lambda: "ConnectionAborted" in connection.protocol.told)
    assert "a fault" in caplog.text


def test_the_options_of_the_socket(connect: Connect) -> None:
    transport = connect().transport
    for value in (True, False):
        transport.setTcpNoDelay(value)
        transport.setTcpKeepAlive(value)
        assert (transport.getTcpNoDelay(), transport.getTcpKeepAlive()) == (value, value)


class Producer:
    def __init__(self) -> None:
        self.told: list[str] = []

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")

    def stopProducing(self) -> None:
        self.told.append("stop")


def test_a_producer_is_paused_while_much_is_unsent(connect: Connect) -> None:
    connection, producer = connect(), Producer()
    connection.transport.registerProducer(producer, True)
    connection.transport.write(b"little")
    assert producer.told == []
    data = fill(connection)
    connection.transport.write(bytes(UNSENT_LIMIT))
    assert producer.told == ["pause"]
    connection.transport.loseConnection()  # which waits for the producer
    received = bytearray()
    connection.peer.setblocking(False)

    def all_received() -> bool:
        try:
            received.extend(connection.peer.recv(1 << 20))
        except BlockingIOError:
            return False
        return len(received) == len(b"little") + len(data) + UNSENT_LIMIT

    connection.reactor.until(all_received)
    connection.reactor.until(lambda: producer.told == ["pause", "resume"])
    connection.transport.unregisterProducer()
    assert connection.receive_all() == b""


def test_a_producer_of_a_lost_connection_is_stopped(connect: Connect) -> None:
    connection, producers = connect(), (Producer(), Producer())
    connection.transport.registerProducer(producers[0], True)
    connection.transport.abortConnection()
    connection.reactor.turn()
    connection.transport.unregisterProducer()
    connection.transport.registerProducer(producers[1], True)
    assert [each.told for each in producers] == [["stop"], ["stop"]]


def test_flushed_when_all_is_sent(connect: Connect) -> None:
    connection = connect()
    done: list[object] = []
    connection.transport.flushed().addCallback(done.append)
    assert done == [None]
    fill(connection)
    connection.transport.flushed().addCallback(done.append)
    cancelled = connection.transport.flushed()
    cancelled.addErrback(lambda failure: failure.trap(CancelledError))
    cancelled.cancel()
    assert done == [None]
    connection.peer.setblocking(False)

    def read() -> bool:
        with contextlib.suppress(BlockingIOError):
            connection.peer.recv(1 << 20)
        return len(done) == 2

    connection.reactor.until(read)


def test_what_is_lost_is_not_flushed(connect: Connect) -> None:
    connection = connect()
    fill(connection)
    failed: list[Any] = []
    connection.transport.flushed().addErrback(failed.append)
    connection.transport.abortConnection()
    connection.reactor.turn()
    assert failed[0].check(RelayError)
    with pytest.raises(RelayError):
        connection.transport.flushed()


def test_a_socket_given_away_is_not_watched_and_its_end_is_told(connect: Connect) -> None:
    connection = connect()
    taken = connection.transport.detach()
    assert connection.reactor.readers == []
    assert not connection.transport.connected
    connection.peer.sendall(b"for the new owner")
    taken.setblocking(True)
    assert taken.recv(100) == b"for the new owner"
    taken.close()
    connection.transport.detached_end(in_order=True)
    connection.transport.abortConnection()
    connection.reactor.turn()
    assert connection.protocol.told == ["made", "ConnectionDone"]


def test_a_socket_taken_back_is_not_read_before_it_is_resumed(connect: Connect) -> None:
    connection = connect()
    connection.transport.detach()
    connection.transport.attach()
    connection.peer.sendall(b"hello")
    connection.reactor.turn(0.05)
    assert connection.protocol.received == b""
    connection.transport.resumeProducing()
    connection.reactor.until(lambda: connection.protocol.received == b"hello")


def test_what_is_lost_or_not_sent_cannot_be_given_away(connect: Connect) -> None:
    unsent, lost = connect(), connect()
    fill(unsent)
    lost.transport.abortConnection()
    for connection in (unsent, lost):
        with pytest.raises(RelayError):
            connection.transport.detach()


def test_a_transport_beside_another_is_not_read(connect: Connect) -> None:
    connection = connect()
    ours, theirs = socket.socketpair()
    with theirs:
        ours.setblocking(False)
        theirs.send(b"hello")
        beside = connection.transport.beside(ours)
        connection.reactor.turn(0.05)
        assert beside.getHandle().recv(100) == b"hello"
        beside.loseConnection()
        assert theirs.recv(1) == b""
        connection.reactor.turn()


def test_a_transport_beside_another_that_is_not_used_leaves_nothing(connect: Connect) -> None:
    connection = connect()
    ours, theirs = socket.socketpair()
    connection.transport.beside(ours)
    ours.close()
    theirs.close()
    connection.transport.loseConnection()
    assert connection.reactor.readers == []


def test_the_kernel_has_no_memory_to_watch_it(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = connect(start=False)

    def watch(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(connection.poller, "watch", watch)
    connection.transport.start()
    connection.reactor.turn()
    assert connection.protocol.told == ["made", "ConnectionAborted"]
