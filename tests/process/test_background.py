"""A server that its start command leaves in the background, by the programs that people use for that."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from plugins.process_fixture import ProcessFixture, unrelated_process, until
from ports import free_port

from zeroscale.errors import PluginError
from zeroscale.process import procfs
from zeroscale.process.background import BackgroundServer, ServerSigns
from zeroscale.process.child import ServerProcess
from zeroscale.process.group import MARK
from zeroscale.process.record import StopProgress, load_record

SERVER = """
import os, pathlib, signal, socket, sys, time
port, saving = int(sys.argv[1]), float(sys.argv[2])
def stop(*_):
    pathlib.Path("saving").touch()
    time.sleep(saving)
    pathlib.Path("saved").touch()
    os._exit(0)
signal.signal(signal.SIGTERM, stop)
signal.signal(signal.SIGHUP, lambda *_: os._exit(129))
time.sleep(float(sys.argv[3]))
with socket.create_server(("127.0.0.1", port)) as listener:
    pathlib.Path("pid").write_text(str(os.getpid()))
    while True:
        listener.accept()[0].close()
"""
"""A server that takes a while to save: its arguments are its port, and the seconds of its save and of its start."""

DAEMON = """
import os, sys
if os.fork():
    os._exit(0)
os.setsid()
os.closerange(0, 99)
os.execve(sys.argv[1], sys.argv[1:], {})
"""
"""Run a command as a daemon that keeps neither descriptors nor variables nor its session."""


class Background:
    """Start scripts that leave a server in the background, and the multiplexers that they use.

    :ivar directory: the server's.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.variables = {**os.environ, "TMUX_TMPDIR": str(directory), "SCREENDIR": str(directory / "screens")}
        for name in ("TMUX", "TMUX_PANE", "STY", "WINDOW"):
            self.variables.pop(name, None)
        (directory / "screens").mkdir(mode=0o700)
        (directory / "server.py").write_text(SERVER)
        self.signs = ServerSigns(directory, self.port)

    def server(self, *, saving: float = 0.3, starting: float = 0.0) -> str:
        """The command line of the server."""
        return shlex.join([sys.executable, "-S", "server.py", str(self.port), str(saving), str(starting)])

    def command(self, *argv: str) -> str:
        """Run a command to its end; return its output."""
        return subprocess.run(
            argv, cwd="/", env=self.variables, check=True, capture_output=True, text=True, timeout=30
        ).stdout

    async def start(self, process: ServerProcess, script: str) -> None:
        """Start the server by a script, and wait until its port accepts connections."""
        await process.start(["sh", "-c", script], working_directory=self.directory, environment=self.variables)
        await until(self.accepts)

    def accepts(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    @property
    def pid(self) -> int:
        return int((self.directory / "pid").read_text())

    def has(self, name: str) -> bool:
        return (self.directory / name).exists()

    def clear(self) -> None:
        for argv in (["tmux", "kill-server"], ["screen", "-X", "quit"]):
            with contextlib.suppress(FileNotFoundError):
                subprocess.run(argv, env=self.variables, check=False, capture_output=True, timeout=30)
        with contextlib.suppress(OSError, ValueError):
            os.kill(self.pid, signal.SIGKILL)


@pytest.fixture
def scripts(tmp_path: Path) -> Iterator[Background]:
    directory = tmp_path / "server"
    directory.mkdir()
    made = Background(directory)
    yield made
    made.clear()


@pytest.fixture
def process(process_fixture: ProcessFixture, scripts: Background) -> ServerProcess:
    return process_fixture.process(signs=scripts.signs)


def tmux(scripts: Background, session: str = "mc") -> str:
    return f"tmux new-session -d -s {session} {shlex.quote(scripts.server())}"


def tmux_loop(scripts: Background) -> str:
    loop = f"while true; do {scripts.server()}; sleep 1; done"
    return f"tmux new-session -d -s mc {shlex.quote(loop)}"


def tmux_keys(scripts: Background) -> str:
    return f"tmux new-session -d -s mc; tmux send-keys -t mc {shlex.quote(scripts.server())} Enter"


def screen(scripts: Background, session: str = "mc") -> str:
    return f"screen -dmS {session} {scripts.server()}"


def nohup(scripts: Background) -> str:
    return f"nohup {scripts.server()} >/dev/null 2>&1 &"


def daemon(scripts: Background) -> str:
    return shlex.join([sys.executable, "-S", "-c", DAEMON, *shlex.split(scripts.server())])


EVERY_WAY = pytest.mark.parametrize(
    ("make_script", "runs_before"),
    [
        pytest.param(tmux, [], id="tmux"),
        pytest.param(tmux, ["tmux", "new-session", "-d", "-s", "other", "sleep 60"], id="tmux that ran before"),
        pytest.param(tmux_loop, [], id="tmux with a loop"),
        pytest.param(tmux_keys, [], id="tmux, typed"),
        pytest.param(tmux_keys, ["tmux", "new-session", "-d", "-s", "other", "sleep 60"], id="tmux before, typed"),
        pytest.param(screen, [], id="screen"),
        pytest.param(screen, ["screen", "-dmS", "other", "sleep", "60"], id="screen that ran before"),
        pytest.param(nohup, [], id="nohup"),
        pytest.param(daemon, [], id="a daemon"),
    ],
)


@pytest.mark.peers("tmux", "screen")
@EVERY_WAY
async def test_it_runs_until_its_own_end(
    scripts: Background,
    process: ServerProcess,
    process_fixture: ProcessFixture,
    caplog: pytest.LogCaptureFixture,
    make_script: Callable[[Background], str],
    runs_before: Sequence[str],
) -> None:
    if runs_before:
        scripts.command(*runs_before)
    await scripts.start(process, make_script(scripts))
    await until(lambda: "foreground" in caplog.text)
    assert process.alive
    assert not process.reads_console
    with pytest.raises(PluginError, match="runs in the background, where it does not read its console"):
        process.send("stop")
    with pytest.raises(PluginError, match="still runs"):
        await process.start(["true"], working_directory=scripts.directory)

    process.detach()
    following = process_fixture.process(signs=scripts.signs)
    assert await following.adopt()
    assert following.alive
    assert not following.reads_console
    following.record_stop(StopProgress.sent)
    following.signal(signal.SIGTERM)
    await until(lambda: scripts.has("saving"))
    assert following.alive
    assert await following.wait() is None
    assert scripts.has("saved")
    assert not scripts.accepts()
    assert load_record(process_fixture.state / "process.json") is None

    assert not await process_fixture.process(signs=scripts.signs).adopt()
    (scripts.directory / "saved").unlink()
    await scripts.start(process_fixture.process(signs=scripts.signs), make_script(scripts))


@pytest.mark.peers("tmux", "screen")
@pytest.mark.parametrize("made", [tmux, screen])
async def test_other_windows_are_left_alone(
    scripts: Background,
    process: ServerProcess,
    process_fixture: ProcessFixture,
    made: Callable[[Background, str], str],
) -> None:
    """The operator has attached to the multiplexer that the script started, and opened another window."""
    await scripts.start(process, made(scripts, "mc"))
    write = f"echo $$ >{scripts.directory / 'other'}; exec sleep 60"
    if made is tmux:
        scripts.command("tmux", "new-window", "-t", "mc:", write)
    else:
        scripts.command("screen", "-S", "mc", "-X", "screen", "sh", "-c", write)
    await until(lambda: scripts.has("other") and (scripts.directory / "other").read_text())
    other = int((scripts.directory / "other").read_text())
    process.record_stop(StopProgress.sent)
    process.signal(signal.SIGTERM)
    await process.wait()
    assert scripts.has("saved")
    assert procfs.is_live(other)
    assert not await process_fixture.process(signs=scripts.signs).adopt()
    await scripts.start(process_fixture.process(signs=scripts.signs), made(scripts, "again"))


@pytest.mark.peers("tmux")
async def test_a_window_that_ends_before_its_server_is_ready(scripts: Background, process: ServerProcess) -> None:
    script = "tmux new-session -d -s mc 'sleep 0.5; exit 3'"
    await process.start(["sh", "-c", script], working_directory=scripts.directory, environment=scripts.variables)
    async with asyncio.timeout(15):
        await process.wait()
    assert process.listener is None


@pytest.mark.peers("tmux")
async def test_a_stop_before_its_port_is_open(scripts: Background, process: ServerProcess) -> None:
    script = f"tmux new-session -d -s mc {shlex.quote(scripts.server(starting=60))}"
    await process.start(["sh", "-c", script], working_directory=scripts.directory, environment=scripts.variables)
    await until(lambda: not process.reads_console)
    process.record_stop(StopProgress.sent)
    process.signal(signal.SIGTERM)
    await process.wait()


def test_a_lock_of_its_own_tells_the_server(scripts: Background) -> None:
    """It has opened its world, but not yet its port."""
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as other:
        holders = [None, 0, other.pid]
        signs = ServerSigns(scripts.directory, scripts.port, lambda: holders[0])
        found = BackgroundServer(signs, (MARK, "x"))
        for _ in range(2):
            found.look(since=procfs.ticks(-1), until=None)
            assert (found.groups, found.is_certain) == ({}, False)
            del holders[0]
        found.look(since=procfs.ticks(60), until=None)
        assert not found.is_certain, "it was not started by this server's command"
        found.look(since=procfs.ticks(-1), until=None)
        assert (list(found.groups), found.is_certain, found.members()) == ([other.pid], True, [other.pid])
        other.kill()


async def test_a_listener_that_cannot_be_identified_is_named_and_not_signalled(
    scripts: Background, process: ServerProcess
) -> None:
    script = "import socket, sys, time; s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); time.sleep(60)"
    with unrelated_process(sys.executable, "-S", "-c", script, str(scripts.port)) as other:
        await until(scripts.accepts)
        await process.start(["true"], working_directory=scripts.directory)
        assert await process.wait() == 0
        assert process.listener == f"process {other.pid} ({procfs.program_name(other.pid)})"
        process.signal(signal.SIGTERM)
        assert procfs.is_live(other.pid)


async def test_a_command_that_ends_with_0_has_ended(scripts: Background, process: ServerProcess) -> None:
    await process.start(["true"], working_directory=scripts.directory)
    assert await process.wait() == 0
    assert process.listener is None
