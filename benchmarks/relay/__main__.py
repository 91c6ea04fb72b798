"""python -m benchmarks.relay: all relays on one core in turn, the load on another; a table, and JSON.

Every figure is the median of several rounds, in each of which every relay has its turn, with the lowest and the highest
beside it: machines are noisy. Each relay runs alone on its work but is started once, so that what is measured is not
its start.
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

from benchmarks.relay import contestants
from benchmarks.relay.contestants import Contestant
from benchmarks.relay.measure import Spread, cpu_seconds, machine, ratios

ROOT = Path(__file__).parent.parent.parent
DIRECT = "direct"
OURS = "zeroscale"
DEADLINE = 20.0
IPERF_TRIES = 20

Results = dict[str, dict[str, list[float]]]
"""By figure, then by relay: a value a round."""


def free_port() -> int:
    """A port that nobody has just now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def await_port(port: int) -> None:
    """Waits until somebody accepts."""
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
    """The command, kept to one core."""
    return command if core is None else ["taskset", "-c", str(core), *command]


class LoadError(Exception):
    """A load did not come about; the round goes on without it."""


class Bench:
    """All that runs at a time.

    :param relay_core: the relays' core; None leaves everybody where the kernel puts them.
    :param load_core: everybody else's.
    """

    def __init__(self, relay_core: int | None, load_core: int | None) -> None:
        self.relay_core = relay_core
        self.load_core = load_core
        self._stack = contextlib.ExitStack()
        self.directory = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="relay-")))

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *ignored: object) -> None:
        self._stack.close()

    def start(self, name: str, command: list[str], core: int | None) -> subprocess.Popen[bytes]:
        """Starts a process that is ended with the bench."""
        with (self.directory / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                pinned(core, command), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        self._stack.callback(_end, process)
        return process

    def load(self, command: list[str], *, check: bool = True) -> str:
        """Runs a load to its end; its output."""
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


class Lane:
    """All relays before one server, each started, and the way to each."""

    def __init__(self, bench: Bench, backend: list[str], relays: list[Contestant]) -> None:
        server = free_port()
        command = [word.format(port=server) for word in backend]
        self.ports = {DIRECT: server}
        self.processes: dict[str, int] = {}
        starters = [relay for relay in relays if relay.starts_backend]
        # What starts its server itself goes first, and the others use that one.
        if not starters:
            bench.start(f"server-{server}", command, bench.load_core)
            await_port(server)
        for relay in sorted(relays, key=lambda relay: not relay.starts_backend):
            listen = free_port()
            directory = bench.directory / f"{relay.name}-{listen}"
            directory.mkdir()
            words = relay.command(directory, listen, server)
            backend_words = shlex.join(pinned(bench.load_core, command))
            words = [word.replace("{backend}", backend_words) for word in words]
            process = bench.start(directory.name, words, bench.relay_core)
            try:
                await_port(listen)
                await_port(server)
            except OSError as error:
                said = (bench.directory / f"{directory.name}.log").read_text()
                raise SystemExit(f"{relay.name} does not come up: {error}\n{shlex.join(words)}\n{said}") from None
            self.ports[relay.name] = listen
            self.processes[relay.name] = process.pid

    @contextlib.contextmanager
    def cpu(self, name: str, into: dict[str, float]) -> Iterator[None]:
        """Notes the CPU seconds that a relay takes meanwhile."""
        pid = self.processes.get(name)
        before = cpu_seconds(pid) if pid else 0.0
        yield
        into["cpu"] = cpu_seconds(pid) - before if pid else 0.0


def bulk(bench: Bench, lane: Lane, seconds: float, name: str) -> dict[str, float]:
    """One iperf3 stream: Gbit/s, and CPU milliseconds a gigabyte."""
    command = ["iperf3", "-c", "127.0.0.1", "-p", str(lane.ports[name]), "-t", f"{seconds:g}", "-J"]
    cost: dict[str, float] = {}
    for _ in range(IPERF_TRIES):
        with lane.cpu(name, cost):
            said = json.loads(bench.load(command, check=False))
        if "error" not in said:
            break
        time.sleep(0.5)  # its server still has the last connection
    else:
        raise LoadError(f"iperf3 through {name}: {said['error']}")
    received = said["end"]["sum_received"]
    return {
        "bulk_gbit": received["bits_per_second"] / 1e9,
        "bulk_cpu_ms_per_gb": cost["cpu"] * 1000 / (received["bytes"] / 1e9),
    }


def play(bench: Bench, lane: Lane, seconds: float, connections: int, name: str) -> dict[str, float]:
    """Play-like traffic: CPU percent of a core, p50 and p99."""
    words = ["--connections", str(connections), "--seconds", f"{seconds:g}"]
    command = [sys.executable, "-m", "benchmarks.relay.play", "ask", str(lane.ports[name]), *words]
    process = subprocess.Popen(
        pinned(bench.load_core, command), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        cost: dict[str, float] = {}
        if process.stdout.readline() != "asking\n":
            raise LoadError(f"{name} could not carry {connections} connections")
        with lane.cpu(name, cost):
            said = process.stdout.readline()
    if not said:
        raise LoadError(f"{name} lost some of {connections} connections")
    report: dict[str, Any] = json.loads(said)
    if report["answers"] < 0.9 * report["expected"]:
        print(f"  {name}: only {report['answers']} of {report['expected']} answers", file=sys.stderr)
    return {
        f"play{connections}_cpu": cost["cpu"] / seconds * 100,
        f"play{connections}_p50_us": report["p50_us"],
        f"play{connections}_p99_us": report["p99_us"],
    }


def join(bench: Bench, lane: Lane, times: int, name: str) -> dict[str, float]:
    """What connecting and one answer take."""
    command = [sys.executable, "-m", "benchmarks.relay.play", "join", str(lane.ports[name]), "--times", str(times)]
    report: dict[str, float] = json.loads(bench.load(command))
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

AIMS = [
    ("bulk_gbit", "nginx", "at least", 1.3),
    ("bulk_gbit", "haproxy", "at least", 1.3),
    ("bulk_gbit", "socket-proxyd", "at least", 1.0),
    ("play100_cpu", "nginx", "at most", 1.3),
    ("play1000_cpu", "nginx", "at most", 1.2),
]
MOST_ADDED_US = 60.0


def table(results: Results, names: list[str]) -> str:
    """The results, for people."""
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


def aims(results: Results, ours: str) -> list[dict[str, Any]]:
    """What was aimed at, and what came of it."""
    found: list[dict[str, Any]] = []
    for figure, other, word, bound in AIMS:
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
            aimed = figure == "play100_p50_us"
            what = f"{FIGURES[figure][0]}: added to direct" + (f", at most {MOST_ADDED_US:g} us" if aimed else "")
            found.append(
                {"what": what, "added_us": added.show(0), "met": added.median <= MOST_ADDED_US if aimed else None}
            )
    return found


def chosen(options: argparse.Namespace) -> list[Contestant]:
    """Who takes part; says who is missing."""

    def ours(directory: Path, listen: int, server: int) -> list[str]:
        state = directory / "state"
        values = {"python": sys.executable, "listen": listen, "server": server, "state": state, "backend": "{backend}"}
        return [word.format(**values) for word in shlex.split(options.command)]

    makers: dict[str, Callable[[], Contestant | None]] = {
        OURS: contestants.harness if options.harness else lambda: Contestant(OURS, ours, starts_backend=True),
        "portforward": contestants.portforward,
        "nginx": contestants.nginx,
        "haproxy": contestants.haproxy,
        "socket-proxyd": contestants.socket_proxyd,
    }
    found = []
    for name, maker in makers.items():
        if options.only and name not in options.only:
            continue
        contestant = maker()
        if contestant is None:
            print(f"not installed, left out: {name}", file=sys.stderr)
        else:
            found.append(contestant)
    return found


def rounds(bench: Bench, options: argparse.Namespace, relays: list[Contestant]) -> Results:
    """Every relay in turn, as often as asked."""
    results: Results = {}
    names = [DIRECT, *(relay.name for relay in relays)]
    work: list[Callable[[str], dict[str, float]]] = []
    if "bulk" in options.work:
        if shutil.which("iperf3"):
            iperf = Lane(bench, ["iperf3", "-s", "-p", "{port}"], relays)
            work.append(partial(bulk, bench, iperf, options.seconds))
        else:
            print("not installed, left out: iperf3, and bulk with it", file=sys.stderr)
    if {"play", "join"} & set(options.work):
        server = [sys.executable, "-m", "benchmarks.relay.play", "serve", "{port}"]
        lane = Lane(bench, server, relays)
        if "play" in options.work:
            work += [partial(play, bench, lane, options.seconds, count) for count in options.connections]
        if "join" in options.work:
            work.append(partial(join, bench, lane, options.joins))
    for number in range(options.rounds):
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
        for each in work:
            # Nobody always comes first, or always after the same one.
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
    """Measures, prints and writes."""
    cores = sorted(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(prog="python -m benchmarks.relay", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each load in each round")
    parser.add_argument("--connections", type=int, nargs="+", default=[100, 1000], help="of the play-like traffic")
    parser.add_argument("--joins", type=int, default=200, help="joins one after the other in each round")
    parser.add_argument("--work", nargs="+", choices=["bulk", "play", "join"], default=["bulk", "play", "join"])
    parser.add_argument("--only", nargs="+", help="of the relays")
    parser.add_argument("--command", default=contestants.DEFAULT_COMMAND, help="ours; default: %(default)s")
    parser.add_argument("--harness", action="store_true", help="in place of the whole proxy, the relay alone")
    parser.add_argument(
        "--json", type=Path, default=ROOT / "build" / "benchmarks" / "relay.json", help="where the figures go"
    )
    options = parser.parse_args()
    relays = chosen(options)
    pin = len(cores) > 1 and shutil.which("taskset") is not None
    if not pin:
        print("one core, or no taskset: relays and load share what there is", file=sys.stderr)
    with Bench(cores[0] if pin else None, cores[1] if pin else None) as bench:
        results = rounds(bench, options, relays)
    names = [DIRECT, *(relay.name for relay in relays)]
    ours = relays[0].name
    reached = aims(results, ours)
    print(f"{machine()}\n\n{table(results, names)}\n")
    for aim in reached:
        verdict = "" if aim["met"] is None else "met" if aim["met"] else "MISSED"
        print(f"{aim['what']}: {aim.get('ratio') or aim.get('added_us')}  {verdict}".rstrip())
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps({"machine": machine(), "results": results, "aims": reached}, indent=1) + "\n")


if __name__ == "__main__":
    main()
