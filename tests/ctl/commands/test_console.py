"""`zeroscalectl console`."""

from __future__ import annotations

import pytest
import pytest_twisted
from ctl.ctl_fixture import Desk


@pytest.mark.parametrize(
    "words",
    [
        ["survival", "say", "hi", "-now"],
        ["survival", "say hi -now"],
        ["say", "hi", "-now"],
        ["say hi -now"],
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_command_for_its_console(desk: Desk, words: list[str]) -> None:
    run = await desk.run("console", *words)
    assert (run.code, run.out, run.err) == (0, "", "")
    assert desk.proxy.servers["survival"].asked == ["console say hi -now"]


@pytest_twisted.ensureDeferred
async def test_its_answer(desk: Desk) -> None:
    desk.proxy.servers["survival"].answer = "There are 0 of 20\r\nplayers\x1b[0m"
    run = await desk.run("console", "list")
    assert run.out == "There are 0 of 20\nplayers\ufffd[0m\n"


@pytest.mark.parametrize("words", [[], ["survival"]])
@pytest_twisted.ensureDeferred
async def test_no_command(desk: Desk, words: list[str]) -> None:
    run = await desk.run("console", *words)
    assert run.code == 2 and "the command is missing" in run.err


@pytest_twisted.ensureDeferred
async def test_a_line_that_is_two(desk: Desk) -> None:
    run = await desk.run("console", "survival", "say hi\nstop")
    assert run.code == 2 and desk.proxy.servers["survival"].asked == []
