"""Reports for the tests of metrics: a proxy with a server that runs and one that sleeps."""

from __future__ import annotations

from zeroscale.lifecycle.stats import StatsRecorder
from zeroscale.reports import PlayerReport, ProxyReport, RelayReport, ServerReport
from zeroscale.status import Status


def proxy_report(*servers: ServerReport) -> ProxyReport:
    return ProxyReport(
        version="1.2.3",
        uptime=500.0,
        servers=servers or (running(), asleep()),
        relays=(RelayReport("splice", 700, 90000, 2, 5, 6), RelayReport("transport", 1, 2, 0, 1, 0)),
        pending_connections=3,
        unrouted={"unknown-host": 4},
    )


def running() -> ServerReport:
    counts = StatsRecorder(Status.stopped, 0.0)
    counts.woken("login")
    counts.login()
    counts.status_changed(Status.starting, 100.0)
    counts.started(12.5)
    counts.status_changed(Status.running, 112.5)
    counts.started(70.0)
    counts.pinged()
    counts.refused("banned")
    counts.crashed()
    counts.ended("left")
    counts.ended("left")
    counts.relayed(123, 45678)
    return ServerReport(
        name="survival",
        plugin="minecraft",
        status=Status.running,
        status_age=387.5,
        players=(PlayerReport("Steve", "203.0.113.7:1234", 60.0), PlayerReport("Alex", "203.0.113.8:99", 5.0)),
        waiting=("Herobrine",),
        uptime=387.5,
        slept=100.0,
        last_start=12.5,
        estimate=13.0,
        stats=counts.snapshot(500.0),
    )


def asleep(name: str = "creative") -> ServerReport:
    return ServerReport(
        name=name,
        plugin="generic",
        status=Status.stopped,
        status_age=500.0,
        slept=500.0,
        lockout="closed",
        keep_awake_reason="the operator",
        stats=StatsRecorder(Status.stopped, 0.0).snapshot(500.0),
    )
