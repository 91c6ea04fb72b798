"""The report of one server, from its lifecycle and its counts."""

from __future__ import annotations

from zeroscale.lifecycle.lifecycle import ServerLifecycle
from zeroscale.reports import PlayerReport, ServerReport, ServerStats
from zeroscale.status import Status


def server_report(
    lifecycle: ServerLifecycle, plugin: str, stats: ServerStats, keep_awake_reason: str | None, now: float
) -> ServerReport:
    """Return the current state of a server.

    :param plugin: the name of its plugin.
    :param now: time of the lifecycle's clock.
    """
    view = lifecycle.view
    status_age = now - view.since
    error = lifecycle.last_error
    idle_check_at = lifecycle.idle_check_at
    return ServerReport(
        name=view.name,
        plugin=plugin,
        status=view.status,
        status_age=status_age,
        players=tuple(
            PlayerReport(session.client.name, session.client.address, now - session.joined_at)
            for session in lifecycle.sessions
        ),
        waiting=tuple(lifecycle.waiting),
        idle_in=None if idle_check_at is None else max(0.0, idle_check_at - now),
        keep_awake_reason=keep_awake_reason,
        lockout=view.lockout,
        uptime=status_age if view.status is Status.running else None,
        slept=sum(stats.seconds_by_status[status] for status in (Status.stopped, Status.paused)),
        last_start=lifecycle.last_start,
        estimate=view.estimate,
        retry_in=None if view.retry_at is None else max(0.0, view.retry_at - now),
        last_error=None if error is None else error[0],
        last_error_ago=None if error is None else now - error[1],
        stats=stats,
    )
