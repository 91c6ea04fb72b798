"""The running proxy's report as metrics in Prometheus' text format, and the same report as JSON.

Nothing is counted here, nothing is kept: each scrape turns one report into numbers. No label holds what strangers
choose (names, addresses, hosts), so that there is an end to the time series. What each metric means to its reader is in
docs/metrics.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import msgspec
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from zeroscale.reports import ProxyReport, ServerReport
from zeroscale.status import Status

WAKE_REASONS = ("login", "connection", "operator")
"""Shown before they have happened: a rate cannot see the first event of a series that begins with it."""

INFINITY = "+Inf"


class Metrics:
    """What is scraped.

    :param report: the proxy as it is now.
    :param addresses: whether players' addresses are shown (in JSON; no metric has them).
    """

    def __init__(self, report: Callable[[], ProxyReport], *, addresses: bool = True) -> None:
        self._report = report
        self._addresses = addresses
        # a registry of our own: the library's global one belongs to whoever runs us within something larger
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Reports(report))
        ProcessCollector(registry=self._registry)

    def exposition(self) -> bytes:
        """The metrics in Prometheus' text format 0.0.4, with those of the process (CPU, memory, descriptors)."""
        return generate_latest(self._registry)

    def json(self) -> bytes:
        """The whole report, as one JSON object in the shape of `status.ProxyReport`."""
        report = self._report()
        if not self._addresses:
            report = replace(report, servers=tuple(_without_addresses(server) for server in report.servers))
        return msgspec.json.encode(report, enc_hook=_plain)


def _without_addresses(server: ServerReport) -> ServerReport:
    return replace(server, players=tuple(replace(player, address="") for player in server.players))


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise NotImplementedError(f"no JSON for {type(value).__name__}")


class _Reports(Collector):
    def __init__(self, report: Callable[[], ProxyReport]) -> None:
        self._report = report

    def collect(self) -> Iterator[Metric]:
        report = self._report()
        yield from _of_the_proxy(report)
        yield from _now(report.servers)
        yield from _counted(report.servers)
        yield _start_durations(report.servers)


def _of_the_proxy(report: ProxyReport) -> Iterator[Metric]:
    yield InfoMetricFamily("zeroscale_build", "The version that runs.", {"version": report.version})
    yield GaugeMetricFamily("zeroscale_uptime_seconds", "Since the proxy began.", report.uptime)
    yield GaugeMetricFamily(
        "zeroscale_pending_connections", "Connections that have not logged in.", report.pending_connections
    )
    unrouted = _counter("zeroscale_unrouted_connections", "Ended connections that found no server.", "outcome")
    for outcome, count in report.unrouted.items():
        unrouted.add_metric([outcome], count)
    yield unrouted
    info = _gauge("zeroscale_relay_info", "Each relay that can run here.", "relay")
    live = _gauge("zeroscale_relay_live_pairs", "Connections that it relays now.", "relay")
    total = _counter("zeroscale_relay_pairs", "Connections that it has relayed.", "relay")
    moved = _counter("zeroscale_relay_bytes", "Bytes that it has moved.", "relay", "direction")
    for relay in report.relays:
        info.add_metric([relay.name], 1)
        live.add_metric([relay.name], relay.live)
        total.add_metric([relay.name], relay.total)
        moved.add_metric([relay.name, "to_server"], relay.to_backend)
        moved.add_metric([relay.name, "to_client"], relay.to_client)
    yield from (info, live, total, moved)


Value = Callable[[ServerReport], float | None]

NOW: tuple[tuple[str, str, Value], ...] = (
    ("zeroscale_server_status_age_seconds", "For how long it has been in its status.", lambda it: it.status_age),
    ("zeroscale_server_players", "Players relayed to it.", lambda it: len(it.players)),
    ("zeroscale_server_held_players", "Players held until it is ready.", lambda it: len(it.waiting)),
    ("zeroscale_server_uptime_seconds", "Since it was ready, while it is.", lambda it: it.uptime),
    ("zeroscale_server_idle_countdown_seconds", "Until it is asked whether it may sleep.", lambda it: it.idle_in),
    ("zeroscale_server_kept_awake", "1 while it is kept up though idle.", lambda it: it.keep_awake_reason is not None),
    ("zeroscale_server_locked_out", "1 while nobody may wake it.", lambda it: it.lockout is not None),
    ("zeroscale_server_last_start_seconds", "How long its last start took.", lambda it: it.last_start),
    ("zeroscale_server_start_estimate_seconds", "How long its next start will take.", lambda it: it.estimate),
    ("zeroscale_server_retry_countdown_seconds", "Until a failed one may be woken again.", lambda it: it.retry_in),
)
"""A metric of each server by what it is now; None: there is no such number now, and no sample."""

COUNTED: tuple[tuple[str, str, Value], ...] = (
    ("zeroscale_server_slept_seconds", "Seconds it has been stopped or paused.", lambda it: it.slept),
    ("zeroscale_server_crashes", "How often it failed.", lambda it: it.stats.crashes),
    ("zeroscale_server_pings", "Status questions, whoever answered them.", lambda it: it.stats.pings),
    ("zeroscale_server_logins", "Players and other clients who wanted in.", lambda it: it.stats.logins),
)
"""A counter of each server without labels of its own."""


def _now(servers: tuple[ServerReport, ...]) -> Iterator[Metric]:
    info = _gauge("zeroscale_server_info", "Each server, and its plugin.", "server", "plugin")
    status = _gauge("zeroscale_server_status", "1 for the status that it is in, else 0.", "server", "status")
    for server in servers:
        info.add_metric([server.name, server.plugin], 1)
        for each in Status:
            status.add_metric([server.name, each.value], each is server.status)
    yield from (info, status)
    for name, help_text, value in NOW:
        family = _gauge(name, help_text, "server")
        for server in servers:
            number = value(server)
            if number is not None:
                family.add_metric([server.name], number)
        yield family


def _counted(servers: tuple[ServerReport, ...]) -> Iterator[Metric]:
    for name, help_text, value in COUNTED:
        family = _counter(name, help_text, "server")
        for server in servers:
            family.add_metric([server.name], value(server) or 0)
        yield family
    spent = _counter("zeroscale_server_status_seconds", "Time spent in each status.", "server", "status")
    wakes = _counter("zeroscale_server_wakes", "Wakes, by who caused them.", "server", "reason")
    refusals = _counter("zeroscale_server_refusals", "Logins refused, by why.", "server", "reason")
    endings = _counter("zeroscale_server_connections", "Ended connections, by how.", "server", "outcome")
    moved = _counter("zeroscale_server_relayed_bytes", "Bytes relayed.", "server", "direction")
    for server in servers:
        stats = server.stats
        for status in Status:
            spent.add_metric([server.name, status.value], stats.seconds_by_status.get(status, 0.0))
        for reason, count in {**dict.fromkeys(WAKE_REASONS, 0), **stats.wakes}.items():
            wakes.add_metric([server.name, reason], count)
        for reason, count in stats.refusals.items():
            refusals.add_metric([server.name, reason], count)
        for outcome, count in stats.outcomes.items():
            endings.add_metric([server.name, outcome], count)
        moved.add_metric([server.name, "to_server"], stats.to_backend)
        moved.add_metric([server.name, "to_client"], stats.to_client)
    yield from (spent, wakes, refusals, endings, moved)


def _start_durations(servers: tuple[ServerReport, ...]) -> Metric:
    family = HistogramMetricFamily(
        "zeroscale_server_start_duration_seconds", "How long starts took that became ready.", labels=["server"]
    )
    for server in servers:
        stats = server.stats
        buckets = [(f"{bound:g}", float(count)) for bound, count in stats.start_durations]
        family.add_metric([server.name], [*buckets, (INFINITY, stats.starts)], stats.start_seconds)
    return family


def _gauge(name: str, help_text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, help_text, labels=labels)


def _counter(name: str, help_text: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(name, help_text, labels=labels)
