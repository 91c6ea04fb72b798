"""`zeroscalectl logs`."""

from __future__ import annotations

import pytest_twisted
from ctl.ctl_fixture import Desk

from zeroscale.control import handlers as commands


@pytest_twisted.ensureDeferred
async def test_the_last_lines(desk: Desk) -> None:
    desk.proxy.servers["survival"].output = ["one", "\x1b]0;title\x07two", "\tthree \ud800"]
    run = await desk.run("logs")
    assert (run.code, run.err) == (0, "")
    assert run.out == "one\n\ufffd]0;title\ufffdtwo\n\tthree ?\n"


@pytest_twisted.ensureDeferred
async def test_and_those_that_come(desk: Desk) -> None:
    server = desk.proxy.servers["survival"]
    following = desk.run("logs", "survival", "-f")
    await desk.until(lambda: server.subscribers and "second" in desk.out.getvalue())
    server.says("third")
    await desk.until(lambda: "third" in desk.out.getvalue())
    server.says("x" * (commands.MAX_BACKLOG + 1))
    await desk.until(lambda: "(1 lines dropped)" in desk.err.getvalue())
    await desk.close()
    run = await following
    assert run.out == "first\nsecond\nthird\n"
    assert server.subscribers == []
