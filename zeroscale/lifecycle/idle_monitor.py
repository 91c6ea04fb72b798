"""Watching over a running server: who is there, and when it may sleep, which it is asked itself first.

When that is, is `idle`'s to say; what sleeping means is the lifecycle's. It knows no process and no client.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from zeroscale.lifecycle.idle_policy import IdlePolicy, SessionCounts, sleep_at
from zeroscale.status import ClientInfo

NOBODY = ClientInfo()
"""Who says nothing of himself."""


class PlayerSession:
    """One player's stay, from the decision to let it in until it is gone. It keeps the server up.

    :ivar visitor: who it is.
    :ivar joined_at: since when.
    """

    def __init__(self, vigil: IdleMonitor, run: int, visitor: ClientInfo, joined_at: float) -> None:
        self._vigil: IdleMonitor | None = vigil
        self._run = run
        self.visitor = visitor
        self.joined_at = joined_at

    def end(self, *, silent: bool = False) -> None:
        """The player is gone. To be called once; more often does nothing.

        :param silent: it was none: it never said a word.
        """
        vigil, self._vigil = self._vigil, None
        if vigil is not None:
            vigil.session_ended(self, self._run, silent=silent)


class IdleMonitor:
    """The watch over one server, run after run.

    :param name: the server's, for the log.
    :param clock: monotonic.
    :param policy: when it may sleep.
    :param question: asks whether anybody is there who did not come through here: why it must stay up, or None.
    :param may_sleep: called when nobody is.
    :param logger: where its story is told.
    :param changed: called when somebody has come or gone.
    """

    def __init__(
        self,
        name: str,
        clock: IReactorTime,
        policy: IdlePolicy,
        question: Callable[[], Coroutine[Any, Any, str | None]],
        may_sleep: Callable[[], None],
        logger: logging.Logger | logging.LoggerAdapter[logging.Logger],
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._name = name
        self._clock = clock
        self._policy = policy
        self._question = question
        self._may_sleep = may_sleep
        self._log = logger
        self._changed = changed
        self._run = 0
        self._watches = False
        self._attendance = SessionCounts.begin(0.0)
        self._visits: dict[PlayerSession, None] = {}
        self._empty_since = 0.0
        self._warned = False
        self._timer: IDelayedCall | None = None
        self._asking: Deferred[str | None] | None = None

    @property
    def players(self) -> int:
        """How many are relayed to the server that runs now."""
        return self._attendance.players

    @property
    def sessions(self) -> Sequence[PlayerSession]:
        """Theirs, in the order in which they were let in."""
        return tuple(self._visits)

    @property
    def check_at(self) -> float | None:
        """When the server is asked whether it may sleep; None while that is not to be."""
        if self._asking is not None:
            return self._clock.seconds()
        return self._timer.getTime() if self._timer is not None else None

    def apply_policy(self, policy: IdlePolicy) -> None:
        """The operator wants it otherwise from now on."""
        self._policy = policy
        self.restart_timer()

    def restart_timer(self, *, at_once: bool = False) -> None:
        """What kept it up may not do so any more: whoever was found there may be gone.

        :param at_once: its idle time is over.
        """
        self._attendance = replace(self._attendance, grace_until=self._clock.seconds())
        if self._watches and self.players == 0:
            self._cancel()
            if at_once:
                self._ask()
            else:
                self._schedule()

    def reset(self) -> None:
        """That server is gone: whoever was relayed to it does not count for the next one."""
        self.pause_timer()
        self._run += 1
        self._visits.clear()
        self._attendance = SessionCounts.begin(self._clock.seconds())

    def begin(self) -> None:
        """A server has become ready; `watch()` begins the watch once those who waited are in."""
        if self.players == 0:
            self.reset()
        else:  # it was frozen under them by somebody else, and they are still relayed to it
            self.pause_timer()
        self._empty_since = self._clock.seconds()
        self._warned = False

    def start_timer(self) -> None:
        """From now on it may sleep when nobody is there."""
        self._watches = True
        self._schedule()

    def pause_timer(self) -> None:
        """It does not run any more, or stops: the watch is over, but those who are relayed still count."""
        self._watches = False
        self._cancel()

    def add_session(self, visitor: ClientInfo = NOBODY) -> PlayerSession:
        """One more is let in."""
        if self._timer is not None or self._asking is not None:
            self._log.debug("Cancelling the stop of %s", self._name)
        self._cancel()
        self._attendance = self._attendance.joined()
        self._log.debug("Total clients: %d", self.players)
        visit = PlayerSession(self, self._run, visitor, self._clock.seconds())
        self._visits[visit] = None
        self._changed()
        return visit

    def session_ended(self, visit: PlayerSession, run: int, *, silent: bool = False) -> None:
        """One of those who were let in during that run is gone."""
        if run != self._run:
            return
        del self._visits[visit]
        now = self._clock.seconds()
        self._attendance = self._attendance.left(now, visit.joined_at, self._policy, silent=silent)
        self._log.debug("Lost connection, total clients: %d", self.players)
        if self.players == 0:
            self._empty_since = now
        if self._watches:
            self._schedule()
        self._changed()

    def _schedule(self) -> None:
        at = sleep_at(self._attendance, self._policy)
        if at is None:
            return
        seconds = max(0.0, at - self._clock.seconds())
        self._log.debug("Scheduling the stop of %s in %.0f s", self._name, seconds)
        self._timer = self._clock.callLater(seconds, self._ask)

    def _ask(self) -> None:
        self._timer = None
        self._log.debug("No clients online for %.0f seconds", self._clock.seconds() - self._empty_since)
        asking: Deferred[str | None] = Deferred.fromCoroutine(self._question())
        self._asking = asking

        # What was called back may end with any error: Twisted's connectors have one of their own for it.
        def answered(busy: str | None) -> None:
            if self._asking is asking:
                self._answered(busy)

        def failed(failure: Failure) -> None:
            if self._asking is asking:
                self._log.error("A fault in zeroscale itself: %s", failure.getTraceback())
                self._answered("it could not be asked who is on")

        asking.addCallbacks(answered, failed)

    def _answered(self, busy: str | None) -> None:
        self._asking = None
        if busy is None:
            self._may_sleep()
            return
        if not self._warned:
            self._log.warning("%s is not stopped: %s", self._name, busy)
        self._warned = True
        self._attendance = self._attendance.busy(self._clock.seconds(), self._policy)
        self._schedule()

    def _cancel(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
        asking, self._asking = self._asking, None
        if asking is not None:
            asking.cancel()
