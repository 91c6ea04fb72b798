"""A plugin for tests: its server is an echo server in the test process, controlled by its arguments."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from probes.asked_server import NOBODY_ON, asked_in

from zeroscale import Status
from zeroscale.errors import PluginError


class Server:
    """An echo server in this process.

    :cvar running: ports of the servers that run.
    :cvar gate: every start waits for this event.
    :cvar stop_gate: every stop waits for this event.
    """

    running: set[int] = set()
    gate: asyncio.Event | None = None
    stop_gate: asyncio.Event | None = None
    remote = True

    def __init__(
        self,
        server_port: int,
        greeting: str = "",
        refuses: str = "",
        moves: str = "",
        ready_line: str = "",
        controls: str = "",
    ) -> None:
        if greeting == "impossible":
            raise PluginError("no such greeting")
        self.status = Status.stopped
        self.on_output: Callable[[str], None] | None = None
        self.ready_line = ready_line or None
        self.controls = {controls: True} if controls else {}
        self._port = int(moves) if moves else server_port
        self.server_address = ("127.0.0.1", self._port) if moves else None
        self._greeting = greeting
        self._refuses = refuses
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        if self._refuses:
            raise PluginError(self._refuses)
        if self.gate is not None:
            await self.gate.wait()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self.running.add(self._port)
        self.status = Status.running

    async def stop(self) -> None:
        if self.stop_gate is not None:
            await self.stop_gate.wait()
        assert self._server is not None
        self._server.close()
        for client in list(self._clients):
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        self.running.discard(self._port)
        self.status = Status.stopped

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        try:
            writer.write(self._greeting.encode())
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            self._clients.discard(task)


class WithConsole(Server):
    """A server with a console.

    :cvar sent: the lines that it was sent.
    """

    sent: list[str] = []

    async def send(self, line: str) -> None:
        self.sent.append(line)


class Minecraft(Server):
    """A server that claims to speak the Minecraft protocol."""

    protocol = "minecraft"
    remote = False


class Web(Server):
    """A server that claims to speak HTTP."""

    protocol = "http"


class OnlyKnownNumber(Minecraft):
    """A server that answers status requests with one protocol number, and closes the connection at others.

    It writes "Done" at once.

    :cvar number: that number.
    :cvar asked: the requests so far.
    """

    number = 758
    asked: list[int | str] = []

    async def start(self) -> None:
        await super().start()
        if self.on_output is not None:
            self.on_output("Done")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received = await reader.read(65536)
        way = asked_in(received)
        if way is not None:
            self.asked.append(way)
            writer.write(NOBODY_ON if way == self.number else b"")
        elif received:
            writer.write(received)
            await reader.read()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


class Adoptable(Server):
    """A server whose `adopt()` waits for the gate, and finds nothing."""

    async def adopt(self) -> bool:
        if self.gate is not None:
            await self.gate.wait()
        return False
