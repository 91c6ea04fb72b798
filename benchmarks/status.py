"""Cost of answering status requests while the server sleeps, and cost of sleeping.

    python -m benchmarks.status

Measures zeroscale with a sleeping server, and a minecraft-protocol server (Node) that is left running, which is the
alternative without a proxy:

- status answers per second and their latencies: the server under test alone on one core, the load (`status_load`) in
  another process on another core, in interleaved rounds;
- a quiet minute: CPU seconds, wake-ups (voluntary context switches of all threads), resident memory.

Prints a table and writes JSON. Linux only. The Node server needs the npm packages of tests/peers, and is
left out without them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PEERS = ROOT / "tests" / "peers"
PEER_VERSION = "1.20.4"
START_TIMEOUT = 30.0
SETTLE = 5.0
"""Seconds after the last load until timers and caches of its connections have expired."""


@dataclass(frozen=True)
class Usage:
    """Resources that a process has used so far.

    :ivar cpu_seconds: of all its threads, in user and kernel mode.
    :ivar wake_ups: voluntary context switches of all its threads.
    :ivar resident_bytes: resident memory, including shared pages.
    """

    cpu_seconds: float
    wake_ups: int
    resident_bytes: int

    @classmethod
    def of(cls, pid: int) -> Usage:
        """Read the values from /proc."""
        nanoseconds = wake_ups = 0
        for task in Path(f"/proc/{pid}/task").iterdir():
            nanoseconds += int((task / "schedstat").read_text().split()[0])
            wake_ups += _field((task / "status").read_text(), "voluntary_ctxt_switches")
        resident = _field(Path(f"/proc/{pid}/status").read_text(), "VmRSS") * 1024
        return cls(nanoseconds / 1e9, wake_ups, resident)


@dataclass(frozen=True)
class Subject:
    """A server under test.

    :ivar name: its name in the table.
    :ivar command: returns its command line for a port and an empty directory.
    """

    name: str
    command: Callable[[int, Path], list[str]]


def zeroscale(port: int, directory: Path) -> list[str]:
    """Return the command of a proxy whose server never runs."""
    arguments = ["-w", str(directory), "--state-directory", str(directory / "state"), "-a", "sleep 3600"]
    return [sys.executable, "-m", "zeroscale", *arguments, "minecraft", str(port), str(free_port())]


def node_server(port: int, directory: Path) -> list[str]:
    """Return the command of a Minecraft server in Node without players."""
    return ["node", str(PEERS / "server.js"), "--version", PEER_VERSION, "--port", str(port)]


def free_port() -> int:
    """Return an unused port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def running(subject: Subject, core: int | None) -> Iterator[tuple[int, int]]:
    """Run a server, on one core if given; yields its process id and its port."""
    port = free_port()
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        log = stack.enter_context((Path(directory) / "log").open("w+"))
        server = subprocess.Popen(
            subject.command(port, Path(directory)), cwd=ROOT, stdin=subprocess.PIPE, stdout=log, stderr=log
        )
        try:
            deadline = time.monotonic() + START_TIMEOUT
            while not accepts(port):
                if server.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise SystemExit(f"{subject.name} does not listen; its output:\n{log.read()}")
                time.sleep(0.05)
            if core is not None:
                for task in Path(f"/proc/{server.pid}/task").iterdir():
                    os.sched_setaffinity(int(task.name), {core})
            yield server.pid, port
        finally:
            server.terminate()
            server.wait()
            assert server.stdin is not None
            server.stdin.close()


def accepts(port: int) -> bool:
    """Return whether a process listens on the port."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def ask(port: int, seconds: float, connections: int, core: int) -> dict[str, float]:
    """Run one round of load on the given core, and return its measurements."""
    words = [sys.executable, "-m", "benchmarks.status_load", str(port), str(seconds), str(connections)]
    load = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    os.sched_setaffinity(load.pid, {core})
    output, _ = load.communicate()
    if load.returncode != 0:
        raise SystemExit(f"the load ended with {load.returncode}")
    result: dict[str, float] = json.loads(output)
    return result


def measure_answers(subjects: Sequence[Subject], seconds: float, rounds: int, connections: int) -> dict[str, Any]:
    """Measure answers per second and latencies, in interleaved rounds."""
    ours, theirs = sorted(os.sched_getaffinity(0))[:2]
    results: dict[str, Any] = {subject.name: {"one": [], "many": []} for subject in subjects}
    with ExitStack() as stack:
        servers = {subject.name: stack.enter_context(running(subject, ours)) for subject in subjects}
        for name, (_, port) in servers.items():
            ask(port, 1, connections, theirs)
            print(f"warm: {name}", file=sys.stderr)
        for number in range(rounds):
            for name, (pid, port) in servers.items():
                for kind, at_once in (("one", 1), ("many", connections)):
                    before = Usage.of(pid)
                    result = ask(port, seconds, at_once, theirs)
                    result["server_cpu_seconds"] = Usage.of(pid).cpu_seconds - before.cpu_seconds
                    results[name][kind].append(result)
            print(f"round {number + 1} of {rounds}", file=sys.stderr)
    return results


def measure_sleep(subjects: Sequence[Subject], seconds: float) -> dict[str, Any]:
    """Measure idle costs; all subjects run at the same time."""
    with ExitStack() as stack:
        pids = {subject.name: stack.enter_context(running(subject, None))[0] for subject in subjects}
        time.sleep(SETTLE)
        before = {name: Usage.of(pid) for name, pid in pids.items()}
        time.sleep(seconds)
        after = {name: Usage.of(pid) for name, pid in pids.items()}
    return {
        name: asdict(
            Usage(
                after[name].cpu_seconds - before[name].cpu_seconds,
                after[name].wake_ups - before[name].wake_ups,
                after[name].resident_bytes,
            )
        )
        for name in pids
    }


def table(answers: Mapping[str, Any], sleep: Mapping[str, Any], quiet: float, connections: int) -> str:
    """Format the results: medians over the rounds, with the spread of the rate."""
    lines = [
        f"| one core, asleep | answers/s, {connections} at once (spread) | p99 | one at a time: p50 | p99 "
        "| CPU us per answer |",
        "|---|---|---|---|---|---|",
    ]
    for name, result in answers.items():
        many, one = result["many"], result["one"]
        rates = [round_["answers"] / round_["seconds"] for round_ in many]
        cost = statistics.median(round_["server_cpu_seconds"] / round_["answers"] for round_ in many)
        lines.append(
            f"| {name} | {statistics.median(rates):.0f} ({min(rates):.0f}-{max(rates):.0f}) "
            f"| {_milliseconds(many, 'p99')} | {_milliseconds(one, 'p50')} | {_milliseconds(one, 'p99')} "
            f"| {cost * 1e6:.0f} |"
        )
    lines += ["", f"| {quiet:g} quiet seconds | CPU seconds | wake-ups a second | resident MiB |", "|---|---|---|---|"]
    for name, usage in sleep.items():
        lines.append(
            f"| {name} | {usage['cpu_seconds']:.3f} | {usage['wake_ups'] / quiet:.2f} "
            f"| {usage['resident_bytes'] / 2**20:.0f} |"
        )
    return "\n".join(lines)


def machine() -> dict[str, str]:
    """Describe the machine."""
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return {
        "cpu": model[1] if model else platform.machine(),
        "cores": str(os.cpu_count()),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def _milliseconds(rounds: Sequence[Mapping[str, float]], name: str) -> str:
    return f"{statistics.median(round_[name] for round_ in rounds) * 1000:.2f} ms"


def _field(text: str, name: str) -> int:
    found = re.search(rf"^{name}:\s*(\d+)", text, re.MULTILINE)
    assert found is not None, name
    return int(found[1])


def main() -> None:
    """Measure, print and write the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.status", description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=5, help="of each round of load (default: %(default)g)")
    parser.add_argument("--rounds", type=int, default=5, help="of load, for each server (default: %(default)d)")
    parser.add_argument("--connections", type=int, default=32, help="at once (default: %(default)d)")
    parser.add_argument("--quiet", type=float, default=60, help="seconds of sleep to measure (default: %(default)g)")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "benchmarks" / "status.json", metavar="FILE")
    options = parser.parse_args()
    if len(os.sched_getaffinity(0)) < 2:
        raise SystemExit("two cores are needed: one for the server under test, one for the load")
    subjects = [Subject("zeroscale", zeroscale)]
    if shutil.which("node") and (PEERS / "node_modules").is_dir():
        subjects.append(Subject("minecraft-protocol (Node)", node_server))
    else:
        print(f"without its peer: Node, or the npm packages (`npm ci` in {PEERS}), are missing", file=sys.stderr)
    sleep = measure_sleep(subjects, options.quiet)
    answers = measure_answers(subjects, options.seconds, options.rounds, options.connections)
    print(table(answers, sleep, options.quiet, options.connections))
    result = {
        "machine": machine(),
        "options": {**vars(options), "json": str(options.json)},
        "answers": answers,
        "sleep": sleep,
    }
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(result, indent=2) + "\n")
    print(f"\nmeasured on: {machine()}; written to {options.json}")


if __name__ == "__main__":
    main()
