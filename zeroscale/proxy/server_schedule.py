"""Keep one server awake and asleep at the times of its configuration. Imported only for a server that has such times.

One timer is set for the next change. A monotonic clock measures it, and in the meantime the wall clock may be set or
the machine suspended: so the time is looked at at least every ten minutes. What players and operators are told is
computed for the moment at which they ask.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from zeroscale.config.model import ServerConfig
from zeroscale.events import Cause, CauseKind, Failed, Ready, ServerEvent, Stopped, Stopping, Woken
from zeroscale.lifecycle.lifecycle import ServerLifecycle
from zeroscale.schedule.timeline import Phase, Timeline, Wish
from zeroscale.schedule.wall_time import find_zone, shown_at
from zeroscale.schedule.windows import parse_window
from zeroscale.server_log import ServerLog
from zeroscale.status import Status

LOOK_EVERY = 600.0
"""Seconds between two looks at the wall clock, at most; a flag file that was removed is noticed as late."""

TRY_AGAIN = 60.0
"""Seconds until a failed server is started again, until a server is asked again whether its players have left, and
until it is looked again whether the operator keeps awake what is about to be stopped."""

LARGEST_CORRECTION = 3600.0
"""Seconds by which a clock may be set back without the loss of what happened just before."""

A_DAY = 86400.0


class SleepNote(Protocol):
    """Remembers that the server was put to sleep at a time at which it is kept awake; `state.operator_overrides`."""

    @property
    def slept_at(self) -> float | None:
        """When that was, in seconds since 1970; None: it was not, or has been woken since."""

    def note_sleep(self) -> None:
        """Note that it is put to sleep now."""

    def note_wake(self) -> None:
        """Note that it has been woken."""


class WarnedStops(Protocol):
    """Stops the server after warnings to its players; see `proxy.stop_planner`."""

    def plan_scheduled(self, at: float, cause: Cause, reason: str) -> None:
        """Stop it at a time to come, and not earlier; its players are warned before.

        :param reason: why, for players who wait for the server.
        """

    def stop_with_warnings(self, cause: Cause, reason: str) -> None:
        """Begin with the warnings now, unless a stop by the schedule is planned."""

    def cancel_scheduled(self) -> None:
        """Do not stop it after all."""


class ServerSchedule:
    """Wakes one server when it is to be kept awake, and stops it when it is to be kept asleep.

    The lifecycle is kept from stopping or starting it by what it asks: see `keep_awake_reason` and `asleep_until`.

    :param config: the server's configuration.
    :param lifecycle: the server's.
    :param clock: monotonic.
    :param wall_clock: returns seconds since 1970.
    :param note: remembers that the server was put to sleep, across restarts.
    :param stops: stops the server while players are on.
    :param kept_awake: returns why the operator keeps it awake; None: the operator does not.
    """

    def __init__(
        self,
        config: ServerConfig,
        lifecycle: ServerLifecycle,
        clock: IReactorTime,
        wall_clock: Callable[[], float],
        note: SleepNote,
        stops: WarnedStops,
        kept_awake: Callable[[], str | None],
    ) -> None:
        self._log = ServerLog(logging.getLogger("zeroscale.server"), config.name)
        self._lifecycle = lifecycle
        self._clock = clock
        self._wall_clock = wall_clock
        self._note = note
        self._stops = stops
        self._kept_awake = kept_awake
        self._is_active = False
        self._timer: IDelayedCall | None = None
        self._wish = Wish.nothing
        self._stop_due = False
        self._stop_is_planned = False
        self._phase: Phase | None = None
        self.configure(config)
        lifecycle.add_event_observer(self._server_event, clients=False)
        lifecycle.add_session_observer(self._sessions_changed)

    def configure(self, config: ServerConfig) -> None:
        """Use the times of another configuration, from the reactor's next turn on."""
        self._timeline = Timeline(
            [parse_window(each) for each in config.keep_awake],
            [parse_window(each) for each in config.keep_asleep],
            None if config.timezone is None else find_zone(config.timezone),
        )
        self._stops_at_once = config.keep_asleep_at_once
        self._warned_before = max(config.stop_warnings, default=0.0)
        self._phase = None
        self.look()

    def start(self) -> None:
        """Begin: the server may be started and stopped from now on."""
        self._is_active = True
        self.look()

    def stop(self) -> None:
        """End: the server is not started or stopped any more; `start` begins again."""
        self._is_active = self._stop_is_planned = False
        self._cancel()
        self._stops.cancel_scheduled()

    def look(self) -> None:
        """Look in the reactor's next turn: something has changed that may have kept the schedule from its aim."""
        self._set_timer(0.0)

    def keep_awake_reason(self) -> str | None:
        """Return why the server is kept awake now; None if it is not."""
        phase = self._now()
        return _named(phase) if phase.wish is Wish.awake else None

    def asleep_until(self) -> tuple[str, str] | None:
        """Return until when the server is kept asleep, "" if for ever, and why; None: it is not kept asleep now."""
        phase = self._now()
        if phase.wish is not Wish.asleep:
            return None
        until = self._shown_end(phase)
        return until, _reason(phase) + (f" until {until}" if until else "")

    def _now(self) -> Phase:
        now = self._wall_clock()
        if self._phase is None or not self._phase.holds_at(now):
            self._phase = self._timeline.phase_at(now)
        return self._phase

    def _shown_end(self, phase: Phase) -> str:
        end = phase.wish_ends
        if end is None:
            return ""
        is_soon = end - self._wall_clock() < A_DAY
        return shown_at(end, self._timeline.zone).strftime("%H:%M" if is_soon else "%Y-%m-%d %H:%M")

    # The timer

    def _set_timer(self, seconds: float) -> None:
        self._cancel()
        if self._is_active:
            self._timer = self._clock.callLater(seconds, self._look)

    def _cancel(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _look(self) -> None:
        self._timer = None
        phase = self._now()
        if phase.wish is not self._wish:
            self._begin(phase)
        if phase.wish is Wish.awake:
            self._wake(phase)
        if self._stops_at_once or self._stop_is_planned:
            self._plan_stop(phase)
        if self._stop_due:
            self._stop(phase)
        if self._timer is None:
            self._set_timer(self._next_look(phase))

    def _next_look(self, phase: Phase) -> float:
        delays = [LOOK_EVERY]
        if phase.ends is not None:
            delays.append(max(0.0, phase.ends - self._wall_clock()))
        if self._stop_due or self._stop_is_planned:
            delays.append(TRY_AGAIN)
        if self._stops_at_once and phase.wish_ends is not None:
            to_warning = phase.wish_ends - self._warned_before - self._wall_clock()
            delays += [to_warning] if to_warning > 0 else []
        view = self._lifecycle.view
        if phase.wish is Wish.awake and view.status is Status.failed and view.retry_at is not None:
            delays.append(max(TRY_AGAIN, view.retry_at - self._clock.seconds()))
        return min(delays)

    def _begin(self, phase: Phase) -> None:
        """Begin a time at which something else is wanted."""
        before, self._wish = self._wish, phase.wish
        self._stop_due = phase.wish is Wish.asleep and self._is_up
        self._lifecycle.look_again()
        if before is Wish.awake and phase.wish is Wish.nothing:
            self._lifecycle.restart_idle_timer()
        if phase.wish is not Wish.nothing:
            end = self._shown_end(phase)
            self._log.info("kept %s by %s%s", phase.wish.value, _named(phase), f" until {end}" if end else "")

    # Awake

    def _wake(self, phase: Phase) -> None:
        """Start the server, unless it was put to sleep at this time."""
        if not self._is_up and not self._was_put_to_sleep():
            self._lifecycle.wake(_cause(phase))

    def _was_put_to_sleep(self) -> bool:
        """Return whether the server was put to sleep since when it is kept awake without a break."""
        slept_at, now = self._note.slept_at, self._wall_clock()
        if slept_at is None or slept_at > now + LARGEST_CORRECTION:
            return False
        phase = self._timeline.phase_at(slept_at)
        return phase.wish is Wish.awake and (phase.wish_ends is None or now < phase.wish_ends)

    # Asleep

    def _stop(self, phase: Phase) -> None:
        """Stop the server that runs since before this time: once it has no players, or after warnings."""
        if self._stops_at_once:
            if self._kept_awake() is None:
                self._stops.stop_with_warnings(_cause(phase), _reason(phase))
        elif not self._lifecycle.sessions and not self._lifecycle.waiting:
            self._lifecycle.sleep_when_empty(_cause(phase))

    def _plan_stop(self, phase: Phase) -> None:
        """Plan the stop with which the next time to be asleep begins, so that its players are warned before."""
        begins = phase.wish_ends
        is_wanted = self._stops_at_once and self._is_up and self._kept_awake() is None
        if phase.wish is Wish.asleep:
            is_planned = is_wanted and self._stop_due  # it is due now
        elif not is_wanted or begins is None or begins - self._wall_clock() > self._warned_before:
            is_planned = False
        else:
            asleep = self._timeline.phase_at(begins)
            is_planned = asleep.wish is Wish.asleep
            if is_planned:
                self._stops.plan_scheduled(begins, _cause(asleep), _reason(asleep))
        if not is_planned:
            self._stops.cancel_scheduled()
        self._stop_is_planned = is_planned

    @property
    def _is_up(self) -> bool:
        return self._lifecycle.view.status in (Status.starting, Status.running)

    # What happens to the server

    def _server_event(self, event: ServerEvent) -> None:
        match event:
            case Woken() | Ready(found=True):
                self._note.note_wake()
                if self._stops_at_once:
                    self.look()
            case Stopping() | Stopped() | Failed():
                self._stop_due = False
                if self._now().wish is Wish.awake:
                    self._ended(event)

    def _ended(self, event: Stopping | Stopped | Failed) -> None:
        """Note that the server stops or has ended though it is kept awake."""
        match event:
            case (
                Stopping(cause=Cause(kind=CauseKind.operator | CauseKind.dependency | CauseKind.found))
                | Stopped(cause=Cause(kind=CauseKind.exited))
            ):
                # Whoever did that wants it down for the rest of this time; for a restart of what it needs, it is woken.
                self._note.note_sleep()
            case Failed():
                self._set_timer(self._next_look(self._now()))
            case _:
                self.look()

    def _sessions_changed(self) -> None:
        if self._stop_due and not self._lifecycle.sessions:
            self.look()


def _named(phase: Phase) -> str:
    return f"schedule {phase.window}"


def _cause(phase: Phase) -> Cause:
    return Cause(CauseKind.schedule, detail=_named(phase))


def _reason(phase: Phase) -> str:
    return f"the {_named(phase)} keeps it asleep"
