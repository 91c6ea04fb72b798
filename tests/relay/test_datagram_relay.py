"""The relay of datagrams, with real sockets: sessions, order, sizes, addresses, ends, bounds and crashes."""

from __future__ import annotations

import contextlib
import os
import random
import select
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest
from relay.datagram_fixture import Observer, Relaying, datagram_socket, relaying

from zeroscale.errors import RelayError
from zeroscale.relay.datagram_loop import DatagramLoop
from zeroscale.relay.datagram_queue import MOST_WAITING
from zeroscale.relay.datagram_relay import LONGEST_TURN, RESERVE
from zeroscale.relay.datagram_session import DatagramClient, Drop, SessionEnd
from zeroscale.sockets.datagram_socket import listen_datagrams

NUMBER = struct.Struct("!II")
IN_FLIGHT = 100
"""Datagrams on their way at once: fewer than any socket's buffer holds."""


@pytest.fixture
def running() -> Iterator[Relaying]:
    with relaying() as relay:
        yield relay
    assert relay.crashes == []


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with datagram_socket() as sock:
        yield sock


@pytest.fixture
def client() -> Iterator[socket.socket]:
    with datagram_socket() as sock:
        yield sock


def resident() -> int:
    """Resident memory in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "zeroscale-datagrams"]


def test_a_thread_runs_while_a_port_is_open(running: Relaying) -> None:
    assert threads() == []
    ports = [running.listen(None).port, running.listen(None).port]
    assert len(threads()) == 1
    closed: list[None] = []
    for port in ports:
        port.close().addCallback(closed.append)
    running.until(lambda: len(closed) == 2)
    assert threads() == []
    running.listen(None)
    assert len(threads()) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("wildcard", [False, True])
@pytest.mark.parametrize("size", [0, 1, 1472, 65507])
def test_a_datagram_is_neither_cut_nor_merged(running: Relaying, host: str, wildcard: bool, size: int) -> None:
    with datagram_socket(host) as server, datagram_socket(host) as client:
        any_address = "::" if ":" in host else "0.0.0.0"
        observer = running.listen(server, any_address if wildcard else host)
        question = os.urandom(size)
        for _ in range(3):  # the first one by the reactor, the others by the thread
            client.sendto(question, (host, observer.port.address[1]))
            data, session = running.receive_from(server)
            assert data == question
            server.sendto(question[::-1], session)
            data, sender = running.receive_from(client)
            assert data == question[::-1]
            assert sender[:2] == (host, observer.port.address[1])
        assert len(observer.arrivals) == 1
        [client_key] = [key for key, _ in observer.arrivals]
        assert client_key.address == client.getsockname()
        assert client_key.local_host(host) == host
        counters = observer.port.counters()
        assert (counters.to_backend, counters.to_backend_bytes, counters.live, counters.total) == (3, 3 * size, 1, 1)
        running.until(lambda: observer.port.counters().to_client == 3)
        assert observer.port.counters().to_client_bytes == 3 * size


def test_replies_leave_from_the_address_that_the_client_used(running: Relaying, server: socket.socket) -> None:
    observer = running.listen(server, "0.0.0.0")
    port = observer.port.address[1]
    with datagram_socket() as client:
        for host in ("127.0.0.2", "127.0.0.3", "127.0.0.2"):  # the same client: a session for each of our addresses
            client.sendto(host.encode(), (host, port))
            data, session = running.receive_from(server)
            assert data == host.encode()
            server.sendto(b"reply", session)
            assert running.receive_from(client) == (b"reply", (host, port))
        assert [key.local_host("") for key, _ in observer.arrivals] == ["127.0.0.2", "127.0.0.3"]
        assert observer.port.send(observer.arrivals[0][0], b"ours")
        assert running.receive_from(client) == (b"ours", ("127.0.0.2", port))


def test_the_first_datagram_begins_with_the_header(
    running: Relaying, server: socket.socket, client: socket.socket
) -> None:
    observer = running.listen(server)
    observer.header = b"PROXY "
    client.sendto(b"first", observer.port.address)
    assert running.receive(server) == b"PROXY first"
    client.sendto(b"second", observer.port.address)
    assert running.receive(server) == b"second"


def test_what_waits_while_a_session_is_opened_keeps_its_order(
    running: Relaying, server: socket.socket, client: socket.socket
) -> None:
    observer = running.listen(None)
    for number in range(3):
        client.sendto(b"%d" % number, observer.port.address)
    running.until(lambda: sum(len(datagrams) for _, datagrams in observer.arrivals) == 3)
    for number in range(3, 50):  # in the queue, in flight, or in the socket, when the session is opened
        client.sendto(b"%d" % number, observer.port.address)
    early = [each for _, datagrams in observer.arrivals for each in datagrams]
    observer.port.open_session(observer.arrivals[0][0], server.getsockname(), early)
    for number in range(50, 100):
        client.sendto(b"%d" % number, observer.port.address)
    assert [running.receive(server) for _ in range(100)] == [b"%d" % number for number in range(100)]


def exchange(running: Relaying, sessions: int, count: int) -> None:
    """Send numbered datagrams of many clients through the relay, which a server returns; none may be out of order."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(datagram_socket(buffer=1 << 20))
        observer = running.listen(server)
        clients = [stack.enter_context(datagram_socket()) for _ in range(sessions)]
        for each in clients:
            each.connect(observer.port.address)
        by_fd = {each.fileno(): number for number, each in enumerate(clients)}
        epoll = stack.enter_context(select.epoll())
        for fd in (server.fileno(), *by_fd):
            epoll.register(fd, select.EPOLLIN)
        padding = bytes(48)
        sent_by, seen_by_server, seen_by_client = [0] * sessions, [0] * sessions, [0] * sessions
        sent = returned = received = 0
        quiet = monotonic()
        while received < sent or sent < count:
            while sent < count and sent - received < IN_FLIGHT:
                number = sent % sessions
                sent_by[number] += 1
                clients[number].send(NUMBER.pack(number, sent_by[number]) + padding)
                sent += 1
            running.clock.run_pending()
            for fd, _ in epoll.poll(0.01):
                quiet = monotonic()
                if fd == server.fileno():
                    datagram, session = server.recvfrom(65535)
                    number, order = NUMBER.unpack_from(datagram)
                    assert order > seen_by_server[number], "reordered or doubled"
                    seen_by_server[number] = order
                    server.sendto(datagram, session)
                    returned += 1
                else:
                    datagram = clients[by_fd[fd]].recv(65535)
                    number, order = NUMBER.unpack_from(datagram)
                    assert number == by_fd[fd], "another client's"
                    assert len(datagram) == 56, "merged or cut"
                    assert order > seen_by_client[number], "reordered or doubled"
                    seen_by_client[number] = order
                    received += 1
            assert monotonic() - quiet < 5, f"lost: {sent=} {returned=} {received=} {observer.port.counters()}"
        counters = observer.port.counters()
        assert (counters.to_backend, counters.to_client, counters.live) == (count, count, sessions)
        assert set(counters.dropped.values()) <= {0}


def test_numbered_datagrams_of_many_sessions_keep_their_order(running: Relaying) -> None:
    exchange(running, 100, 100_000)


def test_an_icmp_error_ends_a_session(running: Relaying, client: socket.socket) -> None:
    with datagram_socket() as gone:
        observer = running.listen(gone)
    client.sendto(b"hello", observer.port.address)
    running.until(lambda: observer.ends == [SessionEnd.refused])
    assert observer.port.counters().live == 0
    with datagram_socket() as server:  # the next datagram is a newcomer's
        observer.server = server.getsockname()
        client.sendto(b"again", observer.port.address)
        assert running.receive(server) == b"again"


def test_what_is_too_long_for_the_server_is_dropped(running: Relaying, server: socket.socket) -> None:
    observer = running.listen(server, "::1")
    with datagram_socket("::1") as client:
        client.sendto(bytes(65527), observer.port.address)  # IPv4's longest has 65 507
        running.until(lambda: observer.port.counters().dropped.get(Drop.too_long) == 1)
        client.sendto(b"short", observer.port.address)
        assert running.receive(server) == b"short"
    assert observer.ends == []


def test_an_idle_session_ends(running: Relaying, server: socket.socket) -> None:
    observer = running.listen(server, session_timeout=60)
    with datagram_socket() as idle, datagram_socket() as busy:
        for each in (idle, busy):
            each.sendto(b"x", observer.port.address)
            _, session = running.receive_from(server)
        running.clock.advance(40)
        server.sendto(b"the server's datagrams count, too", session)
        running.receive(busy)
        running.clock.pump([10] * 3)
        running.until(lambda: observer.ends == [SessionEnd.idle])
        assert [each.client.address for each in observer.port.sessions()] == [busy.getsockname()]
        assert observer.port.last_datagram == 1000
        running.clock.pump([15] * 6)
        running.until(lambda: len(observer.ends) == 2)
        assert running.clock.getDelayedCalls() == [], "nothing wakes an idle port"


def test_another_time_out_holds_for_sessions_that_are_open(
    running: Relaying, server: socket.socket, client: socket.socket
) -> None:
    observer = running.listen(server, session_timeout=600)
    client.sendto(b"x", observer.port.address)
    running.receive(server)
    observer.port.set_session_timeout(4)
    running.clock.pump([1] * 5)
    running.until(lambda: observer.ends == [SessionEnd.idle])


def test_a_full_table_refuses_newcomers_and_spares_the_busy(running: Relaying, server: socket.socket) -> None:
    observer = running.listen(server, most_sessions=2)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(datagram_socket()) for _ in range(4)]
        for each in clients[:2]:
            each.sendto(b"x", observer.port.address)
            _, session = running.receive_from(server)
            if each is clients[0]:  # answers the server; the other one's address may be forged
                server.sendto(b"y", session)
                running.receive(each)
                each.sendto(b"z", observer.port.address)
                running.receive(server)
        observer.server = None
        to_server = server.getsockname()
        for each in clients[2:]:
            each.sendto(b"x", observer.port.address)
        running.until(lambda: len(observer.arrivals) == 4)
        newcomers = observer.arrivals[2:]
        with pytest.raises(RelayError, match="there are 2"):
            observer.port.open_session(newcomers[0][0], to_server, newcomers[0][1])
        assert observer.port.counters().dropped[Drop.table_full] == 1
        running.clock.advance(10)
        observer.port.open_session(newcomers[0][0], to_server, newcomers[0][1])
        running.until(lambda: observer.ends == [SessionEnd.displaced])
        assert running.receive(server) == b"x"
        with pytest.raises(RelayError):
            observer.port.open_session(newcomers[1][0], to_server, newcomers[1][1])
        assert observer.port.counters().live == 2


def test_a_full_queue_drops_what_comes(running: Relaying) -> None:
    observer = running.listen(None)
    with datagram_socket() as client:
        for number in range(MOST_WAITING + 100):
            client.sendto(b"x", observer.port.address)
            if number % 50 == 0:
                settled(running, observer.port.loop_port.socket)
        settled(running, observer.port.loop_port.socket)
        running.until(lambda: observer.port.counters().dropped.get(Drop.queue_full) == 100)
        running.until(lambda: observer.arrivals)
        assert sum(len(datagrams) for _, datagrams in observer.arrivals) == MOST_WAITING


def settled(running: Relaying, sock: socket.socket) -> None:
    """Wait until the thread has read all, while the reactor is busy."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    deadline = monotonic() + 20
    while poll.poll(0):
        assert monotonic() < deadline


def test_a_flood_of_forged_addresses_takes_bounded_memory(running: Relaying) -> None:
    observer = running.listen(None)
    seed = random.Random(7)
    payload = bytes(1000)
    with contextlib.ExitStack() as stack:
        senders = []
        for number in range(1000):
            sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            sock.bind((f"127.{seed.randrange(1, 255)}.{number % 256}.1", 0))
            senders.append(sock)
        before = resident()
        for count in range(100_000):
            senders[count % len(senders)].sendto(payload, observer.port.address)
            if count % 500 == 0:
                running.clock.run_pending()
                observer.arrivals.clear()
        assert resident() - before < 8 << 20
        counters = observer.port.counters()
        assert (counters.live, counters.to_backend) == (0, 0)


def test_closing_a_port_ends_its_sessions_and_frees_it(
    running: Relaying, server: socket.socket, client: socket.socket
) -> None:
    observer, other = running.listen(server), running.listen(server)
    for each in (observer, other):
        client.sendto(b"x", each.port.address)
        running.receive(server)
    closed: list[None] = []
    observer.port.close().addCallback(closed.append)
    running.until(lambda: closed)
    assert (observer.ends, other.ends) == ([SessionEnd.closed], [])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
        again.bind(observer.port.address)
    with pytest.raises(RelayError, match="closed"):
        observer.port.open_session(observer.arrivals[0][0], server.getsockname(), [b"x"])
    client.sendto(b"y", other.port.address)
    assert running.receive(server) == b"y"
    assert observer.port.counters().to_backend == 1


def test_a_session_that_is_ended_is_reported(running: Relaying, server: socket.socket, client: socket.socket) -> None:
    observer = running.listen(server)
    client.sendto(b"x", observer.port.address)
    running.receive(server)
    observer.port.end_session(observer.sessions[0])
    observer.port.end_session(observer.sessions[0])
    running.until(lambda: observer.ends)
    assert observer.ends == [SessionEnd.closed]
    assert observer.port.counters().to_backend == 1


def test_a_heartbeat_is_answered(running: Relaying) -> None:
    answered: list[None] = []
    running.relay.heartbeat().addCallback(answered.append)
    assert len(answered) == 1, "without a thread, at once"
    running.listen(None)
    running.relay.heartbeat().addCallback(answered.append)
    running.until(lambda: len(answered) == 2)


def test_a_crash_ends_all_sessions_and_the_next_port_starts_it_again(
    monkeypatch: pytest.MonkeyPatch, server: socket.socket, client: socket.socket
) -> None:
    with relaying() as running:
        observer = running.listen(server)
        client.sendto(b"x", observer.port.address)
        running.receive(server)

        def broken() -> None:
            raise RuntimeError("broken")

        monkeypatch.setattr(running.relay, "session_ended", lambda *_: broken())
        observer.port.end_session(observer.sessions[0])
        running.until(lambda: running.crashes)
        assert observer.ends == [SessionEnd.failed]
        assert threads() == []
        monkeypatch.undo()
        again = running.listen(server)
        client.sendto(b"again", again.port.address)
        assert running.receive(server) == b"again"


def test_the_server_gets_no_datagram_without_a_header_before(
    running: Relaying, server: socket.socket, client: socket.socket
) -> None:
    observer = running.listen(server)
    observer.header = b"header "
    client.sendto(bytes(65507), observer.port.address)
    running.until(lambda: observer.ends == [SessionEnd.failed])
    client.sendto(b"x", observer.port.address)
    assert running.receive(server) == b"header x"
    client.sendto(b"y", observer.port.address)
    assert running.receive(server) == b"y"
    assert observer.port.counters().dropped[Drop.too_long] == 1


def test_newcomers_take_a_bounded_part_of_a_turn_of_the_reactor(
    monkeypatch: pytest.MonkeyPatch, running: Relaying
) -> None:
    observer = running.listen(None)
    arrived = observer.arrived

    def arrive_slowly(client: DatagramClient, datagrams: list[bytes]) -> None:
        running.clock.advance(LONGEST_TURN * 0.6)
        arrived(client, datagrams)

    monkeypatch.setattr(observer, "arrived", arrive_slowly)
    for number in range(5):
        observer.port.loop_port.queue.put(DatagramClient(("192.0.2.1", number), b""), b"x")
    taken = []
    while observer.port.has_waiting:
        observer.port.pass_on()
        taken.append(len(observer.arrivals))
    assert taken == [2, 4, 5]


def test_sessions_leave_descriptors_for_others(
    monkeypatch: pytest.MonkeyPatch, running: Relaying, server: socket.socket, client: socket.socket
) -> None:
    lowest_for_others = client.fileno()
    limit = lowest_for_others * RESERVE // (RESERVE - 1)
    monkeypatch.setattr("zeroscale.relay.datagram_relay.descriptor_limit", lambda: limit)
    observer = running.listen(None)
    client.sendto(b"x", observer.port.address)
    running.until(lambda: observer.arrivals)
    with pytest.raises(RelayError, match="there are 0"):
        observer.port.open_session(observer.arrivals[0][0], server.getsockname(), [b"x"])
    assert observer.port.counters().dropped[Drop.table_full] == 1
    assert observer.port.sessions() == []


def test_no_descriptor_left_is_a_refusal(monkeypatch: pytest.MonkeyPatch, running: Relaying) -> None:
    def refuse(*arguments: object) -> DatagramLoop:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("zeroscale.relay.datagram_relay.DatagramLoop", refuse)
    with listen_datagrams("127.0.0.1", 0) as sock:
        with pytest.raises(RelayError, match="Too many open files"):
            running.relay.listen(sock, Observer(None))
        assert sock.fileno() >= 0, "it is still the caller's"
