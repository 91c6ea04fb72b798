"""Hostile clients: slow, silent, half-closed, resetting, flooding ones, and crowds of them."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from hostile.listeners import Connection, Listener
from hostile.messages import Messages

LONGEST = 8.0
"""Seconds of one client."""

CROWD = 80
"""Clients that come at once, more than the 64 of one address that are allowed."""

FLOOD_CHUNK, FLOOD_CHUNKS = 65536, 48
"""Bytes of a flood, 3 MiB: far above every bound, and not so many that two cores do nothing else."""

TURN = (4.0, 10.0)
"""Seconds for which the same servers are attacked."""

LOST = (OSError, TimeoutError, ssl.SSLError, asyncio.IncompleteReadError)

Behaviour = Callable[[Connection, Listener], Awaitable[None]]

WEIGHTS = {
    "silent": 3,
    "slow": 3,
    "half-closed": 4,
    "resetting": 5,
    "flooding": 1,
    "not reading": 2,
    "leaving": 5,
    "repeating": 2,
}
"""How often each kind of client comes."""

IN_A_CROWD = ("silent", "slow", "half-closed", "leaving")


class HostileClients:
    """Clients that misbehave, some at a time, until they are cancelled.

    Each has random choices of its own, so that these do not depend on the order in which the clients get on.

    :ivar counts: how many there were, by behaviour.
    """

    def __init__(self, listeners: Sequence[Listener], chance: random.Random) -> None:
        self._listeners = self._attacked = listeners
        self._servers = sorted({listener.server for listener in listeners})
        self._chance = chance
        self.counts: Counter[str] = Counter()

    async def run(self, at_once: int) -> None:
        """Have so many clients at once, and crowds now and then."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._turn(self._another()))
            group.create_task(self._crowds(self._another()))
            for _ in range(at_once):
                group.create_task(self._come_and_go(self._another()))

    def _another(self) -> random.Random:
        return random.Random(self._chance.randbytes(8))

    async def _turn(self, chance: random.Random) -> None:
        """Attack some servers for a while and then others, so that each has time to sleep."""
        while True:
            attacked = chance.sample(self._servers, chance.randrange(1, len(self._servers)))
            self._attacked = [listener for listener in self._listeners if listener.server in attacked]
            await asyncio.sleep(chance.uniform(*TURN))

    async def _come_and_go(self, chance: random.Random) -> None:
        client = HostileClient(chance)
        while True:
            (name,) = chance.choices(list(WEIGHTS), list(WEIGHTS.values()))
            self.counts[name] += 1
            await client.visit(chance.choice(self._attacked), name)
            await asyncio.sleep(chance.random() * 0.5)

    async def _crowds(self, chance: random.Random) -> None:
        while True:
            await asyncio.sleep(chance.uniform(3, 12))
            listener, name = chance.choice(self._attacked), chance.choice(IN_A_CROWD)
            clients = [HostileClient(random.Random(chance.randbytes(8))) for _ in range(CROWD)]
            self.counts[name] += CROWD
            await asyncio.gather(*(client.visit(listener, name) for client in clients))


class HostileClient:
    """One client after the other, with the random choices of one generator."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._messages = Messages(chance)

    async def visit(self, listener: Listener, name: str) -> None:
        """Connect, misbehave in the way of this name, and reset the connection."""
        behaviours: dict[str, Behaviour] = {
            "silent": self._be_silent,
            "slow": self._be_slow,
            "half-closed": self._half_close,
            "resetting": self._reset,
            "flooding": self._flood,
            "not reading": self._do_not_read,
            "leaving": self._leave,
            "repeating": self._repeat,
        }
        with suppress(*LOST):
            connection = await listener.connect(f"127.0.1.{self._chance.randrange(1, 255)}")
            try:
                async with asyncio.timeout(LONGEST):
                    await behaviours[name](connection, listener)
            finally:
                connection.reset()

    def _opening(self, listener: Listener) -> bytes:
        return self._messages.header(listener) + self._messages.first(listener)

    async def _pause(self, longest: float) -> None:
        await asyncio.sleep(self._chance.random() * longest)

    async def _be_silent(self, connection: Connection, listener: Listener) -> None:
        if self._chance.random() < 0.5:
            await connection.send(self._messages.header(listener))
        await self._pause(LONGEST)

    async def _be_slow(self, connection: Connection, listener: Listener) -> None:
        for byte in self._opening(listener)[:200]:
            await connection.send(bytes([byte]))
            await self._pause(0.2)

    async def _half_close(self, connection: Connection, listener: Listener) -> None:
        await connection.send(self._opening(listener))
        await self._pause(0.5)
        connection.finish()
        await self._read(connection)

    async def _reset(self, connection: Connection, listener: Listener) -> None:
        await connection.send(self._opening(listener))
        await self._pause(self._chance.choice((0, 0.05, 1, 3)))

    async def _flood(self, connection: Connection, listener: Listener) -> None:
        await connection.send(self._opening(listener))
        block = self._chance.randbytes(FLOOD_CHUNK)
        reading = asyncio.create_task(self._read(connection))
        try:
            for _ in range(FLOOD_CHUNKS):
                await connection.send(block)
                await asyncio.sleep(0.02)
            connection.finish()
            await self._pause(1)
        finally:
            reading.cancel()

    async def _do_not_read(self, connection: Connection, listener: Listener) -> None:
        await connection.send(self._opening(listener))
        connection.stop_reading()
        block = self._chance.randbytes(FLOOD_CHUNK)
        for _ in range(FLOOD_CHUNKS):
            await connection.send(block)
        await self._pause(LONGEST)

    async def _leave(self, connection: Connection, listener: Listener) -> None:
        await connection.send(self._opening(listener))
        with suppress(TimeoutError):
            async with asyncio.timeout(self._chance.random() * 2):
                await self._read(connection)
        connection.close()

    async def _repeat(self, connection: Connection, listener: Listener) -> None:
        await connection.send(self._messages.header(listener))
        for _ in range(self._chance.randrange(20)):
            await connection.send(self._messages.first(listener))
            await self._pause(0.1)

    async def _read(self, connection: Connection) -> None:
        with suppress(*LOST):
            while await connection.receive():
                pass
