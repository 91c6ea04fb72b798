"""Create directories as root for the user that this process will switch to.

Directories that exist keep their owner.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pwd
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Owner:
    """The owner of files and directories that are created.

    :ivar user_id: None: not changed.
    :ivar group_id: None: not changed.
    """

    user_id: int | None
    group_id: int | None


def owner(user_id: int | None, group_id: int | None) -> Owner | None:
    """Return the user and group that twistd switches to; None: it does not switch.

    Like twistd, a user without a group means the user's own group.
    """
    if user_id is None and group_id is None:
        return None
    if user_id is not None and group_id is None:
        with contextlib.suppress(KeyError):  # an id without an entry has no group either
            group_id = pwd.getpwuid(user_id).pw_gid
    return Owner(user_id, group_id)


def make_directories(paths: Iterable[Path], owner: Owner) -> None:
    """Create the missing directories and their missing parents, and give each to the owner.

    A directory that cannot be created is skipped: the code that needs it reports that better.
    """
    for path in paths:
        missing = [each for each in (path, *path.parents) if not each.exists()]
        for directory in reversed(missing):
            try:
                directory.mkdir(mode=0o755)
                give(directory, owner)
            except OSError as error:
                logger.debug("Directory not created: %s", error)
                break


def give(path: Path, owner: Owner) -> None:
    """Change the owner of a file or directory.

    :raises OSError: it cannot be changed.
    """
    os.chown(path, -1 if owner.user_id is None else owner.user_id, -1 if owner.group_id is None else owner.group_id)
