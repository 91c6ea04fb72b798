"""Two files by which an operator, or a backup script, holds a server up or down: made to hold, removed to let go.

They lie in the server's working directory. What is in `zeroscale.keep-asleep` is what players are told.
"""

from __future__ import annotations

import logging
from pathlib import Path

from zeroscale.system.files import read_bounded

logger = logging.getLogger(__name__)

KEEP_AWAKE = "zeroscale.keep-awake"
KEEP_ASLEEP = "zeroscale.keep-asleep"

LONGEST_TEXT = 2000
"""Bytes read of the text for players: a kick shows a few lines."""

DEFAULT_TEXT = "This server is being looked after. Please come back later."


class FlagFiles:
    """The two files of one server.

    :param directory: its working directory.
    """

    def __init__(self, directory: Path) -> None:
        self._awake = directory / KEEP_AWAKE
        self._asleep = directory / KEEP_ASLEEP

    def keep_awake_reason(self) -> str | None:
        """Why it is held up, in words for the log; None where it is not."""
        return f"{self._awake} is there" if self._awake.exists() else None

    def lockout(self) -> str | None:
        """What players are told while it is held down; None where it is not."""
        if not self._asleep.exists():
            return None
        try:
            content = read_bounded(self._asleep, LONGEST_TEXT)
        except (OSError, ValueError) as error:
            logger.debug("%s holds the server down; its text cannot be used: %s", self._asleep, error)
            return DEFAULT_TEXT
        if content is None:
            return None
        return content.decode("utf-8", "replace").strip() or DEFAULT_TEXT
