"""python -m benchmarks.relay: what a relay costs once a connection is established.

Measures a direct connection, zeroscale and other relays on the same work:

- bulk: one iperf3 stream;
- play: connections that each ask 20 times a second with 64 bytes and are answered 512 (`play.py`), set up before.

CPU is that of all threads of the relay. Each relay is started once, with a server of its own behind it, so that its
start is not measured, and only one is under load at a time.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial

from benchmarks import subjects
from benchmarks.measure import Results, turns
from benchmarks.options import benchmark_parser, parse
from benchmarks.processes import BACKEND, Bench, LoadError, Running, Subject, await_port, report_of
from benchmarks.subjects import BASELINE, HAPROXY, NGINX, OURS

DIRECT = "direct"
IPERF_SERVER = ["iperf3", "-s", "-p", "{port}"]
IPERF_TRIES = 20


def bulk(bench: Bench, seconds: float, running: Running) -> dict[str, float]:
    """Run one iperf3 stream: Gbit/s, and CPU milliseconds per gigabyte."""
    command = ["iperf3", "-c", "127.0.0.1", "-p", str(running.listen), "-t", f"{seconds:g}", "-J"]
    for _ in range(IPERF_TRIES):
        before = running.usage.cpu_seconds
        ended = subprocess.run(bench.for_loads(command), capture_output=True, text=True, check=False)
        cpu = running.usage.cpu_seconds - before
        output = json.loads(ended.stdout)
        if "error" not in output:
            break
        time.sleep(0.5)  # the iperf3 server still serves the last connection
    else:
        raise LoadError(f"iperf3 through {running.name}: {output['error']}")
    received = output["end"]["sum_received"]
    figures = {"bulk_gbit": received["bits_per_second"] / 1e9}
    if running.name != DIRECT:
        figures["bulk_cpu_ms_per_gb"] = cpu * 1000 / (received["bytes"] / 1e9)
    return figures


def play(bench: Bench, seconds: float, connections: int, running: Running) -> dict[str, float]:
    """Run play-like traffic: CPU percent of a core, p50 and p99."""
    with bench.loading("play", [running.listen, "--connections", connections, "--seconds", seconds]) as load:
        assert load.stdout is not None
        if load.stdout.readline() != "asking\n":
            raise LoadError(f"{running.name} could not open {connections} connections")
        before = running.usage.cpu_seconds
        report = report_of(load)
        cpu = running.usage.cpu_seconds - before
    if len(report["took"]) < 0.9 * report["expected"]:
        print(f"  {running.name}: only {len(report['took'])} of {report['expected']} answers", file=sys.stderr)
    quantiles = statistics.quantiles(report["took"], n=100)
    figures = {"p50_us": quantiles[49] * 1e6, "p99_us": quantiles[98] * 1e6}
    if running.name != DIRECT:
        figures["cpu"] = cpu / seconds * 100
    return {f"play{connections}_{figure}": value for figure, value in figures.items()}


def contestants(options: argparse.Namespace) -> list[Subject]:
    """Return the installed relays."""
    found = subjects.zeroscale(options.command, options.baseline)
    if options.harness:
        found[OURS] = subjects.module(OURS, "benchmarks.relay.harness")
    found["portforward"] = subjects.module("portforward", "benchmarks.relay.portforward")
    found |= {NGINX: subjects.nginx(), HAPROXY: subjects.haproxy(), "socket-proxyd": subjects.socket_proxyd()}
    return subjects.installed({name: each for name, each in found.items() if name in (options.only or found)})


def start(bench: Bench, relays: list[Subject], backend: list[str]) -> dict[str, Running]:
    """Start all relays, and a server without one; return them by name."""
    started = {DIRECT: bench.serve(backend)}
    for relay in relays:
        started[relay.name] = bench.run(relay, backend)
        await_port(started[relay.name].server)
    return started


def figures(connections: list[int]) -> Mapping[str, tuple[str, int]]:
    """Return the rows of the table: title and decimals by figure."""
    rows = {"bulk_gbit": ("bulk, Gbit/s", 2), "bulk_cpu_ms_per_gb": ("bulk, CPU ms/GB", 0)}
    for count in connections:
        for figure, title, digits in (("cpu", "CPU %", 2), ("p50_us", "p50 us", 0), ("p99_us", "p99 us", 0)):
            rows[f"play{count}_{figure}"] = (f"play {count}, {title}", digits)
    return rows


def main() -> None:
    """Measure, print and write the results."""
    parser = benchmark_parser("relay", __doc__, rounds=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each load in each round")
    parser.add_argument("--connections", type=int, nargs="+", default=[100, 500], help="of the play-like traffic")
    parser.add_argument("--work", nargs="+", choices=["bulk", "play"], default=["bulk", "play"])
    parser.add_argument("--only", nargs="+", help="of the relays")
    parser.add_argument("--command", default=subjects.GENERIC, help="zeroscale's; default: %(default)s")
    parser.add_argument("--harness", action="store_true", help="measure the relay alone instead of the whole proxy")
    options = parse(parser, rounds=3, seconds=1.5, only=[OURS, BASELINE, NGINX, HAPROXY])
    relays = contestants(options)
    results = Results()
    with Bench(pinned=options.pinned) as bench:
        work: list[tuple[Callable[[Running], dict[str, float]], dict[str, Running]]] = []
        if "bulk" in options.work:
            if shutil.which("iperf3"):
                work.append((partial(bulk, bench, options.seconds), start(bench, relays, IPERF_SERVER)))
            else:
                print("not installed, left out: iperf3, and bulk with it", file=sys.stderr)
        if "play" in options.work:
            started = start(bench, relays, BACKEND)
            work += [(partial(play, bench, options.seconds, count), started) for count in options.connections]
        for number, order in turns(options.rounds, [DIRECT, *(relay.name for relay in relays)]):
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
            for each, started in work:
                for name in order:
                    try:
                        results.add(name, number, each(started[name]))
                    except LoadError as error:
                        print(f"  {error}", file=sys.stderr)
    names = [*(relay.name for relay in relays), DIRECT]
    results.report(figures(options.connections), names, [NGINX, HAPROXY, BASELINE], options)


if __name__ == "__main__":
    main()
