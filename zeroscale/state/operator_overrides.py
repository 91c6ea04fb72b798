"""What a server's operator has said by command: keep it up, or down. It outlives us, as what is said in files does.

It does not know who asks, nor what a server is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import msgspec

from zeroscale.state.flag_files import DEFAULT_TEXT
from zeroscale.system.files import BackgroundFile, read_bounded

logger = logging.getLogger(__name__)

VERSION = 1

LARGEST_FILE = 16 * 1024
"""Bytes; a text for players is a few hundred."""


class _Overrides(msgspec.Struct, kw_only=True, omit_defaults=True):
    """:ivar awake_until: seconds since the epoch; 0 is for ever, None is not at all."""

    version: int = VERSION
    awake_until: float | None = None
    lockout: str | None = None


class OperatorOverrides:
    """One server's operator's.

    :param directory: the server's own.
    :param now: seconds since the epoch: a wish for two hours must survive a restart, whose monotonic clock is another.
    """

    def __init__(self, directory: Path, now: Callable[[], float]) -> None:
        self._path = directory / "operator.json"
        self._kept = BackgroundFile(self._path)
        self._now = now
        self._wishes = _Overrides()

    def open(self) -> None:
        """Reads what was said before. A file that cannot be understood costs its content, and a warning."""
        try:
            content = read_bounded(self._path, LARGEST_FILE)
            if content is not None:
                self._wishes = msgspec.json.decode(content, type=_Overrides)
        except (OSError, ValueError) as error:
            logger.warning("What was said of this server by command is forgotten: %s: %s", self._path, error)

    def close(self) -> None:
        """Waits until all is written."""
        self._kept.flush()

    def keep_awake(self, seconds: float | None) -> None:
        """Keeps it up.

        :param seconds: for so long; None: for ever.
        """
        self._wishes.awake_until = 0.0 if seconds is None else self._now() + seconds
        self._write()

    def lock_out(self, message: str) -> None:
        """Has nobody wake it.

        :param message: for players; "" for words of ours.
        """
        self._wishes.lockout = message or DEFAULT_TEXT
        self._write()

    def release(self) -> None:
        """Takes all of it back."""
        if self._wishes != _Overrides():
            self._wishes = _Overrides()
            self._write()

    def keep_awake_reason(self) -> str | None:
        """Why it is kept up, in words for the log; None where it is not."""
        until = self._wishes.awake_until
        if until is None:
            return None
        if until == 0.0:
            return "its operator keeps it awake"
        left = until - self._now()
        return f"its operator keeps it awake for {_duration(left)} more" if left > 0 else None

    @property
    def lockout(self) -> str | None:
        """What players are told while it is held down; None where it is not."""
        return self._wishes.lockout

    def _write(self) -> None:
        self._kept.write(msgspec.json.encode(self._wishes))


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{seconds:.0f} s" if minutes < 2 else f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"
