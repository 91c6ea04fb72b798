"""python -m benchmarks.many: what many sleeping servers in one proxy cost.

Runs `zeroscale --config` with one Minecraft server, with many on one port, distinguished by host, and with many that
have a port each. The cost of one more server is the difference of two in the same round, divided by their number.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from benchmarks.measure import Results
from benchmarks.options import benchmark_parser, parse
from benchmarks.processes import Bench, Place, Subject, free_ports, quiet

ONE, BY_HOST, PORT_EACH = "one", "by host", "a port each"
BASELINE = "baseline: "


def command(servers: int, by_host: bool, place: Place) -> list[str]:
    """Write a configuration file; return the command line. The port of `place` is the last one that is opened."""
    ports = [port for port in free_ports(2 * servers) if port != place.listen]
    text = [
        f'state_directory = "{place.directory}/state"',
        f'control.listen = "unix:{place.directory}/control.sock"',
    ]
    for number in range(servers):
        working_directory = place.directory / f"server-{number}"
        working_directory.mkdir()
        (working_directory / "server.properties").write_text(f"server-port={ports[number]}\nmotd=Server {number}\n")
        last = by_host or number == servers - 1
        text += [
            f"[servers.server-{number}]",
            'plugin = "minecraft"',
            f"listen = {place.listen if last else ports[servers + number]}",
            f'hosts = ["server-{number}.example.org"]' if by_host else "",
            f"server = {ports[number]}",
            f'working_directory = "{working_directory}"',
            'plugin_arguments.command = ["sleep", "1000"]',
        ]
    file = place.directory / "zeroscale.toml"
    file.write_text("\n".join(text))
    return [sys.executable, "-m", "zeroscale", "--config", str(file)]


def contestants(servers: int, prefix: str, tree: Path | None) -> list[Subject]:
    """Return the three layouts, the one with a single server first."""
    layouts = {ONE: (1, True), BY_HOST: (servers, True), PORT_EACH: (servers, False)}
    return [Subject(prefix + name, partial(command, *layout), tree=tree) for name, layout in layouts.items()]


def measure(bench: Bench, subjects: list[Subject], seconds: float) -> dict[str, dict[str, float]]:
    """Measure the three layouts of one checkout; return their figures by name."""
    running = [bench.run(each, backend=None) for each in subjects]
    figures = quiet(running, seconds)
    for each in running:
        figures[each.name]["start_ms"] = each.listening_after * 1e3
    return figures


def main() -> None:
    """Measure and print."""
    parser = benchmark_parser("many", __doc__, rounds=3)
    parser.add_argument("--servers", type=int, default=100)
    parser.add_argument("--quiet", type=float, default=20.0, help="seconds of a quiet period (default: %(default)g)")
    options = parse(parser, rounds=2, quiet=10.0)
    groups = [contestants(options.servers, "", None)]
    if options.baseline:
        groups.append(contestants(options.servers, BASELINE, options.baseline))
    results = Results()
    for number in range(options.rounds):
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
        for group in groups:
            with Bench(pinned=options.pinned) as bench:
                figures = measure(bench, group, options.quiet)
            one, *others = (each.name for each in group)
            for name in others:
                for figure in ("mib", "start_ms"):
                    more = (figures[name][figure] - figures[one][figure]) / (options.servers - 1)
                    figures[name][f"each_{figure}"] = more
            for name, measured in figures.items():
                results.add(name, number, measured)
    rows = {
        "mib": ("resident memory, MiB", 1),
        "each_mib": ("each further server, MiB", 3),
        "start_ms": ("ms until it listens", 0),
        "each_start_ms": ("each further server, ms", 2),
        "wake_ups": (f"wake-ups in {options.quiet:g} s", 0),
        "cpu_ms": (f"CPU ms in {options.quiet:g} s", 1),
    }
    results.report(rows, [each.name for group in groups for each in group], [], options)


if __name__ == "__main__":
    main()
