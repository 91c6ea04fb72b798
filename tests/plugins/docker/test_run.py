"""One run of a container, its exit code and output."""

from __future__ import annotations

import asyncio

from zeroscale.plugins.docker.container import parse_container
from zeroscale.plugins.docker.run import ContainerRun, end_reason


async def test_a_run_ends_once_and_says_how() -> None:
    run = ContainerRun(("id", "now"))
    assert not run.ended.is_set()
    run.end(3, "because")
    await run.ended.wait()
    assert (run.exit_code, run.reason) == (3, "because")


def test_only_what_the_exit_code_does_not_show_is_a_reason() -> None:
    assert end_reason(None) is None
    assert end_reason(parse_container({"Id": "a"})) is None
    reason = end_reason(parse_container({"Id": "a", "Name": "/mc", "State": {"OOMKilled": True}}))
    assert reason is not None
    assert "mc" in reason


async def test_its_code_may_come_after_its_end() -> None:
    run = ContainerRun(("id", "now"))
    run.end(None, None)
    waiting = asyncio.ensure_future(run.drain())
    await asyncio.sleep(0)
    assert not waiting.done()
    run.set_exit_code(143)
    await waiting
    assert run.exit_code == 143


async def test_its_output_is_read_to_its_end() -> None:
    run = ContainerRun(("id", "now"))
    read = asyncio.Event()

    async def reads() -> None:
        await read.wait()

    run.reader = asyncio.ensure_future(reads())
    run.end(1, None)
    waiting = asyncio.ensure_future(run.drain())
    await asyncio.sleep(0)
    assert not waiting.done()
    read.set()
    await waiting
