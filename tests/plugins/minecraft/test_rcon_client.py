"""RCON over real sockets, with a correct server and with faulty ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from ports import free_port
from protocols.minecraft.rcon_server import RconServer

from zeroscale.errors import PluginError
from zeroscale.plugins.minecraft.rcon_client import RconConsole

PASSWORD = "secret"


@asynccontextmanager
async def listening(answer: Callable[[bytes], bytes | None]) -> AsyncIterator[RconConsole]:
    """Run a server that answers each read with the result of `answer`, or closes if that is None."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1460):
            reply = answer(data)
            if reply is None:
                break
            writer.write(reply)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield RconConsole("127.0.0.1", server.sockets[0].getsockname()[1], PASSWORD)


async def test_commands_one_after_the_other() -> None:
    game = RconServer(PASSWORD, str.upper)
    async with listening(game.read) as console:
        assert await console.ask("list", "save-all flush", within=5) == ["LIST", "SAVE-ALL FLUSH"]
        assert await console.ask("help", within=5) == ["HELP"]
    assert [text for _, kind, text in game.requests if kind == 2] == ["list", "save-all flush", "help"]


async def test_a_long_answer_is_whole() -> None:
    async with listening(RconServer(PASSWORD, lambda _: "x" * 20_000).read) as console:
        assert await console.ask("help", within=5) == ["x" * 20_000]


async def test_a_wrong_password_is_reported() -> None:
    async with listening(RconServer("another", str).read) as console:
        with pytest.raises(
            PluginError, match=r"RCON at 127\.0\.0\.1:\d+: the server refuses the rcon.password in server.prop"
        ):
            await console.ask("list", within=5)


async def test_an_impossible_password() -> None:
    with pytest.raises(PluginError, match=r"RCON at .*: "):
        await RconConsole("127.0.0.1", free_port(), "x" * 2000).ask("list", within=5)


async def test_nobody_listens() -> None:
    with pytest.raises(PluginError, match=r"RCON at .*: "):
        await RconConsole("127.0.0.1", free_port(), PASSWORD).ask("list", within=5)


async def test_something_else_listens() -> None:
    async with listening(lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n") as console:
        with pytest.raises(PluginError, match="an RCON packet of"):
            await console.ask("list", within=5)


async def test_it_does_not_answer() -> None:
    async with listening(lambda _: b"") as console:
        with pytest.raises(PluginError, match=r"no answer within 0\.05 s"):
            await console.ask("list", within=0.05)


@pytest.mark.parametrize("answered", [0, 1, 2])
async def test_it_closes_instead_of_an_answer(answered: int) -> None:
    game = RconServer(PASSWORD, str)

    def some(data: bytes) -> bytes | None:
        return game.read(data) if len(game.requests) < answered else None

    async with listening(some) as console:
        with pytest.raises(PluginError, match="closed the connection without an answer"):
            await console.ask("list", "stop", "list", within=5, may_end=True)


async def test_a_command_that_ends_the_server_needs_no_answer() -> None:
    game = RconServer(PASSWORD, str.upper)

    def until_stop(data: bytes) -> bytes | None:
        answer = game.read(data)
        return None if game.requests[-1][2] == "stop" else answer

    async with listening(until_stop) as console:
        assert await console.ask("save-all flush", "stop", within=5, may_end=True) == ["SAVE-ALL FLUSH"]
