"""One run of a container."""

from __future__ import annotations

import asyncio

from zeroscale.plugins.docker.container import container_of
from zeroscale.plugins.docker.run import Run, reason_of


async def test_a_run_ends_once_and_says_how() -> None:
    run = Run(("id", "now"))
    assert not run.ended.is_set()
    run.end(3, "because")
    await run.ended.wait()
    assert (run.exit_code, run.reason) == (3, "because")


def test_only_what_the_engine_knows_better_is_a_reason() -> None:
    assert reason_of(None) is None
    assert reason_of(container_of({"Id": "a"})) is None
    reason = reason_of(container_of({"Id": "a", "Name": "/mc", "State": {"OOMKilled": True}}))
    assert reason is not None
    assert "mc" in reason


async def test_its_code_may_come_after_its_end() -> None:
    run = Run(("id", "now"))
    run.end(None, None)
    waiting = asyncio.ensure_future(run.last_words())
    await asyncio.sleep(0)
    assert not waiting.done()
    run.note_code(143)
    await waiting
    assert run.exit_code == 143


async def test_its_output_is_read_to_its_end() -> None:
    run = Run(("id", "now"))
    read = asyncio.Event()

    async def reads() -> None:
        await read.wait()

    run.reader = asyncio.ensure_future(reads())
    run.end(1, None)
    waiting = asyncio.ensure_future(run.last_words())
    await asyncio.sleep(0)
    assert not waiting.done()
    read.set()
    await waiting
