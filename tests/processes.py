"""Processes under test: started, awaited by their output, and always ended."""

from __future__ import annotations

import gc
import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO

TIME = r"^[0-9T:-]{19}[+-][0-9]{4} (?=[A-Z]+:)"
"""The time before a line of zeroscale's log."""

DEADLINE = 30.0
"""Seconds after which a process that has not printed or done the expected is killed."""


class Program:
    """One child process, whose output is read all the time, line by line, without the times of zeroscale's log.

    :param directory: where it runs; None: in an empty directory of its own, so that it leaves nothing in the checkout.
    :param times: keep the times.

    :ivar lines: its output so far that the test has read, stdout and stderr together.
    """

    def __init__(
        self,
        command: Sequence[str],
        directory: Path | None = None,
        environment: Mapping[str, str] | None = None,
        kept: Sequence[int] = (),
        times: bool = False,
    ) -> None:
        self._times = times
        self.lines: list[str] = []
        self._unread: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._own_directory = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.process = subprocess.Popen(
            command,
            cwd=directory or self._own_directory.name,
            # so that it imports the package that is installed, as the tests do, and not the one in the checkout
            env={**os.environ, "PYTHONSAFEPATH": "1", **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            pass_fds=kept,
        )
        assert self.process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True)
        self._reader.start()

    def __enter__(self) -> Program:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(DEADLINE)
        if self.process.stdin is not None:
            self.process.stdin.close()
        self._own_directory.cleanup()

    def wait_for(self, text: str) -> str:
        """Waits for a line with `text` in it, and returns it."""
        while True:
            try:
                line = self._unread.get(timeout=DEADLINE)
            except queue.Empty:
                raise AssertionError(f"no line with {text!r} in {DEADLINE:g} s, but:\n{self.output}") from None
            if line is None:
                raise AssertionError(f"it ended without a line with {text!r}, but:\n{self.output}")
            self.lines.append(line)
            if text in line:
                return line

    def write_line(self, line: str) -> None:
        """Types a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def signal(self, number: signal.Signals) -> None:
        """Sends it a signal."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """Wait until it has ended and all of its output is in `lines`; return its exit code."""
        code = self.process.wait(DEADLINE)
        while (line := self._unread.get(timeout=DEADLINE)) is not None:
            self.lines.append(line)
        return code

    @property
    def output(self) -> str:
        """All of `lines`."""
        return "\n".join(self.lines)

    def _read(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                self._unread.put(line.rstrip("\n") if self._times else re.sub(TIME, "", line.rstrip("\n")))
        self._unread.put(None)


def python(*words: str) -> list[str]:
    """A command line for this interpreter, which turns every warning into a line on stderr."""
    return [sys.executable, "-W", "default", *words]


TELL_MODULES = """
import signal, sys

def tell(*_):
    print("modules:", *(name for name, module in sys.modules.items() if module is not None), flush=True)

signal.signal(signal.SIGUSR2, tell)
"""
"""The beginning of a program for `python -c` that `modules_of` can ask."""


def modules_of(program: Program) -> set[str]:
    """Return the names of the modules that a program has imported so far."""
    program.signal(signal.SIGUSR2)
    return set(program.wait_for("modules:").split())


def descriptors() -> int:
    """Return how many descriptors this process has open, without those of garbage, which may be collected any time."""
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


def descriptors_of(pid: int) -> list[str]:
    """Return what each open descriptor of a process leads to, without those that it closes meanwhile."""
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            found.append(os.readlink(entry))  # noqa: PTH115
    return found


def threads_of(pid: int) -> list[str]:
    """Return the names of a process' threads, without those that end meanwhile."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):
            found.append((task / "comm").read_text().strip())
    return sorted(found)


def wait_until(condition: Callable[[], object], shown: Callable[[], str]) -> None:
    """Waits until the condition holds.

    :param shown: returns what is shown where it does not in `DEADLINE` seconds.
    """
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, f"not in {DEADLINE:g} s:\n{shown()}"
        time.sleep(0.01)
