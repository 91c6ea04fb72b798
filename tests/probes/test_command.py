"""The ready command: its exit code, and its end when it is cancelled."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from pytest_twisted import ensureDeferred

from zeroscale.errors import BackendError
from zeroscale.lifecycle.plugin_adapter import from_coroutine
from zeroscale.probes.command import run_ready_command
from zeroscale.process.environment import ChildEnvironment


@ensureDeferred
async def test_the_exit_code_and_the_working_directory(tmp_path: Path) -> None:
    (tmp_path / "ready").touch()
    assert await from_coroutine(run_ready_command(["test", "-e", "ready"], tmp_path, ChildEnvironment())) == 0
    assert await from_coroutine(run_ready_command(["test", "-e", "missing"], tmp_path, ChildEnvironment())) == 1


@ensureDeferred
async def test_a_command_that_cannot_be_run(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="'no-such-command' cannot be run: No such file"):
        await from_coroutine(run_ready_command(["no-such-command"], tmp_path, ChildEnvironment()))


@ensureDeferred
async def test_a_cancelled_command_is_killed_with_its_children(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    async def cancel_it() -> None:
        command = asyncio.ensure_future(
            run_ready_command(["sh", "-c", f"(sleep 60; :) > {pipe}; :"], tmp_path, ChildEnvironment())
        )
        opened = await asyncio.to_thread(pipe.open, "rb")  # until the innermost of them has begun
        command.cancel()
        with pytest.raises(asyncio.CancelledError):
            await command
        with opened:
            assert await asyncio.to_thread(opened.read) == b""  # its end: nobody is left who could write

    await from_coroutine(cancel_it())
