"""Relay new pairs in the reactor's thread: most connections end before it would pay to hand them to the other thread.

A pair that lives longer is passed on to the relay's thread, where a busy reactor does not delay it.
"""

from __future__ import annotations

import contextlib
import logging
import select
from collections import deque
from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall

from zeroscale.reactor import Reactor
from zeroscale.relay.base import Outcome
from zeroscale.relay.pipe_pool import Pipes
from zeroscale.relay.splice_loop import SpliceLoop
from zeroscale.relay.splice_pair import Pair
from zeroscale.sockets.poller import SocketPoller

logger = logging.getLogger("zeroscale.access")

NEW_FOR = 0.5
"""Seconds after which a pair is passed on."""

MOST_PASSED_ON = 32
"""Pairs passed on at once, at most; the others follow after `PASS_ON_PAUSE` seconds."""

PASS_ON_PAUSE = 0.005

End = Outcome | OSError


class NewPairs:
    """The pairs that are new. Implements `splice_loop.PairObserver`.

    All methods are called in the reactor's thread.

    :param poller: tells when a pair has something to move.
    :param on_end: called with each pair that has ended here, and how, or why it was refused.
    :param pass_on: called with each pair that is not new any more.
    :raises OSError: no descriptors left, or no memory to watch one.
    :ivar broken: it has failed or is closed, and takes no pair any more.
    """

    def __init__(
        self,
        reactor: Reactor,
        poller: SocketPoller,
        pipes: Pipes,
        half_closed_limit: float,
        on_end: Callable[[Pair, End], object],
        pass_on: Callable[[Pair], object],
    ) -> None:
        self._reactor = reactor
        self._poller = poller
        self._on_end = on_end
        self._pass_on = pass_on
        self._loop = SpliceLoop(self, pipes, half_closed_limit)
        self._rounds = self._loop.rounds(wait=False)
        self._new_until: dict[Pair, float] = {}
        self._aborting: set[Pair] = set()
        self._ended: deque[tuple[Pair, End]] = deque()
        self._timer: IDelayedCall | None = None
        self.broken = False
        try:
            poller.watch(self._loop.fileno(), select.EPOLLIN, self)
        except OSError:
            self._loop.close()
            raise

    def admit(self, pair: Pair) -> None:
        """Relay a pair, from the end of this turn on."""
        self._new_until[pair] = self._reactor.seconds() + NEW_FOR
        if self._timer is None:
            self._timer = self._reactor.callLater(NEW_FOR, self._pass_on_old)
        self._loop.admit(pair, wake=False)
        self._poller.after_events(self._turn_with_admitted)

    def abort(self, pair: Pair) -> bool:
        """End a pair; return False if it is not here."""
        if pair in self._aborting:
            return True
        if self._new_until.pop(pair, None) is None:
            return False
        self._aborting.add(pair)
        self._loop.abort(pair)
        self._poller.after_events(self._turn)
        return True

    def ended(self, pair: Pair, outcome: Outcome) -> None:
        """See `PairObserver`."""
        self._add_end(pair, outcome)

    def refused(self, pair: Pair, error: OSError) -> None:
        """See `PairObserver`."""
        self._add_end(pair, error)

    def handle(self, events: int) -> None:
        """Move what can be moved; called by the poller."""
        self._turn()

    def close(self) -> None:
        """Forget all pairs, and release all descriptors but theirs."""
        if self.broken:
            return
        self.broken = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._poller.forget(self._loop.fileno())
        self._new_until.clear()
        self._aborting.clear()
        self._rounds.close()
        self._loop.close()

    def _turn_with_admitted(self) -> None:
        self._turn()  # which ends with what was admitted
        self._turn()  # now they may have something to move already

    def _turn(self) -> None:
        if not self.broken:
            try:
                next(self._rounds)
            except Exception:
                self._break()
        while self._ended:
            self._on_end(*self._ended.popleft())
        if not self.broken:
            for pair in list(self._loop.lingering):
                self._release(pair)
            if self._loop.has_commands:
                self._loop.wake()  # a round runs only some of them

    def _add_end(self, pair: Pair, end: End) -> None:
        self._new_until.pop(pair, None)
        self._aborting.discard(pair)
        self._ended.append((pair, end))

    def _break(self) -> None:
        logger.exception("A fault in zeroscale itself: its thread relays all connections from now on")
        pairs = [*self._new_until, *self._aborting]
        self.close()
        for pair in pairs:
            pair.over = True
            with contextlib.suppress(OSError):  # closed already
                pair.close(Outcome.aborted)
            self._ended.append((pair, Outcome.aborted))

    def _release(self, pair: Pair) -> None:
        if self._new_until.pop(pair, None) is not None:  # else it is being aborted
            self._loop.release(pair)
            self._pass_on(pair)

    def _pass_on_old(self) -> None:
        self._timer = None
        now = self._reactor.seconds()
        old = [pair for pair, until in self._new_until.items() if until <= now and pair.admitted]
        for pair in old[:MOST_PASSED_ON]:
            self._release(pair)
        if self._new_until:
            first = min(self._new_until.values())
            self._timer = self._reactor.callLater(max(PASS_ON_PAUSE, first - now), self._pass_on_old)
