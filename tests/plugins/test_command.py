"""A server controlled by commands, with and without a status command."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from plugins.process_fixture import until
from ports import free_port

from zeroscale.errors import PluginError
from zeroscale.plugins.command import Server
from zeroscale.plugins.support import command_status, external_server, stop_note
from zeroscale.plugins.support.tcp_check import TcpResult
from zeroscale.plugins.testing import (
    AdoptableTests,
    ApiTests,
    PausableTests,
    PermissionTests,
    PluginTests,
    RemovableTests,
    ReportsStartsTests,
    ServerUnderTest,
    WaitableTests,
    driving,
)
from zeroscale.process import procfs
from zeroscale.process.environment import ChildEnvironment
from zeroscale.status import Status

SCRIPT = """#!/bin/sh
while [ -e slow ]; do touch asked; sleep 0.01; done
if [ -e broken ]; then echo 'the daemon is away'; exit {unknown}; fi
{work}
"""

COMMANDS = {
    "start": "test ! -e denied || { echo 'permission denied'; exit 1; }; touch runs; echo 'up it goes'",
    "stop": "touch asked-to-stop; while [ -e held ]; do sleep 0.01; done; rm -f runs frozen",
    "status": "test -e runs || exit 3",
    "pause": "touch frozen",
    "resume": "rm -f frozen",
}


class Switch(ServerUnderTest):
    """A server that is a file, which the commands create and remove."""

    reports_crashes = False
    has_runs = False

    def __init__(self, state: Path, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(command_status, "CHECK_EVERY", 0.01)
        monkeypatch.setattr(external_server, "LONGEST_INTERVAL", 0.1)
        self.state = state
        self.directory = directory
        self.stop_timeout = 120.0
        for name, work in COMMANDS.items():
            unknown = 255 if name == "status" else 1
            (directory / name).write_text(SCRIPT.format(work=work, unknown=unknown))
            (directory / name).chmod(0o700)

    def make_plugin(self, **changes: object) -> Server:
        values: dict[str, Any] = {
            **{name: f"./{name}" for name in COMMANDS},
            "status_every": 0.02,
            "stop_timeout": self.stop_timeout,
            "server_port": 1,
            "state_directory": self.state,
            "working_directory": self.directory,
            **changes,
        }
        return Server(**values)

    def write(self, name: str, work: str) -> None:
        """Write the script of a command."""
        (self.directory / name).write_text(f"#!/bin/sh\n{work}\n")

    def has(self, name: str) -> bool:
        return (self.directory / name).exists()

    @property
    def note(self) -> bytes:
        """The note of a stop; empty where there is none."""
        path = self.state / "stop.json"
        return path.read_bytes() if path.exists() else b""

    async def is_running(self) -> bool:
        return self.has("runs")

    async def start(self) -> None:
        (self.directory / "runs").touch()

    async def stop(self) -> None:
        (self.directory / "runs").unlink()

    async def crash(self) -> None:
        (self.directory / "runs").unlink()

    async def block_stop(self) -> None:
        (self.directory / "held").touch()

    async def stop_requested(self) -> None:
        await until(lambda: self.has("asked-to-stop"))

    async def unblock_stop(self) -> None:
        (self.directory / "held").unlink()

    async def is_paused(self) -> bool:
        return self.has("frozen")

    async def remove(self) -> None:
        (self.directory / "start").unlink()
        (self.directory / "runs").unlink(missing_ok=True)

    async def forbid(self) -> None:
        (self.directory / "denied").touch()

    async def break_api(self) -> None:
        (self.directory / "broken").touch()

    async def stall_api(self) -> None:
        (self.directory / "slow").touch()

    async def restore_api(self) -> None:
        for name in ("broken", "slow"):
            (self.directory / name).unlink(missing_ok=True)

    async def api_requested(self) -> None:
        await until(lambda: self.has("asked"))


@pytest.mark.slow
class TestWithStatus(
    PluginTests,
    WaitableTests,
    AdoptableTests,
    ReportsStartsTests,
    PausableTests,
    RemovableTests,
    PermissionTests,
    ApiTests,
):
    """The contract tests with a status command."""

    @pytest.fixture
    def subject(self, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ServerUnderTest:
        return Switch(state, tmp_path, monkeypatch)


LISTENER = """
import pathlib, socket, sys
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
pathlib.Path("listens").touch()
while True:
    listener.accept()[0].close()
"""


class Background(Switch):
    """A program that `start` leaves in the background; only its port shows whether it runs."""

    def __init__(self, state: Path, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(state, directory, monkeypatch)
        self.port = free_port()
        (directory / "listener.py").write_text(LISTENER)
        listener = f"{sys.executable} -SE listener.py {self.port}"
        self.write("start", f"{listener} & echo $! >pid; while [ ! -e listens ]; do sleep 0.01; done; echo up it goes")
        self.write("stop", "touch asked-to-stop; while [ -e held ]; do sleep 0.01; done; rm listens; kill $(cat pid)")

    def make_plugin(self, **changes: object) -> Server:
        alone = {"status": None, "pause": None, "resume": None, "server_port": self.port}
        return super().make_plugin(**{**alone, **changes})

    async def tear_down(self) -> None:
        if await self.is_running():
            os.kill(self._process_id, signal.SIGKILL)

    async def is_running(self) -> bool:
        return self.has("pid") and procfs.is_live(self._process_id)

    async def start(self) -> None:
        starting = await asyncio.create_subprocess_exec("./start", cwd=self.directory, stdout=subprocess.DEVNULL)
        assert await starting.wait() == 0

    @property
    def _process_id(self) -> int:
        return int((self.directory / "pid").read_text())

    async def forbid(self) -> None:
        self.write("start", COMMANDS["start"])
        await super().forbid()


@pytest.mark.slow
class TestWithoutStatus(PluginTests, AdoptableTests, RemovableTests, PermissionTests):
    """The contract tests without a status command."""

    @pytest.fixture
    def subject(self, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ServerUnderTest:
        return Background(state, tmp_path, monkeypatch)


@pytest.fixture
def subject(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Switch:
    return Switch(state, tmp_path, monkeypatch)


async def test_output_of_the_commands_except_status_is_passed_on(subject: Switch) -> None:
    async with driving(subject) as driver:
        await driver.start()
        await driver.stop()
        assert driver.output.lines == ["up it goes"]


@pytest.mark.parametrize("code", [1, 2, 3, 7])
async def test_other_exit_codes_of_status_mean_that_it_does_not_run(subject: Switch, code: int) -> None:
    subject.write("status", f"exit {code}")
    async with driving(subject) as driver:
        assert not await driver.adopt()


@pytest.mark.parametrize("code", [4, 126, 127, 143, 255])
async def test_some_exit_codes_of_status_mean_unknown(subject: Switch, code: int) -> None:
    subject.write("status", f"echo no idea; exit {code}")
    async with driving(subject) as driver:
        with pytest.raises(PluginError, match=rf"status command \(\./status\) cannot tell: exit code {code}: no idea"):
            await driver.adopt()


async def test_a_status_command_that_hangs_is_ended_and_means_unknown(subject: Switch) -> None:
    await subject.stall_api()
    server = subject.make_plugin(timeout=0.1)
    with pytest.raises(PluginError, match=r"the status command \(\./status\) took more than 0\.1 s"):
        await server.adopt()
    await subject.restore_api()
    await server.close()


async def test_a_start_command_that_does_not_end_is_reported(subject: Switch) -> None:
    subject.write("start", "exec sleep 300")
    server = subject.make_plugin(start_timeout=0.1)
    with pytest.raises(
        PluginError, match=r"took more than .*; if the command is the server itself, use the plugin generic"
    ):
        await server.start()
    assert server.status is Status.stopped


async def test_a_start_after_which_nothing_runs_has_failed(subject: Switch) -> None:
    subject.write("start", "true")
    with pytest.raises(PluginError, match=r"status= did not say within 0\.1 s that the server runs"):
        await subject.make_plugin(start_timeout=0.1).start()


async def test_a_failing_stop_command_is_an_error_only_if_the_server_still_runs(subject: Switch) -> None:
    async with driving(subject) as driver:
        await driver.start()
        subject.write("stop", "echo no right; exit 1")
        with pytest.raises(PluginError, match=r"the stop command \(\./stop\) failed with exit code 1: no right"):
            await driver.stop()
        assert await subject.is_running()
        subject.write("stop", "rm runs; exit 1")
        await driver.stop()


DETACHED_STOP = "echo x >>stops; (while [ -e held ]; do sleep 0.01; done; rm -f runs) >/dev/null 2>&1 &"
"""A stop command that ends before the server has stopped."""


async def kill_after_stop_command(subject: Switch) -> None:
    """Kill zeroscale when its stop command has ended and the server still runs."""
    subject.write("stop", DETACHED_STOP)
    await subject.block_stop()
    async with driving(subject) as first:
        await first.start()
        stopping = asyncio.ensure_future(first.plugin.stop())
        await until(lambda: b"sent" in subject.note)
        stopping.cancel()
        await asyncio.wait([stopping])


async def test_a_stop_command_that_has_ended_is_not_run_again(subject: Switch) -> None:
    await kill_after_stop_command(subject)
    async with driving(subject) as second:
        assert await second.adopt() is Status.stopping
        stopping = asyncio.ensure_future(second.stop())
        await subject.unblock_stop()
        await stopping
        assert not second.found.is_set()
    assert (subject.directory / "stops").read_text() == "x\n"


async def test_a_server_that_still_runs_long_after_an_earlier_stop_is_taken_over(subject: Switch) -> None:
    """It may have been started by hand since, which no exit code of a status command shows."""
    await kill_after_stop_command(subject)
    subject.stop_timeout = 0.1
    async with driving(subject) as second:
        assert await second.adopt() is Status.stopping
        await second.stop()
        await second.found.wait()
        assert await second.adopt() is True
        assert await subject.is_running()
    assert (subject.directory / "stops").read_text() == "x\n"
    await subject.unblock_stop()
    await until(lambda: not subject.has("runs"))


@pytest.mark.parametrize(
    "changes", [{"start": "./start b"}, {"stop": "./stop b"}, {"status": "./status b"}, {"server_port": 2}]
)
async def test_the_note_of_a_stop_is_not_believed_of_another_server_of_the_same_name(
    subject: Switch, changes: dict[str, object]
) -> None:
    await kill_after_stop_command(subject)
    second = subject.make_plugin(**changes)
    assert await second.adopt() is True
    await second.close()
    await subject.unblock_stop()
    await until(lambda: not subject.has("runs"))


async def test_a_stop_command_that_fails_since_an_earlier_one_is_at_work_is_no_error(subject: Switch) -> None:
    async with driving(subject) as first:
        await first.start()
        await subject.block_stop()
        stopping = asyncio.ensure_future(first.plugin.stop())
        await subject.stop_requested()
        stopping.cancel()
        await asyncio.wait([stopping])
    subject.write("stop", "touch again; exit 1")
    async with driving(subject) as second:
        assert await second.adopt() is Status.stopping
        stopping = asyncio.ensure_future(second.stop())
        await until(lambda: subject.has("again"))
        await subject.stop()
        await stopping


async def test_an_old_note_of_a_stop_is_not_believed(subject: Switch, monkeypatch: pytest.MonkeyPatch) -> None:
    await kill_after_stop_command(subject)
    monkeypatch.setattr(stop_note, "BELIEVED_FOR", -1.0)
    async with driving(subject) as second:
        assert await second.adopt() is True
    await subject.unblock_stop()
    await until(lambda: not subject.has("runs"))


async def test_a_stop_after_which_its_port_still_answers_has_failed(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    background = Background(state, tmp_path, monkeypatch)
    background.write("stop", "true")
    server = background.make_plugin(stop_timeout=0.1)
    await server.start()
    with pytest.raises(PluginError, match=rf"127\.0\.0\.1:{background.port} still answers after 0\.1 s"):
        await server.stop()
    await background.tear_down()


# A status command that always says that the server runs.


class Liar(Background):
    """A program whose status command always ends with 0."""

    def make_plugin(self, **changes: object) -> Server:
        return super().make_plugin(**{"status": "true", "stop_timeout": 0.2, **changes})


@pytest.fixture
def liar(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Liar:
    return Liar(state, tmp_path, monkeypatch)


async def test_a_status_that_may_always_say_the_same_is_believed_at_first_with_a_warning(
    liar: Liar, caplog: pytest.LogCaptureFixture
) -> None:
    server = liar.make_plugin()
    assert await server.adopt() is True
    assert f"status= says that the server runs, but 127.0.0.1:{liar.port} does not answer" in caplog.text
    assert "After the start timeout start= is run all the same" in caplog.text
    await server.close()


async def test_where_the_port_answers_there_is_no_warning(liar: Liar, caplog: pytest.LogCaptureFixture) -> None:
    await liar.start()
    server = liar.make_plugin()
    assert await server.adopt() is True
    assert caplog.text == ""
    await server.close()
    await liar.tear_down()


async def test_once_doubted_the_port_decides(liar: Liar, caplog: pytest.LogCaptureFixture) -> None:
    server = liar.make_plugin()
    assert await server.adopt() is True
    assert server.doubt()
    assert "it is taken for stopped" in caplog.text
    assert not server.doubt(), "there is nothing left to doubt"
    assert server.wait is not None
    assert await server.wait() is None
    assert await server.adopt() is False
    await server.start()
    assert await liar.is_running()
    assert await server.adopt() is True
    await server.stop()
    assert not await liar.is_running()
    assert await server.adopt() is False
    await server.close()


async def test_a_doubt_is_remembered(liar: Liar) -> None:
    first = liar.make_plugin()
    assert first.doubt()
    await first.close()
    second = liar.make_plugin()
    assert await second.adopt() is False
    await second.close()
    other = liar.make_plugin(status="sh -c 'exit 0'")
    assert await other.adopt() is True, "nothing is known of another command"
    await other.close()


async def test_a_server_of_which_status_says_no_end_has_stopped_when_its_port_is_closed(liar: Liar) -> None:
    server = liar.make_plugin()
    assert await server.adopt() is True
    await server.start()
    await server.stop()
    assert not await liar.is_running()
    assert await server.adopt() is False
    await server.close()


async def test_a_server_that_answers_after_its_stop_is_waited_for_without_end(liar: Liar) -> None:
    liar.write("stop", "true")
    liar.write("status", "echo x >>looks")
    server = liar.make_plugin(status="./status", stop_timeout=0.01)
    await server.start()
    stopping = asyncio.ensure_future(server.stop())
    await until(lambda: liar.has("looks") and len((liar.directory / "looks").read_text().split()) > 20)
    assert not stopping.done()
    await liar.tear_down()
    await stopping
    await server.close()


async def test_a_proven_status_is_believed_though_nothing_answers(
    subject: Switch, caplog: pytest.LogCaptureFixture
) -> None:
    first = subject.make_plugin()
    assert await first.adopt() is False, "it says that the server does not run"
    await first.close()
    await subject.start()
    second = subject.make_plugin()
    assert await second.adopt() is True
    assert not second.doubt()
    assert await second.adopt() is True
    assert caplog.text == ""
    await second.close()


async def test_a_doubted_status_is_proven_when_it_says_no(subject: Switch) -> None:
    await subject.start()
    server = subject.make_plugin()
    assert await server.adopt() is True
    assert server.doubt()
    await subject.stop()
    assert await server.adopt() is False
    await subject.start()
    assert await server.adopt() is True, "though nothing answers"
    await server.close()


async def test_without_status_there_is_nothing_to_doubt(liar: Liar) -> None:
    assert not liar.make_plugin(status=None).doubt()


async def test_a_server_that_hangs_and_cannot_be_started_is_stopped_first(
    subject: Switch, caplog: pytest.LogCaptureFixture
) -> None:
    subject.write("start", "test ! -e runs || { echo it is active; exit 1; }; touch runs")
    await subject.start()
    server = subject.make_plugin()
    assert await server.adopt() is True
    assert server.doubt()
    await server.start()
    assert "failed with exit code 1: it is active; as status= says that the server runs, it is stopped" in caplog.text
    assert subject.has("asked-to-stop")
    assert await subject.is_running()
    assert await server.adopt() is True
    await server.close()


async def test_a_stop_command_that_fails_is_no_error_where_nothing_answers(liar: Liar) -> None:
    liar.write("stop", "echo there is no such process; exit 1")
    server = liar.make_plugin()
    assert await server.adopt() is True
    await server.stop()
    assert server.status is Status.stopped
    await server.close()


async def test_a_doubted_server_has_not_ended_before_it_has_answered(
    liar: Liar, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = liar.make_plugin()
    assert server.doubt()
    refused, unreachable, accepted = TcpResult.refused, TcpResult.unreachable, TcpResult.accepted
    answers = [accepted, accepted, unreachable, unreachable, refused, refused]

    async def check(*_: object) -> TcpResult:
        return answers.pop() if answers else refused

    monkeypatch.setattr(command_status, "tcp_check", check)
    await server.start()
    assert server.wait is not None
    await server.wait()
    assert answers == [], "it has answered before"
    await server.close()
    await liar.tear_down()


async def test_a_doubted_server_that_cannot_be_reached_is_not_taken_for_stopped(
    liar: Liar, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server = liar.make_plugin()
    assert server.doubt()
    await server.start()
    assert await server.adopt() is True
    answer = TcpResult.unreachable

    async def check(*_: object) -> TcpResult:
        return answer

    monkeypatch.setattr(command_status, "tcp_check", check)
    assert server.wait is not None
    ended = asyncio.ensure_future(server.wait())
    await until(lambda: "cannot be reached" in caplog.text)
    assert not ended.done()
    answer = TcpResult.refused
    await ended
    await server.close()
    await liar.tear_down()


async def test_status_is_ignored_while_paused_if_it_says_that_the_server_does_not_run(subject: Switch) -> None:
    subject.write("status", "echo asked >>asked; test -e runs -a ! -e frozen || exit 3")
    async with driving(subject) as driver:
        await driver.start()
        await driver.pause()
        assert driver.exit is not None
        assert not driver.exit.done()
        await driver.resume()
        await subject.crash()
        await driver.exit


async def test_a_failing_pause_is_reported(subject: Switch) -> None:
    async with driving(subject) as driver:
        await driver.start()
        subject.write("pause", "echo not today; exit 2")
        with pytest.raises(PluginError, match=r"the pause command .* failed with exit code 2: not today"):
            await driver.pause()
        await driver.stop()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start": "no-such-program x"}, "start=no-such-program...: there is no 'no-such-program' in PATH"),
        ({"status": "./no-such-file"}, "status=./no-such-file...: there is no such file"),
        ({"working_directory": "/nowhere"}, "the working directory /nowhere does not exist"),
    ],
)
def test_check_reports_what_is_missing(subject: Switch, changes: dict[str, str], message: str) -> None:
    with pytest.raises(PluginError) as raised:
        subject.make_plugin(**changes).check()
    assert message in str(raised.value)


def test_programs_are_looked_for_in_the_configured_path(subject: Switch, tmp_path: Path) -> None:
    script = tmp_path / "own-command"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    environment = ChildEnvironment({"PATH": str(tmp_path)})
    subject.make_plugin(
        **dict.fromkeys(("start", "stop", "status", "pause", "resume"), script.name), environment=environment
    ).check()
    with pytest.raises(PluginError, match="there is no 'sh' in PATH"):
        subject.make_plugin(start="sh", environment=environment).check()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start": ""}, "start= is empty"),
        ({"stop": "a 'b"}, "cannot be split into words"),
        ({"resume": None}, "give both pause= and resume="),
        ({"status_every": "often"}, "status_every='often' is not a duration"),
        ({"protocol": "chess"}, "zeroscale speaks minecraft"),
    ],
)
def test_invalid_values(subject: Switch, changes: dict[str, str | None], message: str) -> None:
    with pytest.raises(PluginError) as raised:
        subject.make_plugin(**changes)
    assert message in str(raised.value)


def test_what_it_controls_is_known_by_its_commands_and_directory(subject: Switch) -> None:
    [name] = subject.make_plugin().controls
    assert name.startswith(f"what ./start starts and ./stop stops in {subject.directory} (commands ")
    (subject.directory / "link").symlink_to(subject.directory)
    assert subject.make_plugin(working_directory=subject.directory / "link").controls == {name: True}
    assert subject.make_plugin(start=["./start"], status=None).controls == {name: True}
    assert "hunter2" not in str(subject.make_plugin(stop="./stop hunter2").controls), "it may be a secret"
    assert subject.make_plugin(stop="./stop now").controls != {name: True}
    assert subject.make_plugin(environment=ChildEnvironment({"MACHINE": "a"})).controls == {}


def test_check_succeeds(subject: Switch) -> None:
    server = subject.make_plugin(protocol="minecraft")
    server.check()
    assert server.protocol == "minecraft"
