"""The relay's thread on bare sockets: leftovers in pipes, stalled peers, and the use of descriptors."""

from __future__ import annotations

import contextlib
import errno
import os
import queue
import select
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from processes import descriptors
from relay.relay_fixture import DEADLINE, reset, tcp_pair, unix_pair, unsent, with_small_pipes

from zeroscale.relay import command_queue
from zeroscale.relay import splice_loop as loop_module
from zeroscale.relay.base import HALF_CLOSED_LIMIT, LINGER_INTERVAL, Outcome
from zeroscale.relay.command_queue import MOST_COMMANDS
from zeroscale.relay.pipe_pool import CAPACITY, Pipe, Pipes
from zeroscale.relay.splice_loop import SpliceLoop
from zeroscale.relay.splice_pair import Pair


class Recorder:
    """Keeps what the loop reports."""

    def __init__(self) -> None:
        self.ends: queue.SimpleQueue[tuple[Pair, Outcome]] = queue.SimpleQueue()
        self.refusals: queue.SimpleQueue[tuple[Pair, OSError]] = queue.SimpleQueue()

    def ended(self, pair: Pair, outcome: Outcome) -> None:
        self.ends.put((pair, outcome))

    def refused(self, pair: Pair, error: OSError) -> None:
        self.refusals.put((pair, error))


class NoSpares(Pipes):
    """Where there are no descriptors for a pipe."""

    def take(self) -> Pipe | None:
        return None


class Running:
    """A loop in its thread, and pairs of connected sockets for it."""

    def __init__(self, pipes: Pipes, half_closed_limit: float) -> None:
        self.observer = Recorder()
        self.loop = SpliceLoop(self.observer, pipes, half_closed_limit)
        self.crash: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._sweeper = threading.Thread(target=self._sweep)
        self._closing = threading.Event()
        self._sockets = contextlib.ExitStack()
        self._thread.start()
        self._sweeper.start()

    def _run(self) -> None:
        try:
            self.loop.run()
        except OSError as error:
            self.crash = error

    def _sweep(self) -> None:
        while not self._closing.wait(self.loop.sweep_interval):
            self.loop.sweep()

    def wake_ups(self) -> int:
        """How often its thread has woken up so far."""
        status = Path(f"/proc/self/task/{self._thread.native_id}/status").read_text()
        return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])

    def pair(
        self,
        early: bytes = b"",
        *,
        connect: Callable[[int], tuple[socket.socket, socket.socket]] = tcp_pair,
        buffers: int = 0,
        client_finished: bool = False,
    ) -> tuple[socket.socket, socket.socket, Pair]:
        """A client, a backend and what stands between them, admitted."""
        client, our_client = connect(buffers)
        backend, our_backend = connect(buffers)
        for sock in (client, our_client, backend, our_backend):
            self._sockets.enter_context(sock)
            sock.settimeout(DEADLINE)
        our_client.setblocking(False)
        our_backend.setblocking(False)
        pair = Pair(our_client, our_backend, early, client_finished)
        self.loop.admit(pair)
        return client, backend, pair

    def end_of(self, pair: Pair) -> Outcome:
        ended, outcome = self.observer.ends.get(timeout=DEADLINE)
        assert ended is pair
        return outcome

    def join(self) -> None:
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive()

    def close(self) -> None:
        self._closing.set()
        self._sweeper.join()
        if self.crash is None:
            self.loop.quit()
        self.join()
        self.loop.close()
        self._sockets.close()


Start = Callable[..., Running]


@pytest.fixture
def start() -> Iterator[Start]:
    with contextlib.ExitStack() as stack:

        def begin(pipes: Pipes | None = None, half_closed_limit: float = HALF_CLOSED_LIMIT) -> Running:
            pipes = pipes or Pipes()
            stack.callback(pipes.close)
            running = Running(pipes, half_closed_limit)
            stack.callback(running.close)
            return running

        yield begin


@pytest.fixture
def running(start: Start) -> Running:
    return start()


def fill(sender: socket.socket, data: bytes) -> int:
    """Sends until nothing is taken any more for a while; how much was taken."""
    sender.setblocking(False)
    sent = 0
    while select.select([], [sender], [], 0.1)[1]:
        with contextlib.suppress(BlockingIOError):
            sent += sender.send(data[sent % len(data) :])
    sender.settimeout(DEADLINE)
    return sent


def receive(sock: socket.socket, count: int) -> bytes:
    taken = bytearray()
    while len(taken) < count:
        data = sock.recv(count - len(taken))
        assert data, "it ended early"
        taken += data
    return bytes(taken)


def wait(condition: Callable[[], Any]) -> None:
    deadline = monotonic() + DEADLINE
    while not condition():
        assert monotonic() < deadline, "it did not come about"
        select.select([], [], [], 0.002)


def test_bytes_go_both_ways_and_each_direction_ends_by_itself(running: Running) -> None:
    client, backend, pair = running.pair()
    client.sendall(b"ping")
    assert receive(backend, 4) == b"ping"
    client.shutdown(socket.SHUT_WR)
    assert backend.recv(1) == b""
    backend.sendall(b"pong")
    assert receive(client, 4) == b"pong"
    backend.close()
    assert client.recv(1) == b""
    assert running.end_of(pair) is Outcome.closed
    assert (pair.to_backend.moved, pair.to_client.moved) == (4, 4)


def test_early_bytes_go_first_and_a_client_that_has_finished_is_passed_on_after_them(running: Running) -> None:
    client, backend, pair = running.pair(b"early", client_finished=True)
    assert receive(backend, 5) == b"early"
    assert backend.recv(1) == b""
    backend.sendall(b"answer")
    backend.close()
    assert receive(client, 6) == b"answer"
    assert client.recv(1) == b""
    assert running.end_of(pair) is Outcome.closed


@pytest.mark.parametrize("pipes", [Pipes, NoSpares])
@pytest.mark.parametrize("connect", [tcp_pair, pytest.param(unix_pair, marks=pytest.mark.slow)])
def test_what_a_stalled_peer_did_not_take_never_reaches_another(
    start: Start, connect: Callable[[int], tuple[socket.socket, socket.socket]], pipes: type[Pipes]
) -> None:
    """The trap of the one pipe: a second splice that moves less than the first leaves bytes in it."""
    running = start(pipes())
    stalled = [running.pair(connect=connect, buffers=4096) for _ in range(4)]
    client, backend, _ = running.pair(connect=connect)
    for letter, (source, _, _) in zip(b"abcd", stalled, strict=True):
        taken = fill(source, bytes([letter]) * 65536)
        client.sendall(b"z" * 1000)
        assert receive(backend, 1000) == b"z" * 1000, "another pair's bytes"
        backend.sendall(b"y" * 100_000)
        assert receive(client, 100_000) == b"y" * 100_000
        source.shutdown(socket.SHUT_WR)
        assert taken > 0
    for letter, (_, sink, pair) in zip(b"abcd", stalled, strict=True):
        received = bytearray()
        while data := sink.recv(65536):
            received += data
        assert set(received) == {letter}
        assert pair.to_backend.moved == len(received)


def test_a_stalled_peer_costs_one_pipe_and_no_time(running: Running) -> None:
    stalled, _, pair = running.pair(buffers=4096)
    client, backend, _ = running.pair()
    before = descriptors()
    fill(stalled, b"x" * 65536)
    assert pair.to_backend.waiting
    assert descriptors() <= before + 2
    slowest = 0.0
    for _ in range(200):
        began = monotonic()
        client.sendall(b"ping")
        backend.sendall(receive(backend, 4))
        receive(client, 4)
        slowest = max(slowest, monotonic() - began)
    assert slowest < 1.0
    assert pair.to_backend.waiting


@pytest.mark.parametrize("connect", [tcp_pair, pytest.param(unix_pair, marks=pytest.mark.slow)])
def test_a_pipe_is_given_back_once_its_flow_has_emptied_it(
    running: Running, connect: Callable[[int], tuple[socket.socket, socket.socket]]
) -> None:
    client, backend, pair = running.pair(connect=connect, buffers=4096)
    before = descriptors()
    for _ in range(5):
        sent = fill(client, b"x" * 65536)
        assert pair.to_backend.waiting
        receive(backend, sent)
    wait(lambda: not pair.to_backend.waiting)
    assert descriptors() <= before + 2


def test_a_reset_is_passed_on_as_a_reset_after_everything_before_it(running: Running) -> None:
    client, backend, pair = running.pair()
    data = os.urandom(20_000)
    client.sendall(data)
    wait(lambda: unsent(client) == 0)
    reset(client)
    assert receive(backend, len(data)) == data
    assert running.end_of(pair) is Outcome.client_reset
    # The loop only ends it; the reset itself is sent on closing, which is the caller's.
    assert pair.to_backend.moved == len(data)


def test_what_is_unread_when_a_fin_and_a_reset_have_come_is_delivered(running: Running) -> None:
    client, backend, pair = running.pair(buffers=4096)
    stuck = fill(backend, b"b" * 65536)
    data = os.urandom(1000)
    client.sendall(data)
    client.shutdown(socket.SHUT_WR)
    client.close()  # with bytes unread: a reset, after a FIN
    assert receive(backend, len(data)) == data
    assert running.end_of(pair) is Outcome.client_reset
    assert stuck > pair.to_client.moved


def test_a_reset_waits_for_a_slow_reader_of_what_came_before(running: Running) -> None:
    client, backend, pair = running.pair(buffers=4096)
    data = b"x" * fill(client, b"x" * 65536)
    assert pair.to_backend.waiting
    wait(lambda: unsent(client) == 0 or pair.to_backend.waiting)
    shorter = len(data) - unsent(client)
    reset(client)
    received = bytearray()
    while len(received) < shorter:
        received += backend.recv(512)
        select.select([], [], [], 0.001)
    assert received == data[:shorter]
    assert running.end_of(pair) is Outcome.client_reset


def test_a_reset_is_not_held_back_for_ever(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zeroscale.relay.half_close.LINGER_STALLED", 0.05)
    client, _, pair = running.pair(buffers=4096)
    fill(client, b"x" * 65536)
    reset(client)
    assert running.end_of(pair) is Outcome.client_reset


def test_the_side_that_reset_is_named(running: Running) -> None:
    _, backend, pair = running.pair()
    reset(backend)
    assert running.end_of(pair) is Outcome.backend_reset


def test_a_peer_that_closes_while_it_is_sent_to_has_reset(running: Running) -> None:
    client, backend, pair = running.pair()
    client.close()
    assert backend.recv(1) == b""
    with contextlib.suppress(OSError):
        while True:
            backend.sendall(b"to nobody")
            if pair.over:
                break
    assert running.end_of(pair) is Outcome.client_reset


def test_a_unix_peer_that_closes_while_it_is_owed_bytes_has_reset(running: Running) -> None:
    client, backend, pair = running.pair(connect=unix_pair, buffers=4096)
    fill(backend, b"x" * 65536)
    assert pair.to_client.waiting
    client.close()
    assert running.end_of(pair) is Outcome.client_reset


def test_a_unix_peer_that_has_read_all_it_could_and_closes_while_it_is_owed_more_has_reset() -> None:
    """Without a thread, since the order of two events matters: there is no error then, and the buffer is full."""
    pipes, observer = Pipes(), Recorder()
    loop = SpliceLoop(observer, pipes, HALF_CLOSED_LIMIT)
    client, our_client = unix_pair(4096)
    backend, our_backend = unix_pair()
    with client, our_client, backend, our_backend:
        for sock in (client, our_client, our_backend):
            sock.setblocking(False)
        pair = Pair(our_client, our_backend)
        loop._admit(pair)
        backend.sendall(b"x" * 100_000)
        loop._handle_event(pair.backend.fd, select.EPOLLIN)
        assert pair.to_client.waiting
        with contextlib.suppress(BlockingIOError):
            while client.recv(65536):
                pass
        client.close()
        loop._handle_event(pair.client.fd, select.EPOLLHUP)
        assert observer.ends.get_nowait() == (pair, Outcome.client_reset)
        loop.close()
        pipes.close()


def test_both_reset_at_once(running: Running) -> None:
    client, backend, pair = running.pair()
    reset(client)
    reset(backend)
    assert running.end_of(pair) in (Outcome.client_reset, Outcome.backend_reset)


def test_a_pair_whose_client_is_dead_already_ends_by_itself(running: Running) -> None:
    client, our_client = tcp_pair()
    backend, our_backend = tcp_pair()
    with our_client, backend, our_backend:
        reset(client)
        our_client.setblocking(False)
        our_backend.setblocking(False)
        pair = Pair(our_client, our_backend, b"early")
        running.loop.admit(pair)
        assert receive(backend, 5) == b"early"
        assert running.end_of(pair) is Outcome.client_reset


def test_a_silent_half_closed_pair_is_ended(start: Start) -> None:
    running = start(half_closed_limit=0.1)
    client, _, pair = running.pair()
    client.shutdown(socket.SHUT_WR)
    assert running.end_of(pair) is Outcome.aborted


def test_a_half_closed_pair_that_moves_bytes_or_owes_them_is_not(start: Start) -> None:
    running = start(half_closed_limit=0.2)
    client, backend, pair = running.pair()
    slow_client, slow_backend, slow = running.pair(buffers=4096)
    client.shutdown(socket.SHUT_WR)
    slow_client.shutdown(socket.SHUT_WR)
    fill(slow_backend, b"x" * 65536)
    until = monotonic() + 0.6
    while monotonic() < until:
        backend.sendall(b"x")
        assert client.recv(1) == b"x"
        select.select([], [], [], 0.02)
    assert not pair.over
    assert not slow.over


def test_a_half_closed_pair_with_a_slow_reader_is_not_idle(start: Start) -> None:
    running = start(half_closed_limit=0.2)
    client, backend, pair = running.pair(buffers=16384)
    backend.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    pair.client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    _, _, silent = running.pair()
    data = b"x" * 102400
    backend.sendall(data)
    backend.shutdown(socket.SHUT_WR)
    wait(lambda: pair.to_client.done)
    assert not pair.to_client.waiting, "all of it is in the kernel's hands"
    silent.client.socket.shutdown(socket.SHUT_RD)
    assert running.end_of(silent) is Outcome.aborted
    assert running.observer.ends.empty()
    assert receive(client, len(data)) == data
    assert client.recv(1) == b""
    client.close()
    assert running.end_of(pair) is Outcome.closed


def test_a_vanished_peer_ends_its_pair(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    gone: list[socket.socket] = []
    monkeypatch.setattr(loop_module, "vanished", gone.__contains__)
    running = start(half_closed_limit=0.2)
    _, _, pair = running.pair()
    _, _, other = running.pair()
    gone.append(pair.client.socket)
    assert running.end_of(pair) is Outcome.timed_out
    assert not other.over


def test_an_aborted_pair_ends_at_once_and_only_once(running: Running) -> None:
    client, _, pair = running.pair(buffers=4096)
    fill(client, b"x" * 65536)
    running.loop.abort(pair)
    running.loop.abort(pair)
    assert running.end_of(pair) is Outcome.aborted
    _, _, later = running.pair()
    running.loop.abort(later)
    assert running.end_of(later) is Outcome.aborted


def test_sockets_are_closed_before_the_end_is_reported(running: Running) -> None:
    client, backend, pair = running.pair()
    client.sendall(b"ping")
    client.close()
    assert receive(backend, 4) == b"ping"
    assert backend.recv(1) == b""
    assert not pair.over
    backend.close()
    assert running.end_of(pair) is Outcome.closed
    assert pair.client.socket.fileno() == pair.backend.socket.fileno() == -1


def test_many_orders_do_not_delay_the_pairs(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    def moved_at_each_order(count: int) -> list[int]:
        client, backend, pair = running.pair()
        busy, may_continue, done = threading.Event(), threading.Event(), threading.Event()
        moved: list[int] = []

        def wait_for_the_orders() -> None:
            busy.set()
            may_continue.wait(DEADLINE)

        running.loop.answer(wait_for_the_orders)
        assert busy.wait(DEADLINE)
        running.loop.answer(lambda: client.sendall(b"ping"))
        for _ in range(count):
            running.loop.answer(lambda: moved.append(pair.to_backend.moved))
        running.loop.answer(done.set)
        may_continue.set()
        assert done.wait(DEADLINE)
        assert receive(backend, 4) == b"ping"
        return moved

    assert 0 < moved_at_each_order(3 * MOST_COMMANDS).index(4) < MOST_COMMANDS
    monkeypatch.setattr(command_queue, "LONGEST_COMMANDS", 0.0)
    assert moved_at_each_order(3).index(4) == 0


def test_a_pair_that_epoll_does_not_take_is_refused_and_untouched(running: Running, tmp_path: Path) -> None:
    client, our_client = tcp_pair()
    with client, our_client, (tmp_path / "file").open("wb") as unfit:
        our_client.setblocking(False)
        pair = Pair(our_client, our_client, b"early")
        pair.backend.fd = unfit.fileno()
        running.loop.admit(pair)
        refused, error = running.observer.refusals.get(timeout=DEADLINE)
        assert refused is pair
        assert error.errno == errno.EPERM
        client.settimeout(0)
        with pytest.raises(BlockingIOError):
            client.recv(1)


def test_a_pair_that_has_moved_bytes_and_is_not_taken_is_aborted_and_not_refused(
    running: Running, tmp_path: Path
) -> None:
    """Another connection to the server would not get these bytes."""
    client, our_client = tcp_pair()
    backend, our_backend = tcp_pair()
    with client, our_client, backend, our_backend, (tmp_path / "file").open("wb") as unfit:
        pair = Pair(our_client, our_backend)
        pair.backend.fd = unfit.fileno()
        pair.admitted = True
        running.loop.admit(pair)
        assert running.end_of(pair) is Outcome.aborted
        assert running.observer.refusals.empty()
        for peer in (client, backend):
            with pytest.raises(ConnectionResetError):
                peer.recv(1)


def test_a_pair_of_another_loop_is_not_aborted(running: Running) -> None:
    client, our_client = tcp_pair()
    backend, our_backend = tcp_pair()
    with client, our_client, backend, our_backend:
        running.loop.abort(Pair(our_client, our_backend))
        _, _, own = running.pair()
        running.loop.abort(own)
        assert running.end_of(own) is Outcome.aborted
        assert our_client.fileno() != -1


def test_a_descriptor_closed_behind_its_back_is_a_crash_not_a_guess(running: Running) -> None:
    _, _, pair = running.pair()
    client, backend, _ = running.pair()
    client.sendall(b"x")
    receive(backend, 1)
    pair.client.socket.close()
    running.loop.abort(pair)
    running.join()
    assert isinstance(running.crash, OSError)
    assert running.crash.errno in (errno.EBADF, errno.ENOENT)


def test_a_sink_closed_behind_its_back_is_a_crash_as_well(running: Running) -> None:
    client, backend, pair = running.pair()
    client.sendall(b"x")
    receive(backend, 1)
    pair.client.socket.close()
    backend.sendall(b"to whoever has the number now")
    running.join()
    assert isinstance(running.crash, OSError)
    assert running.crash.errno == errno.EBADF


def test_without_events_it_sleeps(running: Running) -> None:
    client, backend, pair = running.pair()
    client.sendall(b"ping")
    assert receive(backend, 4) == b"ping"
    reset(client)  # the end of a pair that is reset is checked several times
    assert running.end_of(pair) is Outcome.client_reset
    client, backend, _ = running.pair()
    client.sendall(b"ping")
    assert receive(backend, 4) == b"ping"
    client.shutdown(socket.SHUT_WR)
    assert backend.recv(1) == b""
    seen: list[int] = []

    def asleep() -> bool:
        seen.append(running.wake_ups())
        select.select([], [], [], 5 * LINGER_INTERVAL)
        return running.wake_ups() == seen[-1]

    wait(asleep)


def test_nothing_is_left_of_it() -> None:
    before = descriptors()
    pipes = Pipes()
    running = Running(pipes, HALF_CLOSED_LIMIT)
    client, _, pair = running.pair(buffers=4096)
    fill(client, b"x" * 65536)
    running.loop.abort(pair)
    running.end_of(pair)
    running.close()
    pipes.close()
    assert descriptors() == before


def test_a_burst_of_stalled_peers_leaves_the_shared_pipe_at_its_full_size() -> None:
    seen = with_small_pipes("burst")
    assert (seen["before"], seen["during"], seen["after"]) == ([CAPACITY], [CAPACITY], [CAPACITY])
    assert seen["intact"] == [True] * 3
    assert seen["small"] >= 3


def test_a_relay_that_started_with_a_small_pipe_enlarges_it_for_the_next_pair() -> None:
    seen = with_small_pipes("late")
    assert max(seen["during"]) < CAPACITY
    assert seen["after"] == [CAPACITY]
