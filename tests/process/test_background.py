"""A server that its start command leaves in the background, by the programs that people use for that."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace
from plugins.process_fixture import ProcessFixture, unrelated_process, until
from ports import free_port

from zeroscale.errors import PluginError
from zeroscale.process import background, child, procfs
from zeroscale.process.background import NEAR, BackgroundServer, CommandRun, ServerSigns
from zeroscale.process.child import UNCLEAR_INTERVAL, ServerProcess
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
pathlib.Path("saves").touch()
time.sleep(float(sys.argv[3]))
with socket.create_server(("127.0.0.1", port)) as listener:
    pathlib.Path("pid").write_text(str(os.getpid()))
    while True:
        listener.accept()[0].close()
"""
"""A server that takes a while to save: its arguments are its port, and the seconds of its save and of its start."""

FOUND = "its server runs in the background (process "
"""The beginning of the warning that names what was found; until then nothing can be signalled."""

DAEMON = """
import os, sys
if os.fork():
    os._exit(0)
os.setsid()
os.closerange(0, 99)
os.execve(sys.argv[1], sys.argv[1:], {})
"""
"""Run a command as a daemon that keeps neither descriptors nor variables nor its session."""

HIDDEN_DAEMON = """
import os, sys
directory = os.getcwd()
if os.fork():
    os._exit(0)
os.setsid()
os.closerange(0, 99)
os.chdir("/")
code = f"import os, time; time.sleep(0.1); os.chdir({directory!r}); os.execv({sys.argv[1]!r}, {sys.argv[1:]!r})"
os.execve(sys.executable, [sys.executable, "-S", "-c", code], {})
"""
"""The same, in which nothing shows for a moment whose it is, as while a process calls exec."""


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

    async def run(self, process: ServerProcess, script: str) -> None:
        """Run a start script."""
        await process.start(["sh", "-c", script], working_directory=self.directory, environment=self.variables)

    async def start(self, process: ServerProcess, script: str) -> None:
        """Start the server by a script, and wait until its port accepts connections."""
        await self.run(process, script)
        await until(self.accepts)

    def twin(self, directory: Path) -> Background:
        """Another server, which uses the same multiplexers."""
        directory.mkdir(exist_ok=True)
        twin = copy.copy(self)
        twin.directory, twin.port = directory, free_port()
        (directory / "server.py").write_text(SERVER)
        twin.signs = ServerSigns(directory, twin.port)
        return twin

    def window(self, *command: str) -> int:
        """Open a window in the server's directory, as an operator does; return its first process."""
        self.command("tmux", "new-session", "-d", "-s", "operator", "-c", str(self.directory), *command)
        return int(self.command("tmux", "list-panes", "-t", "operator", "-F", "#{pane_pid}"))

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


@pytest.fixture
def open_scripts(scripts: Background) -> Iterator[Background]:
    """The same in a directory that other users may enter."""
    with tempfile.TemporaryDirectory(prefix="zs-") as name:
        Path(name).chmod(0o755)
        made = scripts.twin(Path(name) / "server")
        made.directory.chmod(0o755)
        yield made
        made.clear()


@pytest.fixture
def second_state(tmp_path: Path) -> Path:
    """The state directory of another server."""
    directory = tmp_path / "second"
    directory.mkdir(mode=0o700)
    return directory


def tmux(scripts: Background, session: str = "mc", starting: float = 0.0) -> str:
    return f"tmux new-session -d -s {session} {shlex.quote(scripts.server(starting=starting))}"


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


def hidden_daemon(scripts: Background) -> str:
    return shlex.join([sys.executable, "-S", "-c", HIDDEN_DAEMON, *shlex.split(scripts.server())])


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
        pytest.param(hidden_daemon, [], id="a daemon that is hidden at first"),
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


@pytest.mark.slow
@pytest.mark.peers("tmux")
async def test_a_window_that_ends_before_its_server_is_ready(scripts: Background, process: ServerProcess) -> None:
    await scripts.run(process, "tmux new-session -d -s mc 'sleep 0.5; exit 3'")
    async with asyncio.timeout(15):
        await process.wait()
    assert process.listener is None


@pytest.mark.peers("tmux")
async def test_a_stop_before_its_port_is_open(scripts: Background, process: ServerProcess) -> None:
    await scripts.run(process, tmux(scripts, starting=60))
    await until(lambda: not process.reads_console)
    await stop(process)


async def stop(process: ServerProcess, within: float = 20.0) -> int | None:
    """Stop it by SIGTERM; return its exit code."""
    process.record_stop(StopProgress.sent)
    process.signal(signal.SIGTERM)
    async with asyncio.timeout(within):
        return await process.wait()


def is_older(process_id: int) -> bool:
    """Whether a process was there before one that is started now."""
    found = procfs.facts(process_id)
    return found is not None and found.start_time < procfs.ticks(0) - 1


OLD_TMUX = ("tmux", "new-session", "-d", "-s", "other", "sleep 60")


@pytest.mark.slow
@pytest.mark.peers("tmux", "screen", "script")
@pytest.mark.parametrize("asked_by", ["signal", "RCON"])
@pytest.mark.parametrize(
    "script",
    [
        "tmux new-session -d -s mc {}",
        "screen -dmS mc sh -c {}",
        "tmux new-session -d -s mc; tmux send-keys -t mc {} Enter",
        "nohup sh -c {} >/dev/null 2>&1 &",
    ],
    ids=["tmux", "screen", "typed", "nohup"],
)
@pytest.mark.parametrize("line", ["{}", "script -qc {} /dev/null"], ids=["", "in a session of its own"])
async def test_a_loop_does_not_start_it_again(
    scripts: Background, process: ServerProcess, script: str, asked_by: str, line: str
) -> None:
    line = line.format(scripts.server() if line == "{}" else shlex.quote(scripts.server()))
    await scripts.start(process, script.format(shlex.quote(f"while true; do {line}; done")))
    await until(lambda: not process.reads_console)
    if asked_by == "RCON":
        process.record_stop(StopProgress.sent)
        os.kill(scripts.pid, signal.SIGTERM)
        async with asyncio.timeout(20):
            await process.wait()
    else:
        await stop(process)
    assert scripts.has("saved")
    await asyncio.sleep(0.3)  # as long as the server takes to start
    assert not scripts.accepts()


@pytest.mark.slow
@pytest.mark.peers("script")
async def test_what_is_around_it_is_signalled_after_its_end(scripts: Background, process: ServerProcess) -> None:
    """util-linux's `script` kills what it runs two seconds after it has got SIGTERM."""
    line = f"script -qc {shlex.quote(scripts.server(saving=2.5))} /dev/null"
    await scripts.start(process, f"nohup sh -c {shlex.quote(f'while true; do {line}; done')} >/dev/null 2>&1 &")
    await until(lambda: not process.reads_console)
    await stop(process)
    assert scripts.has("saved")


@pytest.mark.slow
async def test_a_shell_that_ends_after_starting_it_again(scripts: Background, process: ServerProcess) -> None:
    """A loop may have started the next server in the moment in which the shell gets its signal."""
    server = scripts.server()
    shell = f"trap '{server} & exit' TERM; {server}; sleep 60 & wait"
    await scripts.start(process, f"nohup sh -c {shlex.quote(shell)} >/dev/null 2>&1 &")
    await until(lambda: not process.reads_console)
    await stop(process)
    assert scripts.has("saved")
    await asyncio.sleep(0.3)
    assert not scripts.accepts()


@pytest.mark.slow
@pytest.mark.peers("tmux")
async def test_a_loop_before_its_port_is_open(scripts: Background, process: ServerProcess) -> None:
    loop = f"while true; do {scripts.server(starting=0.5)}; done"
    await scripts.run(process, f"tmux new-session -d -s mc {shlex.quote(loop)}")
    await until(lambda: not process.reads_console)
    await stop(process)


@pytest.mark.slow
@pytest.mark.peers("tmux")
@pytest.mark.parametrize("command", [[], ["sleep 60"]], ids=["a shell", "a program"])
@pytest.mark.parametrize("ending", ["it is stopped", "it fails", "it is stopped before its port is open"])
async def test_an_operator_s_window_is_not_taken_for_a_server_in_the_foreground(
    scripts: Background,
    process: ServerProcess,
    command: Sequence[str],
    ending: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    began = procfs.ticks(0)
    await scripts.run(process, f"exec {scripts.server(starting=60 if 'before' in ending else 0)}")
    if command and "before" in ending:  # a program in a window that was opened earlier might be the server
        monkeypatch.setattr(background, "NEAR", 0.2)
        await until(lambda: procfs.ticks(-0.3) > began)
    elif "before" not in ending:
        await until(scripts.accepts)
    window = scripts.window(*command)
    await asyncio.sleep(1.5 * UNCLEAR_INTERVAL)  # its port is seen to be open
    if "stopped" in ending:
        assert await stop(process, within=5 if "before" in ending else 1) == 0
    else:
        os.kill(scripts.pid, signal.SIGKILL)
        async with asyncio.timeout(1):
            assert await process.wait() == 137
    assert procfs.is_live(window)


@pytest.mark.peers("tmux")
@pytest.mark.parametrize("starting", [0, 60])
async def test_what_an_operator_runs_in_a_window_of_his_own_is_left_alone(
    scripts: Background, process: ServerProcess, starting: float
) -> None:
    """It was started in the server's directory, and at the same time."""
    window = scripts.window("exec sh -i")
    await until(lambda: is_older(window))
    go = scripts.directory / "go"
    os.mkfifo(go)
    scripts.command("tmux", "send-keys", "-t", "operator", f"cat <{go}; sh -c 'echo $$ >run; exec sleep 60'", "Enter")
    await scripts.run(process, f"{tmux(scripts, starting=starting)}; echo >{go}")
    await until(lambda: scripts.has("run") and (scripts.directory / "run").read_text())
    await until(lambda: not process.reads_console)
    await stop(process)
    assert procfs.is_live(int((scripts.directory / "run").read_text()))


@pytest.mark.slow
@pytest.mark.peers("tmux")
async def test_a_server_that_is_typed_into_a_window_that_was_open(scripts: Background, process: ServerProcess) -> None:
    window = scripts.window("exec sh -i")
    await until(lambda: is_older(window))
    script = f"tmux send-keys -t operator {shlex.quote('sleep 0.5; ' + scripts.server(starting=1))} Enter"
    await scripts.start(process, script)
    await until(lambda: not process.reads_console)
    await stop(process)
    assert scripts.has("saved")
    assert procfs.is_live(window)


@pytest.mark.slow
@pytest.mark.peers("tmux")
async def test_two_servers_in_one_tmux(
    scripts: Background, process: ServerProcess, tmp_path: Path, process_fixture: ProcessFixture, second_state: Path
) -> None:
    """The first one's script has started the tmux, which gives the first one's variable to the other, too."""
    other = scripts.twin(tmp_path / "other")
    second = process_fixture.process(signs=other.signs, state=second_state)
    await scripts.start(process, tmux(scripts, "one"))
    await until(lambda: not process.reads_console)
    await other.start(second, tmux(other, "two"))
    await until(lambda: not second.reads_console)
    await stop(second)
    assert other.has("saved")
    assert process.alive and scripts.accepts()
    await stop(process)


@pytest.mark.slow
@pytest.mark.peers("tmux")
async def test_two_servers_in_one_directory(
    scripts: Background, process: ServerProcess, process_fixture: ProcessFixture, second_state: Path
) -> None:
    """Their windows are told from each other once a port is open; until then neither is signalled."""
    scripts.command(*OLD_TMUX)
    other = scripts.twin(scripts.directory)
    second = process_fixture.process(signs=other.signs, state=second_state)
    await scripts.run(process, f"{tmux(scripts, 'one', starting=60)}; sleep 1")
    await other.run(second, f"{tmux(other, 'two', starting=4)}; sleep 1")
    await until(lambda: not (process.reads_console or second.reads_console))
    await stop(process)
    assert second.alive
    await until(other.accepts)
    await stop(second)
    assert other.has("saved")


@pytest.mark.slow
@pytest.mark.peers("tmux")
async def test_a_script_that_is_adopted_and_ends_later(
    scripts: Background, process: ServerProcess, process_fixture: ProcessFixture
) -> None:
    scripts.command(*OLD_TMUX)
    await scripts.run(process, f"{tmux(scripts, starting=3)}; touch opened; sleep 1")
    await until(lambda: scripts.has("opened"))
    process.detach()
    following = process_fixture.process(signs=scripts.signs)
    assert await following.adopt()
    await until(lambda: not following.reads_console)
    await until(scripts.accepts)
    assert following.alive


@pytest.mark.peers("tmux")
async def test_a_killed_zeroscale_had_not_seen_its_script_end(
    scripts: Background, process: ServerProcess, process_fixture: ProcessFixture
) -> None:
    scripts.command(*OLD_TMUX)
    await scripts.run(process, tmux(scripts, starting=3))
    process.detach()
    await until(lambda: not procfs.is_live(process.pid or 0))
    await until(lambda: scripts.has("saves"))  # while it calls exec its directory cannot be read
    following = process_fixture.process(signs=scripts.signs)
    assert await following.adopt()
    await stop(following)


@pytest.mark.slow
@pytest.mark.peers("tmux", "screen")
@pytest.mark.parametrize("make_script", [tmux, screen, nohup, daemon])
async def test_the_script_s_exit_code_is_not_the_server_s(
    scripts: Background, process: ServerProcess, make_script: Callable[[Background], str]
) -> None:
    await scripts.start(process, make_script(scripts) + "\nexit 3")
    await until(lambda: not process.reads_console)
    assert await stop(process) is None
    assert scripts.has("saved")


@pytest.mark.slow
@pytest.mark.peers("tmux")
@pytest.mark.parametrize("starting", [0, 60])
async def test_a_stop_while_the_script_runs(scripts: Background, process: ServerProcess, starting: float) -> None:
    """The script gets the signal; once it has ended, so does the server that it has left."""
    scripts.command(*OLD_TMUX)
    await scripts.run(process, f"{tmux(scripts, starting=starting)}; touch opened; sleep 60")
    await until(lambda: scripts.has("opened") and scripts.has("saves") and (starting or scripts.accepts()))
    await stop(process)
    assert scripts.has("saved")


@pytest.mark.slow
@pytest.mark.peers("tmux")
async def test_a_stop_by_the_console_while_the_script_runs(
    scripts: Background, process: ServerProcess, process_fixture: ProcessFixture
) -> None:
    """The script does not read it, so that the server has not been asked."""
    await scripts.run(process, f"{tmux(scripts)}; touch opened; sleep 1")
    await until(lambda: scripts.has("opened"))
    process.detach()
    following = process_fixture.process(signs=scripts.signs)
    assert await following.adopt()
    following.record_stop(StopProgress.requested)
    following.send("stop")
    following.record_stop(StopProgress.sent)
    await following.wait()
    assert scripts.has("saved")


@pytest.mark.slow
@pytest.mark.peers("tmux")
async def test_a_loop_that_started_it_again_while_no_zeroscale_ran(
    scripts: Background, process: ServerProcess, process_fixture: ProcessFixture
) -> None:
    """The earlier one was killed in a stop; the new server has not been asked, and is not waited for."""
    loop = f"while true; do {scripts.server()}; done"
    await scripts.start(process, f"tmux new-session -d -s mc {shlex.quote(loop)}")
    await until(lambda: not process.reads_console)
    before = scripts.pid
    process.record_stop(StopProgress.sent)
    process.detach()
    os.kill(before, signal.SIGTERM)
    await until(lambda: scripts.accepts() and scripts.pid != before)
    following = process_fixture.process(signs=scripts.signs)
    assert await following.adopt()
    async with asyncio.timeout(20):
        await following.wait()
    assert not scripts.accepts()


@pytest.mark.slow
@pytest.mark.peers("tmux")
async def test_a_window_that_is_left_open_does_not_count_as_the_server(
    scripts: Background, process: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command was typed into it, and the server has failed: its operator may want to read why."""
    monkeypatch.setattr(child, "SHELLS_END_WITHIN", 0.5)
    await scripts.start(process, tmux_keys(scripts))
    await until(lambda: not process.reads_console)
    os.kill(scripts.pid, signal.SIGKILL)
    async with asyncio.timeout(20):
        await process.wait()
    assert "mc" in scripts.command("tmux", "list-sessions")


@pytest.mark.slow
@pytest.mark.peers("tmux")
async def test_a_loop_that_goes_on_after_sigterm(
    scripts: Background, process: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "TRAP_ENDS_WITHIN", 0.5)
    loop = f"trap : TERM; while true; do {scripts.server()}; done"
    await scripts.start(process, f"tmux new-session -d -s mc {shlex.quote(loop)}")
    await until(lambda: not process.reads_console)
    await stop(process)
    assert scripts.has("saved")


@pytest.mark.slow
@pytest.mark.peers("tmux")
async def test_a_shell_that_ignores_signals_does_not_hold_up_a_stop(
    scripts: Background, process: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "SHELLS_END_WITHIN", 0.5)
    stubborn = f"trap '' TERM HUP; {scripts.server()}; read -r line <{scripts.directory / 'fifo'}"
    fifo = scripts.directory / "fifo"
    os.mkfifo(fifo)
    await scripts.start(process, f"tmux new-session -d -s mc {shlex.quote(stubborn)}")
    await until(lambda: not process.reads_console)
    await stop(process)
    assert scripts.has("saved")
    fifo.write_text("\n")  # ends the shell


@pytest.mark.slow
@pytest.mark.peers("tmux", "screen")
@pytest.mark.parametrize("make_script", [tmux, screen, tmux_loop, tmux_keys])
async def test_a_multiplexer_lets_no_server_be_paused(
    scripts: Background,
    process: ServerProcess,
    make_script: Callable[[Background], str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    await scripts.start(process, make_script(scripts))
    await until(lambda: FOUND in caplog.text)
    with pytest.raises(PluginError, match="in a window of tmux or screen"):
        process.pause()
    process.signal(signal.SIGCONT)
    assert scripts.accepts()


async def test_a_daemon_is_paused(
    scripts: Background, process: ServerProcess, caplog: pytest.LogCaptureFixture
) -> None:
    await scripts.start(process, daemon(scripts))
    await until(lambda: FOUND in caplog.text)
    process.pause()
    await until(lambda: (found := procfs.facts(scripts.pid)) is not None and found.stopped)
    process.resume()
    await until(scripts.accepts)


LISTENER = """
import os, socket, sys, time
os.chdir(sys.argv[1])
listener = socket.create_server((sys.argv[2], int(sys.argv[3])))
print(flush=True)
time.sleep(60)
"""


@pytest.mark.peers("tmux")
async def test_a_program_at_another_address_is_another_one(
    scripts: Background, process_fixture: ProcessFixture
) -> None:
    process = process_fixture.process(signs=ServerSigns(scripts.directory, scripts.port, host="127.0.0.1"))
    await scripts.start(process, tmux(scripts))
    argv = [sys.executable, "-S", "-c", LISTENER, str(scripts.directory), "127.0.0.2", str(scripts.port)]
    with unrelated_process(*argv) as other:
        assert other.stdout and other.stdout.readline()
        await stop(process)
        assert procfs.is_live(other.pid)


@pytest.mark.peers("setpriv")
@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
async def test_another_user_cannot_imitate_a_server(open_scripts: Background, process_fixture: ProcessFixture) -> None:
    """It listens on the port, in the directory, in a window, with our variable: yet is neither adopted nor ended."""
    process = process_fixture.process(signs=open_scripts.signs)
    await open_scripts.start(process, open_scripts.server())
    variables = {name: value for name, value in procfs.environment(process.pid or 0).items() if name == MARK}
    assert variables
    await stop(process)
    words = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups", "/usr/bin/env", "TMUX=x", "TMUX_PANE=y"]
    words += [f"{name}={value}" for name, value in variables.items()]
    words += [
        "/usr/bin/python3",
        "-S",
        "-c",
        LISTENER,
        str(open_scripts.directory),
        "127.0.0.1",
        str(open_scripts.port),
    ]
    with unrelated_process(*words) as stranger:
        assert stranger.stdout and stranger.stdout.readline()
        following = process_fixture.process(signs=open_scripts.signs)
        assert not await following.adopt()
        await open_scripts.run(following, "exit 0")
        assert await following.wait() == 0
        assert following.listener == f"process {stranger.pid} (python3)"
        assert procfs.is_live(stranger.pid)


@pytest.mark.peers("setpriv", "tmux")
@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
async def test_a_server_that_runs_as_the_owner_of_its_directory(
    open_scripts: Background, process_fixture: ProcessFixture
) -> None:
    process = process_fixture.process(signs=open_scripts.signs)
    (open_scripts.directory / "tmux").mkdir()
    for path in (open_scripts.directory, open_scripts.directory / "tmux"):
        os.chown(path, 12345, 12345)
    become = "setpriv --reuid=12345 --regid=12345 --clear-groups"
    server = open_scripts.server().replace(sys.executable, "/usr/bin/python3")
    await open_scripts.start(
        process, f"TMUX_TMPDIR={open_scripts.directory}/tmux {become} tmux new-session -d -s mc {shlex.quote(server)}"
    )
    await until(lambda: not process.reads_console)
    await stop(process)
    assert open_scripts.has("saved")


@pytest.mark.peers("redis-server")
@pytest.mark.parametrize("elsewhere", [False, True])
async def test_redis_as_a_daemon(scripts: Background, process: ServerProcess, tmp_path: Path, elsewhere: bool) -> None:
    directory = tmp_path if elsewhere else scripts.directory
    await scripts.start(
        process, f"redis-server --port {scripts.port} --daemonize yes --dir {directory} --save '' --pidfile ''"
    )
    await until(lambda: not process.reads_console)
    await stop(process)
    assert not scripts.accepts()


@pytest.mark.peers("nginx")
async def test_nginx_as_a_daemon(scripts: Background, process: ServerProcess) -> None:
    configuration = scripts.directory / "nginx.conf"
    configuration.write_text(
        f"pid {scripts.directory}/nginx.pid; error_log {scripts.directory}/log; events {{}}\n"
        f"http {{ access_log off; server {{ listen 127.0.0.1:{scripts.port}; }} }}\n"
    )
    await scripts.start(process, f"PATH=$PATH:/usr/sbin exec nginx -c {configuration}")
    await until(lambda: not process.reads_console)
    # nginx loses a signal that comes before its master process waits for signals; its workers begin later.
    reader, writer = await asyncio.open_connection("127.0.0.1", scripts.port)
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    assert await reader.read()
    writer.close()
    await stop(process)
    assert not scripts.accepts()


def test_when_a_command_may_have_left_a_process() -> None:
    second, near = procfs.TICKS, int(NEAR * procfs.TICKS)
    quick = CommandRun(1000, ended=1000 + second)
    assert not quick.may_have_left(999)
    assert quick.may_have_left(1000) and quick.may_have_left(1000 + 3 * second)
    assert not quick.may_have_left(1001 + 3 * second)
    slow = CommandRun(1000, ended=1000 + 10 * near, succeeded=True)
    assert slow.may_have_left(1000 + near) and not slow.may_have_left(1001 + near)
    assert slow.may_have_left(slow.started + 9 * near) and not slow.may_have_left(slow.started + 9 * near - 1)
    failed = replace(slow, succeeded=False)
    assert failed.may_have_left(1000 + near) and not failed.may_have_left(1000 + 10 * near)
    assert not replace(slow, ran_server=True).may_have_left(1000)
    assert CommandRun(1000).may_have_left(1000 + near) and not CommandRun(1000).may_have_left(1001 + near)


def test_a_group_that_has_ended_is_forgotten(scripts: Background) -> None:
    """Its number is given again, and its first process may have ended by then."""
    server = BackgroundServer(scripts.signs, (MARK, "x"))
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as process:
        server.restore({process.pid: None, 2**22 + 1: None}, 0)
        assert server.groups == {}, "its first process was not there when it was recorded"
        found = procfs.facts(process.pid)
        assert found is not None
        server.restore({process.pid: found.start_time, 2**22 + 1: None}, 0)
        assert (list(server.groups), server.members()) == ([process.pid], [process.pid])
        server.restore({process.pid: found.start_time}, found.start_time + 1)
        assert server.groups == {}, "it was there before the command"
        server.restore({process.pid: found.start_time}, 0)
        process.kill()
    server.look(CommandRun(procfs.ticks(0), ran_server=True))
    assert server.groups == {}
    assert server.was_found


def test_a_lock_of_its_own_tells_the_server(scripts: Background) -> None:
    """It has opened its world, but not yet its port."""
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as other:
        holders = [None, 0, other.pid]
        signs = ServerSigns(scripts.directory, scripts.port, lambda: holders[0])
        found = BackgroundServer(signs, (MARK, "x"))
        for _ in range(2):
            found.look(CommandRun(procfs.ticks(-1)))
            assert (found.groups, found.is_certain) == ({}, False)
            del holders[0]
        found.look(CommandRun(procfs.ticks(60)))
        assert not found.is_certain, "it was not started by this server's command"
        found.look(CommandRun(procfs.ticks(-1)))
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


@pytest.mark.peers("tmux")
@pytest.mark.parametrize("words", [["./start.sh"], ["sh", "-e", "start.sh"], ["sh", "-c", "tmux attach"]])
def test_only_a_command_that_names_a_multiplexer_may_get_a_window(scripts: Background, words: list[str]) -> None:
    server = BackgroundServer(scripts.signs, (MARK, "x"))
    (scripts.directory / "start.sh").write_text("tmux send-keys -t mc ./run.sh Enter")
    scripts.command("tmux", "new-session", "-d", "-s", "mc", "sleep 60")
    assert server.may_get_window(words)
    (scripts.directory / "start.sh").write_text("exec java -jar server.jar")
    assert server.may_get_window(words) is ("-c" in words)
    assert not server.may_get_window(["java", "-jar", "server.jar"])


async def test_a_script_that_saves_in_its_trap_is_not_cut_off(scripts: Background, process: ServerProcess) -> None:
    """The script in the background is the server itself, as far as can be seen."""
    trap = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; echo >saved; exit"
    os.mkfifo(scripts.directory / "never")
    script = f"trap '{trap}' TERM; echo >pid; read -r line <never"
    await process.start(
        ["sh", "-c", f"setsid sh -c {shlex.quote(script)} </dev/null &"], working_directory=scripts.directory
    )
    await until(lambda: scripts.has("pid") and not process.reads_console)
    process.record_stop(StopProgress.sent)
    process.signal(signal.SIGTERM)
    await process.wait()
    assert scripts.has("saved")
