"""Command lines as servers."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from plugins.process_fixture import kill_at_end, until

from zeroscale.errors import PluginError
from zeroscale.plugins.generic import Server
from zeroscale.plugins.testing import (
    AdoptableTests,
    PausableTests,
    PermissionTests,
    PluginTests,
    RecordedOutput,
    RemovableTests,
    ServerUnderTest,
    WaitableTests,
)
from zeroscale.process import procfs
from zeroscale.process.record import load_record


def make(state: Path, *words: str, **keywords: Any) -> tuple[Server, RecordedOutput]:
    server = Server(*words, state_directory=state, **keywords)
    output = RecordedOutput()
    server.on_output = output
    kill_at_end(server)
    return server, output


def trap(name: str) -> str:
    """Return a shell script that prints the signal it gets, and exits with 0."""
    return f"trap 'echo got {name}; exit 0' {name}; echo ready; while :; do sleep 0.01; done"


def test_it_has_no_protocol_and_no_ready_line(state: Path) -> None:
    server, _ = make(state, "true")
    assert server.protocol is None
    assert server.ready_line is None
    assert server.fake_status() == b""


def test_a_program_that_speaks_minecraft(state: Path) -> None:
    server, _ = make(state, "true", protocol="minecraft")
    assert server.protocol == "minecraft"
    assert server.ready_line is not None
    assert re.search(server.ready_line, 'INFO: Done (1.234s)! For help, type "help"')
    server, _ = make(state, "true", protocol="minecraft", ready_line="listening")
    assert server.ready_line == "listening"


def test_a_program_that_speaks_http_is_none_of_minecrafts(state: Path) -> None:
    server, _ = make(state, "true", protocol="http")
    assert (server.protocol, server.ready_line) == ("http", None)


async def test_a_second_server_of_minecraft_is_not_started_in_a_directory(state: Path, tmp_path: Path) -> None:
    (tmp_path / "other state").mkdir()
    first, output = make(state, "sh", "-c", trap("TERM"), protocol="minecraft", working_directory=str(tmp_path))
    second, _ = make(tmp_path / "other state", "true", protocol="minecraft", working_directory=str(tmp_path))
    await first.start()
    await output.line_with("ready")
    with pytest.raises(PluginError, match=r"another zeroscale's server .* runs in this directory already"):
        await second.start()
    await first.stop()


HOLDS_WORLD = """
import fcntl, os, pathlib, signal, time
here = pathlib.Path.cwd()
os.chdir("/")
os.closerange(3, 256)
signal.signal(signal.SIGTERM, lambda *_: ((here / "saved").touch(), os._exit(0)))
world = open(here / "world" / "session.lock", "w")
fcntl.lockf(world, fcntl.LOCK_EX)
(here / "up").touch()
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only /proc shows what runs in the background")
async def test_in_the_background_it_is_known_by_the_world_that_it_holds(state: Path, tmp_path: Path) -> None:
    (tmp_path / "world").mkdir()
    # In another session, environment and directory, and without our lock, only its world tells that it is the server.
    python = f"env -i setsid {sys.executable} -SEc {shlex.quote(HOLDS_WORLD)} </dev/null >/dev/null 2>&1"
    line = f"({python} &); while [ ! -e up ]; do sleep 0.01; done"
    server, _ = make(state, "sh", "-c", line, protocol="minecraft", working_directory=str(tmp_path))
    await server.start()
    await until(lambda: not server.reads_console)
    await server.stop()
    assert (tmp_path / "saved").exists()


@pytest.mark.parametrize("protocol", [None, "http"])
async def test_any_number_of_servers_without_a_world_share_a_directory(
    state: Path, tmp_path: Path, protocol: str | None
) -> None:
    (tmp_path / "other state").mkdir()
    first, output = make(state, "sh", "-c", trap("TERM"), working_directory=str(tmp_path), protocol=protocol)
    second, _ = make(tmp_path / "other state", "true", working_directory=str(tmp_path), protocol=protocol)
    await first.start()
    await output.line_with("ready")
    await second.start()
    assert await second.wait() == 0
    await first.stop()


@pytest.mark.parametrize("name", ["TERM", "INT", "USR1"])
async def test_the_stop_signal_can_be_chosen(state: Path, name: str) -> None:
    server, output = make(state, "sh", "-c", trap(name), stop_signal=name)
    await server.start()
    await output.line_with("ready")
    await server.stop()
    assert output.lines[-1] == f"got {name}"


async def test_the_default_stop_signal_is_sigterm(state: Path) -> None:
    server, output = make(state, "sh", "-c", trap("TERM"))
    await server.start()
    await output.line_with("ready")
    await server.stop()
    assert await server.wait() == 0
    assert output.lines[-1] == "got TERM"


FAMILY = """
trap 'echo the first got it; wait; exit 0' TERM
sh -c 'trap "echo another got it; exit 0" TERM; echo ready; while [ ! -e over ]; do sleep 0.01; done' &
wait
"""


@pytest.mark.parametrize("target", ["all", "first"])
async def test_the_stop_signal_goes_to_all_processes_or_to_the_first(state: Path, tmp_path: Path, target: str) -> None:
    server, output = make(state, "sh", "-c", FAMILY, stop_to=target, working_directory=str(tmp_path))
    await server.start()
    await output.line_with("ready")
    stopping = asyncio.ensure_future(server.stop())
    await output.line_with("the first got it")
    (tmp_path / "over").touch()
    await stopping
    assert ("another got it" in output.lines) is (target == "all")


async def test_the_stop_signal_goes_to_all_processes_if_the_first_has_ended(state: Path) -> None:
    server, output = make(
        state, "sh", "-c", f"sh -c '{trap('TERM').replace(chr(39), chr(34))}' & exit 0", stop_to="first"
    )
    await server.start()
    await output.line_with("ready")
    await server.stop()
    assert output.lines[-1] == "got TERM"


async def test_a_command_of_the_console_stops_it(state: Path) -> None:
    script = 'trap "echo TERM" TERM; echo ready; read line; echo "got $line"'
    server, output = make(state, "sh", "-c", script, stop_command="stop now")
    await server.start()
    await output.line_with("ready")
    await server.stop()
    assert output.lines == ["ready", "got stop now"]


async def test_in_the_background_there_is_no_console_to_stop_it_by(state: Path) -> None:
    script = f"sh -c '{trap('TERM').replace(chr(39), chr(34))}' & exit 0"
    server, output = make(state, "sh", "-c", script, stop_command="stop")
    await server.start()
    await output.line_with("ready")
    await until(lambda: not server.reads_console)
    await server.stop()
    assert output.lines[-1] == "got TERM"


@pytest.mark.parametrize("command", ["", " ", "one\ntwo", "x" * 10000])
def test_a_console_command_is_one_line(state: Path, command: str) -> None:
    with pytest.raises(PluginError, match="stop_command="):
        Server("true", state_directory=state, stop_command=command)


@pytest.mark.parametrize(
    ("keywords", "proposed"),
    [
        ({}, None),
        ({"stop_command": "stop"}, "stop_command left out"),
        ({"stop_signal": "INT"}, "-a stop_signal=SIGTERM"),
        ({"stop_to": "first"}, "-a stop_to=all"),
        ({"stop_signal": "INT", "stop_to": "first"}, "-a stop_signal=SIGTERM -a stop_to=all"),
    ],
)
def test_it_proposes_arguments_for_a_server_that_obeys_only_sigterm(
    state: Path, keywords: dict[str, str], proposed: str | None
) -> None:
    server, _ = make(state, "true", **keywords)
    assert server.sigterm_arguments == proposed


async def test_the_command_as_one_string_and_the_directory_it_runs_in(state: Path, tmp_path: Path) -> None:
    server, output = make(state, command="sh -c 'echo \"$PWD\"'", working_directory=str(tmp_path))
    await server.start()
    assert await server.wait() == 0
    assert output.lines == [str(tmp_path)]


async def test_wait_returns_the_exit_code(state: Path) -> None:
    server, _ = make(state, "sh", "-c", "exit 3")
    await server.start()
    assert await server.wait() == 3


async def test_a_missing_program(state: Path) -> None:
    server, _ = make(state, "no-such-program")
    for attempt in (server.check, server.start):
        with pytest.raises(PluginError, match="no 'no-such-program' in PATH"):
            if (started := attempt()) is not None:
                await started


@pytest.mark.parametrize(
    ("words", "keywords", "message"),
    [
        ((), {}, "no command to run: give it with -a"),
        ((), {"command": "  "}, "command= is empty: give it a command line"),
        (("a",), {"command": "b"}, "given twice"),
        ((), {"command": "a 'b"}, "cannot be split into words: No closing quotation"),
        (("a",), {"stop_signal": "SIGNONE"}, "stop_signal='SIGNONE' is not a signal"),
        (("a",), {"stop_signal": "999"}, "stop_signal='999' is not a signal"),
        (("a",), {"stop_to": "some"}, "stop_to='some' must be all"),
        (("a",), {"protocol": "terraria"}, "protocol='terraria': zeroscale speaks minecraft"),
        (("a",), {"ready_line": "("}, "ready_line='(' is not a regular expression"),
    ],
)
def test_invalid_values(state: Path, words: tuple[str, ...], keywords: dict[str, str], message: str) -> None:
    with pytest.raises(PluginError) as raised:
        make(state, *words, **keywords)
    assert message in str(raised.value)


async def test_the_ready_line_can_be_given(state: Path) -> None:
    server, output = make(state, "sh", "-c", trap("TERM"), ready_line="^rea")
    assert server.ready_line == "^rea"
    assert Server.ready_line is None
    await server.start()
    await output.line_with("ready")
    await server.stop()


SCRIPT = """#!/bin/sh
trap 'touch asked; while [ -e held ]; do sleep 0.01; done; exit 0' TERM
echo ready
while :; do sleep 0.01; done
"""


class Script(ServerUnderTest):
    """A shell script in its own directory."""

    class Leaving(Server):
        """A plugin that leaves its server running when it is closed, as the end of a zeroscale process does."""

        async def close(self) -> None:
            self.detach()

    permission_hint = r"chmod \+x"

    def __init__(self, state: Path, directory: Path) -> None:
        self._state = state
        self._directory = directory
        self._script = directory / "server.sh"
        self._script.write_text(SCRIPT)
        self._script.chmod(0o700)

    def make_plugin(self) -> Server:
        server = Script.Leaving(str(self._script), state_directory=self._state, working_directory=self._directory)
        kill_at_end(server)
        return server

    async def is_running(self) -> bool:
        process_id = self._process_id
        return process_id is not None and procfs.is_live(process_id)

    async def start(self) -> None:
        server = self.make_plugin()
        await server.start()
        await until(self._traps_signals)
        server.detach()

    async def stop(self) -> None:
        await until(self._traps_signals)
        await self._end(signal.SIGTERM)

    async def crash(self) -> None:
        await self._end(signal.SIGKILL)

    async def block_stop(self) -> None:
        await until(self._traps_signals)
        (self._directory / "held").touch()

    async def stop_requested(self) -> None:
        await until((self._directory / "asked").exists)

    async def unblock_stop(self) -> None:
        (self._directory / "held").unlink()

    async def is_paused(self) -> bool:
        assert self._process_id is not None
        # Any of them: a shell that was about to start its `sleep` waits for that one, and it is that one that stands.
        members = map(procfs.facts, procfs.session_members([self._process_id]))
        return any(found is not None and found.stopped for found in members)

    async def remove(self) -> None:
        self._script.unlink()
        if await self.is_running():
            await self.crash()

    async def forbid(self) -> None:
        self._script.chmod(0o600)

    @property
    def _process_id(self) -> int | None:
        record = load_record(self._state / "process.json")
        return record.pid if record is not None else None

    def _traps_signals(self) -> bool:
        return "ready" in (self._state / "console.log").read_text()

    async def _end(self, number: signal.Signals) -> None:
        process_id = self._process_id
        assert process_id is not None
        os.killpg(process_id, number)
        await until(lambda: not procfs.is_live(process_id))


class TestBehaviour(PluginTests, WaitableTests, AdoptableTests, PausableTests, RemovableTests, PermissionTests):
    """The contract tests."""

    @pytest.fixture
    def subject(self, state: Path, tmp_path: Path) -> ServerUnderTest:
        return Script(state, tmp_path)
