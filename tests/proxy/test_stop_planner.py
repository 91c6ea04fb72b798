"""Where the stops of a server are planned."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from harness import stub_config
from lifecycle.harness import LifecycleHarness
from processes import Program, python

from zeroscale.events import Cause, CauseKind
from zeroscale.proxy.stop_planner import StopPlanner
from zeroscale.status import Status

BERLIN = ZoneInfo("Europe/Berlin")
START = datetime(2026, 6, 1, 4, 0, tzinfo=BERLIN).timestamp()
SCHEDULE = Cause(CauseKind.schedule)


class Harness(LifecycleHarness):
    """A lifecycle, and where its stops are planned."""

    def __init__(self, directory: Path, **values: Any) -> None:
        super().__init__(idle=1e6)
        self.line: str | None = "say it"
        self.config = stub_config("test", 1, 2, directory, timezone="Europe/Berlin", **values)
        self.running()
        self.planner = StopPlanner(
            self.config, self.lifecycle, self.clock, self.now, lambda seconds, restart: self.line, lambda: None
        )

    def now(self) -> float:
        return START + self.clock.seconds()

    def first_at(self) -> float | None:
        """When the first stop is planned."""
        return None if self.planner.first is None else self.planner.first.at

    @property
    def sent(self) -> list[str]:
        return [call for call in self.plugin.calls if call.startswith("send")]


def test_restarts_are_planned_in_the_servers_time_zone(tmp_path: Path) -> None:
    assert Harness(tmp_path, restart="0 5 * * *").first_at() == START + 3600


def test_a_restart_can_be_configured_and_removed_while_the_server_runs(tmp_path: Path) -> None:
    harness = Harness(tmp_path)
    assert harness.first_at() is None
    harness.planner.configure(stub_config("test", 1, 2, tmp_path, timezone="Europe/Berlin", restart="30 4 * * *"))
    assert harness.first_at() == START + 1800
    harness.planner.configure(stub_config("test", 1, 2, tmp_path))
    assert harness.first_at() is None
    harness.clock.pump([60.0] * 30)
    assert harness.status() is Status.running


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
