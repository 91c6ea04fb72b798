"""Flag files of a server: `zeroscale.keep-awake` and `zeroscale.keep-asleep` in its working directory.

An operator or a backup script creates one to keep the server running or stopped, and removes it again. The content of
`zeroscale.keep-asleep` is the text for players.
"""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

from zeroscale.system.files import read_own

logger = logging.getLogger("zeroscale.server")

KEEP_AWAKE = "zeroscale.keep-awake"
KEEP_ASLEEP = "zeroscale.keep-asleep"

LONGEST_TEXT = 2000
"""Bytes of the text for players: a kick shows a few lines."""


class FlagFiles:
    """The two flag files of one server. Each call looks at them; `lifecycle.server_view` limits how often it does.

    Other users may be able to write to the directory, through a file server for example. So only a regular file counts:
    the target of a symlink would be shown to every player. Of a file with another name (a hard link) no text is shown.

    :param directory: the server's working directory.
    :ivar keep_asleep: the path of the file that keeps the server asleep.
    """

    def __init__(self, directory: Path) -> None:
        self._keep_awake = directory / KEEP_AWAKE
        self.keep_asleep = directory / KEEP_ASLEEP
        self._ignored: set[Path] = set()

    def keep_awake_reason(self) -> str | None:
        """Return what keeps the server awake; None if nothing does."""
        return f"kept awake by {self._keep_awake}" if self._exists(self._keep_awake) else None

    def lockout(self) -> str | None:
        """Return the text for players while the server is kept asleep, "" if there is none; None if it is not."""
        if not self._exists(self.keep_asleep):
            return None
        try:
            content = read_own(self.keep_asleep, LONGEST_TEXT, _check_names)
        except (OSError, ValueError) as error:
            logger.debug("%s keeps the server asleep; its text cannot be used: %s", self.keep_asleep, error)
            return ""
        if content is None:
            return None
        return content.decode("utf-8", "replace").strip()

    def _exists(self, path: Path) -> bool:
        try:
            mode = path.lstat().st_mode
        except OSError:
            self._ignored.discard(path)
            return False
        if stat.S_ISREG(mode):
            return True
        if path not in self._ignored:
            self._ignored.add(path)
            logger.warning("%s has no effect: it must be a regular file, not a link or a directory", path)
        return False


def _check_names(found: os.stat_result) -> None:
    if found.st_nlink > 1:
        raise ValueError("it has another name, and may be another file of ours")
