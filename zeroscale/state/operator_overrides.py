"""What a server's operator has said by command: keep-awake, lockout, sleep. Kept on disk across restarts."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import msgspec

from zeroscale.system.background_file import BackgroundFile, FileWriter
from zeroscale.system.files import load

logger = logging.getLogger(__name__)

VERSION = 1
"""The version of the file's format."""

LARGEST_FILE = 16 * 1024
"""Bytes; a text for players has a few hundred."""


class _Overrides(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The file's content.

    :ivar awake_until: seconds since 1970; 0: without end; None: not kept awake.
    :ivar lockout: the text for players; None: not locked out.
    :ivar slept_at: when it was put to sleep in spite of its schedule, in seconds since 1970; None: it was not.
    """

    version: int = VERSION
    awake_until: float | None = None
    lockout: str | None = None
    slept_at: float | None = None


class OperatorOverrides:
    """The overrides of one server.

    :param directory: the server's state directory.
    :param writer: writes the file.
    :param now: returns seconds since 1970: an override must survive a restart, a monotonic clock does not.
    :param changed: called after each change.
    """

    def __init__(
        self, directory: Path, writer: FileWriter, now: Callable[[], float], changed: Callable[[], None] = lambda: None
    ) -> None:
        self._path = directory / "operator.json"
        self._file = BackgroundFile(self._path, writer)
        self._now = now
        self._changed = changed
        self._overrides = _Overrides()

    def open(self) -> None:
        """Read the file; log a warning and set it aside if it is damaged."""
        lost = "keep-awake and lockout set by command are lost"
        self._overrides = load(self._path, LARGEST_FILE, _decoded, lost) or _Overrides()
        self._changed()

    def close(self) -> None:
        """Wait until everything is written."""
        self._file.flush()

    def keep_awake(self, seconds: float | None) -> None:
        """Keep the server awake.

        :param seconds: for how long from now; None: until `release()`.
        """
        self._overrides.awake_until = 0.0 if seconds is None else self._now() + seconds
        self._write()

    def lock_out(self, message: str) -> None:
        """Let no player wake the server.

        :param message: the text for players; "": there is none.
        """
        self._overrides.lockout = message
        self._write()

    def note_sleep(self) -> None:
        """Note that the server is put to sleep now, though its schedule keeps it awake."""
        self._overrides.slept_at = self._now()
        self._write()

    def note_wake(self) -> None:
        """Forget that the server was put to sleep."""
        if self._overrides.slept_at is not None:
            self._overrides.slept_at = None
            self._write()

    def release(self) -> None:
        """End all overrides."""
        if self._overrides != _Overrides():
            self._overrides = _Overrides()
            self._write()

    def keep_awake_reason(self) -> str | None:
        """Return why the server is kept awake, for the log; None if it is not."""
        until = self._overrides.awake_until
        if until is None:
            return None
        if until == 0.0:
            return "its operator keeps it awake"
        left = until - self._now()
        return f"its operator keeps it awake for another {_duration(left)}" if left > 0 else None

    @property
    def lockout(self) -> str | None:
        """The text for players while the server is locked out, "" if there is none; None if it is not."""
        return self._overrides.lockout

    @property
    def slept_at(self) -> float | None:
        """When the server was put to sleep though its schedule keeps it awake; None: it was not, or woken since."""
        return self._overrides.slept_at

    def _write(self) -> None:
        self._file.write(msgspec.json.encode(self._overrides))
        self._changed()


def _decoded(content: bytes) -> _Overrides:
    return msgspec.json.decode(content, type=_Overrides)


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{seconds:.0f} s" if minutes < 2 else f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"
