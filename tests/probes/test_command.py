"""A command tells by its exit code; called off, it leaves nothing running."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from pytest_twisted import ensureDeferred

from zeroscale.errors import BackendError
from zeroscale.lifecycle.plugin_adapter import from_coroutine
from zeroscale.probes.command import run


@ensureDeferred
async def test_its_exit_code_and_where_it_runs(tmp_path: Path) -> None:
    (tmp_path / "ready").touch()
    assert await from_coroutine(run(["test", "-e", "ready"], tmp_path)) == 0
    assert await from_coroutine(run(["test", "-e", "missing"], tmp_path)) == 1


@ensureDeferred
async def test_it_cannot_be_run(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="'no-such-command' cannot be run: No such file"):
        await from_coroutine(run(["no-such-command"], tmp_path))


@ensureDeferred
async def test_called_off_it_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    async def scene() -> None:
        command = asyncio.ensure_future(run(["sh", "-c", f"(sleep 60; :) > {pipe}; :"], tmp_path))
        opened = await asyncio.to_thread(pipe.open, "rb")  # until the innermost of them has begun
        command.cancel()
        with pytest.raises(asyncio.CancelledError):
            await command
        with opened:
            assert await asyncio.to_thread(opened.read) == b""  # its end: nobody is left who could write

    await from_coroutine(scene())
