"""The base class of plugins with a child process as the server."""

from __future__ import annotations

import asyncio
import errno
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from plugins.process_fixture import kill_at_end

from zeroscale.errors import PluginError
from zeroscale.plugins.base import ProcessServer
from zeroscale.plugins.testing import RecordedOutput
from zeroscale.process.record import ProcessRecord
from zeroscale.status import Status

SCRIPT = 'echo "Done $GIVEN"; while read -r line; do echo "got $line"; [ "$line" = stop ] && exit 0; done'


class Server(ProcessServer):
    """A shell script as a server."""

    ready_line = "^Done"
    interpreter = "sh"

    def __init__(self, state: Path, script: str = SCRIPT, working_directory: Path | None = None) -> None:
        super().__init__(working_directory=working_directory, state_directory=state)
        self.script = script
        self.output = RecordedOutput()
        self.on_output = self.output
        kill_at_end(self)

    def command(self) -> Sequence[str]:
        return [self.interpreter, "-c", self.script]

    def environment(self) -> Mapping[str, str]:
        return {"GIVEN": "in time"}

    async def request_stop(self) -> None:
        await self.send("stop")

    def explain_exit(self, exit_code: int | None) -> str | None:
        return "exit code 7 was requested" if exit_code == 7 else None


def status(server: Server) -> Status:
    """Return the present status; mypy would assume that the attribute has not changed."""
    return server.status


async def test_start_and_stop_twice(state: Path, tmp_path: Path) -> None:
    server = Server(state, working_directory=tmp_path)
    assert status(server) is Status.stopped
    assert server.fake_status() == b""
    for _ in range(2):
        await server.start()
        assert status(server) is Status.running
        ended = asyncio.ensure_future(server.wait())
        await server.output.line_with("Done in time")
        await server.send("hello")
        await server.output.line_with("got hello")
        await server.stop()
        assert status(server) is Status.stopped
        assert await ended == 0
        assert list(server.last_lines) == ["Done in time", "got hello", "got stop"]


async def test_stopping_a_stopped_server_does_nothing(state: Path) -> None:
    await Server(state).stop()


async def test_a_start_that_fails(state: Path, tmp_path: Path) -> None:
    server = Server(state, working_directory=tmp_path / "missing")
    with pytest.raises(PluginError, match=r"working directory .*/missing does not exist"):
        await server.start()
    assert status(server) is Status.stopped


async def test_a_program_that_cannot_be_started(state: Path) -> None:
    server = Server(state)
    server.interpreter = "no-such-shell"
    with pytest.raises(PluginError, match="no 'no-such-shell' in PATH"):
        await server.start()
    assert status(server) is Status.stopped


async def test_an_exit_that_was_not_requested_is_explained(state: Path) -> None:
    server = Server(state, "exit 7")
    await server.start()
    with pytest.raises(PluginError, match="exit code 7 was requested"):
        await server.wait()
    server.script = "exit 8"
    await server.start()
    assert await server.wait() == 8


async def test_a_requested_exit_is_not_explained(state: Path) -> None:
    server = Server(state, "trap 'exit 7' TERM; echo Done; while :; do sleep 0.01; done")
    await server.start()
    await server.output.line_with("Done")
    server.signal(signal.SIGTERM)
    assert await server.wait() == 7
    server.script = "exit 7"
    await server.start()
    with pytest.raises(PluginError, match="exit code 7 was requested"):
        await server.wait()


async def test_pause_and_resume(state: Path) -> None:
    server = Server(state)
    await server.start()
    await server.output.line_with("Done")
    await server.pause()
    assert status(server) is Status.paused
    await server.send("hello")
    await server.resume()
    assert status(server) is Status.running
    await server.output.line_with("got hello")
    await server.stop()


async def test_on_output_set_after_adoption_gets_the_ready_line(state: Path) -> None:
    first = Server(state)
    await first.start()
    await first.output.line_with("Done")
    first.detach()
    second = Server(state)
    second.on_output = None
    assert await second.adopt()
    assert status(second) is Status.running
    second.on_output = second.output
    await second.output.line_with("Done in time")
    await second.stop()
    assert second.output.lines == ["Done in time", "got stop"]


async def test_a_ready_line_that_was_passed_on_is_not_repeated(state: Path) -> None:
    first = Server(state)
    await first.start()
    await first.output.line_with("Done")
    first.detach()
    second = Server(state)
    assert await second.adopt()
    second.on_output = second.output
    await second.stop()
    assert second.output.lines == ["Done in time", "got stop"]


async def test_there_is_nothing_to_adopt(state: Path) -> None:
    server = Server(state)
    assert not await server.adopt()
    assert status(server) is Status.stopped


async def test_a_console_that_is_not_read_is_an_error(state: Path) -> None:
    server = Server(state, "echo Done; sleep 60")
    await server.start()
    await server.output.line_with("Done")
    with pytest.raises(PluginError, match="does not read its console"):
        for _ in range(1000):
            await server.send("x" * 4000)
    with pytest.raises(PluginError, match="does not read its console"):
        while True:  # fill it until not even a short line fits
            await server.send("stop")
    with pytest.raises(PluginError, match="does not read its console"):
        await server.stop()
    server.signal(signal.SIGTERM)
    assert await server.wait() == 143


SAVING = 'echo Done; read -r line; echo "got $line"; read -r line; echo "got $line"'
"""Ends only after a second line."""


async def detached_while_stopping(server: Server) -> None:
    """Ask the server to stop, and leave it as a zeroscale does that is killed at this moment."""
    await server.start()
    await server.output.line_with("Done")
    stopping = asyncio.ensure_future(server.stop())
    await server.output.line_with("got stop")
    server.detach()
    with pytest.raises(asyncio.CancelledError):
        await stopping


async def test_the_next_zeroscale_continues_a_stop_and_does_not_ask_again(state: Path) -> None:
    await detached_while_stopping(Server(state, SAVING))
    second = Server(state, SAVING)
    assert await second.adopt() is Status.stopping
    assert status(second) is Status.stopping
    stopping = asyncio.ensure_future(second.stop())
    await second.send("end")
    await stopping
    assert second.output.lines == ["Done", "got end"]
    second.script = SCRIPT
    await second.start()
    second.detach()
    third = Server(state)
    assert await third.adopt() is True, "the next run has no stop"
    await third.stop()


async def test_a_stop_that_may_not_have_been_asked_for_is_asked_for_again(state: Path) -> None:
    class Killed(Server):
        async def request_stop(self) -> None:
            raise PluginError("killed before it has asked")

    first = Killed(state)
    await first.start()
    await first.output.line_with("Done")
    with pytest.raises(PluginError, match="killed before"):
        await first.stop()
    first.detach()
    second = Server(state)
    assert await second.adopt() is Status.stopping
    await second.stop()
    assert second.output.lines == ["Done in time", "got stop"]


async def test_a_stop_goes_on_though_it_cannot_be_written_down(
    state: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(_record: ProcessRecord, _path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    server = Server(state)
    await server.start()
    await server.output.line_with("Done")
    monkeypatch.setattr(ProcessRecord, "save", full)
    await server.stop()
    assert server.output.lines[-1] == "got stop"
    assert "No space left on device" in caplog.text
