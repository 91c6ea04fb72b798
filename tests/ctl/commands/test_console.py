"""`zeroscalectl console`."""

from __future__ import annotations

import pytest
import pytest_twisted
from ctl.ctl_fixture import CtlHarness


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
async def test_a_command_for_its_console(harness: CtlHarness, words: list[str]) -> None:
    harness.proxy.servers["survival"].answer = ""
    run = await harness.run("console", *words)
    assert (run.code, run.out, run.err) == (0, "", "")
    assert harness.proxy.servers["survival"].asked == ["console say hi -now"]


@pytest_twisted.ensureDeferred
async def test_its_answer(harness: CtlHarness) -> None:
    harness.proxy.servers["survival"].answer = "There are 0 of 20\r\nplayers\x1b[0m"
    run = await harness.run("console", "list")
    assert run.out == "There are 0 of 20\nplayers\ufffd[0m\n"


@pytest_twisted.ensureDeferred
async def test_a_console_that_gives_no_answer(harness: CtlHarness) -> None:
    run = await harness.run("console", "say", "hi")
    assert (run.code, run.out) == (0, "")
    assert "gives no answer: see zeroscalectl logs survival" in run.err


@pytest.mark.parametrize("words", [[], ["survival"]])
@pytest_twisted.ensureDeferred
async def test_no_command(harness: CtlHarness, words: list[str]) -> None:
    run = await harness.run("console", *words)
    assert run.code == 2 and "the command is missing" in run.err


@pytest_twisted.ensureDeferred
async def test_a_line_that_is_two(harness: CtlHarness) -> None:
    run = await harness.run("console", "survival", "say hi\nstop")
    assert run.code == 2 and harness.proxy.servers["survival"].asked == []
