"""Costs of many sleeping servers in one proxy: memory, time until it listens, CPU and wake-ups.

`python -m benchmarks.many [--servers 100] [--quiet 20] [--rounds 3]`. Runs `zeroscale --config` with one server and
with many, in turn: Minecraft servers on one port, distinguished by host, and the same with one port each. The cost of
one more server is the difference of the two, divided by their number; printed are medians of the rounds. Linux only.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

DEADLINE = 120.0


@dataclass(frozen=True)
class Cost:
    """Measurements of one run.

    :ivar memory: resident memory, in MiB.
    :ivar start: seconds from the start of the process until it listens.
    :ivar cpu: seconds of CPU time during the quiet period.
    :ivar wakeups: voluntary context switches of all threads during the quiet period.
    """

    memory: float
    start: float
    cpu: float
    wakeups: int


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", type=int, default=100)
    parser.add_argument(
        "--quiet", type=float, default=20.0, help="length of the quiet period in seconds (default: %(default)g)"
    )
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    for name, by_host in (("one port, by host", True), ("a port each", False)):
        single, all_runs = [], []
        for _ in range(options.rounds):
            single.append(measure(1, by_host, options.quiet))
            all_runs.append(measure(options.servers, by_host, options.quiet))
        more = options.servers - 1
        memory = statistics.median(many.memory - one.memory for one, many in zip(single, all_runs, strict=True)) / more
        start = statistics.median(many.start - one.start for one, many in zip(single, all_runs, strict=True)) / more
        print(f"{name}:")
        for number, costs in ((1, single), (options.servers, all_runs)):
            print(
                f"  {number:4d}: {statistics.median(cost.memory for cost in costs):6.1f} MiB, listens after "
                f"{statistics.median(cost.start for cost in costs):5.2f} s, in {options.quiet:g} quiet seconds "
                f"{statistics.median(cost.cpu for cost in costs):.3f} s of CPU and "
                f"{statistics.median(cost.wakeups for cost in costs):.0f} wake-ups"
            )
        print(f"  each more: {memory:.3f} MiB, {start * 1e3:.2f} ms")


def measure(servers: int, by_host: bool, quiet: float) -> Cost:
    """Measure one proxy."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        file, last = write(directory, servers, by_host)
        began = time.monotonic()
        command = [sys.executable, "-m", "zeroscale", "--config", str(file), "--info"]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            try:
                while not answers(last):
                    assert process.poll() is None and time.monotonic() < began + DEADLINE, "it does not start"
                    time.sleep(0.002)
                start = time.monotonic() - began
                time.sleep(1.0)  # work right after the start does not count as idle
                before, switches = cpu_seconds(process.pid), context_switches(process.pid)
                time.sleep(quiet)
                return Cost(
                    memory_of(process.pid),
                    start,
                    cpu_seconds(process.pid) - before,
                    context_switches(process.pid) - switches,
                )
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait()


def write(directory: Path, servers: int, by_host: bool) -> tuple[Path, int]:
    """Write a configuration file; return it, and the port that is opened last."""
    ports = free_ports(2 * servers)
    text = [f'state_directory = "{directory}/state"', f'control.listen = "unix:{directory}/control.sock"']
    for number in range(servers):
        working_directory = directory / f"server-{number}"
        working_directory.mkdir()
        (working_directory / "server.properties").write_text(f"server-port={ports[number]}\nmotd=Server {number}\n")
        text += [
            f"[servers.server-{number}]",
            'plugin = "minecraft"',
            f"listen = {ports[servers if by_host else servers + number]}",
            f'hosts = ["server-{number}.example.org"]' if by_host else "",
            f"server = {ports[number]}",
            f'working_directory = "{working_directory}"',
            'plugin_arguments.command = ["sleep", "1000"]',
        ]
    file = directory / "zeroscale.toml"
    file.write_text("\n".join(text))
    return file, ports[servers if by_host else 2 * servers - 1]


def free_ports(count: int) -> list[int]:
    """Return unused ports, below those of outgoing connections: `answers` could take one of these, or reach itself."""
    found = []
    for port in random.sample(range(20_000, 32_768), 32_768 - 20_000):
        with socket.socket() as each, contextlib.suppress(OSError):
            each.bind(("", port))
            found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError(f"there are no {count} unused ports")


def answers(port: int) -> bool:
    """Return whether a process listens on the port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def memory_of(pid: int) -> float:
    """Return resident memory, in MiB."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def cpu_seconds(pid: int) -> float:
    """Return user and system time, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def context_switches(pid: int) -> int:
    """Return the number of voluntary context switches of all threads."""
    return sum(
        int(re.findall(r"^voluntary_ctxt_switches:\s+(\d+)", status.read_text(), re.MULTILINE)[0])
        for status in Path(f"/proc/{pid}/task").glob("*/status")
    )


if __name__ == "__main__":
    main()
