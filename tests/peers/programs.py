"""Programs in processes of their own, watched line by line with deadlines, and what the kernel knows of them."""

from __future__ import annotations

import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from zeroscale.lifecycle.server_view import LOOK_EVERY

DEADLINE = 60.0
"""Seconds; what a machine with two cores that runs three tests at once needs for a Node start, several times over."""


class Program:
    """A child process whose output is collected line by line, both streams in one list."""

    def __init__(self, command: Sequence[str | Path], directory: Path):
        self.lines: list[str] = []
        self._more = threading.Condition()
        self._ended = False
        self.process = subprocess.Popen(
            command,
            cwd=directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._more:
                self.lines.append(line.rstrip("\n"))
                self._more.notify_all()
        with self._more:
            self._ended = True
            self._more.notify_all()

    def wait_for(self, pattern: str, within: float = DEADLINE, after: int = 0) -> int:
        """Waits for a line that matches; returns the index just behind it, to be given as the next `after`."""
        deadline = time.monotonic() + within
        at = after
        with self._more:
            while True:
                while at < len(self.lines):
                    at += 1
                    if re.search(pattern, self.lines[at - 1]):
                        return at
                left = deadline - time.monotonic()
                if left <= 0 or self._ended:
                    why = "ended" if self._ended else f"{within:g} s passed"
                    raise AssertionError(f"{why} without a line that matches {pattern!r}; its output:\n{self.text()}")
                self._more.wait(left)

    def wait_until_ready(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until the condition holds; discard the program if it never does."""
        try:
            wait_until(lambda: self.process.poll() is not None or condition(), what, program=self)
            assert self.process.poll() is None, self.text()
        except AssertionError:
            self.discard()
            raise

    def text(self) -> str:
        """All that it has received."""
        return "\n".join(self.lines)

    def write_line(self, line: str) -> None:
        """Types a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def wait(self, within: float = DEADLINE) -> int:
        """Waits for its end; returns its exit code."""
        try:
            code = self.process.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"did not end within {within:g} s; its output:\n{self.text()}") from None
        self._reader.join(within)
        return code

    def terminate(self, within: float = DEADLINE) -> int:
        """Sends SIGTERM; returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait(within)

    def resident_bytes(self) -> int:
        """Its resident memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) * 1024

    def discard(self) -> None:
        """Ends it, whatever it takes, and lets go of its pipes."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._reader.join()
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.discard()


def wait_until(
    condition: Callable[[], bool],
    what: str,
    within: float = DEADLINE,
    program: Program | None = None,
    every: float = 0.02,
) -> None:
    """Asks again and again until it is so.

    :param every: seconds between two times.
    :raises AssertionError: it was not so in time; the text ends with what the program has received.
    """
    deadline = time.monotonic() + within
    while not condition():
        output = f"; its output:\n{program.text()}" if program else ""
        assert time.monotonic() < deadline, f"not within {within:g} s: {what}{output}"
        time.sleep(every)


def wait_for_changed_files() -> None:
    """Wait for as long as zeroscale may take to see that an operator has changed a file."""
    time.sleep(LOOK_EVERY)


def answers(port: int) -> bool:
    """Whether something on this machine listens there, as the kernel's table has it: asked without a connection."""
    wanted = f":{port:04X}"
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            if state == "0A" and local.endswith(wanted):
                return True
    return False


def processes_in(directory: Path) -> set[int]:
    """The processes, zombies aside, whose current directory is this one or one in it."""
    found = set()
    for entry in _processes():
        with suppress(OSError):  # already gone, a zombie, or not ours
            if (entry / "cwd").readlink().is_relative_to(directory):
                found.add(int(entry.name))
    return found


def descendants(pid: int) -> set[int]:
    """The process's children, their children, and so on."""
    children: dict[int, list[int]] = {}
    for entry in _processes():
        with suppress(OSError):  # already gone
            _, _, after_name = (entry / "stat").read_text().rpartition(")")
            children.setdefault(int(after_name.split()[1]), []).append(int(entry.name))
    found: set[int] = set()
    todo = [pid]
    while todo:
        new = children.get(todo.pop(), [])
        found.update(new)
        todo += new
    return found


def _processes() -> list[Path]:
    return [entry for entry in Path("/proc").iterdir() if entry.name.isdigit()]
