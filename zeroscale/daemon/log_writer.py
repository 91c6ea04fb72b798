"""Write log lines in a thread of its own, so that a reader of the log that does not read cannot stop the proxy.

The queue is bounded. What does not fit, or cannot be written, is counted, and the number is logged when lines are
written again. The thread is no handler of `logging`, whose shutdown would wait for the handler's lock.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Protocol

from zeroscale.backoff import Backoff

logger = logging.getLogger("zeroscale.log")

LONGEST_QUEUE = 1024 * 1024
"""Bytes that wait to be written: some thousand lines, which a reader that stalls for a moment will still get."""

LONGEST_CLOSE = 1.0
"""Seconds that the end of the process waits for the lines that are left."""

FIRST_RETRY = 10.0
LONGEST_RETRY = 300.0
"""Seconds until a thread that could not be started is tried again, at the next line: at first, and at most."""

LINES = 200
WINDOW = 1.0
"""Lines of one logger and level below WARNING in so many seconds; more than a person can read. Each has its own,
so that a flood of connections in the access log leaves out no line about a server."""


class Output(Protocol):
    """Where lines are written to; see `log_file`."""

    def write(self, data: bytes) -> None:
        """Write all of it, and wait as long as that takes."""

    def write_now(self, data: bytes) -> bool:
        """Write it if that is possible without waiting; return whether it was."""

    def rotate(self) -> None:
        """Begin a new file."""


class LogWriter:
    """Writes lines to an output, in their order.

    Until `start()`, and while no thread can be had, a line is written in the caller's thread; after `start()` only if
    that does not block. The caller's thread and the other one never write at the same time.

    :param clock: returns monotonic seconds.
    """

    def __init__(self, output: Output, clock: Callable[[], float] = time.monotonic) -> None:
        self._output = output
        self._clock = clock
        self._changed = threading.Condition()
        self._queue: deque[bytes | None] = deque()
        self._size = 0
        self._lost = 0
        self._thread: threading.Thread | None = None
        self._may_block = True
        self._closing = False
        self._retries = Backoff(FIRST_RETRY, LONGEST_RETRY)
        self._retry_at = float("inf")
        self._reported: set[int | None] = set()

    def start(self) -> None:
        """Start the thread. If that fails, lines that would block are lost; it is logged, and tried again later."""
        self._may_block = False
        error = self._start_thread()
        if error is not None:
            logger.error("No thread can write the log (%s): lines may be lost", error)

    def write(self, text: str) -> None:
        """Write a line, with its line break, soon. Never raises."""
        data = text.encode("utf-8", "backslashreplace")
        if self._clock() >= self._retry_at and self._start_thread() is None:
            logger.info("A thread writes the log now")
        with self._changed:
            if self._thread is not None:
                if self._size + len(data) > LONGEST_QUEUE:
                    self._lost += 1
                    return
                self._queue.append(data)
                self._size += len(data)
                self._changed.notify()
                return
        if self._write_directly(data):  # else the report would be lost as well, and report itself without end
            self._report_lost()

    def flush(self) -> None:
        """Do nothing; Twisted calls this after each line."""

    def rotate(self) -> None:
        """Begin a new file, after the lines that wait."""
        with self._changed:
            if self._thread is not None:
                self._queue.append(None)
                self._changed.notify()
                return
        self._rotate()

    def close(self) -> None:
        """Write what is left, for at most `LONGEST_CLOSE` seconds, and end the thread.

        If it is still writing then, it goes on until the process ends, also with lines that are written later.
        """
        with self._changed:
            thread = None if self._closing else self._thread
            self._closing = True
            self._retry_at = float("inf")
            self._changed.notify()
        if thread is not None:
            thread.join(LONGEST_CLOSE)

    def _start_thread(self) -> RuntimeError | None:
        with self._changed:
            thread = threading.Thread(target=self._run, name="zeroscale-log", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                self._retry_at = self._clock() + next(self._retries)
                return error
            self._thread = thread
            self._retry_at = float("inf")
            return None

    def _run(self) -> None:
        try:
            while self._write_next():
                pass
        finally:
            with self._changed:
                self._thread = None
                if not self._closing:  # an error has ended it
                    self._retry_at = self._clock() + next(self._retries)

    def _write_next(self) -> bool:
        """Write the next line, or wait for it; return False once there is no more to be expected."""
        with self._changed:
            while not self._queue:
                if self._closing:
                    self._thread = None  # under this lock: a line that comes now is written by its caller
                    return False
                self._changed.wait()
            data = self._queue.popleft()
            self._size -= len(data or b"")
        if data is None:
            self._rotate()
        elif self._write_blocking(data):  # else the report would be lost as well, and report itself without end
            self._report_lost()
        return True

    def _report_lost(self) -> None:
        with self._changed:
            if self._size > LONGEST_QUEUE // 2 or not self._lost:
                return
            lost, self._lost = self._lost, 0
        logger.warning(
            "%d lines of the log were lost: its reader did not read, there were too many, or the disk was full", lost
        )

    def _write_directly(self, data: bytes) -> bool:
        if self._may_block:
            return self._write_blocking(data)
        try:
            written = self._output.write_now(data)
        except OSError:
            written = False
        if not written:
            with self._changed:
                self._lost += 1
        return written

    def _rotate(self) -> None:
        try:
            self._output.rotate()
        except OSError as error:
            logger.error("The log cannot be rotated: %s", error.strerror or error)

    def _write_blocking(self, data: bytes) -> bool:
        """Write, and return whether that was possible.

        Each kind of error is reported once on the real stderr: the log cannot tell of its own disk.
        """
        try:
            self._output.write(data)
        except OSError as error:
            with self._changed:
                self._lost += 1
            if error.errno not in self._reported:
                self._reported.add(error.errno)
                with contextlib.suppress(OSError):  # a daemon may have no stderr
                    os.write(2, f"zeroscale: log lines are lost: {error.strerror}\n".encode())
            return False
        self._reported.clear()
        return True


class Handler(logging.Handler):
    """Formats records and passes them to a function; below WARNING at most `LINES` of a logger in a `WINDOW`."""

    def __init__(self, write: Callable[[str], object], clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._write = write
        self._clock = clock
        self._window = 0.0
        self._lines: Counter[tuple[str, int]] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; one that cannot be formatted is reported as stdlib logging does, and raises nothing."""
        try:
            left_out = self._left_out(record)
            if left_out is None:
                return
            if left_out:
                text = f"{left_out} more lines of the log within a second were left out"
                self._write(self.format(logging.makeLogRecord({**SUMMARY, "msg": text})))
            self._write(self.format(record))
        except Exception:
            self.handleError(record)

    def _left_out(self, record: logging.LogRecord) -> int | None:
        """Count a record; return how many were left out before it, or None if it is to be left out itself."""
        now = self._clock()
        left_out = 0
        if now - self._window >= WINDOW:
            left_out = sum(max(0, lines - LINES) for lines in self._lines.values())
            self._window = now
            self._lines.clear()
        if record.levelno >= logging.WARNING:
            return left_out
        source = record.name, record.levelno
        self._lines[source] += 1
        return left_out if self._lines[source] <= LINES else None


SUMMARY = {"name": logger.name, "levelno": logging.INFO, "levelname": "INFO"}
