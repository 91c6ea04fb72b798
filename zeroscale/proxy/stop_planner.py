"""Where the stops of a server are planned; what carries them out is imported only for a server that has any."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import tzinfo
from typing import TYPE_CHECKING, Protocol

from msgspec.structs import replace
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from zeroscale.config.model import ServerConfig
from zeroscale.errors import ZeroscaleError
from zeroscale.events import Cause, CauseKind
from zeroscale.lifecycle.lifecycle import ServerLifecycle

if TYPE_CHECKING:
    from zeroscale.proxy.planned_stops import PlannedStop, PlannedStops, StopOptions

TOGETHER = 5.0
"""Seconds between the stops of two servers that an operator or a schedule has planned for the same time, at most."""


class StopNote(Protocol):
    """Remembers the stop that the operator has planned; see `state.operator_overrides`."""

    @property
    def stop_at(self) -> float | None:
        """When it is, in seconds since 1970; None: there is none."""

    @property
    def stop_by(self) -> str:
        """The account of the operator who has planned it; "": it is not known."""

    def note_stop(self, at: float | None, operator: str = "") -> None:
        """Note another stop."""


class StoppedFirst(Protocol):
    """Another server, which is stopped before this one, as it needs it; see `proxy.needs`."""

    @property
    def lifecycle(self) -> ServerLifecycle:
        """Its lifecycle."""

    def warn_players(self, seconds: float, restart: bool) -> Deferred[object]:
        """Tell its players that it stops in so many seconds, or is restarted then; fails with `ZeroscaleError`."""


class StopPlanner:
    """Plans the stops of one server.

    :param config: the server's configuration.
    :param lifecycle: the server's.
    :param clock: runs the timer.
    :param now: returns seconds since 1970.
    :param note: remembers the operator's plan across restarts of zeroscale.
    :param warning: returns the line for the server's console that warns its players of a stop in so many seconds, or a
        restart then; None: there is none.
    :param changed: called when another stop is planned, or one is not any more.
    :param stopped_first: returns the servers that run and are stopped before this one; their players are warned, too.
    """

    def __init__(
        self,
        config: ServerConfig,
        lifecycle: ServerLifecycle,
        clock: IReactorTime,
        now: Callable[[], float],
        note: StopNote,
        warning: Callable[[float, bool], str | None],
        changed: Callable[[], None],
        stopped_first: Callable[[], Sequence[StoppedFirst]] = tuple,
    ) -> None:
        self._config = config
        self._lifecycle = lifecycle
        self._clock = clock
        self._now = now
        self._note = note
        self._warning = warning
        self._changed = changed
        self._stopped_first = stopped_first
        self._stops: PlannedStops | None = None
        self.configure(config)

    @property
    def planned(self) -> Sequence[PlannedStop]:
        """All stops that are planned, in their order; restarts are planned only while the server runs."""
        return () if self._stops is None else self._stops.all

    @property
    def stops(self) -> PlannedStops:
        """The planned stops, also where there are none yet."""
        if self._stops is None:
            from zeroscale.proxy.planned_stops import PlannedStops

            options = _options(self._config)
            self._stops = PlannedStops(
                self._lifecycle,
                self._clock,
                self._now,
                options,
                lambda seconds, restart: Deferred.fromCoroutine(self._warn_all(seconds, restart)),
                self._plans_changed,
                lambda: [each.lifecycle for each in self._stopped_first()],
            )
        return self._stops

    def configure(self, config: ServerConfig) -> None:
        """Use another configuration from now on."""
        self._config = config
        if self._stops is not None:
            self._stops.use_options(_options(config))
        elif config.restart is not None:
            _ = self.stops

    def retire(self) -> None:
        """Restart the server no more, as it is not configured any more; `configure` undoes that."""
        if self._stops is not None:
            self._stops.use_options(replace(_options(self._config), restart=None))

    def stop_with_warnings(self, cause: Cause, reason: str) -> None:
        """Stop the server as soon as its players have been warned; at once if there are none.

        Without effect while a stop for the same kind of cause is planned, so that it may be called again.

        :param reason: why, for players who wait for the server.
        """
        self.stops.stop_with_warnings(cause, reason)

    def plan_scheduled(self, at: float, cause: Cause, reason: str) -> None:
        """Stop the server at a time of its schedule, and not earlier; its players are warned before.

        :param reason: why, for players who wait for the server.
        """
        from zeroscale.proxy.planned_stops import PlannedStop

        self.stops.plan(PlannedStop(at, cause, reason, on_time=True))

    def cancel_scheduled(self) -> None:
        """Cancel the stop that is planned for a schedule."""
        if self._stops is not None:
            self._stops.cancel(CauseKind.schedule)

    def open(self) -> None:
        """Plan the stop that the operator has planned before zeroscale was restarted, if it is still to come."""
        if self._note.stop_at is not None:
            if self._note.stop_at > self._now():
                self._plan(self._note.stop_at, self._note.stop_by)
            else:
                self._note.note_stop(None)

    def plan_after(self, seconds: float, operator: str) -> None:
        """Stop the server for its operator after a time; this takes the place of an earlier plan.

        :param operator: name of the operator's account; "": it is not known.
        """
        self._plan(self._now() + seconds, operator)

    def plan_at(self, time_of_day: str, operator: str) -> None:
        """Stop the server for its operator when it is a time of day next in its time zone.

        :param time_of_day: such as `22:30`.
        """
        from zeroscale.schedule.wall_time import next_moment

        hours, minutes = map(int, time_of_day.split(":"))
        self._plan(next_moment(hours * 60 + minutes, _zone(self._config), self._now()), operator)

    def release(self) -> bool:
        """Cancel the stop that the operator has planned; return whether there was one."""
        return self._stops is not None and self._stops.cancel(CauseKind.operator)

    def cancel(self) -> bool:
        """Cancel the stop that the operator has planned, or else the next restart.

        :returns: whether there was one.
        """
        return self.release() or (self._stops is not None and self._stops.cancel(CauseKind.restart))

    def close(self) -> None:
        """Stop and restart nothing more."""
        if self._stops is not None:
            self._stops.close()

    def _plan(self, at: float, operator: str) -> None:
        from zeroscale.proxy.planned_stops import PlannedStop

        cause = Cause(CauseKind.operator, operator=operator)
        self.stops.plan(PlannedStop(at, cause, "its operator has put the server to sleep"))

    def _plans_changed(self) -> None:
        stop = self.stops.planned(CauseKind.operator)
        at = None if stop is None else stop.at
        if at != self._note.stop_at:
            self._note.note_stop(at, "" if stop is None else stop.cause.operator)
        self._changed()

    def warn_players(self, seconds: float, restart: bool) -> Deferred[object]:
        """See `StoppedFirst.warn_players`. A stop of its own that is not later has warnings of its own."""
        at = self._now() + seconds
        if any(stop.at <= at + TOGETHER for stop in self.planned):
            return succeed(None)
        return self._warn_own_players(seconds, restart)

    def _warn_own_players(self, seconds: float, restart: bool) -> Deferred[object]:
        line = self._warning(seconds, restart)
        if line is None:
            return succeed(None)
        sent: Deferred[object] = self._lifecycle.send(line).addCallback(lambda answer: answer)
        return sent

    async def _warn_all(self, seconds: float, restart: bool) -> None:
        """Warn the players of all servers that stop.

        :raises ZeroscaleError: those of one could not be warned; all others have been.
        """
        calls = [self._warn_own_players(seconds, restart)]
        calls += [each.warn_players(seconds, restart) for each in self._stopped_first()]
        errors: list[ZeroscaleError] = []
        for call in calls:
            try:
                await call
            except ZeroscaleError as error:
                errors.append(error)
        if errors:
            raise errors[0]


def _options(config: ServerConfig) -> StopOptions:
    from zeroscale.proxy.planned_stops import StopOptions

    return StopOptions(config.stop_warnings, config.restart, _zone(config))


def _zone(config: ServerConfig) -> tzinfo | None:
    if config.timezone is None:
        return None
    from zeroscale.schedule.wall_time import find_zone

    return find_zone(config.timezone)
