"""Write small files in one thread, since a synchronous write takes 20 ms and more.

A failure is logged once for each kind of error. The content is then kept in memory and written later, so that a disk
that was full for a moment costs nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

from zeroscale.system.files import write_atomically

logger = logging.getLogger("zeroscale.system")

FIRST_RETRY = 2.0
LONGEST_RETRY = 60.0
"""Seconds until failed writes are tried again: at first, and at most. Each attempt that fails doubles it."""

LONGEST_FLUSH = 10.0
"""Seconds that the end of the proxy waits for a disk that does not answer."""


class FileWriter:
    """Writes files in a thread of its own. Its methods may be called from any thread.

    Where the thread cannot be started, contents are kept, the start is tried again at each write, and `flush` writes
    in the caller's thread.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._pending: dict[Path, bytes] = {}
        self._failed: dict[Path, bytes] = {}
        self._writing: Path | None = None
        self._reported: set[tuple[Path | None, int | None]] = set()
        self._retry = FIRST_RETRY
        self._thread: threading.Thread | None = None
        self._closing = False

    def start(self) -> None:
        """Start the thread, unless it runs. A failure is logged once."""
        with self._changed:
            if self._thread is not None:
                return
            self._closing = False
            # A daemon thread: a disk that does not answer must not keep the interpreter from exiting.
            thread = threading.Thread(target=self._run, name="zeroscale-files", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                self._report(None, None, "State is kept in memory only: no thread can write it (%s)", error)
            else:
                self._thread = thread
                self._reported.discard((None, None))

    def write(self, path: Path, content: bytes) -> None:
        """Replace a file (`write_atomically`) soon; of several contents only the latest is written."""
        with self._changed:
            self._failed.pop(path, None)
            self._pending[path] = content
            self._changed.notify_all()
        self.start()

    def flush(self, path: Path) -> None:
        """Wait until a file is written, or cannot be; at most `LONGEST_FLUSH` seconds."""
        with self._changed:
            if path in self._failed:
                self._pending[path] = self._failed.pop(path)
                self._changed.notify_all()
            if self._thread is not None:
                deadline = time.monotonic() + LONGEST_FLUSH
                while path in self._pending or self._writing == path:
                    if not self._changed.wait(max(0.0, deadline - time.monotonic())):
                        logger.error("Cannot write %s: the disk does not answer", path)
                        return
                return
            content = self._pending.pop(path, None)
        if content is not None:
            self._write(path, content)

    def close(self) -> None:
        """End the thread. What `flush` was not called for may be lost."""
        with self._changed:
            thread, self._thread = self._thread, None
            self._closing = True
            self._changed.notify_all()
        if thread is not None:
            thread.join(LONGEST_FLUSH)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._pending:
                    if self._closing:
                        return
                    if not self._changed.wait(self._retry if self._failed else None):
                        self._pending, self._failed = self._failed, {}
                        self._retry = min(self._retry * 2, LONGEST_RETRY)
                path, content = next(iter(self._pending.items()))
                del self._pending[path]
                self._writing = path
            failed = not self._write(path, content)
            with self._changed:
                self._writing = None
                if not failed:
                    self._retry = FIRST_RETRY
                elif path not in self._pending:
                    self._failed[path] = content
                self._changed.notify_all()

    def _write(self, path: Path, content: bytes) -> bool:
        try:
            write_atomically(path, content)
        except OSError as error:
            with self._changed:
                self._report(
                    path,
                    error.errno,
                    "Cannot write %s: %s; it is kept in memory, and tried again",
                    path,
                    error.strerror,
                )
            return False
        with self._changed:
            self._reported = {each for each in self._reported if each[0] != path}
        return True

    def _report(self, path: Path | None, code: int | None, text: str, *arguments: object) -> None:
        if (path, code) not in self._reported:
            self._reported.add((path, code))
            logger.error(text, *arguments)


class BackgroundFile:
    """One file that a `FileWriter` writes.

    :param path: the file.
    """

    def __init__(self, path: Path, writer: FileWriter) -> None:
        self.path = path
        self._writer = writer

    def write(self, content: bytes) -> None:
        """Replace the file soon; only the latest content counts."""
        self._writer.write(self.path, content)

    def flush(self) -> None:
        """Wait until everything is written, or cannot be."""
        self._writer.flush(self.path)
