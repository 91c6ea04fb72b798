"""python -m benchmarks.datagrams: what relaying a datagram costs, and how many are lost, beside nginx's stream module.

500 clients (`--sessions`) send 10 000 datagrams a second in all (`--rate`), and the server returns each. CPU is that of
all threads of the proxy for each datagram that it moved, both ways counted. zeroscale listens on all addresses, so that
it has to reply from the one that was used, and on one address.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import subjects
from benchmarks.measure import Results, turns
from benchmarks.options import benchmark_parser, parse
from benchmarks.processes import Bench, LoadError, Running, report_of
from benchmarks.subjects import NGINX, OURS

ONE_ADDRESS = "on one address"
ECHO = [sys.executable, "-IS", str(Path(__file__).parent / "datagram_echo.py"), "{port}"]


def measure(bench: Bench, load: Sequence[object], running: Running) -> dict[str, float]:
    """Run the load through one relay."""
    with bench.loading("datagram_load", [running.listen, *load]) as program:
        assert program.stdout is not None
        if program.stdout.readline() != "sending\n":
            raise LoadError(f"{running.name} does not relay")
        before = running.usage
        report = report_of(program)
        after = running.usage
    moved = report["sent"] + report["received"]
    return {
        "cpu_us": (after.cpu_seconds - before.cpu_seconds) / moved * 1e6,
        "lost": (1 - report["received"] / report["sent"]) * 100,
        "misordered": report["misordered"],
        "rate": report["sent"],
        "mib": after.resident_bytes / 2**20,
    }


def main() -> None:
    """Measure, print and write the results."""
    parser = benchmark_parser("datagrams", __doc__, rounds=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of the load in each round")
    parser.add_argument("--sessions", type=int, default=500)
    parser.add_argument("--rate", type=int, default=10_000, help="datagrams a second, of all sessions")
    parser.add_argument("--size", type=int, default=64, help="bytes of each datagram")
    options = parse(parser, rounds=3, seconds=2)
    template = subjects.GENERIC + " --port udp:{listen}%s={server},wakes"
    contestants = subjects.installed(
        {
            OURS: subjects.from_template(OURS, template % "", options.baseline),
            ONE_ADDRESS: subjects.from_template(ONE_ADDRESS, template % ":interface=127.0.0.1", options.baseline),
            NGINX: subjects.nginx(),
        }
    )
    load = [word for name in ("sessions", "rate", "seconds", "size") for word in (f"--{name}", getattr(options, name))]
    results = Results()
    with Bench(pinned=options.pinned) as bench:
        running = {each.name: bench.run(each, ECHO) for each in contestants}
        for number, order in turns(options.rounds, list(running)):
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
            for name in order:
                try:
                    results.add(name, number, measure(bench, load, running[name]))
                except LoadError as error:
                    print(f"  {error}", file=sys.stderr)
    rows = {
        "cpu_us": ("CPU us a datagram", 2),
        "lost": ("lost, %", 3),
        "misordered": ("out of order", 0),
        "rate": ("sent", 0),
        "mib": ("memory, MiB", 1),
    }
    results.report(rows, list(running), [ONE_ADDRESS, NGINX], options)


if __name__ == "__main__":
    main()
