"""The thread that writes and reads histories. Its methods never wait for a disk, except `close`.

Neither the thread nor SQLite is there before the first row.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zeroscale.history.values import Row

if TYPE_CHECKING:
    from zeroscale.history.database import HistoryFile

logger = logging.getLogger("zeroscale.history")

MOST_QUEUED = 20_000
"""Rows that wait for the thread; about 6 MB. More are lost while a disk does not answer."""

PACE = 1.0
"""Seconds between two transactions, so that a burst of events does not make the disk busy."""

LONGEST_CLOSE = 5.0
"""Seconds that the end of zeroscale waits for a disk that does not answer; one that is slow is waited for."""

NO_SQLITE = "No history is kept: this Python has no sqlite3 (%s)"


class HistoryWriter:
    """Writes rows in a thread of its own. Its methods may be called from any thread.

    :param keep: seconds for which rows are kept.
    :param max_size: bytes that each file may have.
    :param pace: seconds between two transactions.
    """

    def __init__(self, keep: float, max_size: int, *, pace: float = PACE) -> None:
        self._keep = keep
        self._max_size = max_size
        self._pace = pace
        self._changed = threading.Condition()
        self._queue: deque[tuple[Path, Row]] = deque()
        self._reads: deque[Callable[[], None]] = deque()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._lost = 0
        self._written = 0
        self._reported: set[str] = set()
        self._files: dict[Path, HistoryFile] = {}

    def write(self, directory: Path, rows: Sequence[Row]) -> None:
        """Write rows soon.

        :param directory: the state directory of their server.
        """
        if not rows:
            return
        with self._changed:
            room = MOST_QUEUED - len(self._queue)
            self._queue.extend((directory, row) for row in rows[: max(0, room)])
            if room < len(rows):
                self._lose(len(rows) - max(0, room))
            self._start()
            self._changed.notify_all()

    def read(self, call: Callable[[], None]) -> bool:
        """Call `call` in the thread, after all rows before it were written; False: there is no thread for it."""
        with self._changed:
            self._start()
            if self._thread is None:
                return False
            self._reads.append(call)
            self._changed.notify_all()
        return True

    def close(self) -> None:
        """Write what is queued, and end the thread; this waits until nothing is written for `LONGEST_CLOSE`."""
        with self._changed:
            thread, self._thread = self._thread, None
            self._closing = True
            self._changed.notify_all()
        if thread is None:
            return
        written = -1
        while thread.is_alive():
            if self._written == written:
                logger.error("The last entries of the history may be lost: the disk does not answer")
                return
            written = self._written
            thread.join(LONGEST_CLOSE)

    def _start(self) -> None:
        if self._thread is not None or self._closing:
            return
        # A daemon thread: a disk that does not answer must not keep the interpreter from exiting.
        thread = threading.Thread(target=self._run, name="zeroscale-history", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            self._report("thread", "No thread can write the history: %s", error)
        else:
            self._thread = thread

    def _lose(self, number: int) -> None:
        self._lost += number
        self._report("lost", "The disk is too slow for the history: entries are lost")

    def _report(self, kind: str, text: str, *arguments: object) -> None:
        if kind not in self._reported:
            self._reported.add(kind)
            logger.warning(text, *arguments)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._reads or self._closing)
                reads, self._reads = self._reads, deque()
                queue, self._queue = self._queue, deque()
                lost, self._lost = self._lost, 0
                if not (queue or reads):
                    return
            if lost:
                logger.warning("%d entries of the history were lost", lost)
            self._write(queue)
            for call in reads:
                call()
            with self._changed:
                self._changed.wait_for(lambda: self._reads or self._closing, self._pace)

    def _write(self, queue: deque[tuple[Path, Row]]) -> None:
        try:
            from zeroscale.history.database import HistoryFile  # SQLite takes 2 MiB
        except ImportError as error:
            self._report("sqlite", NO_SQLITE, error)
            return
        batches: dict[Path, list[Row]] = {}
        for directory, row in queue:
            batches.setdefault(directory, []).append(row)
        for directory, rows in batches.items():
            file = self._files.get(directory)
            if file is None:
                file = self._files[directory] = HistoryFile(directory, self._keep, self._max_size)
            try:
                file.write(rows)
            except Exception:  # a fault of ours must not stop all later entries, and answers
                logger.exception("A fault in zeroscale itself: %d entries of %s are lost", len(rows), file.path)
            self._written += 1
