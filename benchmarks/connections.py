"""Cost of a connection: python -m benchmarks.connections

Measures three kinds, each with one client and with 16 at once, and beside nginx and HAProxy on the same work:

- generic: connect to a running server, send 64 bytes, receive 512, close;
- login: the same with a Minecraft handshake and login start, to a running Minecraft server;
- status: handshake, status request, ping, close, to a sleeping Minecraft server. Its yardstick is a connection of the
  kind `generic` through nginx. Beside it a Minecraft server in Node is asked, which is left running in place of a
  proxy.

CPU is that of all threads of the proxy, divided by the connections. Each proxy has a server of its own (`backend.py`).
The load is `churn.py`; its own CPU for a connection is in the table, since on two cores a rate is bounded by it, too.
Each round measures all contestants in turn; ratios are of the same round.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks import backend, churn, subjects
from benchmarks.measure import Results, turns
from benchmarks.options import add_also, benchmark_parser, parse
from benchmarks.processes import BACKEND, START_TIMEOUT, Bench, LoadError, Running, Subject, await_answer
from benchmarks.subjects import BASELINE, HAPROXY, NGINX, NODE

MANY = 16
MOST = 12_000
"""Connections of one load at most. A proxy connects to its server from one address, whose ports are in TIME_WAIT for a
second at least; after 14,000 of them the kernel's search for a free port costs more than the connection."""

WARM = 300
"""Connections before the first round."""

KINDS = {"generic": subjects.GENERIC, "login": subjects.MINECRAFT, "status": subjects.MINECRAFT}


def contestants(kind: str, baseline: Path | None, also: list[list[str]]) -> list[Subject]:
    """Return the contestants of one kind that are installed."""
    found = {**subjects.zeroscale(KINDS[kind], baseline), NGINX: subjects.nginx()}
    if kind == "status":
        found[NODE] = subjects.node_server()
    else:
        found[HAPROXY] = subjects.haproxy()
    return subjects.installed(found | subjects.named(also))


def traffic(kind: str, name: str) -> str:
    """Return the kind of connection that a contestant gets: nginx cannot answer for a sleeping server."""
    return "generic" if kind == "status" and name == NGINX else kind


def start(bench: Bench, kind: str, subject: Subject) -> Running:
    """Start a contestant, and its server if it has one that runs."""
    asked = traffic(kind, subject.name)
    running = bench.run(subject, None if asked == "status" else BACKEND)
    if asked != "status":
        await_answer(running.listen, churn.KINDS[asked].question, backend.ANSWER)
    measure(bench, kind, running, MANY, START_TIMEOUT, WARM)
    return running


def start_all(bench: Bench, kind: str, subjects: list[Subject]) -> dict[str, Running]:
    """Start the contestants of one kind; leave out, with a line, those that cannot do it."""
    running = {}
    for each in subjects:
        try:
            running[each.name] = start(bench, kind, each)
        except LoadError as error:
            print(f"left out: {each.name}: {error}", file=sys.stderr)
    return running


def measure(bench: Bench, kind: str, running: Running, clients: int, seconds: float, most: int) -> dict[str, float]:
    """Measure one load on one contestant.

    :raises LoadError: more than one in a hundred of its connections failed.
    """
    before = running.usage.cpu_seconds
    words = [traffic(kind, running.name), running.listen, "--clients", clients, "--seconds", seconds, "--most", most]
    report = bench.load("churn", words)
    used = running.usage.cpu_seconds - before
    answers = report["answers"]
    if not answers or report["failures"] > answers / 100:
        raise LoadError(f"{kind}: {running.name} failed on {report['failures']} and answered {answers}")
    return {
        f"{kind}_cpu_{clients}": used / answers * 1e6,
        f"{kind}_rate_{clients}": answers / report["seconds"],
        f"{kind}_load_{clients}": report["cpu_seconds"] / answers * 1e6,
        f"{kind}_p50_{clients}": report["p50"] * 1e6,
    }


def figures(kinds: list[str]) -> dict[str, tuple[str, int]]:
    """Return the rows of the table: title and decimals by figure."""
    return {
        f"{kind}_{figure}": (f"{kind}, {title}", 0)
        for kind in kinds
        for figure, title in (
            ("cpu_1", "CPU us, 1 client"),
            (f"cpu_{MANY}", f"CPU us, {MANY} clients"),
            (f"rate_{MANY}", f"connections/s, {MANY} clients"),
            ("p50_1", "us until answered, 1 client"),
            (f"load_{MANY}", f"the load's own CPU us, {MANY} clients"),
        )
    }


def main() -> None:
    """Measure, print and write the results."""
    parser = benchmark_parser("connections", __doc__, rounds=7)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each load (default: %(default)g)")
    parser.add_argument("--only", nargs="+", choices=KINDS, default=list(KINDS), metavar="KIND", help=", ".join(KINDS))
    add_also(parser)
    options = parse(parser, rounds=3, seconds=0.7)
    results = Results()
    names: list[str] = []
    with Bench(pinned=options.pinned) as bench:
        for kind in options.only:
            running = start_all(bench, kind, contestants(kind, options.baseline, options.also))
            names = list(dict.fromkeys([*names, *running]))
            for number, order in turns(options.rounds, list(running)):
                print(f"{kind}: round {number + 1} of {options.rounds}", file=sys.stderr)
                for clients in (1, MANY):
                    for name in order:
                        try:
                            measured = measure(bench, kind, running[name], clients, options.seconds, MOST)
                        except LoadError as error:
                            print(f"  {error}", file=sys.stderr)
                        else:
                            results.add(name, number, measured)
    results.report(figures(options.only), names, [NGINX, BASELINE], options)


if __name__ == "__main__":
    main()
