"""The report as metrics, parsed by Prometheus' own parser, and as JSON with the same values."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from control.reports import asleep, proxy_report, running
from msgspec.structs import replace
from pages import blocks
from prometheus_client.parser import text_string_to_metric_families

from zeroscale.control.metrics import Metrics
from zeroscale.lifecycle.stats import START_BOUNDS
from zeroscale.reports import DatagramReport, PortReport, ProxyReport
from zeroscale.status import Status

DOCS = (Path(__file__).parent.parent.parent / "docs" / "metrics.md").read_text()

Sample = tuple[str, frozenset[tuple[str, str]]]


def scraped(report: ProxyReport) -> dict[Sample, float]:
    text = Metrics(lambda: report).exposition().decode()
    samples: dict[Sample, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in samples
            samples[key] = sample.value
    return samples


def key(name: str, **labels: str) -> Sample:
    return (f"zeroscale_{name}", frozenset(labels.items()))


@pytest.fixture(scope="module")
def samples() -> dict[Sample, float]:
    return scraped(proxy_report())


@pytest.mark.parametrize(
    ("sample", "value"),
    [
        (key("build_info", version="1.2.3"), 1),
        (key("uptime_seconds"), 500),
        (key("pending_connections"), 3),
        (key("unrouted_connections_total", outcome="unknown-host"), 4),
        (key("relay_info", relay="splice"), 1),
        (key("relay_live_pairs", relay="splice"), 2),
        (key("relay_pairs_total", relay="splice"), 5),
        (key("relay_small_pipes_total", relay="splice"), 6),
        (key("relay_bytes_total", relay="splice", direction="to_server"), 700),
        (key("relay_bytes_total", relay="transport", direction="to_client"), 2),
        (key("server_info", server="survival", plugin="minecraft"), 1),
        (key("server_status", server="survival", status="running"), 1),
        (key("server_status", server="survival", status="stopped"), 0),
        (key("server_status", server="creative", status="stopped"), 1),
        (key("server_status_age_seconds", server="survival"), 387.5),
        (key("server_status_seconds_total", server="survival", status="starting"), 12.5),
        (key("server_status_seconds_total", server="survival", status="running"), 387.5),
        (key("server_players", server="survival"), 2),
        (key("server_held_players", server="survival"), 1),
        (key("server_uptime_seconds", server="survival"), 387.5),
        (key("server_kept_awake", server="survival"), 0),
        (key("server_kept_awake", server="creative"), 1),
        (key("server_locked_out", server="creative"), 1),
        (key("server_last_start_seconds", server="survival"), 12.5),
        (key("server_start_estimate_seconds", server="survival"), 13),
        (key("server_slept_seconds_total", server="survival"), 100),
        (key("server_crashes_total", server="survival"), 1),
        (key("server_pings_total", server="survival"), 1),
        (key("server_logins_total", server="survival"), 1),
        (key("server_wakes_total", server="survival", reason="login"), 1),
        (key("server_wakes_total", server="creative", reason="operator"), 0),
        (key("server_refusals_total", server="survival", reason="banned"), 1),
        (key("server_connections_total", server="survival", outcome="left"), 2),
        (key("server_relayed_bytes_total", server="survival", direction="to_server"), 123),
        (key("server_relayed_bytes_total", server="survival", direction="to_client"), 45678),
        (key("server_start_duration_seconds_bucket", server="survival", le="10"), 0),
        (key("server_start_duration_seconds_bucket", server="survival", le="15"), 1),
        (key("server_start_duration_seconds_bucket", server="survival", le="90"), 2),
        (key("server_start_duration_seconds_bucket", server="survival", le="+Inf"), 2),
        (key("server_start_duration_seconds_count", server="survival"), 2),
        (key("server_start_duration_seconds_sum", server="survival"), 82.5),
    ],
)
def test_a_metric(samples: dict[Sample, float], sample: Sample, value: float) -> None:
    assert samples[sample] == value


def test_unknown_values_have_no_sample(samples: dict[Sample, float]) -> None:
    for name in ("uptime_seconds", "last_start_seconds", "start_estimate_seconds", "idle_countdown_seconds"):
        assert key(f"server_{name}", server="creative") not in samples
    report = proxy_report(replace(asleep(), idle_in=12.0, retry_in=30.0, status=Status.failed))
    later = scraped(report)
    assert later[key("server_idle_countdown_seconds", server="creative")] == 12
    assert later[key("server_retry_countdown_seconds", server="creative")] == 30


def test_metrics_of_the_process(samples: dict[Sample, float]) -> None:
    assert samples["process_resident_memory_bytes", frozenset()] > 1e6


def test_each_scrape_uses_a_new_report() -> None:
    reports = [proxy_report(asleep()), proxy_report(running())]
    metrics = Metrics(lambda: reports.pop(0))
    assert b'zeroscale_server_info{plugin="generic"' in metrics.exposition()
    assert b'zeroscale_server_info{plugin="minecraft"' in metrics.exposition()


def test_names_follow_prometheus_conventions() -> None:
    for family in text_string_to_metric_families(Metrics(proxy_report).exposition().decode()):
        assert re.fullmatch("(zeroscale|process)_[a-z_]+", family.name)
        assert family.documentation
        for sample in family.samples:
            assert sample.name.endswith("_total") == (family.type == "counter"), sample.name


def test_clients_cannot_choose_labels(samples: dict[Sample, float]) -> None:
    values = {value for _, labels in samples for _, value in labels}
    assert not values & {"Steve", "Alex", "Herobrine"}
    assert not any("203.0.113" in value for value in values)


def test_any_server_name_is_a_label() -> None:
    name = 'a "name"\\ with\nall of it'
    assert scraped(proxy_report(asleep(name)))[key("server_players", server=name)] == 0


def test_json_has_the_same_values(samples: dict[Sample, float]) -> None:
    whole: dict[str, Any] = json.loads(Metrics(proxy_report).json())
    assert (whole["version"], whole["uptime"], whole["pending_connections"]) == ("1.2.3", 500.0, 3)
    for relay in whole["relays"]:
        assert samples[key("relay_live_pairs", relay=relay["name"])] == relay["live"]
        assert samples[key("relay_pairs_total", relay=relay["name"])] == relay["total"]
        for direction, field in (("to_server", "to_backend"), ("to_client", "to_client")):
            name = key("relay_bytes_total", relay=relay["name"], direction=direction)
            assert samples[name] == relay[field]
    assert [server["name"] for server in whole["servers"]] == ["survival", "creative"]
    for server in whole["servers"]:
        name, stats = server["name"], server["stats"]
        assert samples[key("server_status", server=name, status=server["status"])] == 1
        assert samples[key("server_players", server=name)] == len(server["players"])
        assert samples[key("server_slept_seconds_total", server=name)] == server["slept"]
        for status, seconds in stats["seconds_by_status"].items():
            assert samples[key("server_status_seconds_total", server=name, status=status)] == seconds
        assert set(stats["seconds_by_status"]) == {status.value for status in Status}
        for field in ("crashes", "pings", "logins"):
            assert samples[key(f"server_{field}_total", server=name)] == stats[field]
        for field, metric, label in (
            ("wakes", "wakes", "reason"),
            ("refusals", "refusals", "reason"),
            ("outcomes", "connections", "outcome"),
        ):
            for word, count in stats[field].items():
                assert samples[key(f"server_{metric}_total", server=name, **{label: word})] == count
        assert [bound for bound, _ in stats["start_durations"]] == list(START_BOUNDS)
        for bound, count in stats["start_durations"]:
            name_of_bucket = key("server_start_duration_seconds_bucket", server=name, le=f"{bound:g}")
            assert samples[name_of_bucket] == count


def test_json_has_addresses_unless_disabled() -> None:
    [survival, _] = json.loads(Metrics(proxy_report).json())["servers"]
    assert survival["players"][0] == {"name": "Steve", "address": "203.0.113.7:1234", "seconds": 60.0}
    without = Metrics(proxy_report, addresses=False).json()
    [survival, _] = json.loads(without)["servers"]
    assert survival["players"][0] == {"name": "Steve", "address": "", "seconds": 60.0}
    assert b"203.0.113" not in without


def test_the_docs_list_every_metric() -> None:
    documented = set(re.findall(r"^\| `((?:zeroscale|process)_\w+)", DOCS, re.MULTILINE))
    report = proxy_report(replace(running(), idle_in=1.0, retry_in=1.0))
    families = list(text_string_to_metric_families(Metrics(lambda: report).exposition().decode()))
    exported = {family.name + ("_total" if family.type == "counter" else "") for family in families}
    assert len(exported) > 30
    assert exported == documented


def test_queries_and_alerts_of_the_docs_use_metrics_that_are_listed() -> None:
    examples = "".join(each.text for language in ("promql", "yaml") for each in blocks("docs/metrics.md", language))
    used = {name.removesuffix("_bucket") for name in re.findall(r"\b(?:zeroscale|process)_\w+", examples)}
    assert len(used) > 6
    assert sorted(name for name in used if f"| `{name}` |" not in DOCS) == []


def test_the_docs_list_every_label() -> None:
    rows = dict(re.findall(r"^\| `(zeroscale_\w+)` \| \w+ \|([^|]*)\|", DOCS, re.MULTILINE))
    for name, labels in scraped(proxy_report()):
        family = re.sub("_(bucket|count|sum)$", "", name)
        if family.startswith("zeroscale_"):
            assert {label for label, _ in labels} - {"le"} == set(re.findall(r"`(\w+)`", rows[family])), family


def test_clients_of_each_port() -> None:
    ports = (
        PortReport(listen=("25565", "25566"), clients=2),
        PortReport(listen=("80",), hosts=("a.example.org",), clients=3),
        PortReport(listen=("80",), hosts=("b.example.org",), clients=4),
    )
    report = proxy_report()
    report = replace(report, servers=(replace(report.servers[0], name="game", ports=ports),))
    found = {dict(labels)["listen"]: value for (name, labels), value in scraped(report).items() if "port_" in name}
    assert found == {"25565 25566": 2, "80": 7}


def test_datagrams_are_counted_for_each_port_of_udp() -> None:
    sums = DatagramReport(to_server=7, to_client=8, answers=9, dropped={"asleep": 3}, sessions=2)
    ports = PortReport(listen=("25565",)), PortReport(listen=("udp:1", "udp:2"), datagrams=sums)
    samples = scraped(replace(proxy_report(), servers=(replace(running(), ports=ports),)))
    labels = {"server": "survival", "listen": "udp:1 udp:2"}
    assert samples[key("port_datagrams_total", **labels, direction="to_server")] == 7
    assert samples[key("port_datagrams_total", **labels, direction="to_client")] == 8
    assert samples[key("port_answers_total", **labels)] == 9
    assert samples[key("port_dropped_datagrams_total", **labels, reason="asleep")] == 3
    assert samples[key("port_sessions_total", **labels)] == 2
    assert key("port_sessions_total", server="survival", listen="25565") not in samples
