"""One run of the hostile hour: hostile clients, disturbances and honest players, and what is asserted at the end."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hostile.clients import HostileClients
from hostile.disturbances import Disturbances
from hostile.honest import EchoUsers, HonestPlayers, MinecraftPlayers
from hostile.zeroscale_process import HONEST_NAMES, Resources, ZeroscaleProcess
from peers.programs import answers, processes_in

from zeroscale.plugins.demo.journal import verify_journal
from zeroscale.relay.pipe_pool import MOST_SPARE

DISK_SIZE = "64m"
"""Of the state and the servers' directories: room for what the consoles keep, and quickly filled."""

AT_ONCE = 24
"""Hostile clients at once, besides crowds: as many as leave two slow cores some time for the honest."""

WARM_UP, WARM_UP_SHARE = 20.0, 0.1
"""Seconds of the same before the resources are measured, and the share of a longer run: caches, tables and the
allocator's pools fill, and each rare burst happens a few times. What grows steadily is still seen."""

START_WITHIN, QUIET_WITHIN, END_WITHIN = 30.0, 60.0, 30.0

RESIDENT_SLACK = 12 << 20
"""Bytes by which the resident memory may grow between two quiet moments, be it after two minutes or after an hour."""

VISITS_EVERY = 30.0
"""Seconds in which each expected event must happen once on average, or the run has shown nothing."""


@dataclass
class Report:
    """What a run has shown.

    :ivar problems: what must not be; none: it has passed.
    :ivar facts: figures, by what they are.
    """

    problems: list[str] = field(default_factory=list)
    facts: dict[str, object] = field(default_factory=dict)


def run(seconds: float, seed: int, directory: Path) -> Report:
    """Run for so long, with the log and the journals in a directory, and report.

    :raises AssertionError: it could not begin.
    """
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # it warns of each write to a lost connection
    with small_disk(directory) as disk:
        where = disk or _made(directory / "large-disk")
        zeroscale = ZeroscaleProcess(directory, where)
        try:
            return asyncio.run(HostileHour(zeroscale, disk, seed).run(seconds))
        finally:
            zeroscale.discard()
            for pid in processes_in(where):
                os.kill(pid, signal.SIGKILL)


@contextmanager
def small_disk(directory: Path, size: str = DISK_SIZE) -> Iterator[Path | None]:
    """Mount a small file system; None where that is not allowed: only root can, and not in every container."""
    disk = _made(directory / "small-disk")
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        yield None
        return
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


class HostileHour:
    """The run, once zeroscale was started."""

    def __init__(self, zeroscale: ZeroscaleProcess, disk: Path | None, seed: int) -> None:
        def chance() -> random.Random:
            return random.Random(seeds.randbytes(8))

        seeds = random.Random(seed)
        self._zeroscale = zeroscale
        minecraft, echo = zeroscale.listeners("minecraft"), zeroscale.listeners("echo")
        attacked = [*minecraft, *echo, *zeroscale.listeners("page"), *zeroscale.listeners("metrics")]
        self._hostile = HostileClients(attacked, chance())
        self._disturbances = Disturbances(zeroscale, disk, chance(), echo[0])
        allowance, ports = self._disturbances.allowance, zeroscale.server_ports
        self._honest: list[HonestPlayers] = [
            MinecraftPlayers(HONEST_NAMES, minecraft, ports["world"], chance(), allowance),
            EchoUsers(echo, ports["echo"], chance(), allowance),
        ]
        self._report = Report()

    async def run(self, seconds: float) -> Report:
        """Run for so long, and return the report."""
        report = self._report
        await self._until(self._zeroscale.is_listening, "it listens", START_WITHIN)
        for _ in range(max(len(self._zeroscale.listeners(name)) for name in ("minecraft", "echo"))):
            await asyncio.gather(*(players.visit() for players in self._honest))
        await self._all_at_once(max(WARM_UP, seconds * WARM_UP_SHARE))
        before = await self._quiet(None)
        for players in self._honest:
            players.counts.clear()
        await self._all_at_once(seconds)
        after = await self._quiet(before)
        report.facts["resident MiB"] = f"{before.resident / (1 << 20):.1f} -> {after.resident / (1 << 20):.1f}"
        self._compare(before, after)
        began = time.monotonic()
        code = self._zeroscale.end(END_WITHIN)
        report.facts["seconds to the end"] = round(time.monotonic() - began, 1)
        if code != 0:
            report.problems.append(f"exit code {code} on SIGTERM (None: it had to be killed)")
        self._judge(seconds)
        return report

    async def _all_at_once(self, seconds: float) -> None:
        tasks = [
            asyncio.create_task(each)
            for each in (
                self._hostile.run(AT_ONCE),
                self._disturbances.run(),
                *(players.run() for players in self._honest),
                self._sample(),
            )
        ]
        done, running = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
        for task in running:
            task.cancel()
        await asyncio.wait(running)
        for task in (*done, *running):
            if not task.cancelled():
                task.result()  # it has failed, as nothing ends by itself

    async def _sample(self) -> None:
        """Note the memory each minute: in a longer run it shows whether it still grows."""
        samples: list[int] = []
        self._report.facts["resident MiB each minute"] = samples
        while True:
            await asyncio.sleep(60)
            samples.append(self._zeroscale.resources().resident >> 20)

    async def _quiet(self, before: Resources | None) -> Resources:
        """Return what is used once all servers sleep, and as much as before is used or the time is over."""
        ports = self._zeroscale.server_ports.values()
        await self._until(lambda: not any(map(answers, ports)), "all servers sleep", QUIET_WITHIN)
        await asyncio.sleep(5)
        deadline = time.monotonic() + QUIET_WITHIN
        while True:
            now = self._zeroscale.resources()
            same = before is None or now.steady() == before.steady()
            if same or time.monotonic() > deadline:
                return now
            await asyncio.sleep(0.5)

    async def _until(self, condition: Callable[[], bool], what: str, within: float) -> None:
        deadline = time.monotonic() + within
        while not condition():
            if time.monotonic() > deadline or self._zeroscale.process.poll() is not None:
                raise AssertionError(f"not within {within:g} s: {what}; the log:\n{self._zeroscale.log_tail()}")
            await asyncio.sleep(0.1)

    def _compare(self, before: Resources, after: Resources) -> None:
        problems = self._report.problems
        spare_pipes = abs(after.descriptors["pipe:"] - before.descriptors["pipe:"]) <= 2 * MOST_SPARE
        if not spare_pipes or after.steady() != before.steady():
            problems.append(f"descriptors or threads: {before} became {after}")
        if after.resident - before.resident > RESIDENT_SLACK:
            problems.append(f"memory: {before.resident} bytes became {after.resident}")

    def _judge(self, seconds: float) -> None:
        report = self._report
        report.facts["hostile clients"] = dict(self._hostile.counts)
        report.facts["disturbances"] = dict(self._disturbances.counts)
        for players in self._honest:
            report.facts[players.name] = {**players.counts, "longest wait": round(players.longest, 2)}
            report.problems += players.problems
            for what in players.expected:
                if players.counts[what] < seconds // VISITS_EVERY:
                    report.problems.append(f"{players.name}: only {players.counts[what]} {what}")
        for name, path in self._zeroscale.journals.items():
            if not path.exists():
                continue
            journal = verify_journal(path)
            report.facts[f"journal of {name}"] = f"{journal.runs} runs, {journal.saves} saves"
            if not (journal.consistent and journal.closed):
                report.problems.append(f"{name}: {journal}")
        report.problems += self._zeroscale.defects()


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory


def main(seconds: float, seed: int, directory: Path | None = None) -> int:
    """Run and print the report; return the exit code.

    :param directory: an empty one for the log and the journals; None: a new one, which stays.
    """
    directory = directory or Path(tempfile.mkdtemp(prefix="zeroscale-hostile-"))
    sys.stdout.write(f"seed {seed}, log in {directory}\n")
    sys.stdout.flush()
    report = run(seconds, seed, directory)
    for what, value in report.facts.items():
        sys.stdout.write(f"{what}: {value}\n")
    for problem in report.problems:
        sys.stdout.write(f"PROBLEM: {problem}\n")
    return 1 if report.problems else 0
