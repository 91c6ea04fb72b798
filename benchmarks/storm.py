"""python -m benchmarks.storm: 100 players play while 500 others join in one burst.

Those who play (`play.py`, a process of its own) have logged in before, and each send 64 bytes 20 times a second, which
the server answers with 512; their questions are evenly spread. A burst (`burst.py`, another process) opens 500
connections in one loop: each sends a Minecraft handshake and login start once it is connected, and is in with the
server's first answer. They stay until all are in, or have waited for `--patience` seconds, and leave together; a second
later comes the next burst. nginx and HAProxy relay the same bytes.

- p99 in a burst: of the questions asked between the burst's first connect() and the answer to the last who got in, of
  all bursts of a round together; p99 calm: of all others, without the second after a burst.
- until all are in: the median of the round's bursts. Where some did not get in it is the time that they were given, and
  so a lower bound.
- joined: the fewest that got in.

zeroscale is a running Minecraft server's, and each proxy has a server of its own (`backend.py`).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

from benchmarks import backend, subjects
from benchmarks.measure import Results, turns
from benchmarks.options import add_also, benchmark_parser, parse
from benchmarks.processes import Bench, LoadError, Running, await_answer, report_of
from benchmarks.subjects import BASELINE, HAPROXY, NGINX
from benchmarks.traffic import LOGIN

CALM = 1.0
"""Seconds before the first burst, and between two."""

LONGEST = 600.0

FIGURES = {
    "p99_burst": ("p99 in a burst, ms", 2),
    "p99_calm": ("p99 calm, ms", 2),
    "all_in": ("until all are in, ms", 0),
    "joined": ("joined", 0),
}


def storm(bench: Bench, running: Running, options: argparse.Namespace) -> dict[str, float]:
    """Measure one round of one contestant."""
    bursts: list[tuple[float, float]] = []
    joined: list[int] = []
    asking = [running.listen, "--connections", options.playing, "--seconds", LONGEST, "--login"]
    joining = [running.listen, "--players", options.joining, "--patience", options.patience]
    with bench.loading("play", asking) as play:
        assert play.stdin is not None and play.stdout is not None
        if play.stdout.readline() != "asking\n":
            raise LoadError(f"{running.name} could not open {options.playing} connections")
        for _ in range(options.bursts):
            time.sleep(CALM)
            with bench.loading("burst", joining) as load:
                report = report_of(load)
            joined.append(len(report["joined"]))
            took = report["joined"][-1] if joined[-1] == options.joining else options.patience
            bursts.append((report["began"], took))
        time.sleep(CALM)
        play.stdin.write("end\n")
        play.stdin.flush()
        report = report_of(play)
    stormy, calm = [], []
    for asked, took in zip(report["asked"], report["took"], strict=True):
        if any(began <= asked <= began + lasted for began, lasted in bursts):
            stormy.append(took)
        elif not any(began <= asked <= began + lasted + CALM for began, lasted in bursts):
            calm.append(took)
    return {
        "p99_burst": statistics.quantiles(stormy, n=100)[98] * 1e3,
        "p99_calm": statistics.quantiles(calm, n=100)[98] * 1e3,
        "all_in": statistics.median(took for _, took in bursts) * 1e3,
        "joined": min(joined),
    }


def main() -> None:
    """Measure, print and write the results."""
    parser = benchmark_parser("storm", __doc__, rounds=7)
    parser.add_argument("--playing", type=int, default=100, metavar="N", help="players who play")
    parser.add_argument("--joining", type=int, default=500, metavar="N", help="players who join at once")
    parser.add_argument("--bursts", type=int, default=5, metavar="N", help="in each round")
    parser.add_argument("--patience", type=float, default=10.0, metavar="SECONDS", help="of those who join")
    add_also(parser)
    options = parse(parser, rounds=3, bursts=2)
    found = subjects.zeroscale(subjects.MINECRAFT, options.baseline)
    found |= {NGINX: subjects.nginx(), HAPROXY: subjects.haproxy(), **subjects.named(options.also)}
    contestants = subjects.installed(found)
    results = Results()
    with Bench(pinned=options.pinned) as bench:
        running = {each.name: bench.run(each) for each in contestants}
        for each in running.values():
            await_answer(each.listen, LOGIN, backend.ANSWER)
        for number, order in turns(options.rounds, list(running)):
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
            for name in order:
                try:
                    results.add(name, number, storm(bench, running[name], options))
                except LoadError as error:
                    print(f"  {error}", file=sys.stderr)
    results.report(FIGURES, list(running), [NGINX, HAPROXY, BASELINE], options)


if __name__ == "__main__":
    main()
