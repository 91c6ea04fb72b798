"""The report of one server."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness import FakeReactor, proxy_config, stub_config
from msgspec.structs import replace

from zeroscale.config.model import PortConfig
from zeroscale.events import Cause, CauseKind
from zeroscale.lifecycle.stats import StatsRecorder
from zeroscale.proxy.managed_server import ManagedServer
from zeroscale.proxy.planned_stops import PlannedStop
from zeroscale.proxy.server_report import server_report
from zeroscale.reports import LastEvent, PlannedStopReport, PortReport
from zeroscale.state.last_events import CausedEvent, LastEvents
from zeroscale.status import ClientInfo, Status
from zeroscale.system.background_file import FileWriter


@pytest.fixture
def server(tmp_path: Path) -> ManagedServer:
    config = stub_config("one", 25565, 25566, tmp_path)
    return ManagedServer(config, proxy_config(tmp_path, config), FakeReactor(), FileWriter())


def test_a_server_that_never_ran(server: ManagedServer) -> None:
    stats = StatsRecorder(Status.stopped, 0.0).snapshot(30.0)
    report = server_report(server.lifecycle, server.config, [], stats, LastEvents(), 30.0, 1e9)
    assert (report.name, report.plugin, report.status) == ("one", "stub_server:Server", Status.stopped)
    assert (report.status_age, report.slept) == (30.0, 30.0)
    assert (report.uptime, report.idle_in, report.retry_in) == (None, None, None)
    assert (report.last_start, report.last_error, report.last_error_ago) == (None, None, None)
    assert report.stats is stats


def test_reasons_and_waiting_players(server: ManagedServer) -> None:
    server.keep_awake(None)
    server.lock_out("Back at eight.")
    report = server.report()
    assert (report.keep_awake_reason, report.lockout) == (
        "kept awake by its operator until it is released",
        "Back at eight.",
    )
    assert report.waiting == ()


def test_planned_stops(server: ManagedServer) -> None:
    stats = StatsRecorder(Status.stopped, 0.0).snapshot(30.0)
    cause = Cause(CauseKind.operator, operator="max")
    stops = [PlannedStop(4600.0, cause, ""), PlannedStop(3999.0, replace(cause, detail="late"), "")]
    report = server_report(server.lifecycle, server.config, [], stats, LastEvents(), 30.0, 4000.0, planned_stops=stops)
    assert report.planned_stops == (
        PlannedStopReport(seconds=600.0, kind="operator", operator="max"),
        PlannedStopReport(seconds=0.0, kind="operator", operator="max", detail="late"),
    )


def test_where_it_listens_and_what_happened_last(server: ManagedServer) -> None:
    stats = StatsRecorder(Status.stopped, 0.0).snapshot(30.0)
    events = LastEvents(
        wake=CausedEvent(at=1000.0, kind="login", player="Ada"),
        stop=CausedEvent(at=5000.0, kind="operator", operator="max", pause=True),
    )
    config = replace(server.config, hosts=("survival.example.org",), needs=("db",))
    report = server_report(server.lifecycle, config, [], stats, events, 30.0, 4000.0, keep_asleep_reason="a backup")
    assert (report.listen, report.hosts, report.needs) == (("25565",), ("survival.example.org",), ("db",))
    assert report.last_wake == LastEvent(ago=3000.0, kind="login", player="Ada")
    assert report.last_stop == LastEvent(ago=0.0, kind="operator", operator="max", pause=True), "the clock was set back"
    assert (report.awake, report.keep_asleep_reason, report.last_refusal) == ((), "a backup", None)


def test_the_last_login_that_was_refused(server: ManagedServer) -> None:
    stats = StatsRecorder(Status.stopped, 0.0).snapshot(30.0)
    server.lifecycle.refused(ClientInfo("Eve", "192.0.2.1:1"), "unknown", "has never joined the server")
    report = server_report(server.lifecycle, server.config, [], stats, LastEvents(), 30.0, 0.0)
    assert report.last_refusal == LastEvent(ago=0.0, kind="unknown", player="Eve", detail="has never joined the server")


def test_each_port_and_who_is_on_it(tmp_path: Path) -> None:
    web = PortConfig(listen=("8123",), server_port=8100, protocol="http", keeps_awake=True, hosts=("map.example.org",))
    config = stub_config("one", 25565, 25566, tmp_path, ports=(web,))
    server = ManagedServer(config, proxy_config(tmp_path, config), FakeReactor(), FileWriter())
    ended = [port.backend.relaying(lambda: (0, 0)) for port in (*server.ports, server.ports[1])]
    ended[1]()
    ended[2]()
    server.ports[1].backend.relaying(lambda: (0, 0))
    assert server.report().ports == (
        PortReport(listen=("25565",), clients=1),
        PortReport(listen=("8123",), hosts=web.hosts, protocol="http", wakes=False, keeps_awake=True, clients=1),
    )
