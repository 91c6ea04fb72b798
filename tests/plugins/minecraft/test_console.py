"""Counting the players by RCON; commands, and stopping the server, by console and by RCON."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from ports import free_port
from protocols.minecraft.rcon_server import RconServer

from zeroscale.errors import PluginError
from zeroscale.minecraft.server_files import ServerFiles
from zeroscale.plugins.minecraft import console as minecraft_console
from zeroscale.plugins.minecraft.console import MinecraftConsole
from zeroscale.plugins.minecraft.stop_method import StopMethod

PASSWORD = "secret"


class Server:
    """A server's console and RCON."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.typed: list[str] = []
        self.commands: list[str] = []
        self.by_rcon = "There are 0 of a max of 20 players online: "
        self.readable = True
        self.commanded = asyncio.Event()
        self.ended = asyncio.Event()
        self.console = MinecraftConsole(ServerFiles(directory), "127.0.0.1", self._type)

    def write_properties(self, **properties: str) -> None:
        """Write server.properties with RCON's port and password and these, with `_` for a hyphen."""
        lines = [f"rcon.port={self.port}", f"rcon.password={PASSWORD}"]
        lines += [f"{name.replace('_', '-')}={value}" for name, value in properties.items()]
        (self.directory / "server.properties").write_text("\n".join(lines))

    def _type(self, line: str) -> None:
        if not self.readable:
            raise PluginError("the server's console takes no input")
        self.typed.append(line)

    def _run(self, command: str) -> str:
        self.commands.append(command)
        self.commanded.set()
        if command == "stop":
            self.ended.set()
        return self.by_rcon if command == "list" else "Saved the game"

    @asynccontextmanager
    async def rcon(self, silent: bool = False) -> AsyncIterator[None]:
        """Enable RCON; if `silent`, it accepts commands and does not answer."""
        self.write_properties(enable_rcon="true")

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connection = RconServer(PASSWORD, self._run)
            while data := await reader.read(1460):
                answer = connection.read(data)
                if not (silent and self.commands):
                    writer.write(answer)
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", self.port):
            yield


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minecraft_console, "LIST_TIMEOUT", 0.2)
    monkeypatch.setattr(minecraft_console, "RCON_STOP_AFTER", 0.05)


async def test_without_rcon_players_are_not_known_and_no_command_is_sent(server: Server) -> None:
    assert await server.console.players() is None
    for enable_status in ("true", "false"):
        server.write_properties(enable_status=enable_status)
        assert await server.console.players() is None
    assert server.typed == []


async def test_players_are_counted_by_rcon(server: Server) -> None:
    async with server.rcon():
        assert await server.console.players() == 0
        server.by_rcon = "There are 3 of a max of 20 players online: A, B, C"
        assert await server.console.players() == 3
        server.by_rcon = (
            "\u00a76There are \u00a7c0\u00a76/\u00a7c1\u00a76 out of maximum \u00a7c20\u00a76 players online."
        )
        assert await server.console.players() == 1
    assert server.typed == []


TRANSLATED = "\u00a76Es sind \u00a7c{}\u00a76 von maximal \u00a7c20\u00a76 Spielern online."


@pytest.mark.parametrize("answer", [TRANSLATED.format(0), "Unknown command", ""])
async def test_an_answer_that_may_mean_nobody_leaves_it_to_the_status(server: Server, answer: str) -> None:
    async with server.rcon():
        server.by_rcon = answer
        assert await server.console.players() is None


async def test_an_answer_that_is_not_understood_and_cannot_mean_nobody_is_an_error(server: Server) -> None:
    async with server.rcon():
        server.by_rcon = (
            "\u00a76Es sind \u00a7c1\u00a76 von maximal \u00a7c20\u00a76 Spielern online.\n\u00a76default\u00a7r: Steve"
        )
        with pytest.raises(
            PluginError,
            match=r"by RCON is not understood: 'Es sind 1 von maximal 20 Spielern online\. default: Steve'",
        ):
            await server.console.players()


async def test_failing_rcon_is_logged_once(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    server.write_properties(enable_rcon="true")
    with caplog.at_level(logging.WARNING):
        assert await server.console.players() is None
        assert await server.console.players() is None
    assert len(caplog.records) == 1
    assert server.typed == []


async def test_a_question_can_be_cancelled(server: Server) -> None:
    async with server.rcon(silent=True):
        asking = asyncio.ensure_future(server.console.players())
        await server.commanded.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking


async def test_without_rcon_a_command_is_written_to_the_console(server: Server) -> None:
    assert await server.console.send("save-all") is None
    assert server.typed == ["save-all"]


async def test_a_command_is_answered_by_rcon(server: Server) -> None:
    async with server.rcon():
        assert await server.console.send("save-all") == "Saved the game"
    assert (server.typed, server.commands) == ([], ["save-all"])


async def test_a_command_is_written_to_the_console_while_rcon_is_unreachable(server: Server) -> None:
    server.write_properties(enable_rcon="true")
    assert await server.console.send("save-all") is None
    assert server.typed == ["save-all"]


async def test_a_command_sent_by_rcon_is_not_repeated_on_the_console(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(minecraft_console, "ANSWER_TIMEOUT", 0.2)
    async with server.rcon(silent=True):
        with pytest.raises(PluginError, match=r"no answer within 0\.2 s"):
            await server.console.send("save-all")
    assert (server.typed, server.commands) == ([], ["save-all"])


async def test_stop_is_written_to_the_console(server: Server) -> None:
    await server.console.stop(StopMethod(), server.ended.wait)
    assert server.typed == ["stop"]


async def test_rcon_is_not_used_if_the_server_stops_by_its_console(server: Server) -> None:
    async with server.rcon():
        server.ended.set()
        await server.console.stop(StopMethod(), server.ended.wait)
    assert (server.typed, server.commands) == (["stop"], [])


async def test_stop_is_sent_by_rcon_if_the_console_has_no_effect(server: Server) -> None:
    async with server.rcon():
        await server.console.stop(StopMethod(), server.ended.wait)
    assert (server.typed, server.commands) == (["stop"], ["save-all flush", "stop"])


async def test_stop_is_sent_by_rcon_if_the_console_cannot_be_written(server: Server) -> None:
    server.readable = False
    async with server.rcon():
        await server.console.stop(StopMethod(), server.ended.wait)
    assert (server.typed, server.commands) == ([], ["save-all flush", "stop"])


async def test_stop_is_sent_by_rcon_alone_where_that_is_chosen(server: Server) -> None:
    async with server.rcon():
        await server.console.stop(StopMethod(by_rcon=True), server.ended.wait)
    assert (server.typed, server.commands) == ([], ["save-all flush", "stop"])


async def test_a_stop_by_rcon_alone_that_fails_is_an_error(server: Server) -> None:
    server.write_properties(enable_rcon="true")
    with pytest.raises(PluginError, match="RCON at"):
        await server.console.stop(StopMethod(by_rcon=True), server.ended.wait)
    assert server.typed == []


async def test_another_command_stops_it_by_its_console_and_by_rcon(server: Server) -> None:
    async with server.rcon():
        await server.console.stop(StopMethod("/end"), server.ended.wait)
    assert (server.typed, server.commands) == (["/end"], ["save-all flush", "end"])


async def test_stop_fails_without_console_and_rcon(server: Server) -> None:
    server.readable = False
    with pytest.raises(PluginError, match="takes no input"):
        await server.console.stop(StopMethod(), server.ended.wait)
    server.write_properties(enable_rcon="true")
    with pytest.raises(PluginError, match="RCON at"):
        await server.console.stop(StopMethod(), server.ended.wait)


async def test_a_failing_rcon_after_stop_on_the_console_is_no_error(server: Server) -> None:
    server.write_properties(enable_rcon="true")
    await server.console.stop(StopMethod(), server.ended.wait)
    assert server.typed == ["stop"]
