"""What the relay does while the pipes of its user exceed `fs.pipe-user-pages-soft`. Prints one JSON object.

A program, started as root: CAP_SYS_RESOURCE lifts the limit, so it first becomes an unprivileged user.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import queue
import socket
import stat
import sys
import threading
from collections.abc import Callable
from typing import Any

from zeroscale.relay.base import HALF_CLOSED_LIMIT, Outcome
from zeroscale.relay.pipe_pool import Pipe, Pipes
from zeroscale.relay.splice_loop import SpliceLoop
from zeroscale.relay.splice_pair import Pair

DEADLINE = 30.0

UNUSED_UID = 61_183
"""Of no user and no service, as far as anyone knows: its pipes are those of this program only."""


def pipe_size(fd: int) -> int:
    return fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ)


class AllPages:
    """Pipes that leave the user no page for a pipe of more than the least size."""

    def __init__(self) -> None:
        self._pipes = [Pipe()]
        while True:
            try:
                fcntl.fcntl(self._pipes[-1].writer, fcntl.F_SETPIPE_SZ, 1 << 20)
            except OSError:
                break
            self._pipes.append(Pipe())
        while pipe_size(self._pipes[-1].writer) > 8192:
            self._pipes.append(Pipe())

    def release(self) -> None:
        for pipe in self._pipes:
            pipe.close()


class Observer:
    def __init__(self) -> None:
        self.ends: queue.SimpleQueue[Outcome] = queue.SimpleQueue()

    def ended(self, pair: Pair, outcome: Outcome) -> None:
        self.ends.put(outcome)

    def refused(self, pair: Pair, error: OSError) -> None:
        raise error


class Relayed:
    """A loop in its thread, which notes the size of the pipe of each read from a socket.

    :ivar sizes: these sizes since they were last cleared.
    """

    def __init__(self) -> None:
        self.pipes = Pipes()
        self.sizes: set[int] = set()
        self.observer = Observer()
        splice: Callable[..., int] = os.splice

        def noting(source: int, target: int, *rest: Any) -> int:
            if stat.S_ISFIFO(os.fstat(target).st_mode):
                self.sizes.add(pipe_size(target))
            return splice(source, target, *rest)

        os.splice = noting  # type: ignore[assignment]
        self.pipes.reserve()
        self.loop = SpliceLoop(self.observer, self.pipes, HALF_CLOSED_LIMIT)
        self.thread = threading.Thread(target=self.loop.run, daemon=True)
        self.thread.start()

    def pair(self) -> tuple[socket.socket, socket.socket]:
        client, ours = socket.socketpair()
        backend, to_backend = socket.socketpair()
        for sock in (client, backend):
            sock.settimeout(DEADLINE)
        for sock in (ours, to_backend):
            sock.setblocking(False)
        self.loop.admit(Pair(ours, to_backend))
        return client, backend

    def answered(self) -> None:
        """Wait until the loop has done all that it was asked so far."""
        done = threading.Event()
        self.loop.answer(done.set)
        assert done.wait(DEADLINE)


def exchange(client: socket.socket, backend: socket.socket) -> bool:
    client.sendall(b"ping" * 1000)
    received = b""
    while len(received) < 4000:
        received += backend.recv(4000)
    return received == b"ping" * 1000


def stall(relayed: Relayed, sender: socket.socket, data: bytes) -> int:
    """Send until nothing is taken any more; return how much was taken."""
    sender.setblocking(False)
    sent, before = 0, -1
    while sent != before:
        before = sent
        with contextlib.suppress(BlockingIOError):
            while True:
                sent += sender.send(data)
        relayed.answered()
        relayed.answered()  # it has seen the events of the round before
    return sent


def received_of(sock: socket.socket) -> bytes:
    received = bytearray()
    while data := sock.recv(65536):
        received += data
    return bytes(received)


def burst() -> dict[str, object]:
    """Stall pairs while the user has no more pages, and compare the shared pipe before, during and after."""
    relayed = Relayed()
    live = relayed.pair()
    assert exchange(*live)
    before = sorted(relayed.sizes)
    pages = AllPages()
    stalled = [relayed.pair() for _ in range(3)]
    sent = [stall(relayed, client, bytes([65 + number]) * 1024) for number, (client, _) in enumerate(stalled)]
    relayed.sizes.clear()
    assert exchange(*live)
    during = sorted(relayed.sizes)
    small = relayed.pipes.small
    intact = []
    for number, (client, backend) in enumerate(stalled):
        client.shutdown(socket.SHUT_WR)
        intact.append(received_of(backend) == bytes([65 + number]) * sent[number])
        backend.close()
    pages.release()
    relayed.sizes.clear()
    assert exchange(*live)
    return {"before": before, "during": during, "after": sorted(relayed.sizes), "small": small, "intact": intact}


def late() -> dict[str, object]:
    """Start the relay while the user has no more pages; they come back before the next pair."""
    pages = AllPages()
    relayed = Relayed()
    live = relayed.pair()
    assert exchange(*live)
    during = sorted(relayed.sizes)
    pages.release()
    relayed.pair()
    relayed.answered()
    relayed.sizes.clear()
    assert exchange(*live)
    return {"during": during, "after": sorted(relayed.sizes)}


def pool() -> dict[str, object]:
    """Take pipes while the user has no more pages, and afterwards."""
    pages = AllPages()
    pipes = Pipes()
    pipes.reserve()
    taken = [pipes.take() is not None for _ in range(3)]
    small = pipes.small
    pages.release()
    pipe = pipes.take()
    assert pipe is not None
    return {"taken": taken, "small": small, "after": [pipe_size(pipe.writer)], "small_after": pipes.small}


if __name__ == "__main__":
    os.setgroups([])
    os.setresgid(UNUSED_UID, UNUSED_UID, UNUSED_UID)
    os.setresuid(UNUSED_UID, UNUSED_UID, UNUSED_UID)
    sys.stdout.write(json.dumps({"burst": burst, "late": late, "pool": pool}[sys.argv[1]]()))
    sys.stdout.flush()
    os._exit(0)  # the loop's thread goes on
