"""Where the stops of a server are planned; what carries them out is imported only for a server that has any."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from zeroscale.config.model import ServerConfig
from zeroscale.events import Cause
from zeroscale.lifecycle.lifecycle import ServerLifecycle

if TYPE_CHECKING:
    from zeroscale.proxy.planned_stops import PlannedStop, PlannedStops, StopOptions


class StopPlanner:
    """Plans the stops of one server.

    :param config: the server's configuration.
    :param lifecycle: the server's.
    :param clock: runs the timer.
    :param now: returns seconds since 1970.
    :param warning: returns the line for the server's console that warns its players of a stop in so many seconds, or a
        restart then; None: there is none.
    :param changed: called when another stop is planned, or one is not any more.
    """

    def __init__(
        self,
        config: ServerConfig,
        lifecycle: ServerLifecycle,
        clock: IReactorTime,
        now: Callable[[], float],
        warning: Callable[[float, bool], str | None],
        changed: Callable[[], None],
    ) -> None:
        self._config = config
        self._lifecycle = lifecycle
        self._clock = clock
        self._now = now
        self._warning = warning
        self._changed = changed
        self._stops: PlannedStops | None = None
        self.configure(config)

    @property
    def first(self) -> PlannedStop | None:
        """The first stop that is planned; None: there is none."""
        return None if self._stops is None else self._stops.first

    @property
    def stops(self) -> PlannedStops:
        """The planned stops, also where there are none yet."""
        if self._stops is None:
            from zeroscale.proxy.planned_stops import PlannedStops

            options = _options(self._config)
            self._stops = PlannedStops(
                self._lifecycle, self._clock, self._now, options, self._warn_players, self._changed
            )
        return self._stops

    def configure(self, config: ServerConfig) -> None:
        """Use another configuration from now on."""
        self._config = config
        if self._stops is not None:
            self._stops.use_options(_options(config))
        elif config.restart is not None:
            _ = self.stops

    def stop_with_warnings(self, cause: Cause, reason: str) -> None:
        """Stop the server as soon as its players have been warned; at once if there are none.

        Without effect while a stop for the same kind of cause is planned, so that it may be called again.

        :param reason: why, for players who wait for the server.
        """
        self.stops.stop_with_warnings(cause, reason)

    def close(self) -> None:
        """Stop and restart nothing more."""
        if self._stops is not None:
            self._stops.close()

    def _warn_players(self, seconds: float, restart: bool) -> Deferred[object]:
        line = self._warning(seconds, restart)
        if line is None:
            return succeed(None)
        sent: Deferred[object] = self._lifecycle.send(line).addCallback(lambda answer: answer)
        return sent


def _options(config: ServerConfig) -> StopOptions:
    from zeroscale.proxy.planned_stops import StopOptions
    from zeroscale.schedule.wall_time import find_zone

    zone = None if config.timezone is None else find_zone(config.timezone)
    return StopOptions(config.stop_warnings, config.restart, zone)
