"""The relay's thread: a blocking epoll of its own, and two splices for each readable socket.

Runs apart from the reactor and calls nothing of Twisted; knows sockets and pipes, and no transport. Two rules carry it:

- One pipe serves all pairs, and is empty between two events. When a sink takes less than the pipe holds, that pipe is
  its flow's until it is empty, or one player's bytes would reach another; then only is the source not read, and the
  sink watched for room.
- A descriptor is used only while its pair is in `_ends`. A pair leaves it before its end is told, and joins only
  between two rounds of events, so that a number in use again is never taken for its former owner.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
from collections import deque
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Protocol

from zeroscale.relay.base import LINGER_INTERVAL, SWEEP_INTERVAL, Outcome
from zeroscale.relay.half_close import Linger, Silence
from zeroscale.relay.pipe_pool import Pipe, Pipes
from zeroscale.relay.socket_options import VANISHED_ERRORS, unacknowledged, vanished
from zeroscale.relay.splice_pair import SPLICE_FLAGS, End, Flow, Pair

CHUNK = 256 * 1024
"""The most bytes moved for one socket before the others have their turn."""

MOST_EVENTS = 256
"""Events taken from epoll at once."""

_READABLE = int(select.EPOLLIN)


class Listener(Protocol):
    """Who is told of the pairs, in the relay's thread."""

    def ended(self, pair: Pair, outcome: Outcome) -> None:
        """The pair's descriptors are no longer used."""
        ...

    def refused(self, pair: Pair, error: OSError) -> None:
        """The pair could not be taken; nothing was moved."""
        ...


class Loop:
    """Moves bytes.

    `admit()`, `abort()`, `answer()` and `quit()` may be called in any thread, everything else only by `run()`.

    :raises OSError: no descriptors for it.
    """

    def __init__(self, listener: Listener, pipes: Pipes, half_closed_limit: float) -> None:
        self._listener = listener
        self._pipes = pipes
        self._half_closed_limit = half_closed_limit
        self._sweep_interval = min(SWEEP_INTERVAL, half_closed_limit / 4)
        self._orders: deque[Callable[[], None]] = deque()
        self._ends: dict[int, End] = {}
        self._sources: dict[int, Flow] = {}
        self._lingering: dict[Pair, Linger] = {}
        self._half_closed: dict[Pair, Silence] = {}
        self._running = True
        self._pause: float | None = None
        self._linger_at = self._sweep_at = self._due = 0.0
        with contextlib.ExitStack() as undo:
            self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            undo.callback(os.close, self._wake)
            self._epoll = select.epoll()
            undo.callback(self._epoll.close)
            self._epoll.register(self._wake, select.EPOLLIN)
            self._shared = Pipe()
            undo.pop_all()

    def admit(self, pair: Pair) -> None:
        """Takes a pair, or says that it is refused."""
        self._order(partial(self._admit, pair))

    def abort(self, pair: Pair) -> None:
        """Ends a pair at once, if it is still live."""
        self._order(partial(self._abort, pair))

    def answer(self, call: Callable[[], None]) -> None:
        """Has `call` called in the relay's thread, between two rounds: whoever waits for it knows that these go on."""
        self._order(call)

    def quit(self) -> None:
        """Ends `run()`; the pairs have been ended before."""
        self._order(self._quit)

    def close(self) -> None:
        """Frees what `run()` leaves, once it has returned or crashed and nobody gives orders any more."""
        self._epoll.close()
        self._shared.close()
        os.close(self._wake)
        for end in self._ends.values():
            end.outgoing.drop()
        self._ends.clear()
        self._sources.clear()
        self._orders.clear()

    def _order(self, order: Callable[[], None]) -> None:
        self._orders.append(order)
        os.eventfd_write(self._wake, 1)

    def run(self) -> None:
        """Moves bytes until `quit()`. Whatever it raises is a crash, after which only `close()` may be called."""
        poll, splice = self._epoll.poll, os.splice
        sources, shared = self._sources, self._shared
        while self._running:
            woken = False
            for fd, event in poll(self._pause, MOST_EVENTS):
                flow = sources.get(fd)
                if flow is not None and event == _READABLE:
                    try:
                        count = splice(fd, shared.writer, CHUNK, None, None, SPLICE_FLAGS)
                    except OSError as error:
                        self._not_read(flow, error)
                    else:
                        if count == 0:
                            flow.ended = True
                        else:
                            try:
                                sent = splice(shared.reader, flow.sink_fd, count, None, None, SPLICE_FLAGS)
                            except OSError as error:
                                self._not_sent(flow, error, count)
                            else:
                                flow.moved += sent
                                if sent == count:
                                    continue
                                self._keep(flow, count - sent)
                    self._settle(flow.source.pair)
                elif fd == self._wake:
                    woken = True
                else:
                    self._happened(fd, event)
                shared = self._shared
            if woken:
                self._obey()
            if monotonic() >= self._due:
                self._tick(monotonic())
            shared = self._shared

    def _obey(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake)
        while self._orders:
            self._orders.popleft()()

    def _quit(self) -> None:
        self._running = False

    def _admit(self, pair: Pair) -> None:
        for end in pair.ends:
            try:
                self._epoll.register(end.fd, 0)
            except OSError as error:
                self._forget(pair)
                self._listener.refused(pair, error)
                return
            self._ends[end.fd] = end
        self._plan()
        self._pump(pair.to_backend)
        self._settle(pair)

    def _abort(self, pair: Pair) -> None:
        if not pair.over:
            self._end(pair, Outcome.aborted)

    def _happened(self, fd: int, event: int) -> None:
        end = self._ends.get(fd)
        if end is None or end.gone:
            return  # an earlier event of the same round has ended it
        if event & select.EPOLLERR:
            self._fail(end, end.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) or errno.ECONNRESET)
        elif event & select.EPOLLHUP:
            self._leave(end)
        else:
            if event & select.EPOLLOUT:
                self._pump(end.incoming)
            if event & select.EPOLLIN and fd in self._sources:
                self._pump(end.outgoing)
        self._settle(end.pair)

    def _pump(self, flow: Flow) -> None:
        """Moves what can be moved without waiting: leftovers, then a chunk, or all that a source left that is gone."""
        while not flow.done:
            try:
                if not flow.flush(self._pipes):
                    return
            except OSError as error:
                self._fail(flow.sink, error)
                return
            if flow.ended:
                self._finish(flow)
                return
            try:
                count = os.splice(flow.source.fd, self._shared.writer, CHUNK, None, None, SPLICE_FLAGS)
            except OSError as error:
                if not self._not_read(flow, error):
                    return
                continue
            if count == 0:
                flow.ended = True
                continue
            try:
                sent = os.splice(self._shared.reader, flow.sink_fd, count, None, None, SPLICE_FLAGS)
            except OSError as error:
                self._not_sent(flow, error, count)
                return
            flow.moved += sent
            if sent != count:
                self._keep(flow, count - sent)
                return
            if not flow.source.gone:
                return

    def _not_read(self, flow: Flow, error: OSError) -> bool:
        """Whether that was the end of what the source sends."""
        if error.errno != errno.EAGAIN:
            self._fail(flow.source, error)
        elif not flow.source.gone:
            return False
        flow.ended = True
        return True

    def _not_sent(self, flow: Flow, error: OSError, count: int) -> None:
        if error.errno == errno.EAGAIN:
            self._keep(flow, count)
        else:
            self._shared.drain(count)
            self._fail(flow.sink, error)

    def _keep(self, flow: Flow, left: int) -> None:
        """The shared pipe becomes the flow's own; its leftovers move to memory where no other pipe is to be had."""
        spare = self._pipes.take()
        if spare is None:
            flow.hold(self._shared.drain(left))
        else:
            flow.keep(self._shared, left)
            self._shared = spare

    def _finish(self, flow: Flow) -> None:
        flow.done = True
        if not flow.source.error:
            with contextlib.suppress(OSError):  # the sink died meanwhile, which epoll tells next
                flow.sink.socket.shutdown(socket.SHUT_WR)

    def _fail(self, end: End, error: OSError | int) -> None:
        """The end has died: nothing more can be given to it, though what it sent before may still wait.

        :raises OSError: somebody closed what is ours; to go on would touch strangers' descriptors.
        """
        if isinstance(error, OSError):
            if error.errno == errno.EBADF:
                raise error
            number = error.errno or errno.ECONNRESET
        else:
            number = error
        if not end.error:
            end.error = number
            end.pair.outcome = end.pair.outcome or _outcome(end, number)
        self._leave(end)
        end.incoming.drop()

    def _leave(self, end: End) -> None:
        if not end.gone:
            end.gone = True
            self._sources.pop(end.fd, None)
            self._epoll.unregister(end.fd)

    def _settle(self, pair: Pair) -> None:
        """Draws the consequences of whatever happened to the pair."""
        for end in (pair.client, pair.backend, pair.client):
            if end.gone and end.incoming.waiting:
                self._pump(end.incoming)  # which fails: epoll will not tell that it takes nothing any more
            if end.gone or end.outgoing.ended:
                self._pump(end.outgoing)
        if pair.outcome is not None:
            self._linger(pair, monotonic())
        elif pair.to_backend.done and pair.to_client.done:
            self._end(pair, Outcome.closed)
        elif (pair.to_backend.done or pair.to_client.done) and pair not in self._half_closed:
            self._half_closed[pair] = Silence(monotonic(), pair.moved, self._half_closed_limit)
        if not pair.over:
            self._listen(pair.client)
            self._listen(pair.backend)

    def _listen(self, end: End) -> None:
        """Asks epoll for what the end's flows wait for, and for nothing else."""
        if end.gone:
            return
        flow = end.outgoing
        reads = not (flow.done or flow.ended or flow.waiting)
        interest = (select.EPOLLIN if reads else 0) | (select.EPOLLOUT if end.incoming.waiting else 0)
        if interest != end.interest:
            self._epoll.modify(end.fd, interest)
            end.interest = interest
            if reads:
                self._sources[end.fd] = flow
            else:
                self._sources.pop(end.fd, None)

    def _linger(self, pair: Pair, now: float) -> None:
        """Ends a pair of which one end is dead, once the other has what was sent before."""
        dead, other = pair.ends if pair.client.error else (pair.backend, pair.client)
        flow = dead.outgoing
        owed = unacknowledged(other.socket)
        if pair not in self._lingering:
            self._lingering[pair] = Linger(now)
            self._linger_at = min(self._linger_at, now + LINGER_INTERVAL)
            self._plan()
        arrived = other.error or (flow.done and not owed)
        if arrived or self._lingering[pair].is_over(now, flow.moved - owed):
            self._end(pair, pair.outcome or Outcome.aborted)

    def _end(self, pair: Pair, outcome: Outcome) -> None:
        self._forget(pair)
        self._listener.ended(pair, outcome)

    def _forget(self, pair: Pair) -> None:
        pair.over = True
        for end in pair.ends:
            if self._ends.get(end.fd) is end:
                self._leave(end)
                del self._ends[end.fd]
            end.outgoing.drop()
        self._lingering.pop(pair, None)
        self._half_closed.pop(pair, None)
        self._plan()

    def _plan(self) -> None:
        """Decides how long to sleep: for ever when there are no pairs."""
        if not self._ends:
            self._pause = None
        elif self._lingering:
            self._pause = LINGER_INTERVAL
            self._due = min(self._linger_at, self._sweep_at)
        else:
            self._pause = self._sweep_interval
            self._due = self._sweep_at

    def _tick(self, now: float) -> None:
        if now >= self._linger_at:
            self._linger_at = now + LINGER_INTERVAL
            for pair in list(self._lingering):
                self._linger(pair, now)
        if now >= self._sweep_at:
            self._sweep_at = now + self._sweep_interval
            self._sweep(now)
        self._due = self._sweep_at
        self._plan()

    def _sweep(self, now: float) -> None:
        for end in list(self._ends.values()):
            if not end.pair.over and not end.gone and vanished(end.socket):
                self._fail(end, errno.ETIMEDOUT)
                self._settle(end.pair)
        for pair, silence in list(self._half_closed.items()):
            waiting = pair.to_backend.waiting or pair.to_client.waiting
            # What left our hands may still wait in the kernel's, for a peer that does not read.
            waiting = waiting or any(unacknowledged(end.socket) for end in pair.ends)
            if silence.is_over(now, pair.moved, waiting):
                self._end(pair, Outcome.aborted)


def _outcome(end: End, number: int) -> Outcome:
    if number in VANISHED_ERRORS:
        return Outcome.timed_out
    return Outcome.client_reset if end is end.pair.client else Outcome.backend_reset
