"""`zeroscalectl wake`."""

from __future__ import annotations

import pytest
import pytest_twisted
from control.fake_proxy import FakeServer
from ctl.ctl_fixture import CtlHarness, Screen
from msgspec.structs import replace

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
async def test_until_it_is_ready(harness: CtlHarness) -> None:
    server = harness.proxy.servers["survival"]
    waiting = harness.run("wake", "survival", "--wait", terminal=True)
    await harness.until(lambda: "starting" in harness.err.getvalue())
    server.status = Status.running
    server.fields["last_start"] = 18.0
    server.ready.callback(None)
    run = await waiting
    assert (run.code, run.out) == (0, "survival is running (its last start took 18 s)\n")
    assert run.err.startswith("\rsurvival: starting [####") and run.err.endswith(" \r")


@pytest_twisted.ensureDeferred
async def test_that_fails(harness: CtlHarness) -> None:
    waiting = harness.run("wake", "--wait")
    await harness.until(lambda: harness.proxy.servers["survival"].asked)
    harness.proxy.servers["survival"].ready.errback(ServerUnavailable("it ended with exit code 1"))
    run = await waiting
    assert run.code == 1
    assert run.err.splitlines()[-1] == "zeroscalectl: error: it ended with exit code 1"


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
    assert line_of(report(status, seconds, estimate)) == line


def test_in_a_file_a_line_now_and_then() -> None:
    stream = Screen(False)
    progress = WakeProgress(stream)
    progress.at(report(Status.stopping, 3.0))
    for seconds in range(25):
        progress.at(report(Status.starting, float(seconds), None))
    progress.end()
    assert [line.split()[-2] for line in stream.getvalue().splitlines()] == ["3", "0", "10", "20"]
