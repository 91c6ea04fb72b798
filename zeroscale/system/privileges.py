"""Directories for a user that this process is about to become: made while it is still root, and given away.

What is there already keeps its owner: root does not hand out what somebody else has made.
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
    """Who is to own what is made.

    :ivar user_id: None: it stays as it is.
    :ivar group_id: likewise.
    """

    user_id: int | None
    group_id: int | None


def owner(user_id: int | None, group_id: int | None) -> Owner | None:
    """Whom this process is to become; None: it stays who it is. As twistd has it, a user brings its own group."""
    if user_id is None and group_id is None:
        return None
    if user_id is not None and group_id is None:
        with contextlib.suppress(KeyError):  # a number that has no name has no group either
            group_id = pwd.getpwuid(user_id).pw_gid
    return Owner(user_id, group_id)


def make_directories(paths: Iterable[Path], owner: Owner) -> None:
    """Makes what is missing of these, with their parents, each of which is then the owner's. What cannot be made is
    left to who needs it, and tells better what for.
    """
    for path in paths:
        missing = [each for each in (path, *path.parents) if not each.exists()]
        for directory in reversed(missing):
            try:
                directory.mkdir(mode=0o755)
                give(directory, owner)
            except OSError as error:
                logger.debug("Not made: %s", error)
                break


def give(path: Path, owner: Owner) -> None:
    """Makes it the owner's.

    :raises OSError: it cannot be done.
    """
    os.chown(path, -1 if owner.user_id is None else owner.user_id, -1 if owner.group_id is None else owner.group_id)
