"""Run a program to its end in the calling thread: with input, a time limit, and bounded output.

For threads of their own; the reactor's thread uses `oneshot` and `command_runner`.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from zeroscale.process.spawn import spawn

KEPT_OUTPUT = 4096
"""Bytes of the end of a program's output that are kept."""

POLL_INTERVAL = 0.05
"""Seconds between two looks at a program where the system has no pidfds."""


class EndedProgram(Struct, frozen=True):
    """How a program has ended.

    :ivar code: its exit code; negative: minus the number of the signal that ended it; None: it was killed after the
        time limit.
    :ivar last_line: the last line of its output that is not blank.
    """

    code: int | None
    last_line: str


def run_with_input(
    argv: Sequence[str], *, directory: Path, environment: Mapping[str, str], content: bytes, limit: float
) -> EndedProgram:
    """Run a program in a session of its own, and wait for its end.

    What it leaves running in the background goes on.

    :param content: its standard input.
    :param limit: seconds; then it is killed, with everything that it has started in its session.
    :raises PluginError: it cannot be started; see `spawn`.
    """
    deadline = time.monotonic() + limit
    with contextlib.ExitStack() as stack:
        reading, writing = _pipe(stack), _pipe(stack)
        child = spawn(
            argv,
            working_directory=directory,
            environment=environment,
            standard_input=reading.read_end,
            standard_output=writing.write_end,
        )
        reading.close_read_end()
        writing.close_write_end()
        output = b""
        in_time = True
        try:
            for received in _communicate(child, reading, content, writing, deadline):
                output = (output + received)[-KEPT_OUTPUT:]
            in_time = child.poll() is not None
        finally:
            if child.poll() is None:  # its process group is its own as long as it was not waited for
                os.killpg(child.pid, signal.SIGKILL)
            code = child.wait()
        lines = [line for line in output.decode(errors="replace").splitlines() if line.strip()]
        return EndedProgram(code if in_time else None, lines[-1].strip() if lines else "")


class _Pipe:
    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()

    def close_read_end(self) -> None:
        if self.read_end >= 0:
            os.close(self.read_end)
            self.read_end = -1

    def close_write_end(self) -> None:
        if self.write_end >= 0:
            os.close(self.write_end)
            self.write_end = -1

    def close(self) -> None:
        self.close_read_end()
        self.close_write_end()


def _pipe(stack: contextlib.ExitStack) -> _Pipe:
    pipe = _Pipe()
    stack.callback(pipe.close)
    return pipe


def _communicate(
    child: subprocess.Popen[bytes], to_child: _Pipe, content: bytes, from_child: _Pipe, deadline: float
) -> Iterator[bytes]:
    """Write the input and yield the output, until the program has ended or the time is over."""
    left = memoryview(content)
    os.set_blocking(to_child.write_end, False)
    os.set_blocking(from_child.read_end, False)
    with selectors.DefaultSelector() as selector, _exit_descriptor(child.pid) as exited:
        selector.register(to_child.write_end, selectors.EVENT_WRITE)
        selector.register(from_child.read_end, selectors.EVENT_READ)
        if exited is not None:
            selector.register(exited, selectors.EVENT_READ)
        while child.poll() is None and (wait := deadline - time.monotonic()) > 0:
            for key, _ in selector.select(wait if exited is not None else min(wait, POLL_INTERVAL)):
                if key.fd == to_child.write_end:
                    try:
                        left = left[os.write(to_child.write_end, left) :]
                    except BrokenPipeError:
                        left = left[:0]
                    if not left:
                        selector.unregister(to_child.write_end)
                        to_child.close_write_end()
                elif key.fd == from_child.read_end:
                    received = os.read(from_child.read_end, KEPT_OUTPUT)
                    if not received:
                        selector.unregister(from_child.read_end)
                    yield received
    with contextlib.suppress(BlockingIOError):  # what it wrote last; a pipe has 64 KiB at most
        for _ in range(16):
            if not (received := os.read(from_child.read_end, KEPT_OUTPUT)):
                return
            yield received


@contextlib.contextmanager
def _exit_descriptor(process_id: int) -> Iterator[int | None]:
    """Open a descriptor that is readable once a child has ended; None: the system has none."""
    try:
        descriptor = os.pidfd_open(process_id)
    except (AttributeError, OSError):
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)
