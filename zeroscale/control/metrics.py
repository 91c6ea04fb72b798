"""Metrics in Prometheus' text format, and the same report as JSON.

Nothing is counted or kept here: each scrape converts one report. No label holds a value that a client chooses (name,
address, host), so the number of time series is bounded. The help texts are also the table of docs/metrics.md, which
`python -m zeroscale.daemon.reference` writes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec
from msgspec import Struct
from msgspec.structs import replace
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

WAKE_REASONS = ("login", "connection", "operator", "schedule", "restart")
"""Exported as 0 from the start: a rate cannot see the first event of a series that begins with that event."""

INFINITY = "+Inf"

PORT = ("server", "listen")
"""Labels of a port of a server: its name, and its `listen` values."""


class Metrics:
    """Renders the proxy's report for scrapers.

    :param report: returns the current report of the proxy.
    :param addresses: whether the JSON has players' addresses; no metric has them.
    """

    def __init__(self, report: Callable[[], ProxyReport], *, addresses: bool = True) -> None:
        self._report = report
        self._addresses = addresses
        # Not the library's global registry: that belongs to the program that embeds zeroscale.
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_ReportCollector(report))
        ProcessCollector(registry=self._registry)

    def exposition(self) -> bytes:
        """Return the metrics in Prometheus' text format 0.0.4, including CPU, memory and descriptors of the process."""
        return generate_latest(self._registry)

    def json(self) -> bytes:
        """Return the whole report as one JSON object with the fields of `zeroscale.reports.ProxyReport`."""
        report = self._report()
        if not self._addresses:
            report = replace(report, servers=tuple(_without_addresses(server) for server in report.servers))
        return msgspec.json.encode(report, enc_hook=_mapping_to_dict)


def _without_addresses(server: ServerReport) -> ServerReport:
    return replace(server, players=tuple(replace(player, address="") for player in server.players))


def _mapping_to_dict(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise NotImplementedError(f"no JSON for {type(value).__name__}")


class _ReportCollector(Collector):
    def __init__(self, report: Callable[[], ProxyReport]) -> None:
        self._report = report

    def collect(self) -> Iterator[Metric]:
        report = self._report()
        yield from _proxy_metrics(report)
        yield from _server_gauges(report.servers)
        yield _port_clients(report.servers)
        yield from _datagrams(report.servers)
        yield from _server_counters(report.servers)
        yield _start_durations(report.servers)


class MetricDescription(Struct, frozen=True):
    """A metric as the documentation lists it.

    :ivar kind: `gauge`, `counter` or `histogram`.
    """

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str


def describe() -> Iterator[MetricDescription]:
    """Return the descriptions of all metrics."""
    nothing = ProxyReport(version="", uptime=0.0, servers=(), relays=(), pending_connections=0, unrouted={})
    for family in _ReportCollector(lambda: nothing).collect():
        # The library has no public attribute for the labels of a family without samples.
        names: Iterable[str] = getattr(family, "_labelnames", ())
        labels = tuple(names) or tuple(label for sample in family.samples for label in sample.labels)
        suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
        kind = "gauge" if family.type == "info" else family.type
        yield MetricDescription(family.name + suffix, kind, labels, family.documentation)


def _proxy_metrics(report: ProxyReport) -> Iterator[Metric]:
    yield InfoMetricFamily("zeroscale_build", "1, with the version", {"version": report.version})
    yield GaugeMetricFamily("zeroscale_uptime_seconds", "seconds since the proxy started", report.uptime)
    yield GaugeMetricFamily(
        "zeroscale_pending_connections",
        "connections that have not logged in, or are being closed",
        report.pending_connections,
    )
    unrouted = _counter(
        "zeroscale_unrouted_connections",
        "ended connections whose host no server has, by the outcome in the log",
        "outcome",
    )
    for outcome, count in report.unrouted.items():
        unrouted.add_metric([outcome], count)
    yield unrouted
    info = _gauge(
        "zeroscale_relay_info",
        "1 for each relay that is available: splice (the kernel moves the bytes), transport (TLS, other systems)",
        "relay",
    )
    live = _gauge("zeroscale_relay_live_pairs", "connections relayed now", "relay")
    total = _counter("zeroscale_relay_pairs", "connections relayed in total", "relay")
    relayed = _counter("zeroscale_relay_bytes", "bytes relayed", "relay", "direction")
    small_pipes = _counter(
        "zeroscale_relay_small_pipes",
        "times that the kernel refused a pipe of full size: the user's pipes exceed fs.pipe-user-pages-soft",
        "relay",
    )
    for relay in report.relays:
        info.add_metric([relay.name], 1)
        live.add_metric([relay.name], relay.live)
        total.add_metric([relay.name], relay.total)
        relayed.add_metric([relay.name, "to_server"], relay.to_backend)
        relayed.add_metric([relay.name, "to_client"], relay.to_client)
        small_pipes.add_metric([relay.name], relay.small_pipes)
    yield from (info, live, total, relayed, small_pipes)


Value = Callable[[ServerReport], float | None]

SERVER_GAUGES: tuple[tuple[str, str, Value], ...] = (
    ("zeroscale_server_status_age_seconds", "seconds in its status", lambda server: server.status_age),
    ("zeroscale_server_players", "players relayed to it", lambda server: len(server.players)),
    ("zeroscale_server_held_players", "players waiting until it is ready", lambda server: len(server.waiting)),
    (
        "zeroscale_server_uptime_seconds",
        "seconds since it was ready; no sample while it is not",
        lambda server: server.uptime,
    ),
    (
        "zeroscale_server_idle_countdown_seconds",
        "seconds until the next idle check; no sample while a connection counts as a player's",
        lambda server: server.idle_in,
    ),
    (
        "zeroscale_server_kept_awake",
        "1 while it is kept running though idle",
        lambda server: server.keep_awake_reason is not None,
    ),
    (
        "zeroscale_server_locked_out",
        "1 while no player may wake it",
        lambda server: server.lockout is not None,
    ),
    ("zeroscale_server_last_start_seconds", "seconds of the last start", lambda server: server.last_start),
    (
        "zeroscale_server_start_estimate_seconds",
        "estimated seconds of the next start, as players read it",
        lambda server: server.estimate,
    ),
    (
        "zeroscale_server_retry_countdown_seconds",
        "seconds until a failed server may be woken again; no sample if only release or wake allows that",
        lambda server: server.retry_in,
    ),
)
"""Name, help and value of each gauge of a server; a value of None yields no sample."""

SERVER_COUNTERS: tuple[tuple[str, str, Value], ...] = (
    ("zeroscale_server_slept_seconds", "seconds stopped or paused", lambda server: server.slept),
    ("zeroscale_server_crashes", "crashes, and starts that failed", lambda server: server.stats.crashes),
    (
        "zeroscale_server_pings",
        "status requests, answered by zeroscale or the server",
        lambda server: server.stats.pings,
    ),
    (
        "zeroscale_server_logins",
        "logins, and connections of other protocols",
        lambda server: server.stats.logins,
    ),
)
"""Name, help and value of each counter of a server that has no further labels."""


def _server_gauges(servers: tuple[ServerReport, ...]) -> Iterator[Metric]:
    info = _gauge("zeroscale_server_info", "1 for each server, with its plugin", "server", "plugin")
    names = ", ".join(each.value for each in Status)
    status = _gauge("zeroscale_server_status", f"1 for its status, 0 for the others: {names}", "server", "status")
    for server in servers:
        info.add_metric([server.name, server.plugin], 1)
        for each in Status:
            status.add_metric([server.name, each.value], each is server.status)
    yield from (info, status)
    for name, help_text, value in SERVER_GAUGES:
        family = _gauge(name, help_text, "server")
        for server in servers:
            number = value(server)
            if number is not None:
                family.add_metric([server.name], number)
        yield family


def _port_clients(servers: tuple[ServerReport, ...]) -> Metric:
    family = _gauge(
        "zeroscale_port_clients",
        "clients relayed now, over UDP those with a session, for each port of a server by its listen values",
        "server",
        "listen",
    )
    for server in servers:
        clients: Counter[str] = Counter()  # two ports may share a listen value, each for its hosts
        for port in server.ports:
            clients[" ".join(port.listen)] += port.clients
        for listen, number in clients.items():
            family.add_metric([server.name, listen], number)
    return family


def _datagrams(servers: tuple[ServerReport, ...]) -> Iterator[Metric]:
    moved = _counter("zeroscale_port_datagrams", "datagrams relayed (UDP)", *PORT, "direction")
    answers = _counter("zeroscale_port_answers", "datagrams sent by zeroscale itself (UDP)", *PORT)
    dropped = _counter(
        "zeroscale_port_dropped_datagrams", "datagrams dropped (UDP), by reason; see docs/udp.md", *PORT, "reason"
    )
    sessions = _counter("zeroscale_port_sessions", "sessions opened (UDP)", *PORT)
    for server in servers:
        for port in server.ports:
            sums = port.datagrams
            if sums is None:
                continue
            labels = [server.name, " ".join(port.listen)]
            moved.add_metric([*labels, "to_server"], sums.to_server)
            moved.add_metric([*labels, "to_client"], sums.to_client)
            answers.add_metric(labels, sums.answers)
            sessions.add_metric(labels, sums.sessions)
            for reason, count in sums.dropped.items():
                dropped.add_metric([*labels, reason], count)
    yield from (moved, answers, dropped, sessions)


def _server_counters(servers: tuple[ServerReport, ...]) -> Iterator[Metric]:
    for name, help_text, value in SERVER_COUNTERS:
        family = _counter(name, help_text, "server")
        for server in servers:
            family.add_metric([server.name], value(server) or 0)
        yield family
    seconds = _counter("zeroscale_server_status_seconds", "seconds spent in each status", "server", "status")
    wakes = _counter(
        "zeroscale_server_wakes",
        "wakes: by a login, a connection (other protocols), the operator, a schedule, a restart, another program",
        "server",
        "reason",
    )
    refusals = _counter(
        "zeroscale_server_refusals",
        "refused logins, by reason: not_whitelisted, banned, rate, lockout and others",
        "server",
        "reason",
    )
    connections = _counter(
        "zeroscale_server_connections", "ended connections, by the outcome in the log", "server", "outcome"
    )
    relayed = _counter("zeroscale_server_relayed_bytes", "bytes relayed", "server", "direction")
    for server in servers:
        stats = server.stats
        for status in Status:
            seconds.add_metric([server.name, status.value], stats.seconds_by_status.get(status, 0.0))
        for reason, count in {**dict.fromkeys(WAKE_REASONS, 0), **stats.wakes}.items():
            wakes.add_metric([server.name, reason], count)
        for reason, count in stats.refusals.items():
            refusals.add_metric([server.name, reason], count)
        for outcome, count in stats.outcomes.items():
            connections.add_metric([server.name, outcome], count)
        relayed.add_metric([server.name, "to_server"], stats.to_backend)
        relayed.add_metric([server.name, "to_client"], stats.to_client)
    yield from (seconds, wakes, refusals, connections, relayed)


def _start_durations(servers: tuple[ServerReport, ...]) -> Metric:
    family = HistogramMetricFamily(
        "zeroscale_server_start_duration_seconds",
        "seconds of successful starts; bounds from 1 to 600 s",
        labels=["server"],
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
