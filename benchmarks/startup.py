"""python -m benchmarks.startup: what a start of zeroscale costs.

Measures the CPU time of the process from exec until its port accepts a connection, and the time that passes until then,
for one sleeping Minecraft server given on the command line, beside `python -c pass`. The first start, which may have to
write byte code, is not counted. All take turns in each round; `--baseline` compares two checkouts.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

from benchmarks import subjects
from benchmarks.measure import Results, turns
from benchmarks.options import benchmark_parser, parse
from benchmarks.processes import Bench, Subject
from benchmarks.subjects import BASELINE

PYTHON = "python -c pass"
FIGURES = {"cpu_ms": ("CPU ms until it listens", 0), "wall_ms": ("ms until it listens", 0)}


def start(subject: Subject, *, pinned: bool) -> dict[str, float]:
    """Start zeroscale, and stop it again."""
    with Bench(pinned=pinned) as bench:
        running = bench.run(subject, backend=None)
        return {"cpu_ms": running.usage.cpu_seconds * 1e3, "wall_ms": running.listening_after * 1e3}


def interpreter() -> dict[str, float]:
    """Run Python without a program."""
    began = time.perf_counter()
    _, _, usage = os.wait4(subprocess.Popen([sys.executable, "-c", "pass"]).pid, 0)
    took = time.perf_counter() - began
    return {"cpu_ms": (usage.ru_utime + usage.ru_stime) * 1e3, "wall_ms": took * 1e3}


def main() -> None:
    """Measure, print and write the results."""
    parser = benchmark_parser("startup", __doc__, rounds=30)
    options = parse(parser, rounds=10)
    found = subjects.installed(subjects.zeroscale(subjects.MINECRAFT, options.baseline))
    contestants = {each.name: each for each in found}
    for each in contestants.values():
        start(each, pinned=options.pinned)
    results = Results()
    names = [*contestants, PYTHON]
    for number, order in turns(options.rounds, names):
        for name in order:
            figures = interpreter() if name == PYTHON else start(contestants[name], pinned=options.pinned)
            results.add(name, number, figures)
    results.report(FIGURES, names, [BASELINE, PYTHON], options)


if __name__ == "__main__":
    main()
