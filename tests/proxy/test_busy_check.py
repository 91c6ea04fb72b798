"""Whether an idle server is busy, by the command that is configured now."""

from __future__ import annotations

from pathlib import Path

from harness import stub_config
from pytest_twisted import ensureDeferred

from zeroscale.proxy.busy_check import BusyCheck


@ensureDeferred
async def test_a_server_without_a_command_is_not_busy(tmp_path: Path) -> None:
    assert await BusyCheck(lambda: 0.0).ask(stub_config("one", 1, 2, tmp_path)) is None


@ensureDeferred
async def test_the_command_runs_in_the_servers_directory_and_environment(tmp_path: Path) -> None:
    command = ("sh", "-c", 'echo "$PWD $GIVEN $ZEROSCALE_SERVER"')
    config = stub_config("one", 1, 2, tmp_path, busy_command=command, environment={"GIVEN": "yes"})
    assert await BusyCheck(lambda: 0.0).ask(config) == f"busy: {tmp_path} yes one"


@ensureDeferred
async def test_another_command_counts_at_once(tmp_path: Path) -> None:
    check = BusyCheck(lambda: 0.0)
    first = stub_config("one", 1, 2, tmp_path, busy_command=("echo", "backup"))
    assert await check.ask(first) == "busy: backup"
    assert await check.ask(stub_config("one", 1, 2, tmp_path, busy_command=("false",))) is None
    assert await check.ask(stub_config("one", 1, 2, tmp_path)) is None
    assert await check.ask(first) == "busy: backup"


@ensureDeferred
async def test_its_time_is_limited(tmp_path: Path) -> None:
    config = stub_config("one", 1, 2, tmp_path, busy_command=("sleep", "60"), busy_timeout=0.1)
    assert await BusyCheck(lambda: 0.0).ask(config) is None
