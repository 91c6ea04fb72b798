"""python -m benchmarks.memory: what it costs to be idle.

Measures zeroscale with one sleeping Minecraft server, given on the command line, beside idle nginx, HAProxy and a
Minecraft server in Node, which is left running in place of a proxy: resident memory, and wake-ups (voluntary context
switches of all threads) and CPU time in a quiet period. In each round all are started anew, and are quiet at the same
time.
"""

from __future__ import annotations

import sys

from benchmarks import subjects
from benchmarks.measure import Results
from benchmarks.options import add_also, benchmark_parser, parse
from benchmarks.processes import BACKEND, Bench, quiet
from benchmarks.subjects import BASELINE, HAPROXY, NGINX, NODE


def main() -> None:
    """Measure, print and write the results."""
    parser = benchmark_parser("memory", __doc__, rounds=3)
    parser.add_argument("--quiet", type=float, default=60.0, help="seconds of a quiet period (default: %(default)g)")
    add_also(parser)
    options = parse(parser, rounds=2, quiet=15.0)
    found = subjects.zeroscale(subjects.MINECRAFT, options.baseline)
    found |= {NGINX: subjects.nginx(), HAPROXY: subjects.haproxy(), NODE: subjects.node_server()}
    contestants = subjects.installed(found | subjects.named(options.also))
    results = Results()
    for number in range(options.rounds):
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
        with Bench(pinned=options.pinned) as bench:
            running = [bench.run(each, BACKEND if each.name in (NGINX, HAPROXY) else None) for each in contestants]
            for name, figures in quiet(running, options.quiet).items():
                results.add(name, number, figures)
    rows = {
        "mib": ("resident memory, MiB", 1),
        "wake_ups": (f"wake-ups in {options.quiet:g} s", 0),
        "cpu_ms": (f"CPU ms in {options.quiet:g} s", 1),
    }
    results.report(rows, [each.name for each in contestants], [BASELINE], options)


if __name__ == "__main__":
    main()
