"""python -m benchmarks.relay: measures relays on one core, with the load on another; prints a table and writes JSON.

Every figure is the median of several interleaved rounds, with the lowest and the highest value. Each relay is started
once, so that its start is not measured, and only one is under load at a time.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.relay import subjects
from benchmarks.relay.measure import Spread, cpu_seconds, machine, ratios
from benchmarks.relay.subjects import Subject

ROOT = Path(__file__).parent.parent.parent
DIRECT = "direct"
OURS = "zeroscale"
DEADLINE = 20.0
IPERF_TRIES = 20

Results = dict[str, dict[str, list[float]]]
"""By figure, then by relay: one value for each round."""


def free_port() -> int:
    """Return an unused port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def await_port(port: int) -> None:
    """Wait until a process listens on the port."""
    deadline = time.monotonic() + DEADLINE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def pinned(core: int | None, command: list[str]) -> list[str]:
    """Return the command, pinned to one core."""
    return command if core is None else ["taskset", "-c", str(core), *command]


class LoadError(Exception):
    """A load failed; the round continues without its value."""


class RelayBenchmark:
    """The processes of one benchmark run.

    :param relay_core: core of the relays; None: not pinned.
    :param load_core: core of all other processes.
    """

    def __init__(self, relay_core: int | None, load_core: int | None) -> None:
        self.relay_core = relay_core
        self.load_core = load_core
        self._stack = contextlib.ExitStack()
        self.directory = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="relay-")))

    def __enter__(self) -> RelayBenchmark:
        return self

    def __exit__(self, *ignored: object) -> None:
        self._stack.close()

    def start(self, name: str, command: list[str], core: int | None) -> subprocess.Popen[bytes]:
        """Start a process that is terminated at the end of the run."""
        with (self.directory / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                pinned(core, command), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        self._stack.callback(_end, process)
        return process

    def load(self, command: list[str], *, check: bool = True) -> str:
        """Run a load to its end, and return its output."""
        return subprocess.run(
            pinned(self.load_core, command), cwd=ROOT, check=check, capture_output=True, text=True, timeout=600
        ).stdout


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class RelaySet:
    """All relays in front of one server, started.

    :ivar ports: listening port by name of the relay; `DIRECT`: the server's.
    :ivar processes: process id by name of the relay.
    """

    def __init__(self, benchmark: RelayBenchmark, backend: list[str], relays: list[Subject]) -> None:
        server = free_port()
        command = [word.format(port=server) for word in backend]
        self.ports = {DIRECT: server}
        self.processes: dict[str, int] = {}
        starters = [relay for relay in relays if relay.starts_backend]
        # A relay that starts the server itself is started first; the others use that server.
        if not starters:
            benchmark.start(f"server-{server}", command, benchmark.load_core)
            await_port(server)
        for relay in sorted(relays, key=lambda relay: not relay.starts_backend):
            listen = free_port()
            directory = benchmark.directory / f"{relay.name}-{listen}"
            directory.mkdir()
            words = relay.command(directory, listen, server)
            backend_words = shlex.join(pinned(benchmark.load_core, command))
            words = [word.replace("{backend}", backend_words) for word in words]
            process = benchmark.start(directory.name, words, benchmark.relay_core)
            try:
                await_port(listen)
                await_port(server)
            except OSError as error:
                output = (benchmark.directory / f"{directory.name}.log").read_text()
                raise SystemExit(f"{relay.name} does not start: {error}\n{shlex.join(words)}\n{output}") from None
            self.ports[relay.name] = listen
            self.processes[relay.name] = process.pid

    @contextlib.contextmanager
    def cpu(self, name: str, into: dict[str, float]) -> Iterator[None]:
        """Store the CPU seconds that a relay uses inside the block."""
        pid = self.processes.get(name)
        before = cpu_seconds(pid) if pid else 0.0
        yield
        into["cpu"] = cpu_seconds(pid) - before if pid else 0.0


def bulk(benchmark: RelayBenchmark, relay_set: RelaySet, seconds: float, name: str) -> dict[str, float]:
    """Run one iperf3 stream: Gbit/s, and CPU milliseconds per gigabyte."""
    command = ["iperf3", "-c", "127.0.0.1", "-p", str(relay_set.ports[name]), "-t", f"{seconds:g}", "-J"]
    cost: dict[str, float] = {}
    for _ in range(IPERF_TRIES):
        with relay_set.cpu(name, cost):
            output = json.loads(benchmark.load(command, check=False))
        if "error" not in output:
            break
        time.sleep(0.5)  # the iperf3 server still serves the last connection
    else:
        raise LoadError(f"iperf3 through {name}: {output['error']}")
    received = output["end"]["sum_received"]
    return {
        "bulk_gbit": received["bits_per_second"] / 1e9,
        "bulk_cpu_ms_per_gb": cost["cpu"] * 1000 / (received["bytes"] / 1e9),
    }


def play(
    benchmark: RelayBenchmark, relay_set: RelaySet, seconds: float, connections: int, name: str
) -> dict[str, float]:
    """Run play-like traffic: CPU percent of a core, p50 and p99."""
    words = ["--connections", str(connections), "--seconds", f"{seconds:g}"]
    command = [sys.executable, "-m", "benchmarks.relay.play", "ask", str(relay_set.ports[name]), *words]
    process = subprocess.Popen(
        pinned(benchmark.load_core, command), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        cost: dict[str, float] = {}
        if process.stdout.readline() != "asking\n":
            raise LoadError(f"{name} could not open {connections} connections")
        with relay_set.cpu(name, cost):
            output = process.stdout.readline()
    if not output:
        raise LoadError(f"{name} lost some of {connections} connections")
    report: dict[str, Any] = json.loads(output)
    if report["answers"] < 0.9 * report["expected"]:
        print(f"  {name}: only {report['answers']} of {report['expected']} answers", file=sys.stderr)
    return {
        f"play{connections}_cpu": cost["cpu"] / seconds * 100,
        f"play{connections}_p50_us": report["p50_us"],
        f"play{connections}_p99_us": report["p99_us"],
    }


def join(benchmark: RelayBenchmark, relay_set: RelaySet, times: int, name: str) -> dict[str, float]:
    """Measure connecting and one answer."""
    command = [sys.executable, "-m", "benchmarks.relay.play", "join", str(relay_set.ports[name]), "--times", str(times)]
    report: dict[str, float] = json.loads(benchmark.load(command))
    return {"join_p50_us": report["p50_us"], "join_p99_us": report["p99_us"]}


FIGURES = {
    "bulk_gbit": ("bulk, Gbit/s", 2),
    "bulk_cpu_ms_per_gb": ("bulk, CPU ms/GB", 0),
    "play100_cpu": ("play 100, CPU %", 2),
    "play100_p50_us": ("play 100, p50 us", 0),
    "play100_p99_us": ("play 100, p99 us", 0),
    "play1000_cpu": ("play 1000, CPU %", 1),
    "play1000_p50_us": ("play 1000, p50 us", 0),
    "play1000_p99_us": ("play 1000, p99 us", 0),
    "join_p50_us": ("join, p50 us", 0),
    "join_p99_us": ("join, p99 us", 0),
}

TARGETS = [
    ("bulk_gbit", "nginx", "at least", 1.3),
    ("bulk_gbit", "haproxy", "at least", 1.3),
    ("bulk_gbit", "socket-proxyd", "at least", 1.0),
    ("play100_cpu", "nginx", "at most", 1.3),
    ("play1000_cpu", "nginx", "at most", 1.2),
]
MAX_ADDED_US = 60.0


def table(results: Results, names: list[str]) -> str:
    """Format the results as a table."""
    rows = [["", *names]]
    for figure, (title, digits) in FIGURES.items():
        values = results.get(figure)
        if values:
            rows.append([title, *(Spread.of(values[name]).show(digits) if values.get(name) else "" for name in names)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(names) + 1)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _comparable(values: dict[str, list[float]], one: str, other: str) -> bool:
    return bool(values.get(one)) and len(values[one]) == len(values.get(other, []))


def targets(results: Results, ours: str) -> list[dict[str, Any]]:
    """Return the targets, and whether they are met."""
    found: list[dict[str, Any]] = []
    for figure, other, word, bound in TARGETS:
        values = results.get(figure, {})
        if _comparable(values, ours, other):
            spread = ratios(values[ours], values[other])
            met = spread.median >= bound if word == "at least" else spread.median <= bound
            found.append(
                {"what": f"{FIGURES[figure][0]}: {word} {bound} x {other}", "ratio": spread.show(2), "met": met}
            )
    for figure in ("play100_p50_us", "play1000_p50_us", "join_p50_us"):
        values = results.get(figure, {})
        if _comparable(values, ours, DIRECT):
            added = Spread.of([one - other for one, other in zip(values[ours], values[DIRECT], strict=True)])
            is_target = figure == "play100_p50_us"
            what = f"{FIGURES[figure][0]}: added to direct" + (f", at most {MAX_ADDED_US:g} us" if is_target else "")
            found.append(
                {"what": what, "added_us": added.show(0), "met": added.median <= MAX_ADDED_US if is_target else None}
            )
    return found


def selected_subjects(options: argparse.Namespace) -> list[Subject]:
    """Return the installed subjects; print those that are missing."""

    def ours(directory: Path, listen: int, server: int) -> list[str]:
        state = directory / "state"
        values = {"python": sys.executable, "listen": listen, "server": server, "state": state, "backend": "{backend}"}
        return [word.format(**values) for word in shlex.split(options.command)]

    makers: dict[str, Callable[[], Subject | None]] = {
        OURS: subjects.harness if options.harness else lambda: Subject(OURS, ours, starts_backend=True),
        "portforward": subjects.portforward,
        "nginx": subjects.nginx,
        "haproxy": subjects.haproxy,
        "socket-proxyd": subjects.socket_proxyd,
    }
    found = []
    for name, maker in makers.items():
        if options.only and name not in options.only:
            continue
        subject = maker()
        if subject is None:
            print(f"not installed, left out: {name}", file=sys.stderr)
        else:
            found.append(subject)
    return found


def rounds(benchmark: RelayBenchmark, options: argparse.Namespace, relays: list[Subject]) -> Results:
    """Run all rounds."""
    results: Results = {}
    names = [DIRECT, *(relay.name for relay in relays)]
    work: list[Callable[[str], dict[str, float]]] = []
    if "bulk" in options.work:
        if shutil.which("iperf3"):
            iperf = RelaySet(benchmark, ["iperf3", "-s", "-p", "{port}"], relays)
            work.append(partial(bulk, benchmark, iperf, options.seconds))
        else:
            print("not installed, left out: iperf3, and bulk with it", file=sys.stderr)
    if {"play", "join"} & set(options.work):
        server = [sys.executable, "-m", "benchmarks.relay.play", "serve", "{port}"]
        relay_set = RelaySet(benchmark, server, relays)
        if "play" in options.work:
            work += [partial(play, benchmark, relay_set, options.seconds, count) for count in options.connections]
        if "join" in options.work:
            work.append(partial(join, benchmark, relay_set, options.joins))
    for number in range(options.rounds):
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
        for each in work:
            # Each round starts with another relay, so that none always runs first.
            for name in names[number % len(names) :] + names[: number % len(names)]:
                try:
                    figures = each(name)
                except LoadError as error:
                    print(f"  {error}", file=sys.stderr)
                    figures = {}
                for figure, value in figures.items():
                    results.setdefault(figure, {}).setdefault(name, []).append(value)
    return results


def main() -> None:
    """Measure, print and write the results."""
    cores = sorted(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(prog="python -m benchmarks.relay", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each load in each round")
    parser.add_argument("--connections", type=int, nargs="+", default=[100, 1000], help="of the play-like traffic")
    parser.add_argument("--joins", type=int, default=200, help="joins one after the other in each round")
    parser.add_argument("--work", nargs="+", choices=["bulk", "play", "join"], default=["bulk", "play", "join"])
    parser.add_argument("--only", nargs="+", help="of the relays")
    parser.add_argument("--command", default=subjects.DEFAULT_COMMAND, help="zeroscale's; default: %(default)s")
    parser.add_argument("--harness", action="store_true", help="measure the relay alone instead of the whole proxy")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "benchmarks" / "relay.json", help="output file")
    options = parser.parse_args()
    relays = selected_subjects(options)
    pin = len(cores) > 1 and shutil.which("taskset") is not None
    if not pin:
        print("one core, or no taskset: relays and load share all cores", file=sys.stderr)
    with RelayBenchmark(cores[0] if pin else None, cores[1] if pin else None) as benchmark:
        results = rounds(benchmark, options, relays)
    names = [DIRECT, *(relay.name for relay in relays)]
    ours = relays[0].name
    reached = targets(results, ours)
    print(f"{machine()}\n\n{table(results, names)}\n")
    for target in reached:
        verdict = "" if target["met"] is None else "met" if target["met"] else "MISSED"
        print(f"{target['what']}: {target.get('ratio') or target.get('added_us')}  {verdict}".rstrip())
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps({"machine": machine(), "results": results, "targets": reached}, indent=1) + "\n")


if __name__ == "__main__":
    main()
