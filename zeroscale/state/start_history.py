"""What one server's starts and players have shown, kept on disk across restarts, and the locks on its directories.

An invalid file is logged and ignored, and a failed write is logged: neither prevents a start. Writing does not block.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec.structs import replace

from zeroscale.errors import StateError
from zeroscale.events import ServerEvent
from zeroscale.server_log import ServerLog
from zeroscale.state.last_events import LastEvents
from zeroscale.system.background_file import BackgroundFile, FileWriter
from zeroscale.system.files import load, make_private
from zeroscale.system.lock_file import ForeignLockError, Lock

logger = logging.getLogger("zeroscale.server")

VERSION = 1
"""The version of the file's format; a file of another version counts as damaged."""

LOCK = "lock"
"""The name of the lock in the state directory."""

WORLD_LOCK = ".zeroscale.lock"

STARTS_KEPT = 20
"""Enough for a median that follows a growing world and is not dominated by the slow first start."""

LONGEST_START = 86400.0
"""Seconds; a longer start was a suspended machine."""

LONGEST_REASON = 2000
"""Characters: a sentence and the last lines of a server's output."""

LARGEST_FILE = 64 * 1024
"""Bytes; a file has a few hundred."""

Seconds = Annotated[float, msgspec.Meta(ge=0, le=LONGEST_START)]


class _History(msgspec.Struct, kw_only=True):
    """The file's content.

    :ivar starts: durations of the latest starts, in seconds.
    :ivar crashes: crashes in a row.
    :ivar reason: the reason of the last crash.
    :ivar player_protocol: the protocol number of the last player.
    :ivar events: the last wake and the last stop.
    """

    version: int = VERSION
    starts: Annotated[list[Seconds], msgspec.Meta(max_length=STARTS_KEPT)] = []
    crashes: Annotated[int, msgspec.Meta(ge=0)] = 0
    reason: Annotated[str, msgspec.Meta(max_length=LONGEST_REASON)] | None = None
    player_protocol: int | None = None
    events: LastEvents = LastEvents()


class StartHistory:
    """The history of one server. Nothing is written before `open()` and after `close()`.

    :param directory: the server's state directory (`system.files.server_directory`); created if missing.
    :param writer: writes the file.
    :param world: the directory of the server's world, which only one zeroscale may use at a time; None where servers
        may share their working directory.
    :param changed: called when `estimate` may be another.
    """

    def __init__(
        self,
        directory: Path,
        writer: FileWriter,
        world: Path | None = None,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._directory = directory
        self._log = ServerLog(logger, directory.name)
        self._file = directory / "record.json"
        self._writer = BackgroundFile(self._file, writer)
        self._lock = Lock(directory / LOCK)
        self._world_lock = Lock(world / WORLD_LOCK) if world is not None else None
        self._history = _History()
        self._changed = changed

    def open(self) -> None:
        """Acquire the locks and read the file.

        A lock of another user in the world is logged: `lock_error()` tells before each start whether it is still there.

        :raises StateError: another zeroscale runs this server or uses its world, or the directory cannot be used.
        """
        self._lock_directory()
        try:
            self._lock_world()
        except ForeignLockError as error:  # made by a user of this world, who must not prevent the start of others
            self._log.error("%s; this server is not started before", error)
        except StateError:
            self._lock.release()
            raise
        lost = "past start times are lost"
        self._history = load(self._file, LARGEST_FILE, _decoded, lost) or _History()
        self._changed()

    def close(self) -> None:
        """Wait until everything is written, and release the locks."""
        self._writer.flush()
        if self._world_lock is not None:
            self._world_lock.release()
        self._lock.release()

    def set_world_directory(self, world: Path | None) -> None:
        """Change the world's directory; `lock_error()` tells before the next start whether it may be used."""
        if world == (None if self._world_lock is None else self._world_lock.path.parent):
            return
        if self._world_lock is not None:
            self._world_lock.release()
        self._world_lock = None if world is None else Lock(world / WORLD_LOCK)
        self.lock_error()

    def lock_error(self) -> str | None:
        """Acquire the locks again that are not held, or whose files were removed; return why that failed, or None."""
        if not self._lock.held:
            return None
        try:
            self._lock_directory()
            self._lock_world()
        except StateError as error:
            return str(error)
        return None

    @property
    def estimate(self) -> float | None:
        """The median of the past starts, in seconds; None before the first one."""
        durations = sorted(self._history.starts)
        if not durations:
            return None
        middle = len(durations) // 2
        return (durations[middle] + durations[~middle]) / 2

    @property
    def crashes(self) -> int:
        """How often the server has crashed in a row."""
        return self._history.crashes

    @property
    def reason(self) -> str | None:
        """The reason of the last crash; None after `clear_crashes()`."""
        return self._history.reason

    def record_start(self, seconds: float) -> None:
        """Record how long a start took. The crashes stay: a server may crash after each start.

        :param seconds: from the start to readiness.
        """
        starts = [*self._history.starts, min(max(seconds, 0.0), LONGEST_START)][-STARTS_KEPT:]
        self._write(replace(self._history, starts=starts))
        self._changed()

    def record_crash(self, reason: str) -> int:
        """Count one more crash.

        :param reason: a sentence, and the last lines of the server's output.
        :returns: the number of crashes in a row.
        """
        crashes = self._history.crashes + 1
        self._write(replace(self._history, crashes=crashes, reason=_bounded(reason)))
        return crashes

    def clear_crashes(self) -> None:
        """Set the number of crashes to 0."""
        if self._history.crashes or self._history.reason is not None:
            self._write(replace(self._history, crashes=0, reason=None))

    @property
    def player_protocol(self) -> int | None:
        """The protocol number of the last Minecraft player; None before the first one."""
        return self._history.player_protocol

    def record_player(self, protocol: int) -> None:
        """Record the protocol number of a player's client."""
        if protocol != self._history.player_protocol:
            self._write(replace(self._history, player_protocol=protocol))

    @property
    def last_events(self) -> LastEvents:
        """The last wake and the last stop."""
        return self._history.events

    def record_event(self, event: ServerEvent) -> None:
        """Record the event if it is a wake or a stop."""
        events = self._history.events.after(event)
        if events is not self._history.events:
            self._write(replace(self._history, events=events))

    def _lock_directory(self) -> None:
        try:
            make_private(self._directory)
            self._lock.acquire()
        except OSError as error:
            raise StateError(
                f"cannot use {self._directory}: {error.strerror}; give another place with --state-directory"
            ) from None

    def _lock_world(self) -> None:
        if self._world_lock is None:
            return
        try:
            self._world_lock.acquire()
        except OSError as error:
            self._log.warning(
                "cannot lock %s (%s): only the world's session.lock prevents a second zeroscale from using it",
                self._world_lock.path,
                error.strerror,
            )

    def _write(self, history: _History) -> None:
        self._history = history
        if self._lock.held:
            self._writer.write(msgspec.json.encode(history))


def _decoded(content: bytes) -> _History:
    """Decode the file's content.

    :raises ValueError: it is invalid (`msgspec.DecodeError` is a ValueError).
    """
    history = msgspec.json.decode(content, type=_History)
    if history.version != VERSION:
        raise ValueError(f"its format is {history.version}, not {VERSION}")
    return history


def _bounded(reason: str) -> str:
    """Return the reason as the file can hold it: cut, and without lone surrogates."""
    return reason[:LONGEST_REASON].encode("utf-8", "replace").decode()
