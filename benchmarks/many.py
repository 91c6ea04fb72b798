"""What many servers cost one proxy while all of them sleep: memory, the time until it listens, CPU and wake-ups.

`python -m benchmarks.many [--servers 100] [--quiet 20] [--rounds 3]`. Runs `zeroscale --config` with one server and
with many, in turn: Minecraft servers behind one port, told apart by their hosts, and the same with a port each. What
one server more costs is the difference of the two, divided; the medians of the rounds are told. Linux only.
"""

from __future__ import annotations

import argparse
import contextlib
import os
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
    """One run.

    :ivar memory: resident, in MiB.
    :ivar start: seconds from the start of its process until it has said that it is ready.
    :ivar cpu: seconds of CPU in the quiet time.
    :ivar wakeups: context switches in the quiet time, of all threads.
    """

    memory: float
    start: float
    cpu: float
    wakeups: int


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", type=int, default=100)
    parser.add_argument("--quiet", type=float, default=20.0, help="seconds of quiet (default: %(default)g)")
    parser.add_argument("--rounds", type=int, default=3)
    told = parser.parse_args()
    for name, by_host in (("one port, by host", True), ("a port each", False)):
        ones, manys = [], []
        for _ in range(told.rounds):
            ones.append(measure(1, by_host, told.quiet))
            manys.append(measure(told.servers, by_host, told.quiet))
        more = told.servers - 1
        memory = statistics.median(many.memory - one.memory for one, many in zip(ones, manys, strict=True)) / more
        start = statistics.median(many.start - one.start for one, many in zip(ones, manys, strict=True)) / more
        print(f"{name}:")
        for number, costs in ((1, ones), (told.servers, manys)):
            print(
                f"  {number:4d}: {statistics.median(cost.memory for cost in costs):6.1f} MiB, listens after "
                f"{statistics.median(cost.start for cost in costs):5.2f} s, in {told.quiet:g} quiet seconds "
                f"{statistics.median(cost.cpu for cost in costs):.3f} s of CPU and "
                f"{statistics.median(cost.wakeups for cost in costs):.0f} wake-ups"
            )
        print(f"  each more: {memory:.3f} MiB, {start * 1e3:.2f} ms")


def measure(servers: int, by_host: bool, quiet: float) -> Cost:
    """Runs one proxy."""
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
                time.sleep(1.0)  # what it does after its start is no idling
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
    """Writes a configuration; returns it, and the port that is opened last."""
    ports = free_ports(2 * servers)
    text = [f'state_directory = "{directory}/state"', f'control.listen = "unix:{directory}/control.sock"']
    for number in range(servers):
        home = directory / f"server-{number}"
        home.mkdir()
        (home / "server.properties").write_text(f"server-port={ports[number]}\nmotd=Server {number}\n")
        text += [
            f"[servers.server-{number}]",
            'plugin = "minecraft"',
            f"listen = {ports[servers if by_host else servers + number]}",
            f'hosts = ["server-{number}.example.org"]' if by_host else "",
            f"server = {ports[number]}",
            f'working_directory = "{home}"',
            'plugin_arguments.command = ["sleep", "1000"]',
        ]
    file = directory / "zeroscale.toml"
    file.write_text("\n".join(text))
    return file, ports[servers if by_host else 2 * servers - 1]


def free_ports(count: int) -> list[int]:
    """Ports that nobody uses."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def answers(port: int) -> bool:
    """Whether somebody accepts connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def memory_of(pid: int) -> float:
    """Resident memory, in MiB."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def cpu_seconds(pid: int) -> float:
    """User and system time."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def context_switches(pid: int) -> int:
    """Voluntary ones, of all its threads."""
    return sum(
        int(re.findall(r"^voluntary_ctxt_switches:\s+(\d+)", status.read_text(), re.MULTILINE)[0])
        for status in Path(f"/proc/{pid}/task").glob("*/status")
    )


if __name__ == "__main__":
    main()
