"""Helpers for tests that run a whole proxy in this process, with servers of `stub_server` and asyncio clients."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.testing import MemoryReactorClock

from zeroscale.config.model import Config, ControlConfig, ServerConfig
from zeroscale.reactor import Reactor

DEADLINE = 30.0
"""Seconds after which a test gives up waiting, on a busy machine, too."""


def stub_config(name: str, port: int | str, server_port: int, directory: Path, **values: Any) -> ServerConfig:
    """Return the configuration of a server of `stub_server`."""
    defaults: dict[str, Any] = {
        "name": name,
        "plugin": "stub_server:Server",
        "listen": (str(port),),
        "server_port": server_port,
        "working_directory": directory,
        "plugin_keywords": {"greeting": f"{name}\n"},
        "idle_shutdown": 3600.0,
    }
    return ServerConfig(**{**defaults, **values})


def proxy_config(directory: Path, *servers: ServerConfig, **values: Any) -> Config:
    """Return a configuration with these servers."""
    return Config(servers=servers, state_directory=directory / "state", control=ControlConfig(listen=""), **values)


class FakeReactor(MemoryReactorClock):
    """Twisted's reactor for tests, with the rest of what `Reactor` declares."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Twisted has no types here

    def callFromThread(self, callable: Callable[..., object], *args: object, **kwargs: object) -> None:
        callable(*args, **kwargs)


def running_reactor() -> Reactor:
    """Return the global reactor, which pytest-twisted runs."""
    from twisted.internet import reactor

    return cast("Reactor", reactor)


async def until(condition: Callable[[], object]) -> None:
    """Wait until the condition is true."""
    clock = running_reactor()
    deadline = clock.seconds() + DEADLINE
    while not condition():
        assert clock.seconds() < deadline, "the condition did not become true"
        await deferLater(clock, 0.01)


def run(coroutine: Any) -> Deferred[Any]:
    """Run an asyncio coroutine as a Deferred, with `DEADLINE`."""
    return Deferred.fromFuture(asyncio.get_event_loop().create_task(asyncio.wait_for(coroutine, DEADLINE)))


@contextlib.asynccontextmanager
async def client(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Open a connection to a port of the proxy, in asyncio."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def greeting(port: int) -> bytes:
    """Connect and return the first line that the server sends; b"" if the connection is closed."""
    async with client(port) as (reader, _):
        return await reader.readline()
