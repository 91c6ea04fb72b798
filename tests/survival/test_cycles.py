"""Two hundred starts and stops: memory, descriptors, threads, processes and files do not grow."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from peers.programs import Program, descendants, wait_until
from survival.harness import SurvivalHarness

from zeroscale.history.values import FILE as HISTORY

CYCLES = 200
SETTLED = 10
"""Cycles after which everything that is made once exists."""

COLLECTS_GARBAGE = """
import gc, signal
signal.signal(signal.SIGUSR2, lambda *_: gc.collect())
"""
"""Python's start-up module of the proxy: it lets a signal collect cyclic garbage, of which there may be some MiB before
Python does so by itself."""

RESIDENT_SLACK = 4 * 1024 * 1024
"""Bytes by which the resident memory may grow: less than 200 leaked connections, tasks or servers take, and more than
200 small objects."""


@dataclass(frozen=True)
class Resources:
    """The resources that a zeroscale process uses."""

    descriptors: tuple[str, ...]
    threads: tuple[str, ...]
    processes: int
    files: tuple[str, ...]


def resources(proxy: Program, harness: SurvivalHarness) -> Resources:
    process = Path(f"/proc/{proxy.process.pid}")
    kinds = sorted((entry.readlink().name.partition("[")[0]) for entry in (process / "fd").iterdir())
    threads = sorted((task / "comm").read_text() for task in (process / "task").iterdir())
    files = sorted(
        str(path)
        for directory in (harness.state, harness.world)
        for path in directory.rglob("*")
        if not path.name.startswith(f"{HISTORY}-")  # while it is written
    )
    return Resources(tuple(kinds), tuple(threads), len(descendants(proxy.process.pid)), tuple(files))


def resident(proxy: Program) -> int:
    lines = Path(f"/proc/{proxy.process.pid}/status").read_text().splitlines()
    (found,) = [int(line.split()[1]) for line in lines if line.startswith("VmRSS:")]
    return found * 1024


@pytest.mark.slow
@pytest.mark.parametrize("relay", ["splice", "transport"])
def test_resources_are_released_after_each_cycle(
    harness: SurvivalHarness, relay: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cycles = CYCLES if relay == "splice" else CYCLES // 10
    (tmp_path / "python").mkdir()
    (tmp_path / "python" / "sitecustomize.py").write_text(COLLECTS_GARBAGE)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "python"), os.environ.get("PYTHONPATH", "")]))
    proxy = harness.run_small_server("--relay", relay, idle=0)
    before: tuple[Resources, int] | None = None
    at = 0
    for cycle in range(cycles):
        harness.player(f"Player{cycle}").is_greeted()
        at = proxy.wait_for(": stopped( after|:)", after=at)
        proxy.process.send_signal(signal.SIGUSR2)
        if cycle == SETTLED:
            now = resources(proxy, harness)
            kept = tuple(each for each in now.descriptors if not each.startswith(HISTORY))
            before = replace(now, descriptors=kept), resident(proxy)
    assert before is not None
    settled = before[0]
    wait_until(lambda: resources(proxy, harness) == settled, "the history is closed", program=proxy)
    grown = resident(proxy) - before[1]
    assert grown < RESIDENT_SLACK, f"{grown} bytes more after {cycles} cycles"
    assert proxy.terminate() == 0
    assert len(harness.times_of("started")) == len(harness.times_of("stopped")) == cycles
    assert "Traceback" not in proxy.text()
