"""python -m benchmarks.wake: how long a client waits for a sleeping server, beyond the server's own start.

The server is one of plugin `generic` without a ready line (`backend.py`). It opens its port some time after its start;
that time is another one in each round, the same for all contestants. In each round each contestant wakes it once, for a
client that connects, sends 64 bytes and waits for the answer; between two wakes the server is stopped. The overhead is
the time until that answer, less the time from the start of the server's process until its port was open, which the
server writes down. It has two parts: until the process was started, and from the open port to the answer. The worst is
the end of the range.
"""

from __future__ import annotations

import random
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

from benchmarks import subjects
from benchmarks.measure import Results, turns
from benchmarks.options import benchmark_parser, parse
from benchmarks.processes import BACKEND, START_TIMEOUT, Bench, LoadError, Running, await_answer
from benchmarks.subjects import BASELINE
from benchmarks.traffic import ANSWER, QUESTION

ASLEEP_AFTER = 0.5
"""Seconds after the server's port has closed until the next wake."""

TEMPLATE = subjects.GENERIC.replace("-t 3600", "-t 100ms")
FIGURES = {
    "overhead": ("overhead, ms", 1),
    "until_started": ("until the process is started, ms", 1),
    "after_open": ("from the open port to the answer, ms", 1),
}


def wake(running: Running, file: Path, opens_after: float) -> dict[str, float]:
    """Wake the server once, and measure that.

    :param file: the server's: it reads from it when to open its port, and writes into it when it has.
    """
    await_sleep(running)
    file.write_text(str(opens_after))
    began = time.perf_counter()
    with socket.create_connection(("127.0.0.1", running.listen), START_TIMEOUT) as sock:
        sock.sendall(QUESTION)
        if len(sock.recv(ANSWER, socket.MSG_WAITALL)) < ANSWER:
            raise LoadError(f"{running.name} closed the connection")
        answered = time.perf_counter()
    started, opened = map(float, file.read_text().split())
    figures = {"until_started": started - began, "after_open": answered - opened}
    figures["overhead"] = sum(figures.values())
    return {figure: value * 1e3 for figure, value in figures.items()}


def await_sleep(running: Running) -> None:
    """Wait until the server has stopped."""
    deadline = time.monotonic() + START_TIMEOUT
    with suppress(ConnectionRefusedError):
        while time.monotonic() < deadline:
            socket.create_connection(("127.0.0.1", running.server), START_TIMEOUT).close()
            time.sleep(0.02)
        raise LoadError("the server is not stopped")
    time.sleep(ASLEEP_AFTER)


def main() -> None:
    """Measure, print and write the results."""
    parser = benchmark_parser("wake", __doc__, rounds=20)
    parser.add_argument(
        "--opens-after",
        type=float,
        nargs=2,
        default=[0.3, 1.5],
        metavar=("LEAST", "MOST"),
        help="seconds from the server's start until it opens its port (default: %(default)s)",
    )
    options = parse(parser)  # a minute as it is
    found = subjects.installed(subjects.zeroscale(TEMPLATE, options.baseline))
    names = [each.name for each in found]
    results = Results()
    times = random.Random(1)
    with Bench(pinned=options.pinned) as bench:
        running: dict[str, tuple[Running, Path]] = {}
        for each in found:
            file = bench.directory / f"{each.name}.times"
            file.write_text("0")
            running[each.name] = bench.run(each, [*BACKEND, str(file)]), file
            await_answer(running[each.name][0].listen, QUESTION, bytes(ANSWER))
        for number, order in turns(options.rounds, names):
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
            opens_after = times.uniform(*options.opens_after)
            for name in order:
                try:
                    results.add(name, number, wake(*running[name], opens_after))
                except LoadError as error:
                    print(f"  {error}", file=sys.stderr)
    results.report(FIGURES, names, [BASELINE], options)


if __name__ == "__main__":
    main()
