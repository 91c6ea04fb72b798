"""What happens to the proxy besides its clients: a full disk, pauses, a log that nobody reads, a flooding console."""

from __future__ import annotations

import asyncio
import math
import os
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from hostile.echo_server import FLOOD
from hostile.listeners import Listener
from hostile.zeroscale_process import ZeroscaleProcess

from zeroscale.probes.pace import STATUS

BETWEEN = (5.0, 15.0)
"""Seconds between two disturbances of one kind."""

LOST_LINE = 1.0
"""Seconds around a full disk in which a line may be lost: honest players look at a server every 0.1 s."""

Inflict = Callable[[], Awaitable[None]]


@dataclass
class Period:
    """A period in the loop's time; one that goes on has no end."""

    start: float
    end: float = math.inf


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
        self._pauses: list[Period] = []
        self._full: list[Period] = []
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

    def allowance(self, ready: float, until: float) -> float:
        """Return how much longer a player may wait who waits from `ready` until now, both in the loop's time.

        That is the pauses in that time, and one interval of the questions to a starting server if its ready line may
        have been lost, because the disk was full.
        """
        paused = sum(max(0.0, min(each.end, until) - max(each.start, ready)) for each in self._pauses)
        lost = any(each.start - LOST_LINE < ready < each.end + LOST_LINE for each in self._full)
        return paused + STATUS.longest * lost

    async def _pause(self) -> None:
        with _noted(self._pauses):
            self._zeroscale.freeze()
            try:
                await asyncio.sleep(self._chance.uniform(0.5, 4))
            finally:
                self._zeroscale.thaw()

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
        with _noted(self._full):
            try:
                while asyncio.get_running_loop().time() < until:
                    fill(filling)
                    await asyncio.sleep(0.1)  # a rotation has made room
            finally:
                filling.unlink(missing_ok=True)


@contextmanager
def _noted(periods: list[Period]) -> Iterator[None]:
    """Add the time that the block takes to the periods."""
    time = asyncio.get_running_loop().time
    period = Period(time())
    periods.append(period)
    try:
        yield
    finally:
        period.end = time()


def fill(path: Path) -> None:
    """Append to the file until the disk is full."""
    with path.open("ab", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            with suppress(OSError):
                while file.write(b"\0" * size):
                    pass
        os.fsync(file.fileno())
