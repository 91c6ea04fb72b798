"""`zeroscalectl status`."""

from __future__ import annotations

import json

import pytest
import pytest_twisted
from ctl.ctl_fixture import CtlHarness

from zeroscale.reports import PlayerReport
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
    ("status", "code"),
    [("running", 0), ("stopped", 10), ("starting", 11), ("stopping", 12), ("paused", 13), ("failed", 14)],
)
@pytest_twisted.ensureDeferred
async def test_the_status_as_an_exit_code(harness: CtlHarness, status: str, code: int) -> None:
    harness.proxy.servers["survival"].status = Status(status)
    assert (await harness.run("status", "--exit-code")).code == code
    assert (await harness.run("status")).code == 0


@pytest_twisted.ensureDeferred
async def test_one_that_there_is_not(harness: CtlHarness) -> None:
    run = await harness.run("status", "survivle")
    assert (run.code, run.err) == (2, "zeroscalectl: error: there is no server 'survivle'; did you mean survival?\n")


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
