"""Honest players: each wakes its server, is let in, plays, and leaves; how long it waited once the server was ready."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress

from hostile.listeners import Connection, Listener
from hostile.messages import WORLD

from zeroscale.protocols.minecraft.client import (
    CookieRequested,
    Disconnected,
    LoginClient,
    PluginRequested,
    StatusClient,
)

MOST_SECONDS = 3.0
"""Seconds that a player may wait once the server is ready, apart from what the disturbances explain."""

PATIENCE = 60.0
"""Seconds after which a player who is not in gives up."""

POLL_INTERVAL = 0.1
ASLEEP_WITHIN = 15.0
"""Seconds that a player waits for the server to sleep, to wake it; then it joins a running one."""

PROTOCOL = 767
LARGEST_EXCHANGE = 50_000


class HonestPlayers:
    """The honest players of one server, one after the other, on each listener in turn.

    :param allowance: returns how much longer than `MOST_SECONDS` a wait may take; see `Disturbances.allowance`.
    :ivar counts: how many visits there were, and how many found the server asleep.
    :ivar problems: what went wrong.
    :ivar longest: the longest wait in seconds, as bounded by `MOST_SECONDS`.
    """

    name = ""
    expected: Sequence[str] = ("visits",)
    """Keys of `counts` that must not stay too small."""

    def __init__(
        self,
        listeners: Sequence[Listener],
        server_port: int,
        chance: random.Random,
        allowance: Callable[[float, float], float],
    ) -> None:
        self._listeners = listeners
        self._server_port = server_port
        self._chance = chance
        self._allowance = allowance
        self._visits = 0
        self._ready_at: float | None = None
        self.counts: Counter[str] = Counter()
        self.problems: list[str] = []
        self.longest = 0.0

    async def run(self) -> None:
        """Play until cancelled."""
        while True:
            await self.visit()

    async def visit(self) -> None:
        """Join on the next listener, play and leave."""
        listener = self._listeners[self._visits % len(self._listeners)]
        self._visits += 1
        if await self._is_asleep():
            self.counts["asleep"] += 1
        problem = await self._play_on(listener)
        self.counts["visits"] += not problem
        if problem:
            self.problems.append(f"{time.strftime('%H:%M:%S')} {self.name}, {listener.kind.value}: {problem}")

    async def _play_on(self, listener: Listener) -> str:
        watching = asyncio.create_task(self._watch())
        loop = asyncio.get_running_loop()
        began = loop.time()
        connection: Connection | None = None
        stage = "it could not connect"
        try:
            async with asyncio.timeout(PATIENCE):
                connection = await listener.connect(f"127.0.9.{self._chance.randrange(1, 255)}")
                stage = "it was not let in"
                await self._join(connection, self._header(listener))
            now = loop.time()
            since = max(began, self._ready_at or now)
            waited = now - since - self._allowance(since, now)
            self.longest = max(self.longest, waited)
            if waited > MOST_SECONDS:
                return f"it was let in {waited:.1f} s after the server was ready"
            stage = "it was disturbed while it played"
            async with asyncio.timeout(PATIENCE):
                await self._play(connection)
                await self._leave(connection)
        except (OSError, TimeoutError, RefusedError) as error:
            after = loop.time() - began
            ready = f"{loop.time() - self._ready_at:.1f} s ago" if self._ready_at else "not"
            return f"{stage}, after {after:.1f} s: {error or type(error).__name__} (the server was ready: {ready})"
        finally:
            watching.cancel()
            if connection is not None:
                connection.reset()
        return ""

    def _header(self, listener: Listener) -> bytes:
        address = f"192.0.2.{self._chance.randrange(1, 200)}"
        return listener.header(address) if listener.has_headers else b""

    async def _play(self, connection: Connection) -> None:
        for _ in range(self._chance.randrange(1, 6)):
            data = self._chance.randbytes(self._chance.randrange(1, LARGEST_EXCHANGE))
            sending = asyncio.create_task(connection.send(data))
            await self._expect(connection, data)
            await sending
            await asyncio.sleep(self._chance.random() * 0.5)

    async def _leave(self, connection: Connection) -> None:
        if self._chance.random() < 0.5:
            connection.finish()
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await connection.receive()
        else:
            connection.close()

    async def _expect(self, connection: Connection, data: bytes) -> None:
        received = b""
        while len(received) < len(data):
            part = await connection.receive()
            if not part:
                raise RefusedError(f"the end after {len(received)} bytes of {len(data)}")
            received += part
        if received != data:
            raise RefusedError("other bytes than it had sent came back")

    async def _is_asleep(self) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(ASLEEP_WITHIN):
                while await self._is_ready():  # noqa: ASYNC110
                    await asyncio.sleep(POLL_INTERVAL)
                return True
        return False

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        self._ready_at = None
        while True:
            if not await self._is_ready():
                self._ready_at = None
            elif self._ready_at is None:
                self._ready_at = loop.time()
            await asyncio.sleep(POLL_INTERVAL)

    async def _is_ready(self) -> bool:
        """Ask the real server, not the proxy."""
        try:
            async with asyncio.timeout(5):
                reader, writer = await asyncio.open_connection("127.0.0.1", self._server_port)
                try:
                    return await self._answers(reader, writer)
                finally:
                    writer.transport.abort()
        except (OSError, TimeoutError):
            return False

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        raise NotImplementedError

    async def _join(self, connection: Connection, header: bytes) -> None:
        """Return once the real server has answered.

        :raises RefusedError: the proxy or the server has closed the connection.
        """
        raise NotImplementedError


class RefusedError(Exception):
    """An honest player was not served as it should have been."""


class EchoUsers(HonestPlayers):
    """Users of the generic server, which sends back what it receives.

    They cannot count on finding it asleep: connections of strangers keep it running.
    """

    name = "echo"

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        return True  # it accepted, which is all that `ready = "connect"` asks for

    async def _join(self, connection: Connection, header: bytes) -> None:
        data = self._chance.randbytes(self._chance.randrange(1, 500))
        await connection.send(header + data)
        await self._expect(connection, data)


class MinecraftPlayers(HonestPlayers):
    """Players of the Minecraft server, which sends back what it receives, from the handshake on."""

    name = "world"
    expected = ("visits", "asleep")

    def __init__(
        self,
        names: Sequence[str],
        listeners: Sequence[Listener],
        server_port: int,
        chance: random.Random,
        allowance: Callable[[float, float], float],
    ) -> None:
        super().__init__(listeners, server_port, chance, allowance)
        self._names = names

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        writer.write(StatusClient("localhost", self._server_port, PROTOCOL).request())
        return await reader.read(100) != b""

    async def _join(self, connection: Connection, header: bytes) -> None:
        client = LoginClient(WORLD, 25565, PROTOCOL, self._chance.choice(self._names))
        login = client.request()
        await connection.send(header + login)
        received = b""
        while not received.startswith(login):
            data = await connection.receive()
            if not data:
                raise RefusedError("the end without a message")
            received += data
            if login.startswith(received[: len(login)]):
                continue
            for event in client.receive(received):
                match event:
                    case Disconnected(reason=reason):
                        raise RefusedError(f"kicked: {reason}")
                    case PluginRequested(answer=answer) | CookieRequested(answer=answer):
                        await connection.send(answer)
            received = b""
