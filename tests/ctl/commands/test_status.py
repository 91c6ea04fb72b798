"""`zeroscalectl status`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_twisted
from ctl.ctl_fixture import CtlHarness

from zeroscale.ctl import socket_discovery
from zeroscale.ctl.commands import status
from zeroscale.errors import BackendError
from zeroscale.reports import AwakeKind, AwakeReason, PlayerReport
from zeroscale.status import Status


@pytest_twisted.ensureDeferred
async def test_for_people(harness: CtlHarness) -> None:
    harness.proxy.servers["survival"].players = (PlayerReport("\x1b[2JSteve", "192.0.2.1:1", 60.0),)
    run = await harness.run("status")
    assert run.code == 0
    assert run.out.startswith("survival (demo): stopped for 1 min\n")
    assert "\ufffd[2JSteve (1 min)" in run.out and "\x1b" not in run.out


@pytest_twisted.ensureDeferred
async def test_in_colour_on_a_terminal(harness: CtlHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    run = await harness.run("status", terminal=True)
    assert "\033[2mstopped\033[0m" in run.out


@pytest_twisted.ensureDeferred
async def test_for_programs(harness: CtlHarness) -> None:
    harness.proxy.servers["survival"].players = (PlayerReport("\x9b2J", "192.0.2.1:1", 60.0),)
    run = await harness.run("status", "survival", "--json")
    [server] = json.loads(run.out)["servers"]
    assert (server["name"], server["status"], server["plugin"]) == ("survival", "stopped", "demo")
    assert server["players"] == [{"name": "\x9b2J", "address": "192.0.2.1:1", "seconds": 60.0}]
    assert server["stats"]["to_backend"] == 2048
    assert "\x9b" not in run.out


@pytest.mark.parametrize(
    ("name", "code"),
    [("running", 0), ("stopped", 10), ("starting", 11), ("stopping", 12), ("paused", 13), ("failed", 14)],
)
@pytest_twisted.ensureDeferred
async def test_the_status_as_an_exit_code(harness: CtlHarness, name: str, code: int) -> None:
    harness.proxy.servers["survival"].status = Status(name)
    assert (await harness.run("status", "--exit-code")).code == code
    assert (await harness.run("status")).code == 0


@pytest_twisted.ensureDeferred
async def test_one_that_there_is_not(harness: CtlHarness) -> None:
    run = await harness.run("status", "survivle")
    assert (run.code, run.err) == (2, "zeroscalectl: error: there is no server 'survivle'; did you mean survival?\n")


@pytest_twisted.ensureDeferred
async def test_a_reason_that_only_a_newer_zeroscale_knows(harness: CtlHarness) -> None:
    harness.proxy.servers["survival"].fields["awake"] = ({"kind": "moonrise", "text": "the moon is up"},)
    assert "Awake        the moon is up" in (await harness.run("status")).out


@pytest_twisted.ensureDeferred
async def test_several(harness: CtlHarness) -> None:
    harness.proxy.add("creative")
    run = await harness.run("status")
    assert [line.split()[0] for line in run.out.splitlines()] == ["NAME", "creative", "survival"]
    assert (await harness.run("status", "--exit-code")).code == 2
    assert (await harness.run("status", "creative", "--exit-code")).code == 10


@pytest_twisted.ensureDeferred
async def test_watched_in_a_file_a_line_comes_with_each_change(harness: CtlHarness) -> None:
    watching = harness.run("status", "--watch")
    await harness.until(lambda: "stopped" in harness.out.getvalue())
    harness.proxy.servers["survival"].status = Status.starting
    harness.proxy.changed("survival")
    await harness.until(lambda: "starting" in harness.out.getvalue())
    await harness.close()
    run = await watching
    assert run.code == 1 and "cancelled: " in run.err
    assert run.out.count("survival (demo)") == 2


@pytest_twisted.ensureDeferred
async def test_watched_on_a_terminal_the_screen_is_redrawn(harness: CtlHarness) -> None:
    watching = harness.run("status", "--watch", terminal=True)
    await harness.until(lambda: harness.out.getvalue().startswith("\033[H\033[2J"))
    harness.proxy.changed("survival")
    await harness.until(lambda: harness.out.getvalue().count("\033[H\033[2J") > 1)
    await harness.close()
    await watching


@pytest_twisted.ensureDeferred
async def test_watched_by_a_program_each_is_a_line(harness: CtlHarness) -> None:
    watching = harness.run("status", "--watch", "--json")
    await harness.until(lambda: harness.out.getvalue().endswith("\n"))
    harness.proxy.changed("survival")
    await harness.until(lambda: harness.out.getvalue().count("\n") > 1)
    await harness.close()
    run = await watching
    assert all(json.loads(line)["servers"][0]["name"] == "survival" for line in run.out.splitlines())


@pytest_twisted.async_yield_fixture
async def several(harness: CtlHarness, directory: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[CtlHarness]:
    """Three zeroscales that a command without a choice finds; two of them have a server of the same name."""
    monkeypatch.delenv(socket_discovery.VARIABLE, raising=False)
    monkeypatch.setattr("zeroscale.control.socket_path.SYSTEM_DIRECTORY", directory)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(directory / "none"))
    monkeypatch.setenv("XDG_STATE_HOME", str(directory / "none"))
    monkeypatch.setattr(status, "LOOK_EVERY", 0.02)
    await harness.add(directory / "lobby-25566.sock", "lobby-25566")
    await harness.add(directory / "second" / "control.sock", "survival", "creative")
    yield harness


def names(printed: str) -> list[str]:
    return [line.split("  ")[0] for line in printed.splitlines() if not line.startswith("NAME")]


@pytest_twisted.ensureDeferred
async def test_all_zeroscales_are_asked(several: CtlHarness, directory: Path) -> None:
    run = await several.run("status", chosen=False)
    assert (run.code, run.err) == (0, "")
    assert names(run.out) == ["creative", "lobby-25566", "survival (second)", f"survival ({directory.name})"]
    run = await several.run("status", "creative", chosen=False)
    assert run.out.startswith("creative (demo): stopped")
    run = await several.run("status", "--exit-code", chosen=False)
    assert (run.code, "--exit-code needs the name of one server" in run.err) == (2, True)
    run = await several.run("status")
    assert run.out.startswith("survival (demo): stopped"), "this one was chosen"


@pytest_twisted.ensureDeferred
async def test_the_reports_of_all_as_json(several: CtlHarness, directory: Path) -> None:
    reports = json.loads((await several.run("status", "--json", chosen=False)).out)
    assert [(each["socket"], [server["name"] for server in each["servers"]]) for each in reports] == [
        (str(directory / "control.sock"), ["survival"]),
        (str(directory / "lobby-25566.sock"), ["lobby-25566"]),
        (str(directory / "second" / "control.sock"), ["creative", "survival"]),
    ]
    [server] = json.loads((await several.run("status", "--json")).out)["servers"]
    assert server["name"] == "survival"


@pytest_twisted.ensureDeferred
async def test_one_that_answers_with_an_error_does_not_hide_the_others(several: CtlHarness) -> None:
    def fails() -> None:
        raise BackendError("no answer in 60 s")

    several.proxy.report = fails  # type: ignore[assignment,method-assign]
    run = await several.run("status", chosen=False)
    assert names(run.out) == ["creative", "lobby-25566", "survival"]
    assert (run.code, run.err) == (1, "zeroscalectl: error: no answer in 60 s\n")


@pytest_twisted.ensureDeferred
async def test_all_are_watched(several: CtlHarness) -> None:
    watching = several.run("status", "--watch", chosen=False)
    await several.until(lambda: "survival" in several.out.getvalue())
    several.proxy.servers["survival"].status = Status.running
    several.proxy.servers["survival"].fields["awake"] = (AwakeReason(AwakeKind.players, "1 player: Ada"),)
    await several.until(lambda: "1 player: Ada" in several.out.getvalue())
    await several.close_last()
    await several.until(lambda: several.out.getvalue().splitlines()[-1].startswith("survival     running"))
    await several.close()
    run = await watching
    assert run.code == 3
    assert run.err.count("zeroscalectl: error: the zeroscale on ") == 3


@pytest_twisted.ensureDeferred
async def test_all_are_watched_by_a_program(several: CtlHarness) -> None:
    watching = several.run("status", "--watch", "--json", chosen=False)
    await several.until(lambda: several.out.getvalue().count("\n") > 2)
    await several.close()
    lines = (await watching).out.splitlines()
    assert [len(each) for each in map(json.loads, lines[:2])] == [3, 3]
