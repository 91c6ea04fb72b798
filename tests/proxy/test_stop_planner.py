"""Where the stops of a server are planned."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from harness import stub_config
from lifecycle.harness import LifecycleHarness
from processes import Program, python
from twisted.internet.defer import fail
from twisted.internet.task import Clock

from zeroscale.errors import PluginError
from zeroscale.events import Cause, CauseKind
from zeroscale.proxy.stop_planner import StopPlanner
from zeroscale.status import Status

BERLIN = ZoneInfo("Europe/Berlin")
START = datetime(2026, 6, 1, 4, 0, tzinfo=BERLIN).timestamp()
SCHEDULE = Cause(CauseKind.schedule)


class Note:
    """What is remembered of the operator's plan."""

    def __init__(self, stop_at: float | None = None, stop_by: str = "") -> None:
        self.stop_at = stop_at
        self.stop_by = stop_by

    def note_stop(self, at: float | None, operator: str = "") -> None:
        self.stop_at, self.stop_by = at, operator


class Harness(LifecycleHarness):
    """A lifecycle, and where its stops are planned."""

    def __init__(self, directory: Path, note: Note | None = None, **values: Any) -> None:
        super().__init__(idle=1e6)
        self.line: str | None = "say it"
        self.note = note or Note()
        self.changes = 0
        self.stopped_first: Sequence[Dependent] = ()
        self.config = stub_config("test", 1, 2, directory, timezone="Europe/Berlin", **values)
        self.running()
        self.planner = StopPlanner(
            self.config,
            self.lifecycle,
            self.clock,
            self.now,
            self.note,
            lambda seconds, restart: self.line,
            self.changed,
            lambda: self.stopped_first,
        )

    def changed(self) -> None:
        self.changes += 1

    def now(self) -> float:
        return START + self.clock.seconds()

    @property
    def times(self) -> list[float]:
        """When stops are planned."""
        return [stop.at for stop in self.planner.planned]

    @property
    def sent(self) -> list[str]:
        return [call for call in self.plugin.calls if call.startswith("send")]


def test_restarts_are_planned_in_the_servers_time_zone(tmp_path: Path) -> None:
    assert Harness(tmp_path, restart="0 5 * * *").times == [START + 3600]


def test_a_restart_can_be_configured_and_removed_while_the_server_runs(tmp_path: Path) -> None:
    harness = Harness(tmp_path)
    assert harness.times == []
    harness.planner.configure(stub_config("test", 1, 2, tmp_path, timezone="Europe/Berlin", restart="30 4 * * *"))
    assert harness.times == [START + 1800]
    harness.planner.configure(stub_config("test", 1, 2, tmp_path))
    assert harness.times == []
    harness.clock.pump([60.0] * 30)
    assert harness.status() is Status.running


def test_a_retired_server_is_not_restarted_but_its_operator_may_stop_it(tmp_path: Path) -> None:
    harness = Harness(tmp_path, restart="0 5 * * *")
    harness.planner.plan_after(60.0, "max")
    harness.planner.retire()
    assert harness.times == [START + 60.0]
    harness.planner.configure(harness.config)
    assert harness.times == [START + 60.0, START + 3600.0]


def test_players_are_warned_on_the_console(tmp_path: Path) -> None:
    harness = Harness(tmp_path, stop_warnings=(60.0,))
    harness.join()
    harness.planner.stop_with_warnings(SCHEDULE, "it sleeps")
    harness.clock.advance(0)
    assert harness.sent == ["send say it"]
    harness.clock.advance(60.0)
    assert harness.status() is Status.stopping


def test_a_server_without_such_a_command_is_sent_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    harness = Harness(tmp_path, stop_warnings=(60.0,))
    harness.line = None
    harness.join()
    harness.planner.stop_with_warnings(SCHEDULE, "it sleeps")
    harness.clock.pump([0.0, 60.0])
    assert (harness.status(), harness.sent) == (Status.stopping, [])
    assert "warned" not in caplog.text


def test_an_operators_stop_is_remembered_until_it_is_over(tmp_path: Path) -> None:
    harness = Harness(tmp_path)
    harness.planner.plan_after(600.0, "max")
    assert (harness.note.stop_at, harness.note.stop_by) == (START + 600, "max")
    harness.clock.pump([60.0] * 10)
    assert (harness.status(), harness.note.stop_at) == (Status.stopping, None)


@pytest.mark.parametrize(
    ("time", "after"), [("04:01", 60.0), ("22:30", 18.5 * 3600), ("04:00", 86400.0), ("03:59", 86400.0 - 60)]
)
def test_a_time_of_day_is_that_of_the_servers_time_zone(tmp_path: Path, time: str, after: float) -> None:
    harness = Harness(tmp_path)
    harness.planner.plan_at(time, "max")
    assert harness.times == [START + after]


def test_a_stop_that_was_planned_before_zeroscale_was_restarted_comes(tmp_path: Path) -> None:
    harness = Harness(tmp_path, Note(START + 600.0, "max"))
    harness.planner.open()
    [stop] = harness.planner.planned
    assert (stop.at, stop.cause) == (START + 600.0, Cause(CauseKind.operator, operator="max"))
    harness.clock.pump([60.0] * 10)
    assert (harness.status(), harness.note.stop_at) == (Status.stopping, None)


def test_one_that_was_missed_meanwhile_is_forgotten(tmp_path: Path) -> None:
    harness = Harness(tmp_path, Note(START - 1.0, "max"))
    harness.planner.open()
    harness.clock.pump([0.0, 60.0])
    assert (harness.status(), harness.note.stop_at) == (Status.running, None)


def test_a_cancel_is_for_the_operators_stop_and_else_for_the_next_restart(tmp_path: Path) -> None:
    harness = Harness(tmp_path, restart="0 5 * * *")
    harness.planner.plan_after(600.0, "max")
    assert harness.times == [START + 600, START + 3600]
    assert harness.planner.cancel()
    assert (harness.times, harness.note.stop_at) == ([START + 3600], None)
    assert not harness.planner.release(), "that is not for restarts"
    assert harness.planner.cancel()
    assert harness.times == [START + 3600 + 86400]
    assert harness.changes == 3
    assert not Harness(tmp_path).planner.cancel()


def test_closed_it_stops_nothing(tmp_path: Path) -> None:
    harness = Harness(tmp_path, restart="0 5 * * *")
    harness.planner.close()
    harness.clock.pump([60.0] * 60)
    assert harness.status() is Status.running
    Harness(tmp_path).planner.close()


def test_what_carries_stops_out_is_imported_only_for_a_server_that_has_any(tmp_path: Path) -> None:
    code = """
import sys
import zeroscale.proxy.managed_server
names = "cronsim", "zeroscale.proxy.planned_stops", "zeroscale.probes.busy_command"
print([name for name in names if name in sys.modules])
"""
    with Program(python("-c", code)) as program:
        assert program.wait() == 0, program.output
    assert program.lines == ["[]"]


class Dependent:
    """Another server, which is stopped first."""

    def __init__(self, directory: Path, clock: Clock, line: str | None) -> None:
        self.harness = LifecycleHarness(idle=1e6, clock=clock).running()
        self.lifecycle = self.harness.lifecycle
        self.planner = StopPlanner(
            stub_config("app", 3, 4, directory, stop_warnings=(60.0,)),
            self.lifecycle,
            clock,
            clock.seconds,
            Note(),
            lambda *_: line,
            lambda: None,
        )
        self.warn_players = self.planner.warn_players


@pytest.mark.parametrize("console_works", [False, True])
def test_players_of_a_server_that_stops_first_are_warned_as_well(tmp_path: Path, console_works: bool) -> None:
    harness = Harness(tmp_path, stop_warnings=(60.0,))
    others = [Dependent(tmp_path, harness.clock, line) for line in ("say other", None, "say third")]
    harness.stopped_first = others
    if not console_works:
        harness.plugin.console = lambda line: fail(PluginError("this server has no console"))
    harness.planner.plan_after(120.0, "max")
    harness.clock.advance(59.0)
    player = others[2].harness.join()
    harness.clock.advance(1.0)
    assert harness.sent == ["send say it"]
    sent = [[call for call in each.harness.plugin.calls if call.startswith("send")] for each in others]
    assert sent == [["send say other"], [], ["send say third"]]
    player.end()
    harness.clock.advance(60.0)
    assert harness.status() is Status.stopping


@pytest.mark.parametrize("own", [119.0, 120.0, 121.0, 600.0])
def test_players_of_two_servers_that_stop_together_are_warned_once(tmp_path: Path, own: float) -> None:
    harness = Harness(tmp_path, stop_warnings=(60.0,))
    other = Dependent(tmp_path, harness.clock, "say other")
    harness.stopped_first = [other]
    player = other.harness.join()
    other.planner.plan_after(own, "max")
    harness.planner.plan_after(120.0, "max")
    harness.clock.pump([1.0] * 70)
    assert [call for call in other.harness.plugin.calls if call.startswith("send")] == ["send say other"]
    assert harness.sent == ["send say it"]
    player.end()


def test_nobody_is_warned_where_all_are_empty(tmp_path: Path) -> None:
    harness = Harness(tmp_path, stop_warnings=(60.0,))
    harness.stopped_first = [Dependent(tmp_path, harness.clock, "say other")]
    harness.planner.plan_after(120.0, "max")
    harness.clock.advance(60.0)
    assert harness.sent == []
