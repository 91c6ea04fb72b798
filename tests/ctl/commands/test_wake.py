"""`zeroscalectl wake`."""

from __future__ import annotations

import pytest
import pytest_twisted
from control.fake_proxy import FakeServer
from ctl.ctl_fixture import CtlHarness, Screen
from msgspec.structs import replace

from zeroscale.control.protocol import MAX_PENDING_REQUESTS
from zeroscale.ctl.commands.wake import WakeProgress, line_of
from zeroscale.errors import ServerUnavailable
from zeroscale.reports import ServerReport
from zeroscale.status import Status


@pytest_twisted.ensureDeferred
async def test_and_that_is_all(harness: CtlHarness) -> None:
    run = await harness.run("wake")
    assert (run.code, run.out, run.err) == (0, "survival is starting\n", "")
    assert harness.proxy.servers["survival"].asked == ["wake", "waits no more"]


@pytest_twisted.ensureDeferred
async def test_until_it_is_ready(harness: CtlHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    server = harness.proxy.servers["survival"]
    waiting = harness.run("wake", "survival", "--wait", terminal=True)
    await harness.until(lambda: "starting" in harness.err.getvalue())
    server.status = Status.running
    server.fields["last_start"] = 18.0
    server.ready.callback(None)
    run = await waiting
    assert (run.code, run.out) == (0, "survival is running (its last start took 18 s)\n")
    assert run.err.startswith("\r\033[Jsurvival: starting [####") and run.err.endswith("\r\033[J")


@pytest_twisted.ensureDeferred
async def test_that_fails(harness: CtlHarness) -> None:
    waiting = harness.run("wake", "--wait")
    await harness.until(lambda: harness.proxy.servers["survival"].asked)
    harness.proxy.servers["survival"].ready.errback(ServerUnavailable("it ended (exit code 1: it needs Java 21)"))
    run = await waiting
    assert run.code == 1
    assert run.err.splitlines()[-1] == "zeroscalectl: error: survival: it ended (exit code 1: it needs Java 21)"


@pytest_twisted.ensureDeferred
async def test_several_are_woken_together(harness: CtlHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for name in ("creative", "skyblock"):
        harness.proxy.add(name)
    servers = harness.proxy.servers
    waiting = harness.run("wake", "skyblock", "survival", "skyblock", "--wait", terminal=True)
    await harness.until(lambda: "skyblock: starting [" in harness.err.getvalue())
    await harness.until(lambda: "survival: starting [" in harness.err.getvalue())
    servers["skyblock"].ready.errback(ServerUnavailable("its port is taken"))
    await harness.until(lambda: "taken" in harness.err.getvalue())
    servers["survival"].status = Status.running
    servers["survival"].ready.callback(None)
    run = await waiting
    assert (run.code, run.out) == (1, "survival is running\n")
    assert "zeroscalectl: error: skyblock: its port is taken\n" in run.err
    assert "\033[1A" in run.err, "two bars are overwritten"
    assert [len(servers[name].asked) for name in ("creative", "skyblock", "survival")] == [0, 1, 1]


@pytest_twisted.ensureDeferred
async def test_more_than_one_client_may_ask_for_at_a_time(harness: CtlHarness) -> None:
    names = [f"game-{number:02}" for number in range(MAX_PENDING_REQUESTS)]
    for name in names:
        harness.proxy.add(name)
    servers = harness.proxy.servers
    waiting = harness.run("wake", "--all", "--wait")
    await harness.until(lambda: all(servers[name].asked for name in names))
    for server in servers.values():
        server.status = Status.running
        server.ready.callback(None)
    run = await waiting
    assert run.code == 0
    assert sorted(line.split()[0] for line in run.out.splitlines()) == [*names, "survival"]


@pytest_twisted.ensureDeferred
async def test_of_several_one_is_kept_asleep_and_one_does_not_exist(harness: CtlHarness) -> None:
    harness.proxy.add("creative")
    harness.proxy.servers["survival"].keeps_asleep = "survival is not started: it is locked; use --force"
    run = await harness.run("wake", "survival", "creative")
    assert (run.code, run.out) == (1, "creative is starting\n")
    assert run.err == "zeroscalectl: error: survival is not started: it is locked; use --force\n"
    run = await harness.run("wake", "nowhere", "survival", "--force")
    assert (run.code, run.out) == (2, "survival is starting\n")
    assert "there is no server 'nowhere'" in run.err
    assert harness.proxy.servers["survival"].asked[0] == "wake by force"


@pytest_twisted.ensureDeferred
async def test_names_and_all(harness: CtlHarness) -> None:
    run = await harness.run("wake", "survival", "--all")
    assert (run.code, run.err) == (2, "zeroscalectl: error: give names or --all, not both\n")
    assert harness.proxy.servers["survival"].asked == []


def report(status: Status, seconds: float, estimate: float | None = 20.0) -> ServerReport:
    server = FakeServer("survival", status)
    return replace(server.report(), status_age=seconds, estimate=estimate)


@pytest.mark.parametrize(
    ("status", "seconds", "estimate", "line"),
    [
        (Status.starting, 0.0, 20.0, "survival: starting [..............................] 0 s of about 20 s"),
        (Status.starting, 10.0, 20.0, "survival: starting [###############...............] 10 s of about 20 s"),
        (Status.starting, 90.0, 20.0, "survival: starting [#############################.] 1 min 30 s of about 20 s"),
        (Status.starting, 5.0, None, "survival: starting, 5 s"),
        (Status.stopping, 5.0, 20.0, "survival: stopping, 5 s"),
    ],
)
def test_how_far_it_is(status: Status, seconds: float, estimate: float | None, line: str) -> None:
    assert line_of(report(status, seconds, estimate), bar=True) == line


def test_in_a_file_a_line_now_and_then() -> None:
    stream = Screen(False)
    progress = WakeProgress(stream, False)
    progress.at(None, report(Status.stopping, 3.0))
    for seconds in range(25):
        progress.at(None, report(Status.starting, float(seconds), None))
    progress.end(None)
    assert [line.split()[-2] for line in stream.getvalue().splitlines()] == ["3", "0", "10", "20"]


def test_in_a_file_there_is_no_bar_and_the_result_is_not_said_twice() -> None:
    stream = Screen(False)
    progress = WakeProgress(stream, False)
    progress.at(None, report(Status.starting, 5.0))
    progress.at(None, report(Status.running, 0.0))
    assert stream.getvalue() == "survival: starting, 5 s of about 20 s\n"
