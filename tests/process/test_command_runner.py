"""Operators' commands: exit code, output, time limit, cancellation."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from pathlib import Path

import pytest
from plugins.process_fixture import children, until

from zeroscale.errors import PluginError, StartRefused
from zeroscale.plugins.testing import RecordedOutput
from zeroscale.process import command_runner, console_files, procfs
from zeroscale.process.command_runner import CommandResult, CommandRunner


def make(state: Path) -> tuple[CommandRunner, RecordedOutput]:
    output = RecordedOutput()
    return CommandRunner(state, state, output), output


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 3", 3), ("kill -KILL $$", 137)])
async def test_its_exit_code_and_output(state: Path, script: str, code: int) -> None:
    commands, output = make(state)
    done = await commands.run("start", ["sh", "-c", f"echo one; echo two >&2; {script}"], 30.0)
    assert done == CommandResult(code, ("one", "two"))
    assert output.lines == ["one", "two"]
    assert done.summary() == f"exit code {code}: two"


async def test_a_quiet_one_has_no_input_and_its_output_is_not_reported(state: Path) -> None:
    commands, output = make(state)
    done = await commands.run("status", ["sh", "-c", "read answer || echo nobody answers"], 30.0, quiet=True)
    assert done.last_line == "nobody answers"
    assert output.lines == []


async def test_a_process_that_it_leaves_running_is_not_waited_for(state: Path) -> None:
    commands, output = make(state)
    began = time.monotonic()
    script = "(while [ ! -e go ]; do sleep 0.01; done; echo still here && touch said) & echo $!"
    await commands.run("start", ["sh", "-c", script], 30.0)
    assert time.monotonic() - began < 20.0
    assert procfs.is_live(int(output.lines[0]))
    (state / "go").touch()
    await until((state / "said").exists)


@pytest.mark.parametrize(
    ("trap", "message"), [("trap 'echo ended; exit' TERM;", "; its last output: ended"), ("trap '' TERM;", "")]
)
async def test_one_that_hangs_is_ended_and_not_what_it_started(
    state: Path, monkeypatch: pytest.MonkeyPatch, trap: str, message: str
) -> None:
    monkeypatch.setattr(command_runner, "TERMINATE_GRACE", 0.1)
    commands, output = make(state)
    script = f"sleep 300 & echo $!; {trap} while :; do sleep 0.01; done"
    with pytest.raises(PluginError, match=r"the start command \(sh\) took more than 0\.2 s, and was ended") as raised:
        await commands.run("start", ["sh", "-c", script], 0.2)
    assert message in str(raised.value)
    server = int(output.lines[0])
    assert procfs.is_live(server)
    os.kill(server, 9)
    assert not children() & {server}


@pytest.mark.slow
async def test_a_flood_of_output_is_bounded(state: Path) -> None:
    commands, output = make(state)
    done = await commands.run("start", ["sh", "-c", "yes | head -c 3000000; echo last"], 30.0)
    assert done.last_line == "last"
    assert len(done.lines) == 50
    assert len(output.lines) < 1_000_000


async def test_commands_of_one_kind_run_one_after_the_other(state: Path) -> None:
    commands, output = make(state)
    script = "test ! -e running || echo two; touch running; sleep 0.02; rm running; echo done"
    await asyncio.gather(*(commands.run("status", ["sh", "-c", script], 30.0) for _ in range(3)))
    assert output.lines == ["done"] * 3


async def test_a_command_that_does_not_exist(state: Path) -> None:
    commands, _ = make(state)
    with pytest.raises(PluginError, match="no 'no-such-program' in PATH"):
        await commands.run("start", ["no-such-program"], 30.0)


async def test_its_output_cannot_be_written(state: Path) -> None:
    (state / "file").touch()
    commands, _ = make(state / "file")
    with pytest.raises(PluginError, match="cannot keep the output of the start command"):
        await commands.run("start", ["true"], 30.0)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE])
async def test_for_want_of_disk_space_or_descriptors_it_is_refused(
    state: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def fail(path: Path, flags: int) -> int:
        raise OSError(code, os.strerror(code), str(path))

    monkeypatch.setattr(console_files, "open_own", fail)
    commands, _ = make(state)
    with pytest.raises(StartRefused, match=f"cannot keep the output of the start command: .*{os.strerror(code)}"):
        await commands.run("start", ["true"], 30.0)


async def test_a_cancelled_run_leaves_no_command(state: Path) -> None:
    commands, _ = make(state)
    before = children()
    running = asyncio.ensure_future(commands.run("status", ["sleep", "300"], 300.0))
    await until(lambda: children() - before)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert children() == before


async def test_a_command_that_ends_just_then_does_not_hide_being_cancelled(state: Path) -> None:
    commands, _ = make(state)
    before = children()

    async def again_and_again() -> None:
        while True:
            await commands.run("status", ["sleep", "0.01"], 300.0)

    for _ in range(5):
        running = asyncio.ensure_future(again_and_again())
        await until(lambda: children() - before)
        commands.close()
        while children() - before:  # its end and the cancellation are to meet in one turn of the loop
            time.sleep(0.001)  # noqa: ASYNC251
            if _is_zombie(children() - before):
                break
        running.cancel()
        await asyncio.wait([running], timeout=20.0)
        assert running.cancelled()


async def test_close_ends_running_commands_and_their_run_returns(state: Path) -> None:
    commands, _ = make(state)
    before = children()
    running = asyncio.ensure_future(commands.run("start", ["sleep", "300"], 300.0))
    await until(lambda: children() - before)
    commands.close()
    assert (await running).code == 143


async def test_without_pidfds_its_end_is_polled(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    monkeypatch.setattr(command_runner, "READ_INTERVAL", 0.01)
    commands, _ = make(state)
    assert (await commands.run("start", ["true"], 30.0)).code == 0


def _is_zombie(processes: set[int]) -> bool:
    return all(not procfs.is_live(each) for each in processes)
