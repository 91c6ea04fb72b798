"""Runs the contestants of a benchmark, the servers behind them, and the loads."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measure import Usage

ROOT = Path(__file__).parent.parent
BACKEND = [sys.executable, "-IS", str(Path(__file__).parent / "backend.py"), "{port}"]
"""The server of most benchmarks (`backend.py`)."""

NEVER_READY = ["sleep", "3600"]

START_TIMEOUT = 30.0

SETTLE = 6.0
"""Seconds after a start until a contestant counts as idle: its timers for the connection that has found it are over."""


def own_tree() -> Path:
    """Return the directory of the zeroscale that `python -m zeroscale` would run here."""
    spec = importlib.util.find_spec("zeroscale")
    if spec is None or spec.origin is None:
        raise SystemExit("there is no zeroscale in the current directory, on PYTHONPATH or installed")
    return Path(spec.origin).parent.parent


@dataclass(frozen=True)
class Place:
    """Where a contestant runs.

    :ivar directory: an empty directory of its own, which is also its working directory.
    :ivar listen: the port that it listens on.
    :ivar server: the port of the server behind it.
    :ivar backend: the command line of that server, for a contestant that starts it itself.
    """

    directory: Path
    listen: int
    server: int
    backend: Sequence[str]


@dataclass(frozen=True)
class Subject:
    """A contestant.

    :ivar name: its name in the table.
    :ivar command: writes its configuration into its directory, and returns its command line.
    :ivar starts_backend: whether it starts the server itself.
    :ivar tree: goes first on PYTHONPATH.
    """

    name: str
    command: Callable[[Place], list[str]]
    starts_backend: bool = False
    tree: Path | None = None


@dataclass(frozen=True)
class Running:
    """A contestant that listens.

    :ivar listen: its port.
    :ivar server: the port of the server behind it.
    :ivar listening_after: seconds from its start until it accepted a connection.
    """

    name: str
    pid: int
    listen: int
    server: int
    listening_after: float

    @property
    def usage(self) -> Usage:
        """What it has used so far."""
        return Usage.of(self.pid)


class LoadError(Exception):
    """A load failed; the round continues without its value."""


class Bench:
    """The processes of one run of a benchmark, all of which end with it.

    :param pinned: the contestants get one core, and everything else another; else all share all cores.
    :ivar directory: a temporary directory.
    """

    def __init__(self, *, pinned: bool = False) -> None:
        self._contestants: int | None = None
        self._others: int | None = None
        if pinned:
            self._contestants, self._others = _two_cores()
        self._stack = contextlib.ExitStack()
        self._started = 0
        self.directory = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *ignored: object) -> None:
        self._stack.close()

    def run(self, subject: Subject, backend: Sequence[str] | None = BACKEND) -> Running:
        """Start a contestant, and the server behind it unless it starts that itself, and wait until they listen.

        :param backend: the server's command line, with `{port}` in it; None: it never runs.
        """
        if backend and not subject.starts_backend:
            server = self.serve(backend).listen
        else:
            (server,) = free_ports(1)
        (listen,) = free_ports(1)
        directory = self.directory_for(subject.name)
        words = self.for_loads([word.format(port=server) for word in backend or NEVER_READY])
        command = pinned_to(self._contestants, subject.command(Place(directory, listen, server, words)))
        began = time.perf_counter()
        process = self.start(command, directory, subject.tree)
        _listening(process, listen, directory)
        return Running(subject.name, process.pid, listen, server, time.perf_counter() - began)

    def for_loads(self, command: Sequence[str]) -> list[str]:
        """Return the command, pinned as what is not a contestant is."""
        return pinned_to(self._others, command)

    def serve(self, backend: Sequence[str] = BACKEND) -> Running:
        """Start a server with no contestant before it."""
        (port,) = free_ports(1)
        directory = self.directory_for("server")
        began = time.perf_counter()
        process = self.start(self.for_loads([word.format(port=port) for word in backend]), directory)
        _listening(process, port, directory)
        return Running("direct", process.pid, port, port, time.perf_counter() - began)

    def directory_for(self, name: str) -> Path:
        """Make an empty directory for a process."""
        self._started += 1
        directory = self.directory / f"{self._started}-{name}"
        directory.mkdir()
        return directory

    def start(self, command: Sequence[str], directory: Path, tree: Path | None = None) -> subprocess.Popen[bytes]:
        """Start a process that is ended at the end of the run; its output goes to `log` in its directory."""
        with (directory / "log").open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=directory,
                env=environment(tree),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._stack.callback(end, process)
        return process

    def load(self, program: str, arguments: Iterable[object]) -> dict[str, Any]:
        """Run a load, a program of this package, to its end, and return the JSON object that it prints.

        :raises LoadError: it has failed.
        """
        with self.loading(program, arguments) as load:
            return report_of(load)

    @contextlib.contextmanager
    def loading(self, program: str, arguments: Iterable[object]) -> Iterator[subprocess.Popen[str]]:
        """Run a load; at the end of the context its standard input is closed, and it must end."""
        command = [sys.executable, "-S", "-m", f"benchmarks.{program}", *map(str, arguments)]
        with subprocess.Popen(
            self.for_loads(command), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as load:
            yield load


def quiet(running: Sequence[Running], seconds: float) -> dict[str, dict[str, float]]:
    """Let contestants be idle, all at the same time; return the figures of each.

    :return: by name: `mib`, resident memory at the end; `wake_ups` and `cpu_ms` in `seconds`.
    """
    time.sleep(SETTLE)
    before = [each.usage for each in running]
    time.sleep(seconds)
    after = [each.usage for each in running]
    return {
        each.name: {
            "mib": new.resident_bytes / 2**20,
            "wake_ups": new.wake_ups - old.wake_ups,
            "cpu_ms": (new.cpu_seconds - old.cpu_seconds) * 1e3,
        }
        for each, old, new in zip(running, before, after, strict=True)
    }


def report_of(load: subprocess.Popen[str]) -> dict[str, Any]:
    """Return the JSON object that a load prints as its next line.

    :raises LoadError: it has ended without it.
    """
    assert load.stdout is not None
    line = load.stdout.readline()
    if not line:
        raise LoadError(f"a load failed: {load.args!r}")
    report: dict[str, Any] = json.loads(line)
    return report


def environment(tree: Path | None) -> dict[str, str]:
    """Return the environment of a process that imports zeroscale from `tree`, or from where this one would."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (tree or own_tree(), ROOT)))}


def pinned_to(core: int | None, command: Sequence[str]) -> list[str]:
    """Return the command, pinned to one core."""
    return list(command) if core is None or not command else ["taskset", "-c", str(core), *command]


def _two_cores() -> tuple[int, int]:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2 or shutil.which("taskset") is None:
        raise SystemExit("--pinned needs two cores and taskset")
    return cores[0], cores[1]


def free_ports(count: int) -> list[int]:
    """Return unused ports, below those of outgoing connections, which could take one of these or reach themselves."""
    found = []
    for port in random.sample(range(20_000, 32_768), 32_768 - 20_000):
        with socket.socket() as each, contextlib.suppress(OSError):
            each.bind(("", port))
            found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError(f"there are no {count} unused ports")


def _listening(process: subprocess.Popen[bytes], port: int, directory: Path) -> None:
    """Wait until a process of `Bench.start` listens on its port; end the benchmark if it does not."""
    try:
        await_port(port, process)
    except OSError as error:
        output = (directory / "log").read_text()
        raise SystemExit(f"does not start: {error}\n{process.args!r}\n{output}") from None


def await_port(port: int, process: subprocess.Popen[bytes] | None = None) -> None:
    """Wait until a process listens on the port.

    :raises OSError: none does in time, or `process` has ended.
    """
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline or (process is not None and process.poll() is not None):
                raise
            time.sleep(0.002)
        else:
            return


def await_answer(port: int, question: bytes, answer: bytes) -> None:
    """Ask on one connection after the other until the server's answer comes, not a proxy's.

    :raises LoadError: it does not come in time.
    """
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as sock:
            sock.sendall(question)
            if sock.recv(len(answer), socket.MSG_WAITALL) == answer:
                return
        time.sleep(0.05)
    raise LoadError("the server's answer does not come")


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process."""
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
