"""A program runs to its end; cancelled, it is killed with everything that it started."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from zeroscale.process.oneshot import MOST_OUTPUT, CompletedProgram, run_program


async def test_its_exit_code_and_output_where_it_runs(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    script = 'ls; echo "$GIVEN" >&2; cat; exit 3'
    done = await run_program(["sh", "-c", script], directory=tmp_path, environment={"GIVEN": "yes"}, capture=True)
    assert done == CompletedProgram(3, b"file\n", b"yes\n")


async def test_of_a_long_output_the_beginning_is_kept() -> None:
    script = f"head -c {MOST_OUTPUT} /dev/zero | tr '\\0' x; echo more; echo error >&2"
    done = await run_program(["sh", "-c", script], capture=True)
    assert done == CompletedProgram(0, b"x" * MOST_OUTPUT, b"error\n")


async def test_without_capture_its_output_is_discarded() -> None:
    assert await run_program(["sh", "-c", "echo output; kill -9 $$"]) == CompletedProgram(-signal.SIGKILL)


async def test_it_does_not_get_what_systemd_gives_us(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/notify")
    assert (await run_program(["sh", "-c", 'echo "$NOTIFY_SOCKET"'], capture=True)).output == b"\n"


async def test_one_that_does_not_exist() -> None:
    with pytest.raises(FileNotFoundError):
        await run_program(["no-such-program"])


@pytest.mark.parametrize("capture", [True, False])
@pytest.mark.parametrize("while_starting", [True, False])
async def test_cancelled_it_is_killed_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capture: bool, while_starting: bool
) -> None:
    start, may_return = asyncio.create_subprocess_exec, asyncio.Event()

    async def slow_start(*argv: str, **options: Any) -> asyncio.subprocess.Process:
        process = await start(*argv, **options)
        await may_return.wait()
        return process

    monkeypatch.setattr(asyncio, "create_subprocess_exec", slow_start if while_starting else start)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    running = asyncio.ensure_future(run_program(["sh", "-c", f"(sleep 60; :) > {pipe}; :"], capture=capture))
    opened = await asyncio.to_thread(pipe.open, "rb")  # returns once the innermost process has begun
    running.cancel()
    await asyncio.sleep(0)
    may_return.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    with opened:
        assert await asyncio.to_thread(opened.read) == b""  # its end: no process is left that could write


async def test_limit_of_processes_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    with pytest.raises(OSError, match=r"no more processes .*TasksMax=.*--pids-limit.*ulimit -u"):
        await run_program(["true"])
