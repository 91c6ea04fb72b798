"""Two hundred starts and stops: memory, descriptors, threads, processes and files do not grow."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path

import pytest
from peers.programs import Program, descendants, wait_until
from processes import descriptors_of, threads_of
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


def resources(proxy: Program, harness: SurvivalHarness) -> Counter[str]:
    """Return how many descriptors and threads of each kind the proxy has, child processes, and its files."""
    pid = proxy.process.pid
    found = Counter(f"descriptor of {Path(target).name.partition('[')[0]}" for target in descriptors_of(pid))
    found.update(f"thread {name}" for name in threads_of(pid))
    found["child process"] = len(descendants(pid))
    found.update(
        str(path)
        for directory in (harness.state, harness.world)
        for path in directory.rglob("*")
        if not path.name.startswith(f"{HISTORY}-")  # while it is written
    )
    return found


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
    before: tuple[Counter[str], int] | None = None
    at = 0
    for cycle in range(cycles):
        harness.player(f"Player{cycle}").is_greeted()
        at = proxy.wait_for(": stopped( after|:)", after=at)
        proxy.process.send_signal(signal.SIGUSR2)
        if cycle == SETTLED:
            before = resources(proxy, harness), resident(proxy)
    assert before is not None
    settled = before[0]
    # not the same: what was open for a moment then does not matter
    wait_until(lambda: not resources(proxy, harness) - settled, f"no more than {settled}", program=proxy)
    grown = resident(proxy) - before[1]
    assert grown < RESIDENT_SLACK, f"{grown} bytes more after {cycles} cycles"
    assert proxy.terminate() == 0
    assert len(harness.times_of("started")) == len(harness.times_of("stopped")) == cycles
    assert "Traceback" not in proxy.text()
