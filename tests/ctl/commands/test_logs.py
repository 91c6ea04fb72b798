"""`zeroscalectl logs`."""

from __future__ import annotations

import pytest_twisted
from ctl.ctl_fixture import CtlHarness

from zeroscale.control import handlers as commands


@pytest_twisted.ensureDeferred
async def test_the_last_lines(harness: CtlHarness) -> None:
    harness.proxy.servers["survival"].output = ["one", "\x1b]0;title\x07two", "\tthree \ud800"]
    run = await harness.run("logs")
    assert (run.code, run.err) == (0, "")
    assert run.out == "one\n\ufffd]0;title\ufffdtwo\n\tthree ?\n"


@pytest_twisted.ensureDeferred
async def test_and_those_that_come(harness: CtlHarness) -> None:
    server = harness.proxy.servers["survival"]
    following = harness.run("logs", "survival", "-f")
    await harness.until(lambda: server.subscribers and "second" in harness.out.getvalue())
    server.says("third")
    await harness.until(lambda: "third" in harness.out.getvalue())
    server.says("x" * (commands.MAX_BACKLOG + 1))
    await harness.until(lambda: "(1 lines dropped)" in harness.err.getvalue())
    await harness.close()
    run = await following
    assert run.out == "first\nsecond\nthird\n"
    assert server.subscribers == []
