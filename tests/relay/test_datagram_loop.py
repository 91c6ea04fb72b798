"""The loop of datagrams, run by a thread without the reactor's side."""

from __future__ import annotations

import errno
import queue
import threading
from collections.abc import Iterator
from time import monotonic

import pytest
from relay.datagram_fixture import datagram_socket

from zeroscale.relay.datagram_loop import DatagramLoop, LoopPort, drop_reason
from zeroscale.relay.datagram_session import DatagramClient, DatagramSession, Drop, SessionEnd
from zeroscale.sockets.datagram_socket import connect_datagrams, listen_datagrams

DEADLINE = 20


class Observer:
    """Records what the loop reports."""

    def __init__(self) -> None:
        self.reports: queue.Queue[object] = queue.Queue()

    def arrived(self, port: LoopPort) -> None:
        self.reports.put(port)

    def session_ended(self, session: DatagramSession, end: SessionEnd) -> None:
        self.reports.put((session, end))

    def port_closed(self, port: LoopPort) -> None:
        self.reports.put("closed")

    def next(self) -> object:
        return self.reports.get(timeout=DEADLINE)


@pytest.fixture
def observer() -> Observer:
    return Observer()


@pytest.fixture
def loop(observer: Observer) -> Iterator[DatagramLoop]:
    loop = DatagramLoop(observer, monotonic)
    thread = threading.Thread(target=loop.run)
    thread.start()
    yield loop
    loop.quit()
    thread.join(DEADLINE)
    assert not thread.is_alive()
    loop.close()


@pytest.fixture
def port(loop: DatagramLoop, observer: Observer) -> Iterator[LoopPort]:
    port = LoopPort(listen_datagrams("127.0.0.1", 0))
    loop.add_port(port)
    yield port
    loop.close_port(port)
    while observer.next() != "closed":
        pass


def test_a_newcomer_waits_until_its_session_is_admitted(loop: DatagramLoop, observer: Observer, port: LoopPort) -> None:
    with datagram_socket() as client, datagram_socket() as server:
        server.settimeout(DEADLINE)
        client.sendto(b"1", port.socket.getsockname())
        assert observer.next() is port
        key = DatagramClient(client.getsockname(), b"")
        assert port.queue.take() == (key, [b"1"])
        sock = connect_datagrams(*server.getsockname())
        session = DatagramSession(port, key, sock, port.family, 0.0)
        port.queue.expect(key)
        client.sendto(b"2", port.socket.getsockname())
        assert observer.next() is port
        loop.admit(session, [b"1"], b"header")
        assert [server.recv(100) for _ in range(2)] == [b"header1", b"2"]
        client.sendto(b"3", port.socket.getsockname())
        assert server.recv(100) == b"3"
        loop.end(session, SessionEnd.idle)
        loop.end(session, SessionEnd.closed)
        assert observer.next() == (session, SessionEnd.idle)
        assert session.socket.fileno() == -1


def test_it_answers(loop: DatagramLoop) -> None:
    answered = threading.Event()
    loop.answer(answered.set)
    assert answered.wait(DEADLINE)


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.EAGAIN, Drop.no_buffer),
        (errno.ENOBUFS, Drop.no_buffer),
        (errno.EMSGSIZE, Drop.too_long),
        (errno.EPERM, Drop.unsent),
        (errno.ENETUNREACH, Drop.unsent),
    ],
)
def test_each_error_has_a_reason(number: int, reason: Drop) -> None:
    assert drop_reason(OSError(number, "")) is reason
