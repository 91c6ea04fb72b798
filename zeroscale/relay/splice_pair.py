"""A relayed pair as the relay's thread sees it: two ends, two flows, a pipe with leftovers.

Knows which bytes wait for whom; knows no epoll, and not what an error means.
"""

from __future__ import annotations

import os
import socket

from zeroscale.relay.base import Outcome
from zeroscale.relay.pipe_pool import Pipe, Pipes

SPLICE_FLAGS = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK


class End:
    """One socket of a pair.

    :ivar interest: the events that epoll was asked for.
    :ivar error: the errno it died of; 0 while it has not.
    :ivar gone: the peer can neither send nor take any more, so epoll is no longer asked about it. What it sent before
        may still wait in the kernel; reading that never blocks.
    """

    __slots__ = ("error", "fd", "gone", "incoming", "interest", "outgoing", "pair", "socket")

    def __init__(self, sock: socket.socket, pair: Pair) -> None:
        self.socket = sock
        self.fd = sock.fileno()
        self.pair = pair
        self.interest = 0
        self.error = 0
        self.gone = False
        self.outgoing: Flow
        self.incoming: Flow


class Flow:
    """One direction of a pair.

    :ivar moved: bytes that the sink's socket has taken.
    :ivar ended: nothing more will be read from the source.
    :ivar done: nothing more will be given to the sink.
    """

    __slots__ = ("_held", "_left", "_pipe", "done", "ended", "moved", "sink", "sink_fd", "source")

    def __init__(self, source: End, sink: End, early: bytes = b"", ended: bool = False) -> None:
        self.source = source
        self.sink = sink
        self.sink_fd = sink.fd
        self.moved = 0
        self.ended = ended
        self.done = False
        self._pipe: Pipe | None = None
        self._left = 0
        self._held = memoryview(early)
        source.outgoing = self
        sink.incoming = self

    @property
    def waiting(self) -> bool:
        """Whether the sink is owed bytes that it did not take."""
        return self._left > 0 or len(self._held) > 0

    def keep(self, pipe: Pipe, left: int) -> None:
        """Takes a pipe with leftovers as its own, until they are flushed."""
        self._pipe, self._left = pipe, left

    def hold(self, data: bytes) -> None:
        """Takes leftovers in memory, where no pipe is to be had."""
        self._held = memoryview(data)

    def flush(self, pipes: Pipes) -> bool:
        """Gives the sink its leftovers, as far as it takes them; whether there are none any more.

        :raises OSError: the sink is dead.
        """
        try:
            while self._held:
                sent = os.write(self.sink_fd, self._held)
                self._held = self._held[sent:]
                self.moved += sent
            while self._pipe is not None:
                sent = os.splice(self._pipe.reader, self.sink_fd, self._left, None, None, SPLICE_FLAGS)
                self._left -= sent
                self.moved += sent
                if self._left == 0:
                    pipes.give_back(self._pipe)
                    self._pipe = None
        except BlockingIOError:
            return False
        return True

    def drop(self) -> None:
        """Throws the leftovers away, and the pipe with them."""
        self.done = True
        self._held = memoryview(b"")
        self._left = 0
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None


class Pair:
    """Two ends that talk through us.

    :ivar outcome: what is wrong with it; None while nothing is.
    :ivar over: its descriptors are no longer ours.
    """

    __slots__ = ("backend", "client", "outcome", "over", "to_backend", "to_client")

    def __init__(
        self, client: socket.socket, backend: socket.socket, early: bytes = b"", client_finished: bool = False
    ) -> None:
        self.client = End(client, self)
        self.backend = End(backend, self)
        self.to_backend = Flow(self.client, self.backend, early, client_finished)
        self.to_client = Flow(self.backend, self.client)
        self.outcome: Outcome | None = None
        self.over = False

    @property
    def ends(self) -> tuple[End, End]:
        """Both."""
        return self.client, self.backend

    @property
    def moved(self) -> int:
        """Bytes moved either way."""
        return self.to_backend.moved + self.to_client.moved
