"""The report of one server, from its lifecycle and its counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from zeroscale.config.model import ServerConfig
from zeroscale.lifecycle.lifecycle import ServerLifecycle
from zeroscale.reports import LastEvent, PlannedStopReport, PlayerReport, PortReport, ServerReport, ServerStats
from zeroscale.state.last_events import CausedEvent, LastEvents
from zeroscale.status import Status

if TYPE_CHECKING:
    from zeroscale.proxy.planned_stops import PlannedStop


def server_report(
    lifecycle: ServerLifecycle,
    config: ServerConfig,
    ports: Sequence[PortReport],
    stats: ServerStats,
    last_events: LastEvents,
    now: float,
    wall_clock: float,
    *,
    keep_awake_reason: str | None = None,
    keep_asleep_reason: str | None = None,
    planned_stops: Sequence[PlannedStop] = (),
) -> ServerReport:
    """Return the current state of a server.

    :param ports: its ports, the main one first.
    :param now: time of the lifecycle's clock.
    :param wall_clock: seconds since 1970.
    :param keep_awake_reason: what keeps it awake even when idle.
    :param keep_asleep_reason: what locks it out.
    :param planned_stops: in their order.
    """
    view = lifecycle.view
    status_age = now - view.since
    error = lifecycle.last_error
    refused = lifecycle.last_refusal
    idle_check_at = lifecycle.idle_check_at
    return ServerReport(
        name=view.name,
        plugin=config.plugin,
        status=view.status,
        status_age=status_age,
        players=tuple(
            PlayerReport(session.client.name, session.client.address, now - session.joined_at)
            for session in lifecycle.sessions
        ),
        waiting=tuple(lifecycle.waiting),
        listen=config.listen,
        hosts=config.hosts,
        needs=config.needs,
        ports=tuple(ports),
        awake=tuple(lifecycle.awake_reasons),
        last_wake=_last(last_events.wake, wall_clock),
        last_stop=_last(last_events.stop, wall_clock),
        last_refusal=None
        if refused is None
        else LastEvent(
            ago=max(0.0, wall_clock - refused.at),
            kind=refused.reason,
            player=refused.client.name,
            detail=refused.detail,
        ),
        planned_stops=tuple(
            PlannedStopReport(
                seconds=max(0.0, stop.at - wall_clock),
                kind=stop.cause.kind.value,
                operator=stop.cause.operator,
                detail=stop.cause.detail,
            )
            for stop in planned_stops
        ),
        idle_in=None if idle_check_at is None else max(0.0, idle_check_at - now),
        keep_awake_reason=keep_awake_reason,
        lockout=view.lockout,
        keep_asleep_reason=keep_asleep_reason,
        uptime=status_age if view.status is Status.running else None,
        slept=sum(stats.seconds_by_status[status] for status in (Status.stopped, Status.paused)),
        last_start=lifecycle.last_start,
        estimate=view.estimate,
        retry_in=None if view.retry_at is None else max(0.0, view.retry_at - now),
        last_error=None if error is None else error[0],
        last_error_ago=None if error is None else now - error[1],
        stats=stats,
    )


def _last(event: CausedEvent | None, wall_clock: float) -> LastEvent | None:
    if event is None:
        return None
    return LastEvent(
        ago=max(0.0, wall_clock - event.at),
        kind=event.kind,
        player=event.player,
        operator=event.operator,
        detail=event.detail,
        pause=event.pause,
    )
