"""A real server process, from its start to its end, also when the zeroscale that started it has ended."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

import pytest
from plugins.process_fixture import ProcessFixture, children, unrelated_process, until
from processes import descriptors

from zeroscale.errors import PluginError, StartRefused
from zeroscale.process import child as module
from zeroscale.process import inherited_lock, procfs
from zeroscale.process import record as record_module
from zeroscale.process.child import ServerProcess
from zeroscale.process.directory_lock import DirectoryLock
from zeroscale.process.environment import ChildEnvironment
from zeroscale.process.record import StopProgress

ECHO = 'echo ready; while read -r line; do echo "got $line"; [ "$line" = stop ] && exit 0; done'
"""A server in shell: says it is ready, repeats each line, and ends on `stop`."""


async def start(process: ServerProcess, script: str, directory: Path | None = None) -> None:
    await process.start(["sh", "-c", script], working_directory=directory or Path("/"))


def exists(process_id: int) -> bool:
    return procfs.is_live(process_id)


async def test_a_server_talks_listens_and_ends(process_fixture: ProcessFixture) -> None:
    process = process_fixture.process()
    await start(process, ECHO)
    await process_fixture.output.line_with("ready")
    assert process.alive
    process.send("hello")
    await process_fixture.output.line_with("got hello")
    process.send("stop")
    assert await process.wait() == 0
    assert process_fixture.output.lines == ["ready", "got hello", "got stop"]
    assert process.last_lines == ("ready", "got hello", "got stop")
    assert not process.alive


async def test_its_working_directory_arguments_and_environment(
    process_fixture: ProcessFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/notify")
    monkeypatch.setenv("WATCHDOG_USEC", "1")
    monkeypatch.setenv("LISTEN_FDS", "1")
    monkeypatch.setenv("KEPT", "ours")
    process = process_fixture.process()
    await process.start(
        ["sh", "-c", 'echo "$PWD|$1|$NOTIFY_SOCKET$WATCHDOG_USEC$LISTEN_FDS|$KEPT|$GIVEN"', "sh", "a word"],
        working_directory=tmp_path,
        environment=ChildEnvironment().build({"GIVEN": "too"}),
    )
    await process.wait()
    assert process_fixture.output.lines == [f"{tmp_path}|a word||ours|too"]


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 143), ("kill -KILL $$", 137)]
)
async def test_exit_codes(process_fixture: ProcessFixture, script: str, code: int) -> None:
    process = process_fixture.process()
    await start(process, script)
    assert await process.wait() == code
    assert await process.wait() == code, "whoever asks later learns it as well"


async def test_the_last_output_is_reported_before_the_end(process_fixture: ProcessFixture) -> None:
    process = process_fixture.process()
    await start(process, "seq 1 20000; printf 'no end of line'")
    await process.wait()
    assert len(process_fixture.output.lines) == 20001
    assert process_fixture.output.lines[-2:] == ["20000", "no end of line"]


async def test_it_can_be_started_again(process_fixture: ProcessFixture) -> None:
    process = process_fixture.process(ready_line="ready")
    for _ in range(3):
        process_fixture.output.lines.clear()
        await start(process, ECHO)
        await process_fixture.output.line_with("ready")
        assert process.ready == "ready"
        process.send("stop")
        assert await process.wait() == 0
        assert process.last_lines == ("ready", "got stop")
    assert (process_fixture.state / "console.log.1").read_text() == "ready\ngot stop\n"


async def test_a_cancelled_wait_does_not_end_other_waits(process_fixture: ProcessFixture) -> None:
    process = process_fixture.process()
    await start(process, ECHO)
    one, other = asyncio.ensure_future(process.wait()), asyncio.ensure_future(process.wait())
    await asyncio.sleep(0)
    one.cancel()
    process.send("stop")
    assert await other == 0
    assert await process.wait() == 0


async def test_a_start_that_fails_leaves_nothing(process_fixture: ProcessFixture) -> None:
    process = process_fixture.process()
    before = descriptors()
    with pytest.raises(PluginError, match="no such file"):
        await process.start(["/no/such/program"], working_directory=Path("/"))
    assert descriptors() == before
    assert {path.name for path in process_fixture.state.iterdir()} == {"alive", "console.log"}
    assert not process.alive
    await start(process, "true")
    assert await process.wait() == 0


@pytest.mark.parametrize("target", ["ProcessRecord", "os.pidfd_open"])
@pytest.mark.parametrize(
    ("error", "raised"), [(MemoryError(), StartRefused), (RuntimeError("a fault"), RuntimeError)], ids=repr
)
async def test_a_child_that_cannot_be_watched_is_ended(
    process_fixture: ProcessFixture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    target: str,
    error: Exception,
    raised: type[Exception],
) -> None:
    process = process_fixture.process(exclusive_directory=tmp_path)
    await start(process, "true")
    await process.wait()
    others, before = children(), descriptors()

    def fail(*_args: object, **_keywords: object) -> None:
        raise error

    monkeypatch.setattr(f"zeroscale.process.child.{target}", fail)
    with pytest.raises(raised):
        await start(process, "exec sleep 60")
    assert children() == others
    assert not process.alive
    assert descriptors() == before
    assert not DirectoryLock(tmp_path).path.exists()
    monkeypatch.undo()
    await start(process, "echo ready")
    assert await process.wait() == 0
    assert process_fixture.output.lines == ["ready"]


async def test_an_unusable_state_directory_is_reported(process_fixture: ProcessFixture) -> None:
    process_fixture.state.rmdir()
    process_fixture.state.touch()
    with pytest.raises(PluginError, match=r"cannot keep the server's console and record: .*Not a directory"):
        await start(process_fixture.process(), "true")
    process_fixture.state.unlink()
    process_fixture.state.mkdir()


async def test_a_state_directory_that_was_removed_is_made_again(process_fixture: ProcessFixture) -> None:
    process = process_fixture.process()
    for _ in range(2):
        await start(process, "echo ready")
        assert await process.wait() == 0
        shutil.rmtree(process_fixture.state)
    process_fixture.state.mkdir()
    assert process_fixture.output.lines == ["ready", "ready"]


async def test_directories_in_the_place_of_both_console_files_do_not_prevent_a_start(
    process_fixture: ProcessFixture,
) -> None:
    (process_fixture.state / "console.log").mkdir()
    (process_fixture.state / "console.log.1").touch()
    process = process_fixture.process()
    await start(process, "echo ready")
    assert await process.wait() == 0
    assert process_fixture.output.lines == ["ready"]


@pytest.mark.parametrize("kind", ["directory", "fifo", "symlink", "brackets"])
@pytest.mark.parametrize("name", ["process.json", "console.log", "console.log.1", "stdin", "alive", "process.json.new"])
async def test_nothing_in_the_place_of_its_files_prevents_a_start(
    process_fixture: ProcessFixture, tmp_path: Path, name: str, kind: str
) -> None:
    path = process_fixture.state / name
    victim = tmp_path / "victim"
    victim.write_text("mine")
    match kind:
        case "directory":
            path.mkdir()
            (path / "file").touch()
        case "fifo":
            os.mkfifo(path)
        case "symlink":
            path.symlink_to(victim)
        case _:
            path.write_text("[" * 8000)
    process = process_fixture.process()
    for _ in range(2):
        await start(process, "read line; echo got $line")
        process.send("stop")
        assert await process.wait() == 0
    assert process_fixture.output.lines == ["got stop", "got stop"]
    assert victim.read_text() == "mine"


async def test_a_stale_stop_does_not_end_the_next_server(process_fixture: ProcessFixture) -> None:
    process = process_fixture.process()
    await start(process, "echo ready; sleep 60")
    process.send("stop")  # never read
    process.signal(signal.SIGKILL)
    assert await process.wait() == 137
    process_fixture.output.lines.clear()
    await start(process, ECHO)
    await process_fixture.output.line_with("ready")
    process.send("hello")
    await process_fixture.output.line_with("got hello")
    assert "got stop" not in process_fixture.output.lines


async def test_nothing_is_left_after_cycles(process_fixture: ProcessFixture) -> None:
    process = process_fixture.process()
    await start(process, "true")
    await process.wait()
    before = descriptors(), children()
    for _ in range(20):
        await start(process, "true")
        await process.wait()
    assert (descriptors(), children()) == before
    assert {path.name for path in process_fixture.state.iterdir()} == {"alive", "console.log"}


async def test_its_files_are_readable_by_their_owner_only(process_fixture: ProcessFixture) -> None:
    process = process_fixture.process()
    await start(process, ECHO)
    for name in ("console.log", "stdin", "alive"):
        assert stat.S_IMODE((process_fixture.state / name).stat().st_mode) == 0o600


async def test_two_at_once_are_refused(process_fixture: ProcessFixture) -> None:
    process, another = process_fixture.process(), process_fixture.process()
    await start(process, ECHO)
    await process_fixture.output.line_with("ready")
    with pytest.raises(PluginError, match="still runs"):
        await start(process, ECHO)
    with pytest.raises(PluginError, match="still runs"):
        await start(another, ECHO)
    process.send("still there")
    await process_fixture.output.line_with("got still there")


async def test_a_full_input_is_an_error_at_once(process_fixture: ProcessFixture) -> None:
    process = process_fixture.process()
    await start(process, "sleep 60")
    with pytest.raises(PluginError, match="does not read its console"):
        for _ in range(10000):
            process.send("x" * 1000)


async def test_a_server_that_makes_its_input_non_blocking_does_not_change_ours(process_fixture: ProcessFixture) -> None:
    process = process_fixture.process()
    code = (
        "import os, sys; os.set_blocking(0, False); print('ready', flush=True); import select;"
        "select.select([0], [], []); print(os.read(0, 100))"
    )
    await process.start([sys.executable, "-c", code], working_directory=Path("/"))
    await process_fixture.output.line_with("ready")
    process.send("hello")
    await process_fixture.output.line_with("b'hello\\n'")


# Groups.


async def test_a_script_s_child_is_not_orphaned_by_its_end(process_fixture: ProcessFixture) -> None:
    process = process_fixture.process()
    await start(process, "sh -c 'echo child $$; exec sleep 60' & wait")
    child = int((await process_fixture.output.line_with("child")).split()[1])
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)  # the script alone
    ending = asyncio.ensure_future(process.wait())
    await until(lambda: not exists(process.pid or 0))
    await asyncio.sleep(0)
    assert process.alive and not ending.done() and exists(child)
    process.signal(signal.SIGTERM)
    assert await ending == 137
    assert not exists(child)


@pytest.mark.parametrize(
    "script", ["exec bash -c 'set -m; sleep 60 & echo child $!; wait'", "setsid sleep 60 & echo child $!; wait"]
)
async def test_a_signal_reaches_those_in_groups_and_sessions_of_their_own(
    process_fixture: ProcessFixture, script: str
) -> None:
    process = process_fixture.process()
    await start(process, script)
    child = int((await process_fixture.output.line_with("child")).split()[1])
    await until(lambda: os.getpgid(child) == child)
    process.signal(signal.SIGTERM)
    assert await process.wait() == 143
    assert not exists(child)


async def test_a_server_in_a_session_of_its_own_is_still_there(process_fixture: ProcessFixture) -> None:
    process = process_fixture.process()
    await start(process, "setsid sleep 60 & echo child $!")  # the script ends at once
    child = int((await process_fixture.output.line_with("child")).split()[1])
    await until(lambda: not exists(process.pid or 0))
    assert process.alive
    process.signal(signal.SIGTERM)
    assert await process.wait() == 0, "the script's own"
    assert not exists(child)


async def test_a_server_that_replaces_itself_is_still_the_same(process_fixture: ProcessFixture) -> None:
    process = process_fixture.process()
    await start(process, f"exec sh -c '{ECHO}'")
    await process_fixture.output.line_with("ready")
    process.send("stop")
    assert await process.wait() == 0


async def test_pause_and_resume(process_fixture: ProcessFixture) -> None:
    process = process_fixture.process()
    await start(process, ECHO)
    await process_fixture.output.line_with("ready")
    assert process.pid is not None
    process.pause()
    await until(lambda: (found := procfs.facts(process.pid or 0)) and found.stopped)
    process.send("hello")
    with (process_fixture.state / "console.log").open("a") as console:
        console.write("nobody looks\n")
    for _ in range(5):
        await asyncio.sleep(module.RUNNING_INTERVAL)
    assert process_fixture.output.lines == ["ready"]
    process.resume()
    await process_fixture.output.line_with("got hello")
    assert process_fixture.output.lines == ["ready", "nobody looks", "got hello"]


async def test_the_processes_of_a_paused_server_are_not_polled(
    process_fixture: ProcessFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    polls: list[int] = []
    real = procfs.session_members

    def count(sessions: Collection[int]) -> list[int]:
        polls.append(len(sessions))
        return real(sessions)

    monkeypatch.setattr(procfs, "session_members", count)
    for name in ("PIDFD_RECHECK_INTERVAL", "UNCLEAR_INTERVAL"):
        monkeypatch.setattr(module, name, 0.01)
    process = process_fixture.process()
    await start(process, ECHO)
    await process_fixture.output.line_with("ready")
    await until(lambda: len(polls) > 10)
    process.pause()
    await asyncio.sleep(0.1)  # the poll that was due
    polls.clear()
    await asyncio.sleep(0.2)
    assert polls == []
    process.resume()
    await until(lambda: len(polls) > 10)
    process.pause()
    os.kill(process.pid or 0, signal.SIGKILL)
    assert await process.wait() == 137


async def test_a_paused_server_takes_its_sigterm(process_fixture: ProcessFixture) -> None:
    process = process_fixture.process()
    await start(process, ECHO)
    await process_fixture.output.line_with("ready")
    process.pause()
    process.signal(signal.SIGTERM)
    assert await process.wait() == 143


async def test_a_signal_without_a_server_does_nothing(process_fixture: ProcessFixture) -> None:
    process = process_fixture.process()
    process.signal(signal.SIGTERM)
    await start(process, "true")
    await process.wait()
    process.signal(signal.SIGTERM)
    assert await process_fixture.process().wait() is None


async def test_where_there_are_no_pidfds(process_fixture: ProcessFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    monkeypatch.setattr(module, "EXIT_INTERVAL", 0.01)
    process = process_fixture.process()
    await start(process, "sleep 60 & wait")
    process.signal(signal.SIGTERM)
    assert await process.wait() == 143


@pytest.mark.slow
async def test_where_there_is_no_proc(process_fixture: ProcessFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(procfs, "PROC", Path("/nowhere"))
    monkeypatch.delattr(os, "pidfd_open")
    monkeypatch.setattr(module, "EXIT_INTERVAL", 0.01)
    process = process_fixture.process()
    await start(process, "trap 'wait; exit 3' TERM; sleep 60 & echo child $!; wait")
    child = int((await process_fixture.output.line_with("child")).split()[1])
    with pytest.raises(PluginError, match="stop it by hand"):
        await process_fixture.process().adopt()
    process.signal(signal.SIGTERM)
    assert await process.wait() == 3
    monkeypatch.undo()
    assert not exists(child)


# The output's rhythm.


async def test_the_ready_line_is_seen_soon_and_slows_the_watch(
    process_fixture: ProcessFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RUNNING_INTERVAL", 1000.0)  # after the ready line there is no look any more
    process = process_fixture.process(ready_line="Done")
    await start(process, "echo begin; sleep 0.2; echo Done; read -r line; echo after; read -r line")
    await process_fixture.output.line_with("Done")
    assert process.ready == "Done"
    process.send("go on")
    await until(lambda: "after" in (process_fixture.state / "console.log").read_text())
    assert process_fixture.output.lines[-1] == "Done"
    process.send("end")
    await process.wait()
    assert process_fixture.output.lines[-1] == "after"


async def written(process_fixture: ProcessFixture, line: str) -> None:
    """Wait until the server has written a line, and a reader without a pause must have read it."""
    await until(lambda: line in (process_fixture.state / "console.log").read_text())
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.mark.parametrize(("share", "soon"), [(0.0, True), (1e9, False)])
async def test_the_output_of_a_server_without_a_known_ready_line_is_read_less_often_with_time(
    share: float, soon: bool, process_fixture: ProcessFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STARTING_INTERVAL", 0.0)
    monkeypatch.setattr(module, "RUNNING_INTERVAL", 1000.0)  # no look any more
    monkeypatch.setattr(module, "SHARE_OF_START", share)
    process = process_fixture.process()
    await start(process, "read -r line; echo after; read -r line")
    process.send("go on")
    if soon:
        await process_fixture.output.line_with("after")
    else:
        await written(process_fixture, "after")
        assert process_fixture.output.lines == []
    process.send("end")
    await process.wait()
    assert process_fixture.output.lines == ["after"]


async def test_a_silent_server_is_read_less_often(
    process_fixture: ProcessFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STARTING_INTERVAL", 0.0)
    monkeypatch.setattr(module, "RUNNING_INTERVAL", 1000.0)
    monkeypatch.setattr(module, "SHARE_OF_START", 1e9)
    monkeypatch.setattr(module, "QUIET_AFTER", 0.0)
    process = process_fixture.process(ready_line="Done")
    await start(process, "read -r line; echo Done; read -r line")
    process.send("go on")
    await written(process_fixture, "Done")
    assert process_fixture.output.lines == []
    process.send("end")
    await process.wait()
    assert process_fixture.output.lines == ["Done"]


async def test_a_line_that_cannot_be_handled_does_not_end_the_watch(
    state: Path, process_fixture: ProcessFixture, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(line: str) -> None:
        process_fixture.output(line)
        raise ValueError(line)

    process = ServerProcess(state, on_line=refuse)
    await start(process, "echo one; echo two")
    await process.wait()
    assert process_fixture.output.lines == ["one", "two"]
    assert caplog.text.count("could not be handled") == 2


# Outliving us.

OTHER_ZEROSCALE = """
import asyncio, sys
from pathlib import Path
from zeroscale.process.child import ServerProcess
async def main():
    process = ServerProcess(Path(sys.argv[1]), ready_line="ready")
    await process.start(["sh", "-c", sys.argv[2]], working_directory=Path("/"))
    while sys.argv[3:] and process.ready is None: await asyncio.sleep(0.01)
    if process.ready is None: Path(sys.argv[1], "process.json").unlink()
    print("started", flush=True)
    await asyncio.sleep(1000)
asyncio.run(main())
"""


def kill_a_zeroscale(state: Path, script: str, *, ready: bool = True) -> None:
    """Run a zeroscale that starts a server and is killed; without `ready`, before it writes the record."""
    words = [sys.executable, "-c", OTHER_ZEROSCALE, str(state), script, *(["ready"] if ready else [])]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "started\n"
        other.kill()


async def test_a_server_outlives_us_and_is_adopted(process_fixture: ProcessFixture) -> None:
    kill_a_zeroscale(process_fixture.state, ECHO)
    process = process_fixture.process(ready_line="ready")
    with pytest.raises(PluginError, match="still runs"):
        await start(process, "true")
    assert await process.adopt()
    assert process.alive
    assert process_fixture.output.lines == ["ready"], "the one line of the past that matters"
    process.send("hello")
    await process_fixture.output.line_with("got hello")
    process.send("stop")
    assert await process.wait() is None, "not our child: its exit code is unknowable"
    assert await process_fixture.process().adopt() is False


async def test_an_adopted_server_is_ready_however_much_output_followed(process_fixture: ProcessFixture) -> None:
    kill_a_zeroscale(
        process_fixture.state, "echo ready; read -r line; seq 1 30000; " + ECHO.removeprefix("echo ready; ")
    )
    with (process_fixture.state / "stdin").open("w") as fifo:
        fifo.write("go on\n")
    await until(lambda: (process_fixture.state / "console.log").read_text().endswith("\n30000\n"))
    process = process_fixture.process(ready_line="ready")
    assert await process.adopt()
    assert process.ready == "ready"
    assert process_fixture.output.lines == ["ready"]
    assert process.last_lines[-1] == "30000"
    process.send("stop")
    await process.wait()


async def test_an_adopted_server_gets_signals(process_fixture: ProcessFixture) -> None:
    kill_a_zeroscale(process_fixture.state, f"sleep 60 & {ECHO}")
    process = process_fixture.process()
    assert await process.adopt()
    members = procfs.session_members({process.pid or 0})
    assert len(members) == 2
    process.signal(signal.SIGTERM)
    await process.wait()
    assert not any(map(exists, members))


@pytest.mark.parametrize("script", [ECHO, f"setsid sh -c '{ECHO}'; true", f"sh -c '{ECHO}' & sh -c '{ECHO}'; wait"])
async def test_a_server_without_a_record_is_found_by_its_lock(process_fixture: ProcessFixture, script: str) -> None:
    kill_a_zeroscale(process_fixture.state, script, ready=False)
    process = process_fixture.process()
    with pytest.raises(PluginError, match="still runs"):
        await start(process, "true")
    assert await process.adopt()
    process.signal(signal.SIGTERM)
    assert await process.wait() is None
    assert not procfs.lock_holders(process_fixture.state / "alive")


async def test_a_record_that_a_full_disk_refused_is_written_once_there_is_space(
    process_fixture: ProcessFixture, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    refused: list[bytes] = []

    def refuse(path: Path, content: bytes, *, sync: bool) -> None:
        refused.append(content)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "PIDFD_RECHECK_INTERVAL", 0.01)
    process, path = process_fixture.process(ready_line="ready"), process_fixture.state / "process.json"
    with monkeypatch.context() as disk:
        disk.setattr(record_module, "write_atomically", refuse)
        await start(process, ECHO)
        await process_fixture.output.line_with("ready")
        process.record_stop(StopProgress.requested)
        await until(lambda: len(refused) > 5)
    await until(path.exists)
    assert json.loads(path.read_text())["stop"] == "requested"
    assert [each.getMessage() for each in caplog.records] == [
        "state: the record of the server's process cannot be written now; its lock has to do: No space left on device"
    ]
    process.signal(signal.SIGTERM)
    await process.wait()
    assert not path.exists()


async def test_an_orphaned_child_of_a_recorded_script_is_found(process_fixture: ProcessFixture) -> None:
    kill_a_zeroscale(process_fixture.state, "echo ready; sleep 60 & wait")
    script = json.loads((process_fixture.state / "process.json").read_text())["pid"]
    os.kill(script, signal.SIGKILL)
    await until(lambda: not exists(script))
    process = process_fixture.process()
    assert await process.adopt()
    [child] = procfs.session_members({script})
    process.signal(signal.SIGTERM)
    await process.wait()
    assert not exists(child)


@pytest.mark.parametrize("script", ["{} & sleep 60 & wait", "setsid sh -c '{} & wait' & wait"])
async def test_a_process_that_closed_the_lock_is_found_by_its_session(
    process_fixture: ProcessFixture, tmp_path: Path, script: str
) -> None:
    closer = tmp_path / "closer.py"  # it closes what it inherited, as sudo and many daemons do
    closer.write_text("import os, time\nos.closerange(3, 1000)\nprint('closed', os.getpid())\ntime.sleep(60)\n")
    kill_a_zeroscale(process_fixture.state, "echo ready; " + script.format(f"{sys.executable} -u {closer}"))
    first = json.loads((process_fixture.state / "process.json").read_text())["pid"]
    await until(lambda: "closed" in (process_fixture.state / "console.log").read_text())
    [line] = [line for line in (process_fixture.state / "console.log").read_text().splitlines() if "closed" in line]
    closed = int(line.split()[1])
    os.kill(first, signal.SIGKILL)
    await until(lambda: not exists(first))
    process = process_fixture.process()
    assert await process.adopt()
    process.signal(signal.SIGTERM)
    await process.wait()
    assert not exists(closed)


async def test_an_orphan_without_a_record_is_signalled(process_fixture: ProcessFixture) -> None:
    kill_a_zeroscale(process_fixture.state, "sleep 60 & wait", ready=False)
    await until(lambda: len(procfs.lock_holders(process_fixture.state / "alive")) == 2)
    script, child = sorted(procfs.lock_holders(process_fixture.state / "alive"))
    os.kill(script, signal.SIGKILL)
    await until(lambda: not exists(script))
    process = process_fixture.process()
    assert await process.adopt()
    assert process.pid is None
    process.signal(signal.SIGTERM)
    await process.wait()
    assert not exists(child)


async def test_a_paused_server_is_resumed_when_adopted(process_fixture: ProcessFixture) -> None:
    kill_a_zeroscale(process_fixture.state, ECHO)
    process_id = json.loads((process_fixture.state / "process.json").read_text())["pid"]
    os.kill(process_id, signal.SIGSTOP)
    await until(lambda: (found := procfs.facts(process_id)) and found.stopped)
    process = process_fixture.process()
    assert await process.adopt()
    process.send("hello")
    await process_fixture.output.line_with("got hello")


@pytest.mark.parametrize("change", [{"start_time": 1}, {"boot_id": "another"}, {"start_time": None}, {"boot_id": None}])
async def test_a_reused_process_number_is_never_signalled(
    process_fixture: ProcessFixture, change: dict[str, object]
) -> None:
    with unrelated_process("sleep", "60") as other:
        found = procfs.facts(other.pid)
        assert found is not None
        record: dict[str, object] = {
            "version": 1,
            "pid": other.pid,
            "start_time": found.start_time,
            "boot_id": procfs.boot_id(),
            "argv": ["sleep", "60"],
            "ready": None,
        }
        (process_fixture.state / "process.json").write_text(json.dumps(record | change))
        process = process_fixture.process()
        assert await process.adopt() is False
        await start(process, ECHO)
        process.signal(signal.SIGTERM)
        await process.wait()
        assert other.poll() is None


@pytest.mark.slow
async def test_a_lock_whose_holder_cannot_be_found_is_reported(
    process_fixture: ProcessFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIND_INTERVAL", 0.001)
    with (process_fixture.state / "alive").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(PluginError, match="stop it by hand"):
            await process_fixture.process().adopt()
        with pytest.raises(PluginError, match="stop it by hand"):
            await start(process_fixture.process(), "true")


async def test_a_process_that_is_hidden_for_a_moment_is_found(
    process_fixture: ProcessFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill_a_zeroscale(process_fixture.state, ECHO, ready=False)
    answers = [[], [], procfs.lock_holders(process_fixture.state / "alive")]
    monkeypatch.setattr(procfs, "lock_holders", lambda _path: answers.pop(0))
    process = process_fixture.process()
    assert await process.adopt()
    monkeypatch.undo()
    process.signal(signal.SIGKILL)
    await process.wait()


async def test_it_has_not_ended_while_its_lock_is_held(
    process_fixture: ProcessFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EXIT_INTERVAL", 0.001)
    process = process_fixture.process()
    await start(process, ECHO)
    polls = []

    def hide(_what: object) -> list[int]:
        polls.append(process.alive)
        return []

    monkeypatch.setattr(procfs, "session_members", hide)
    monkeypatch.setattr(procfs, "lock_holders", hide)
    process._poll_processes()
    with pytest.raises(PluginError, match="cannot send SIGTERM to the server: its processes cannot be found"):
        process.signal(signal.SIGTERM)
    process.send("stop")
    assert await process.wait() == 0
    assert all(polls)


async def test_a_hidden_child_has_not_ended_before_its_exit_code_is_known(
    process_fixture: ProcessFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EXIT_INTERVAL", 0.001)
    monkeypatch.setattr(module, "PIDFD_RECHECK_INTERVAL", 0.001)
    process = process_fixture.process()
    await start(process, ECHO)
    polled = asyncio.Event()

    def hide(_what: object) -> list[int]:
        polled.set()
        return []

    monkeypatch.setattr(procfs, "session_members", hide)
    monkeypatch.setattr(procfs, "lock_holders", hide)
    monkeypatch.setattr(inherited_lock, "is_held", lambda _path: False)
    for _poll in range(2):
        await asyncio.wait_for(polled.wait(), 60)
        polled.clear()
    assert process.alive
    process.send("stop")
    assert await process.wait() == 0


async def test_an_end_without_an_event_is_found(
    process_fixture: ProcessFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PIDFD_RECHECK_INTERVAL", 0.01)
    real = os.pidfd_open
    monkeypatch.setattr(os, "pidfd_open", lambda _process_id: real(os.getpid()))  # as if the number were another's
    process = process_fixture.process()
    await start(process, ECHO)
    process.send("stop")
    assert await process.wait() == 0


async def test_a_detached_server_is_left_running_and_adopted(process_fixture: ProcessFixture) -> None:
    process = process_fixture.process()
    await start(process, ECHO)
    await process_fixture.output.line_with("ready")
    waiting = asyncio.ensure_future(process.wait())
    await asyncio.sleep(0)
    process.detach()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not process.alive
    another = process_fixture.process()
    assert await another.adopt()
    another.send("stop")
    await another.wait()
    assert process.pid in children(), "nobody waits for it any more"
    os.waitid(os.P_PID, process.pid, os.WEXITED)  # noqa: ASYNC222 # it has ended


AT_EVERY_MOMENT = """
import asyncio, sys
from pathlib import Path
from zeroscale.process.child import ServerProcess
async def main():
    process = ServerProcess(Path(sys.argv[1]))
    print("begins", flush=True)
    await process.start(["sh", "-c", sys.argv[2]], working_directory=Path("/"))
    await asyncio.sleep(1000)
asyncio.run(main())
"""


@pytest.mark.slow
async def test_whenever_we_are_killed_there_is_one_server(process_fixture: ProcessFixture, tmp_path: Path) -> None:
    world = tmp_path / "world"
    script = f"exec 9>>{world}; flock -n 9 || echo two; while read -r line; do exit 0; done"
    adopted = 0
    for moment in range(20):
        words = [sys.executable, "-c", AT_EVERY_MOMENT, str(process_fixture.state), script]
        with unrelated_process(*words) as other:
            assert other.stdout is not None
            assert other.stdout.readline() == b"begins\n"
            await asyncio.sleep(moment * 0.0003)  # a start takes some 3 ms
            other.kill()
            other.wait()
            process = process_fixture.process()
            if await process.adopt():
                adopted += 1
            else:
                await start(process, script)
            process.send("end")
            await process.wait()
    assert process_fixture.output.lines == []
    assert adopted, "or the moments were not the right ones"


async def test_no_second_server_runs_in_its_directory(process_fixture: ProcessFixture, tmp_path: Path) -> None:
    (tmp_path / "another").mkdir()
    first = process_fixture.process(exclusive_directory=tmp_path)
    await first.start(["sleep", "60"], working_directory=tmp_path)
    second = ServerProcess(tmp_path / "another", exclusive_directory=tmp_path)
    with pytest.raises(PluginError, match=rf"\(pid {first.pid}\) runs in this directory already"):
        await second.start(["sleep", "60"], working_directory=tmp_path)
    first.detach()
    with pytest.raises(PluginError, match="runs in this directory already"):
        await second.start(["sleep", "60"], working_directory=tmp_path)
    adopting = process_fixture.process(exclusive_directory=tmp_path)
    assert await adopting.adopt()
    adopting.signal(signal.SIGKILL)
    await adopting.wait()
    with pytest.raises(PluginError, match="there is no"):
        await second.start(["no such program"], working_directory=tmp_path)
    assert not DirectoryLock(tmp_path).path.exists()
