"""What happens to the proxy besides its clients: a full disk, pauses, a log that nobody reads, a flooding console."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from hostile.echo_server import FLOOD
from hostile.listeners import Listener
from hostile.zeroscale_process import ZeroscaleProcess

BETWEEN = (5.0, 15.0)
"""Seconds between two disturbances of one kind."""

Inflict = Callable[[], Awaitable[None]]


class Disturbances:
    """Inflicts them at random, each kind by itself.

    :param small_disk: the file system to fill; None: none may be filled.
    :ivar counts: how many there were, by kind.
    """

    def __init__(
        self, zeroscale: ZeroscaleProcess, small_disk: Path | None, chance: random.Random, flooded: Listener
    ) -> None:
        self._zeroscale = zeroscale
        self._small_disk = small_disk
        self._chance = chance
        self._flooded = flooded
        self._pauses: list[tuple[float, float]] = []
        self._paused_since: float | None = None
        self.counts: Counter[str] = Counter()

    async def run(self) -> None:
        """Disturb until cancelled; then everything is as it was."""
        kinds: dict[str, Inflict] = {
            "paused": self._pause,
            "log not read": self._stall_log,
            "console flooded": self._flood_console,
        }
        if self._small_disk is not None:
            kinds["disk full"] = self._fill_disk
        async with asyncio.TaskGroup() as group:
            for name, inflict in kinds.items():
                group.create_task(self._repeat(name, inflict))

    async def _repeat(self, name: str, inflict: Inflict) -> None:
        while True:
            await asyncio.sleep(self._chance.uniform(*BETWEEN))
            self.counts[name] += 1
            self._zeroscale.note(name)
            await inflict()
            self._zeroscale.note(f"no longer: {name}")

    def paused(self, since: float, until: float) -> float:
        """Return how many seconds of this period, in the loop's time, the proxy was paused."""
        pauses = list(self._pauses)
        if self._paused_since is not None:
            pauses.append((self._paused_since, until))
        return sum(max(0.0, min(end, until) - max(start, since)) for start, end in pauses)

    async def _pause(self) -> None:
        loop = asyncio.get_running_loop()
        self._paused_since = began = loop.time()
        self._zeroscale.freeze()
        try:
            await asyncio.sleep(self._chance.uniform(0.5, 4))
        finally:
            self._zeroscale.thaw()
            self._pauses.append((began, loop.time()))
            self._paused_since = None

    async def _stall_log(self) -> None:
        self._zeroscale.stall_log()
        try:
            await asyncio.sleep(self._chance.uniform(2, 6))
        finally:
            self._zeroscale.read_log()

    async def _flood_console(self) -> None:
        with suppress(OSError, TimeoutError):
            connection = await self._flooded.connect()
            try:
                async with asyncio.timeout(10):
                    await connection.send(FLOOD)
                    await connection.receive()
            finally:
                connection.close()

    async def _fill_disk(self) -> None:
        assert self._small_disk is not None
        filling = self._small_disk / "filling"
        until = asyncio.get_running_loop().time() + self._chance.uniform(1, 4)
        try:
            while asyncio.get_running_loop().time() < until:
                fill(filling)
                await asyncio.sleep(0.1)  # a rotation has made room
        finally:
            filling.unlink(missing_ok=True)


def fill(path: Path) -> None:
    """Append to the file until the disk is full."""
    with path.open("ab", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            with suppress(OSError):
                while file.write(b"\0" * size):
                    pass
        os.fsync(file.fileno())
