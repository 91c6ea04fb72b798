"""What a server's operator has said by command: keep-awake, lockout, sleep, a planned stop. Survives restarts."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec

from zeroscale.event_text import format_moment
from zeroscale.system.background_file import BackgroundFile, FileWriter
from zeroscale.system.files import load

logger = logging.getLogger("zeroscale.server")

OPERATOR = "its operator"
"""Whose account is not known."""

VERSION = 1
"""The version of the file's format."""

LARGEST_FILE = 16 * 1024
"""Bytes; a text for players has a few hundred."""


LONGEST_NAME = 100
"""Characters of an account's name."""

LATEST = 1e11
"""Seconds since 1970 that are still a date of four digits."""

Moment = Annotated[float, msgspec.Meta(ge=0, le=LATEST)]
Account = Annotated[str, msgspec.Meta(max_length=LONGEST_NAME)]


class _Overrides(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The file's content.

    :ivar awake_until: seconds since 1970; 0: without end; None: not kept awake.
    :ivar awake_by: the account that keeps it awake; "": not known, as in files of earlier versions.
    :ivar lockout: the text for players; None: not locked out.
    :ivar lockout_by: the account that has locked it out; "": not known.
    :ivar stop_at: when it is to be stopped, in seconds since 1970; None: no stop is planned.
    :ivar stop_by: the account that has planned that; "": not known.
    :ivar slept_at: when it was put to sleep in spite of its schedule, in seconds since 1970; None: it was not.
    """

    version: int = VERSION
    awake_until: Moment | None = None
    awake_by: Account = ""
    lockout: str | None = None
    lockout_by: Account = ""
    stop_at: Moment | None = None
    stop_by: Account = ""
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

    def keep_awake(self, seconds: float | None, operator: str = "") -> None:
        """Keep the server awake.

        :param seconds: for how long from now; None: until `release()`.
        :param operator: name of the operator's account; "": it is not known.
        """
        self._overrides.awake_until = 0.0 if seconds is None else min(self._now() + seconds, LATEST)
        self._overrides.awake_by = operator[:LONGEST_NAME]
        self._write()

    def lock_out(self, message: str, operator: str = "") -> None:
        """Let no player wake the server.

        :param message: the text for players; "": there is none.
        :param operator: name of the operator's account; "": it is not known.
        """
        self._overrides.lockout = message
        self._overrides.lockout_by = operator[:LONGEST_NAME]
        self._write()

    def note_stop(self, at: float | None, operator: str = "") -> None:
        """Note when the server is to be stopped.

        :param at: in seconds since 1970; None: no stop is planned any more.
        :param operator: name of the operator's account; "": it is not known.
        """
        self._overrides.stop_at = None if at is None else min(at, LATEST)
        self._overrides.stop_by = operator[:LONGEST_NAME]
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
        """Return who keeps the server awake, and until when; None if nobody does."""
        until, now = self._overrides.awake_until, self._now()
        if until is None or 0.0 < until <= now:
            return None
        end = "it is released" if until == 0.0 else format_moment(until, now, time.localtime)
        return f"kept awake by {self._overrides.awake_by or OPERATOR} until {end}"

    @property
    def lockout(self) -> str | None:
        """The text for players while the server is locked out, "" if there is none; None if it is not."""
        return self._overrides.lockout

    @property
    def stop_at(self) -> float | None:
        """When the server is to be stopped, in seconds since 1970; None: no stop is planned."""
        return self._overrides.stop_at

    @property
    def stop_by(self) -> str:
        """The account of the operator who has planned the stop; "": it is not known."""
        return self._overrides.stop_by

    @property
    def slept_at(self) -> float | None:
        """When the server was put to sleep though its schedule keeps it awake; None: it was not, or woken since."""
        return self._overrides.slept_at

    @property
    def lockout_by(self) -> str:
        """Who has locked the server out."""
        return self._overrides.lockout_by or OPERATOR

    def _write(self) -> None:
        self._file.write(msgspec.json.encode(self._overrides))
        self._changed()


def _decoded(content: bytes) -> _Overrides:
    return msgspec.json.decode(content, type=_Overrides)
