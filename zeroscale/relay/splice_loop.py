"""A loop that relays pairs: epoll, and two splices for each readable socket.

The relay's thread runs one, and `new_pairs` runs one in the reactor's thread. It uses sockets and pipes, but
nothing of Twisted. Two rules:

- One shared pipe serves all pairs, and is empty between two events. When a sink takes less than the pipe holds, the
  pipe belongs to its flow until it is empty, or one player's bytes would reach another. Until then the source is not
  read, and epoll reports when the sink is writable. Only a pipe of full size takes its place: where there is none, the
  flow keeps its leftovers in memory.
- A descriptor is used only while its end is in `_ends`. A pair is removed before its end is reported, and added only
  between two rounds of events, so that a reused descriptor is never taken for its former owner's.

All descriptors are non-blocking, so splice needs no flag for that.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
from collections.abc import Callable, Collection, Generator
from functools import partial
from time import monotonic
from typing import Protocol

from zeroscale.relay.base import LINGER_INTERVAL, SWEEP_INTERVAL, Outcome
from zeroscale.relay.command_queue import CommandQueue
from zeroscale.relay.half_close import IdleLimit, Linger
from zeroscale.relay.pipe_pool import Pipe, Pipes
from zeroscale.relay.splice_pair import End, Flow, Pair
from zeroscale.sockets.options import VANISHED_ERRORS, unacknowledged, vanished

CHUNK = 256 * 1024
"""Bytes moved at most for one socket before the next one."""

MOST_EVENTS = 40
"""Events read from epoll at once. For more of them the interpreter needs memory from malloc in each round."""

_READABLE = int(select.EPOLLIN)


class PairObserver(Protocol):
    """Callbacks about pairs, called in the loop's thread."""

    def ended(self, pair: Pair, outcome: Outcome) -> None:
        """Handle the end of a pair; its sockets are closed."""
        ...

    def refused(self, pair: Pair, error: OSError) -> None:
        """Handle a pair that could not be added; nothing was moved."""
        ...


class SpliceLoop:
    """Moves the bytes of all pairs.

    `admit`, `abort`, `answer`, `quit` and `wake` may be called in any thread, all other methods in the loop's own.

    :raises OSError: no descriptors left.
    """

    def __init__(self, observer: PairObserver, pipes: Pipes, half_closed_limit: float) -> None:
        self._observer = observer
        self._pipes = pipes
        self._half_closed_limit = half_closed_limit
        self.sweep_interval = min(SWEEP_INTERVAL, half_closed_limit / 4)
        self._ends: dict[int, End] = {}
        self._lingering: dict[Pair, Linger] = {}
        self._half_closed: dict[Pair, IdleLimit] = {}
        self._running = True
        self._linger_at = 0.0
        with contextlib.ExitStack() as undo:
            self._epoll = select.epoll()
            undo.callback(self._epoll.close)
            self._commands = CommandQueue(self._epoll)
            undo.callback(self._commands.close)
            self._shared = Pipe()
            pipes.enlarge(self._shared)
            undo.pop_all()
        # What comes from each descriptor; None: nothing is read from it. A list, since it is used for every message.
        self._flows: list[Flow | None] = [None] * (self._commands.fd + 1)

    def admit(self, pair: Pair, *, wake: bool = True) -> None:
        """Add a pair, or report that it is refused.

        :param wake: whether to start a round for it; else it waits until one runs for another reason.
        """
        self._commands.put(partial(self._admit, pair), wake=wake)

    def wake(self) -> None:
        """Start a round, which runs the commands that wait."""
        self._commands.wake()

    def fileno(self) -> int:
        """Return the descriptor that is readable when `rounds` has something to do."""
        return self._epoll.fileno()

    @property
    def has_commands(self) -> bool:
        """Whether commands wait for the next round."""
        return bool(self._commands.waiting)

    @property
    def lingering(self) -> Collection[Pair]:
        """The pairs whose end has to wait; only the time tells when it is over."""
        return self._lingering

    def release(self, pair: Pair) -> None:
        """Forget a live pair, so that another loop can `admit` it as it is. To be called between two rounds."""
        for end in pair.ends:
            if not end.gone:
                self._flows[end.fd] = None
                self._epoll.unregister(end.fd)
            del self._ends[end.fd]
        self._lingering.pop(pair, None)
        self._half_closed.pop(pair, None)

    def abort(self, pair: Pair) -> None:
        """End a pair at once, if it is still live."""
        self._commands.put(partial(self._abort, pair))

    def answer(self, call: Callable[[], None]) -> None:
        """Call `call` in the loop's thread between two rounds of events, which shows that the loop still runs."""
        self._commands.put(call)

    def sweep(self) -> None:
        """End the pairs that have vanished or are idle. To be called every `sweep_interval` while there are pairs."""
        self._commands.put(self._sweep)

    def quit(self) -> None:
        """End `run`; all pairs must have ended before."""
        self._commands.put(self._quit)

    def close(self) -> None:
        """Release the descriptors, once `run` has returned or raised and no other method is called any more."""
        self._epoll.close()
        self._shared.close()
        for end in self._ends.values():
            end.outgoing.drop()
        self._ends.clear()
        self._commands.close()

    def run(self) -> None:
        """Move bytes until `quit`. Any exception is a crash, after which only `close` may be called."""
        for _ in self.rounds(wait=True):
            pass

    def rounds(self, *, wait: bool) -> Generator[None, None, None]:
        """Move bytes until `quit`, in rounds of events. Any exception is a crash, as of `run`.

        :param wait: wait for events, and never yield; else yield after each round.
        """
        # All of it is in local variables, since it is used for every message.
        poll, most, flows, readable = self._epoll.poll, MOST_EVENTS, self._flows, _READABLE
        splice, chunk = os.splice, CHUNK
        reader, writer = self._shared.reader, self._shared.writer
        commands, wake, waiting = self._commands, self._commands.fd, self._commands.waiting
        pause = None if wait else 0.0  # a time limit would cost for every message
        calm = False
        while True:
            for fd, event in poll(pause, most):
                flow = flows[fd]
                if flow is not None and event == readable:
                    try:
                        count = splice(fd, writer, chunk)
                    except OSError as error:
                        self._not_read(flow, error)
                    else:
                        if count == 0:
                            flow.ended = True
                        else:
                            try:
                                sent = splice(reader, flow.sink_fd, count)
                            except OSError as error:
                                self._not_sent(flow, error, count)
                            else:
                                flow.moved += sent
                                if sent == count:
                                    continue
                                self._keep_leftovers(flow, count - sent)
                    self._update_pair(flow.source.pair)
                elif fd == wake:
                    commands.woken()
                else:
                    self._handle_event(fd, event)
                calm = False
                reader, writer = self._shared.reader, self._shared.writer
            if calm:
                continue
            if waiting:
                commands.run()
            if self._lingering:
                self._end_lingering()
            if not self._running:
                return
            reader, writer = self._shared.reader, self._shared.writer
            if wait:
                pause = 0.0 if waiting else LINGER_INTERVAL if self._lingering else None
                calm = pause is None
            else:
                yield

    def _quit(self) -> None:
        self._running = False

    def _admit(self, pair: Pair) -> None:
        for end in pair.ends:
            if end.gone:
                self._ends[end.fd] = end
                continue
            interest = 0 if end.outgoing.ended else _READABLE
            try:
                self._epoll.register(end.fd, interest)
            except OSError as error:
                if pair.admitted:  # by another loop, which has moved bytes
                    self._end(pair, Outcome.aborted)
                else:
                    self._forget(pair)
                    self._observer.refused(pair, error)
                return
            end.interest = interest
            self._ends[end.fd] = end
            self._set_flow(end, reads=bool(interest))
        self._pipes.enlarge(self._shared)
        flow = pair.to_backend
        try:
            flushed = flow.flush(self._pipes)
        except OSError as error:
            self._fail(flow.sink, error)
            flushed = False
        if flow.ended or not flushed or pair.admitted:
            self._update_pair(pair)
        pair.admitted = True

    def _abort(self, pair: Pair) -> None:
        if self._ends.get(pair.client.fd) is pair.client:
            self._end(pair, Outcome.aborted)

    def _handle_event(self, fd: int, event: int) -> None:
        end = self._ends.get(fd)
        if end is None or end.gone:
            return  # ended by an earlier event of the same round
        if event & select.EPOLLERR:
            self._fail(end, end.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) or errno.ECONNRESET)
        elif event & select.EPOLLHUP:
            self._stop_watching(end)
        else:
            if event & select.EPOLLOUT:
                self._pump(end.incoming)
            if event & select.EPOLLIN and self._flows[fd] is not None:
                self._pump(end.outgoing)
        self._update_pair(end.pair)

    def _pump(self, flow: Flow) -> None:
        """Move what can be moved without blocking: leftovers, then a chunk, or all that a source sent that is gone."""
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
                count = os.splice(flow.source.fd, self._shared.writer, CHUNK)
            except OSError as error:
                if not self._not_read(flow, error):
                    return
                continue
            if count == 0:
                flow.ended = True
                continue
            try:
                sent = os.splice(self._shared.reader, flow.sink_fd, count)
            except OSError as error:
                self._not_sent(flow, error, count)
                return
            flow.moved += sent
            if sent != count:
                self._keep_leftovers(flow, count - sent)
                return
            if not flow.source.gone:
                return

    def _not_read(self, flow: Flow, error: OSError) -> bool:
        """Handle a failed read; return whether it was the end of what the source sends."""
        if error.errno != errno.EAGAIN:
            self._fail(flow.source, error)
        elif not flow.source.gone:
            return False
        flow.ended = True
        return True

    def _not_sent(self, flow: Flow, error: OSError, count: int) -> None:
        if error.errno == errno.EAGAIN:
            self._keep_leftovers(flow, count)
        else:
            self._shared.drain(count)
            self._fail(flow.sink, error)

    def _keep_leftovers(self, flow: Flow, left: int) -> None:
        """Give the shared pipe with its leftovers to the flow; without a spare one, move them to memory."""
        spare = self._pipes.take()
        if spare is None:
            flow.hold(self._shared.drain(left))
        else:
            flow.keep(self._shared, left)
            self._shared = spare

    def _finish(self, flow: Flow) -> None:
        flow.done = True
        closing = flow.sink.outgoing.done and flow.source.pair.outcome is None  # which sends the FIN
        if not flow.source.error and not closing:
            with contextlib.suppress(OSError):  # the sink is dead, which epoll reports next
                flow.sink.socket.shutdown(socket.SHUT_WR)

    def _fail(self, end: End, error: OSError | int) -> None:
        """Handle a dead end: nothing can be written to it, though what it sent before may still wait to be read.

        :raises OSError: our descriptor was closed elsewhere: going on could use a descriptor of another owner.
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
        self._stop_watching(end)
        end.incoming.drop()

    def _stop_watching(self, end: End) -> None:
        if not end.gone:
            end.gone = True
            self._flows[end.fd] = None
            self._epoll.unregister(end.fd)

    def _update_pair(self, pair: Pair) -> None:
        """Bring a pair up to date after any event on one of its ends."""
        for end in (pair.client, pair.backend, pair.client):
            if end.gone and end.incoming.waiting:
                self._pump(end.incoming)  # which fails: epoll does not report that it takes nothing any more
            if (end.gone or end.outgoing.ended) and not end.outgoing.done:
                self._pump(end.outgoing)
        if pair.outcome is not None:
            self._linger(pair, monotonic())
        elif pair.to_backend.done and pair.to_client.done:
            self._end(pair, Outcome.closed)
        elif (pair.to_backend.done or pair.to_client.done) and pair not in self._half_closed:
            self._half_closed[pair] = IdleLimit(monotonic(), pair.moved, self._half_closed_limit)
        if not pair.over:
            self._watch(pair.client)
            self._watch(pair.backend)

    def _watch(self, end: End) -> None:
        """Register with epoll for what the flows of this end wait for, and for nothing else."""
        if end.gone:
            return
        flow = end.outgoing
        reads = not (flow.done or flow.ended or flow.waiting)
        interest = (select.EPOLLIN if reads else 0) | (select.EPOLLOUT if end.incoming.waiting else 0)
        if interest != end.interest:
            self._epoll.modify(end.fd, interest)
            end.interest = interest
            self._set_flow(end, reads)

    def _set_flow(self, end: End, reads: bool) -> None:
        missing = end.fd + 1 - len(self._flows)
        if missing > 0:
            self._flows.extend([None] * missing)
        self._flows[end.fd] = end.outgoing if reads else None

    def _linger(self, pair: Pair, now: float) -> None:
        """End a pair of which one end is dead, once the other end has all that was sent before."""
        dead, other = pair.ends if pair.client.error else (pair.backend, pair.client)
        flow = dead.outgoing
        owed = unacknowledged(other.socket)
        if pair not in self._lingering:
            self._lingering[pair] = Linger(now)
            self._linger_at = min(self._linger_at, now + LINGER_INTERVAL)
        arrived = other.error or (flow.done and not owed)
        if arrived or self._lingering[pair].expired(now, flow.moved - owed):
            self._end(pair, pair.outcome or Outcome.aborted)

    def _end(self, pair: Pair, outcome: Outcome) -> None:
        self._forget(pair)
        pair.close(outcome)
        self._observer.ended(pair, outcome)

    def _forget(self, pair: Pair) -> None:
        pair.over = True
        for end in pair.ends:
            if self._ends.get(end.fd) is end:
                self._stop_watching(end)
                del self._ends[end.fd]
            end.outgoing.drop()
        self._lingering.pop(pair, None)
        self._half_closed.pop(pair, None)

    def _end_lingering(self) -> None:
        now = monotonic()
        if now >= self._linger_at:
            self._linger_at = now + LINGER_INTERVAL
            for pair in list(self._lingering):
                self._linger(pair, now)

    def _sweep(self) -> None:
        now = monotonic()
        self._pipes.enlarge(self._shared)
        for end in list(self._ends.values()):
            if not end.pair.over and not end.gone and vanished(end.socket):
                self._fail(end, errno.ETIMEDOUT)
                self._update_pair(end.pair)
        for pair, idle in list(self._half_closed.items()):
            waiting = pair.to_backend.waiting or pair.to_client.waiting
            # Bytes written may still wait in the kernel for a peer that does not read.
            waiting = waiting or any(unacknowledged(end.socket) for end in pair.ends)
            if idle.expired(now, pair.moved, waiting):
                self._end(pair, Outcome.aborted)


def _outcome(end: End, number: int) -> Outcome:
    if number in VANISHED_ERRORS:
        return Outcome.timed_out
    return Outcome.client_reset if end is end.pair.client else Outcome.backend_reset
