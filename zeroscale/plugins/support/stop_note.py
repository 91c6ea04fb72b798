"""A note in the server's state directory that it is being stopped, for a server that is not a child process of ours.

It is written before the stop is requested, and removed when the stop has ended. If zeroscale is killed in between, the
next one finds the server and the note, and continues the stop. A note of an earlier run is not believed: where the
plugin can tell one run from the next, a server that was started since is never stopped by it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from zeroscale.process.procfs import boot_id
from zeroscale.process.record import StopProgress
from zeroscale.system.files import load, write_atomically

logger = logging.getLogger("zeroscale.server")

VERSION = 1
LARGEST_NOTE = 4096
"""Bytes."""

CONFIRM_INTERVAL = 10.0
"""Seconds between two writes of a note, so that its age is the time since zeroscale was killed."""

BELIEVED_FOR = 60.0
"""Seconds for which a note is believed that does not prove that the server is about to end: a service manager restarts
zeroscale within seconds, and after a longer time the server may be in use."""


def seconds_since_boot() -> float:
    """Return how long this boot has lasted, including the time for which the machine was suspended."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class StopNote:
    """The note of one server.

    A run is identified by a text that is different after each start of the server, such as a container's id and
    start time. Where a plugin has no such text (None), or the run may not have been asked to stop, the note is believed
    only for a short time and in the same boot.

    :param directory: the server's state directory.
    :param subject: the arguments by which a plugin without such a text finds and stops its server: after a change of
        the configuration, the note is about another server.
    :param clock: seconds, the same for all processes of one boot.
    """

    def __init__(
        self, directory: Path, subject: Sequence[object] = (), clock: Callable[[], float] = seconds_since_boot
    ) -> None:
        self._path = directory / "stop.json"
        self._subject = hashlib.sha256(json.dumps(subject).encode()).hexdigest()
        self._clock = clock
        self._run: str | None = None
        self._progress: StopProgress | None = None
        self._failed = False
        self._left = False

    def find(self, run: str | None) -> StopProgress | None:
        """Return how far the stop of this run has got; None: no stop of it was begun.

        A note of another run or server is removed. A damaged one costs a warning.
        """
        note = load(self._path, LARGEST_NOTE, _parse, "a stop that was begun before is not continued")
        if note is None:
            return None
        subject, run_of_note, progress, boot, written = note
        known = subject == self._subject and run_of_note == run
        asked = run is not None and progress is StopProgress.sent
        if known and (asked or self._is_recent(boot, written)):
            return progress
        self.remove()
        return None

    @contextmanager
    def kept(self, run: str | None, progress: StopProgress = StopProgress.requested) -> Iterator[None]:
        """Keep the note while the server is stopped; call this in the event loop, before the stop is requested.

        It is removed at the end, also when the stop has failed. A note that cannot be written costs a warning.

        :param run: the run that is stopped.
        :param progress: how far its stop has got.
        """
        self._run, self._progress, self._failed = run, progress, False
        self._save()
        confirmation = asyncio.get_running_loop().create_task(self._confirm())
        try:
            yield
        except Exception:
            self.remove()  # the server was not stopped; when it is found again, it is one that runs
            raise
        else:
            self.remove()
        finally:
            self._progress = None
            confirmation.cancel()

    def mark_sent(self) -> None:
        """Note that the server has been asked to stop, so that the next zeroscale need not ask again."""
        if self._progress is StopProgress.requested:
            self._progress = StopProgress.sent
            self._save()

    def remove(self) -> None:
        """Remove the note, if there is one."""
        if self._left:
            return
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            if os.path.lexists(self._path):  # of a missing name, a read-only file system says that it is read-only
                logger.warning(
                    "Cannot remove %s (%s): the next zeroscale may stop the server once more",
                    self._path,
                    error.strerror,
                )

    def leave(self) -> None:
        """Leave the note to the next zeroscale, whatever becomes of a stop that is under way: this plugin is closed."""
        self._left = True

    async def _confirm(self) -> None:
        while True:
            await asyncio.sleep(CONFIRM_INTERVAL)
            self._save()

    def _save(self) -> None:
        if self._left or self._progress is None:
            return
        note = {
            "version": VERSION,
            "subject": self._subject,
            "run": self._run,
            "progress": self._progress,
            "boot_id": boot_id(),
            "written": self._clock(),
        }
        try:
            write_atomically(self._path, json.dumps(note).encode() + b"\n", sync=False)
        except OSError as error:
            if not self._failed:
                logger.warning(
                    "Cannot write %s (%s): if zeroscale is killed before the server has stopped, the next one does not "
                    "know of the stop",
                    self._path,
                    error.strerror,
                )
            self._failed = True

    def _is_recent(self, boot: str | None, written: float) -> bool:
        return boot is not None and boot == boot_id() and 0 <= self._clock() - written <= BELIEVED_FOR


def _parse(content: bytes) -> tuple[str, str | None, StopProgress, str | None, float]:
    """Return the subject, the run, its progress, and in which boot and when the note was written."""
    match json.loads(content):
        case {"version": int(version), **_rest} if version != VERSION:
            raise ValueError(f"it is of version {version}, not {VERSION}")
        case {
            "version": int(),
            "subject": str(subject),
            "run": str() | None as run,
            "progress": str(progress),
            "boot_id": str() | None as boot,
            "written": int() | float() as written,
        }:
            return subject, run, StopProgress(progress), boot, float(written)
        case _:
            raise ValueError("it is not a note of a stop")
