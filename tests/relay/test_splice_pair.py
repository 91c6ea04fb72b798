"""A flow's leftovers: in memory, in a pipe of its own, or thrown away."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest
from processes import descriptors
from relay.relay_fixture import tcp_pair

from zeroscale.relay.base import Outcome
from zeroscale.relay.pipe_pool import Pipe, Pipes
from zeroscale.relay.splice_pair import Pair


@pytest.fixture
def pipes() -> Iterator[Pipes]:
    pipes = Pipes()
    yield pipes
    pipes.close()


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket, socket.socket]]:
    """A client's socket, a backend's, and the backend itself."""
    client_peer, client = tcp_pair()
    backend_peer, backend = tcp_pair(4096)
    backend.setblocking(False)
    with client_peer, client, backend_peer, backend:
        yield client, backend, backend_peer


Ends = tuple[socket.socket, socket.socket, socket.socket]


def test_early_bytes_beyond_the_sockets_buffer_wait_in_memory(ends: Ends, pipes: Pipes) -> None:
    client, backend, peer = ends
    early = os.urandom(3_000_000)
    flow = Pair(client, backend, early).to_backend
    received = bytearray()
    assert not flow.flush(pipes)
    assert flow.waiting
    assert 0 < flow.moved < len(early)
    while not flow.flush(pipes):
        received += peer.recv(65536)
    peer.settimeout(10)
    while len(received) < len(early):
        received += peer.recv(65536)
    assert received == early
    assert flow.moved == len(early)
    assert not flow.waiting


def test_a_pipe_with_leftovers_is_the_flows_until_it_is_empty(ends: Ends, pipes: Pipes) -> None:
    client, backend, peer = ends
    flow = Pair(client, backend).to_backend
    pipe = Pipe()
    os.write(pipe.writer, b"leftovers")
    flow.keep(pipe, 9)
    assert flow.waiting
    assert flow.flush(pipes)
    assert flow.moved == 9
    assert peer.recv(100) == b"leftovers"
    assert pipes.take() is pipe
    pipe.close()


def test_a_stalled_sink_keeps_the_pipe(ends: Ends, pipes: Pipes) -> None:
    client, backend, _ = ends
    with pytest.raises(BlockingIOError):
        while True:
            backend.send(b"x" * 65536)
    flow = Pair(client, backend).to_backend
    pipe = Pipe()
    os.write(pipe.writer, b"leftovers")
    flow.keep(pipe, 9)
    assert not flow.flush(pipes)
    assert flow.waiting
    assert flow.moved == 0
    before = descriptors()
    flow.drop()
    assert descriptors() == before - 2
    assert flow.done
    assert not flow.waiting


def test_a_dead_sink_is_an_error(ends: Ends, pipes: Pipes) -> None:
    client, backend, _ = ends
    backend.shutdown(socket.SHUT_WR)
    flow = Pair(client, backend, b"early").to_backend
    with pytest.raises(BrokenPipeError):
        flow.flush(pipes)


def test_the_flows_of_a_pair(ends: Ends) -> None:
    client, backend, _ = ends
    pair = Pair(client, backend, client_finished=True)
    assert pair.to_backend.ended
    assert not pair.to_client.ended
    assert pair.client.outgoing is pair.backend.incoming is pair.to_backend
    assert pair.backend.outgoing is pair.client.incoming is pair.to_client
    pair.to_backend.moved, pair.to_client.moved = 3, 4
    assert pair.moved == 7


@pytest.mark.parametrize(("outcome", "is_reset"), [(Outcome.closed, False), (Outcome.backend_reset, True)])
def test_both_sockets_are_closed_as_the_pair_ended(outcome: Outcome, is_reset: bool) -> None:
    client, our_client = tcp_pair()
    backend, our_backend = tcp_pair()
    with client, backend:
        Pair(our_client, our_backend).close(outcome)
        for peer in (client, backend):
            if is_reset:
                with pytest.raises(ConnectionResetError):
                    peer.recv(1)
            else:
                assert peer.recv(1) == b""


def test_a_pair_that_is_closed_has_no_leftovers_and_no_pipe(ends: Ends) -> None:
    client, backend, _ = ends
    before = descriptors()
    pair = Pair(client, backend, b"early")
    pair.to_client.keep(Pipe(), 9)
    client.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        pair.close(Outcome.aborted)
    backend.close()
    assert not pair.to_client.waiting
    assert not pair.to_backend.waiting
    assert descriptors() == before - 2
