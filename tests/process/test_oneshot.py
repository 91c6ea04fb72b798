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
from processes import descriptors

from zeroscale.process import oneshot
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


@pytest.mark.parametrize("capture", [True, False])
async def test_what_it_leaves_behind_is_killed_and_not_waited_for(tmp_path: Path, capture: bool) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    opening = asyncio.ensure_future(asyncio.to_thread(pipe.open, "rb"))
    script = f"exec 3> {pipe}; sleep 600 & echo done"
    done = await asyncio.wait_for(run_program(["sh", "-c", script], capture=capture), 10)
    assert done == CompletedProgram(0, b"done\n" if capture else b"")
    with await opening as opened:
        assert await asyncio.to_thread(opened.read) == b""


@pytest.mark.parametrize("exits", [True, False])
async def test_a_daemon_that_has_escaped_with_its_output_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exits: bool
) -> None:
    monkeypatch.setattr(oneshot, "ENDS_WITHIN", 0.05)
    note, escaped = tmp_path / "pid", tmp_path / "escaped"
    for each in (note, escaped):
        os.mkfifo(each)
    escape = f"setsid sh -c 'echo $$ > {note}; echo > {escaped}; exec sleep 60' &"
    script = f"{escape} read _ < {escaped}; echo kept; " + ("" if exits else "wait")
    running = asyncio.ensure_future(run_program(["sh", "-c", script], capture=True))
    daemon = int(await asyncio.to_thread(note.read_text))
    try:
        if exits:
            assert await asyncio.wait_for(running, 10) == CompletedProgram(0, b"kept\n")
        else:
            running.cancel()
            [ended], _ = await asyncio.wait([running], timeout=10)
            assert ended.cancelled()
    finally:
        os.kill(daemon, signal.SIGKILL)


async def test_no_descriptor_is_left() -> None:
    before = descriptors()
    await run_program(["true"], capture=True)
    with pytest.raises(FileNotFoundError):
        await run_program(["no-such-program"], capture=True)
    await asyncio.sleep(0)  # asyncio closes a pipe in the loop's next turn
    assert descriptors() <= before


async def test_limit_of_processes_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    with pytest.raises(OSError, match=r"no more processes .*TasksMax=.*--pids-limit.*ulimit -u"):
        await run_program(["true"])
