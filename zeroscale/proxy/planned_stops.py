"""The planned stops of one server: an operator's, a schedule's, and restarts. The players on it are warned of each.

Imported only for a server that has such stops; a timer runs only while the server does. Times are those of a clock on
the wall, in seconds since 1970: a stop that is planned for 05:00 is at 05:00, though clocks may be set in between.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Sequence
from datetime import tzinfo
from typing import Any

from msgspec import Struct
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from zeroscale.errors import ZeroscaleError
from zeroscale.event_text import cause_text, format_duration
from zeroscale.events import Cause, CauseKind
from zeroscale.lifecycle.lifecycle import ServerLifecycle
from zeroscale.schedule.countdown import Countdown
from zeroscale.server_log import ServerLog
from zeroscale.status import ServerSnapshot, Status

LOOK_EVERY = 60.0
"""Seconds after which the time is looked at again: clocks are set, and a timer stands still while a machine sleeps."""

LATEST = 60.0
"""Seconds: a stop that is later than this, as the machine has slept, is left out."""

UP = (Status.starting, Status.running, Status.paused)

CAN_STOP = (*UP, Status.stopping)
"""A stop whose time comes while the server stops, as for a restart, keeps it from being started again."""


class PlannedStop(Struct, frozen=True):
    """A stop at a time to come.

    :ivar at: when.
    :ivar cause: why; of each kind there is one stop.
    :ivar reason: the same, for players who wait for the server.
    :ivar restart: the server is started again. This is only for a running one.
    :ivar on_time: it is not earlier when all players who were warned have left.
    """

    at: float
    cause: Cause
    reason: str
    restart: bool = False
    on_time: bool = False


class StopOptions(Struct, frozen=True):
    """What is configured about planned stops.

    :ivar before: how many seconds before a stop its players are warned.
    :ivar restart: the cron expression of restarts; None: there are none.
    :ivar zone: its time zone; None: the system's.
    """

    before: tuple[float, ...] = ()
    restart: str | None = None
    zone: tzinfo | None = None

    def next_restart(self, after: float) -> PlannedStop | None:
        """Return the first restart after a moment; None: there is none."""
        if self.restart is None:
            return None
        from zeroscale.schedule.restart_times import next_restart

        at = next_restart(self.restart, self.zone, after)
        cause = Cause(CauseKind.restart, detail=f"scheduled restart ({self.restart})")
        return None if at is None else PlannedStop(at, cause, "the server restarts", restart=True)


class PlannedStops:
    """Carries out the planned stops of one server.

    :param lifecycle: the server's.
    :param clock: runs the timer.
    :param now: returns seconds since 1970.
    :param options: what is configured.
    :param warn: tells the players that the server stops in so many seconds, or is restarted then; fails with
        `ZeroscaleError` if they cannot be told.
    :param changed: called when another stop is planned, or one is not any more.
    :param stopped_first: returns the lifecycles of servers that run and are stopped before this one.
    """

    def __init__(
        self,
        lifecycle: ServerLifecycle,
        clock: IReactorTime,
        now: Callable[[], float],
        options: StopOptions,
        warn: Callable[[float, bool], Deferred[object]],
        changed: Callable[[], None],
        stopped_first: Callable[[], Sequence[ServerLifecycle]] = tuple,
    ) -> None:
        self._lifecycle = lifecycle
        self._clock = clock
        self._now = now
        self._options = options
        self._warn = warn
        self._changed = changed
        self._stopped_first = stopped_first
        self._log = ServerLog(logging.getLogger("zeroscale.server"), lifecycle.name)
        self._plans: dict[CauseKind, PlannedStop] = {}
        self._next: PlannedStop | None = None
        self._countdown = Countdown(0.0, ())
        self._warned = False
        self._reported = False
        self._is_asking = False
        self._timer: IDelayedCall | None = None
        self._closed = False
        self._no_restart_before = float("-inf")
        self._status = lifecycle.view.status
        lifecycle.add_observer(self._view_changed)
        lifecycle.add_session_observer(self._sessions_changed)
        self._plan_restart(now())
        self._update()

    @property
    def all(self) -> Sequence[PlannedStop]:
        """All stops that are planned, in their order; restarts are planned only while the server runs."""
        return sorted((plan for plan in self._plans.values() if not self._is_missed(plan)), key=lambda plan: plan.at)

    def planned(self, kind: CauseKind) -> PlannedStop | None:
        """Return the stop of a kind that is planned."""
        stop = self._plans.get(kind)
        return None if stop is None or self._is_missed(stop) else stop

    def plan(self, stop: PlannedStop) -> None:
        """Plan a stop, in place of another one of its kind. Players are warned at once if a warning's time is over."""
        if self._plans.get(stop.cause.kind) != stop:
            self._plans[stop.cause.kind] = stop
            self._update(announced=stop)
            self._changed()

    def stop_with_warnings(self, cause: Cause, reason: str) -> None:
        """Stop the server as soon as its players have been warned; at once if there are none.

        Without effect while a stop of the same kind is planned.

        :param reason: why, for players who wait for the server.
        """
        if cause.kind not in self._plans and self._status in UP and not self._closed:
            stop = PlannedStop(self._now() + max(self._options.before, default=0.0), cause, reason)
            self.plan(stop)
            self._run(self._stop_if_empty(stop))

    def cancel(self, kind: CauseKind) -> bool:
        """Cancel the stop of a kind; of restarts, the next one.

        :returns: whether there was one.
        """
        stop = self.planned(kind)
        if stop is None:
            return False
        del self._plans[kind]
        if stop.restart:
            self._no_restart_before = stop.at
            self._plan_restart(stop.at)
        self._update()
        self._changed()
        return True

    def use_options(self, options: StopOptions) -> None:
        """Use another configuration from now on."""
        if options != self._options:
            self._options = options
            self._next = None
            self._plan_restart(self._now())
            self._update()
            self._changed()

    def close(self) -> None:
        """Carry out nothing more: the server is left as it is."""
        self._closed = True
        self._update()

    # When something is due

    def _view_changed(self, view: ServerSnapshot) -> None:
        if view.status is self._status:
            return
        could_stop = self._can_stop(restart=False)
        self._status = view.status
        self._leave_out_missed(LATEST if could_stop else 0.0)  # nothing was looked at while it did not run
        self._plan_restart(self._now())
        self._update()
        self._changed()

    def _can_stop(self, *, restart: bool) -> bool:
        return not self._closed and (self._status is Status.running if restart else self._status in CAN_STOP)

    def _is_missed(self, plan: PlannedStop) -> bool:
        """Return whether the time of a stop has come and nothing carries it out, as the server does not run."""
        return plan.at <= self._now() and not self._can_stop(restart=plan.restart)

    def _plan_restart(self, after: float) -> None:
        after = max(after, self._no_restart_before)
        stop = self._options.next_restart(after) if self._can_stop(restart=True) else None
        if stop is None:
            self._plans.pop(CauseKind.restart, None)
        else:
            self._plans[CauseKind.restart] = stop

    def _leave_out_missed(self, latest: float) -> None:
        now = self._now()
        missed = [plan for plan in self._plans.values() if now - plan.at > latest]
        for plan in missed:
            del self._plans[plan.cause.kind]
            what = "restart" if plan.restart else "stop"
            overdue = format_duration(now - plan.at)
            self._log.info("%s left out, which was due %s ago: %s", what, overdue, cause_text(plan.cause, stop=True))
        if any(plan.restart for plan in missed):
            self._plan_restart(now)
        if missed:
            self._changed()

    def _update(self, announced: PlannedStop | None = None) -> None:
        """Set the timer for the first stop that can take place.

        :param announced: a stop that the players do not know of yet.
        """
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        possible = [plan for plan in self._plans.values() if self._can_stop(restart=plan.restart)]
        first = min(possible, key=lambda plan: (plan.at, plan.restart), default=None)
        now = self._now()
        if first != self._next:
            self._next = first
            self._warned = self._reported = False
            if first is not None:
                self._countdown = Countdown.begin(now, first.at, self._options.before, announce=first is announced)
        if first is not None:
            seconds = min(max(0.0, self._countdown.next_at - now), LOOK_EVERY)
            self._timer = self._clock.callLater(seconds, self._look)

    def _look(self) -> None:
        self._timer = None
        self._leave_out_missed(LATEST)
        now, stop = self._now(), self._next
        if stop is not None and self._plans.get(stop.cause.kind) is stop:
            if now >= stop.at:
                self._carry_out(stop)
                return
            self._countdown, is_due = self._countdown.advance(now)
            if is_due and self._status in UP:
                self._run(self._warn_players(stop))
        self._update()

    def _carry_out(self, stop: PlannedStop) -> None:
        del self._plans[stop.cause.kind]
        if stop.restart:
            self._lifecycle.restart(stop.cause)
        else:
            self._lifecycle.sleep(stop.cause, stop.reason)
        self._update()
        self._changed()

    # The players

    async def _warn_players(self, stop: PlannedStop) -> None:
        if not await self._has_players() or stop is not self._next:
            return
        seconds = max(0.0, stop.at - self._now())  # less, if the server has taken time to say who is on
        self._warned = True
        try:
            await self._warn(seconds, stop.restart)
        except ZeroscaleError as error:
            if not self._reported:
                self._log.warning("the players cannot be warned of its stop: %s", error)
            self._reported = True
        else:
            self._log.info("it %s in %s", "restarts" if stop.restart else "stops", format_duration(seconds))

    def _sessions_changed(self) -> None:
        """Stop at once if all players who were warned have left."""
        stop = self._next
        if self._warned and stop is not None and not stop.on_time and self._lifecycle.view.players == 0:
            self._run(self._stop_if_empty(stop))

    async def _stop_if_empty(self, stop: PlannedStop) -> None:
        if self._is_asking:  # connections that come and go do not make it ask more
            return
        self._is_asking = True
        try:
            has_players = await self._has_players()
        finally:
            self._is_asking = False
        if not has_players and stop is self._next and self._status in UP:
            self._carry_out(stop)

    async def _has_players(self) -> bool:
        for lifecycle in (self._lifecycle, *self._stopped_first()):
            lifecycle.look_again()  # one who has just joined counts, too
            if lifecycle.view.players > 0 or await lifecycle.unrelayed_players() is not None:
                return True
            if lifecycle.view.players > 0:
                return True
        return False

    def _run(self, work: Coroutine[Deferred[Any], Any, None]) -> None:
        Deferred.fromCoroutine(work).addErrback(self._log_fault)

    def _log_fault(self, failure: Failure) -> None:
        self._log.error("A fault in zeroscale itself: %s", failure.getTraceback())
