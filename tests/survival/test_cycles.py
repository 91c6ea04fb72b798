"""Two hundred times awake and asleep again: nothing is left behind by any of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from peers.programs import Program, descendants
from survival.harness import Scene

CYCLES = 200
SETTLED = 10
"""Cycles after which all that is made once has been made."""

RESIDENT_SLACK = 4 * 1024 * 1024
"""Bytes by which the resident memory may differ: a leak of the least object of a cycle, 200 times, is less; of a
connection's, a task's or a server's whole set it is more."""


@dataclass(frozen=True)
class Held:
    """What a zeroscale holds of the machine."""

    descriptors: tuple[str, ...]
    threads: tuple[str, ...]
    processes: int
    files: tuple[str, ...]


def held(proxy: Program, scene: Scene) -> Held:
    process = Path(f"/proc/{proxy.process.pid}")
    kinds = sorted((entry.readlink().name.partition("[")[0]) for entry in (process / "fd").iterdir())
    threads = sorted((task / "comm").read_text() for task in (process / "task").iterdir())
    files = sorted(str(path) for directory in (scene.state, scene.world) for path in directory.rglob("*"))
    return Held(tuple(kinds), tuple(threads), len(descendants(proxy.process.pid)), tuple(files))


def resident(proxy: Program) -> int:
    lines = Path(f"/proc/{proxy.process.pid}/status").read_text().splitlines()
    (found,) = [int(line.split()[1]) for line in lines if line.startswith("VmRSS:")]
    return found * 1024


@pytest.mark.slow
@pytest.mark.parametrize("relay", ["splice", "transport"])
def test_nothing_is_left_behind(scene: Scene, relay: str) -> None:
    cycles = CYCLES if relay == "splice" else CYCLES // 10
    proxy = scene.small("--relay", relay, idle=0)
    before: tuple[Held, int] | None = None
    at = 0
    for cycle in range(cycles):
        scene.player(f"Player{cycle}").is_greeted()
        at = proxy.wait_for("is offline", after=at)
        if cycle == SETTLED:
            before = held(proxy, scene), resident(proxy)
    assert before is not None
    assert held(proxy, scene) == before[0]
    grown = resident(proxy) - before[1]
    assert grown < RESIDENT_SLACK, f"{grown} bytes more after {cycles} cycles"
    assert proxy.terminate() == 0
    assert len(scene.moments("started")) == len(scene.moments("stopped")) == cycles
    assert "Traceback" not in proxy.text()
