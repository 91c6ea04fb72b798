"""A relayed pair as a `SpliceLoop` sees it: two ends, and two flows with bytes that are not yet delivered."""

from __future__ import annotations

import os
import socket

from zeroscale.relay.base import Outcome
from zeroscale.relay.pipe_pool import Pipe, Pipes
from zeroscale.sockets.options import reset_on_close


class End:
    """One socket of a pair.

    :ivar interest: the events for which it is registered with epoll.
    :ivar error: the errno of its failure; 0 while there is none.
    :ivar gone: the peer can neither send nor receive any more, and it is not registered with epoll. What it sent before
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

    :ivar moved: bytes written to the sink.
    :ivar ended: nothing more will be read from the source.
    :ivar done: nothing more will be written to the sink.
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
        """Whether there are leftovers: bytes that the sink did not take."""
        return self._left > 0 or len(self._held) > 0

    def keep(self, pipe: Pipe, left: int) -> None:
        """Own a pipe with leftovers until they are flushed."""
        self._pipe, self._left = pipe, left

    def hold(self, data: bytes) -> None:
        """Own leftovers in memory, where there is no pipe for them."""
        self._held = memoryview(data)

    def flush(self, pipes: Pipes) -> bool:
        """Write the leftovers to the sink, as far as it takes them; return whether none are left.

        :raises OSError: the sink is dead.
        """
        try:
            while self._held:
                sent = os.write(self.sink_fd, self._held)
                self._held = self._held[sent:]
                self.moved += sent
            while self._pipe is not None:
                sent = os.splice(self._pipe.reader, self.sink_fd, self._left)
                self._left -= sent
                self.moved += sent
                if self._left == 0:
                    pipes.give_back(self._pipe)
                    self._pipe = None
        except BlockingIOError:
            return False
        return True

    def drop(self) -> None:
        """Discard the leftovers and their pipe."""
        self.done = True
        self._held = memoryview(b"")
        self._left = 0
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None


class Pair:
    """A client and a backend that are relayed to each other.

    :ivar admitted: a loop has it, or has had it.
    :ivar outcome: how the pair failed; None while it has not.
    :ivar over: its descriptors are not used any more.
    """

    __slots__ = ("admitted", "backend", "client", "outcome", "over", "to_backend", "to_client")

    def __init__(
        self,
        client: socket.socket,
        backend: socket.socket,
        early: bytes = b"",
        client_finished: bool = False,
    ) -> None:
        self.admitted = False
        self.client = End(client, self)
        self.backend = End(backend, self)
        self.to_backend = Flow(self.client, self.backend, early, client_finished)
        self.to_client = Flow(self.backend, self.client)
        self.outcome: Outcome | None = None
        self.over = False

    @property
    def ends(self) -> tuple[End, End]:
        """The client's end and the backend's."""
        return self.client, self.backend

    @property
    def moved(self) -> int:
        """Bytes moved in both directions."""
        return self.to_backend.moved + self.to_client.moved

    def close(self, outcome: Outcome) -> None:
        """Discard the leftovers and close both sockets: in order if the pair ended so, else with a reset."""
        for end in self.ends:
            end.outgoing.drop()
        for end in self.ends:
            if outcome is not Outcome.closed:
                reset_on_close(end.socket)
            end.socket.close()
