"""Open and create files and directories as root for the user that this process will switch to.

That user may be able to replace a directory or a file on the path by a link at any moment. So root works by path only
below directories that nobody else can change (`is_trusted`); everywhere else it acts as the user, and the kernel
checks each step. Directories and files that exist keep their owner.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pwd
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct

logger = logging.getLogger("zeroscale.system")

MOST_LINKS = 40
"""Links that the kernel follows on one path (path_resolution(7))."""

MOST_STEPS = 4096
"""Components of a path and of the links on it; the kernel's longest path has as many bytes."""


class Owner(Struct, frozen=True):
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


def python_problem(files: Iterable[str] = (os.__file__, __file__)) -> str | None:
    """Return why a late import will fail after the process has switched to another user; None: it will not.

    :param files: a file of Python and one of zeroscale.
    """
    for file in files:
        try:
            with Path(file).open("rb"):
                pass
        except PermissionError:
            return (
                f"User {os.geteuid()} cannot read {file}, so what is imported later will fail: install Python and "
                "zeroscale where that user can read them, and not in root's home directory"
            )
        except OSError:  # it may be in an archive, or outside of a new root directory
            pass
    return None


def is_trusted(directory: Path) -> bool:
    """Return whether only root and we can change what stands at a path, and which files are in the directory.

    The path is walked as the kernel does, through links, since a link may lead through a directory of another user. A
    directory that does not exist is not trusted.
    """
    trusted = {0, os.geteuid()}
    current = Path("/")
    steps = [*reversed((Path.cwd() / directory).parts[1:])]
    for _ in range(MOST_STEPS):
        try:
            mode = current.lstat().st_mode
        except OSError:
            return False
        others_write = mode & (stat.S_IWGRP | stat.S_IWOTH)
        if not steps:
            return not others_write
        # In a directory with the sticky bit, such as /tmp, nobody can replace what belongs to root.
        if others_write and not mode & stat.S_ISVTX:
            return False
        entry = current / steps.pop()
        try:
            found = entry.lstat()
            target = entry.readlink() if stat.S_ISLNK(found.st_mode) else None
        except OSError:
            return False
        if found.st_uid not in trusted or (target is None and not stat.S_ISDIR(found.st_mode)):
            return False
        if target is None:
            current = current.parent if entry.name == ".." else entry
        elif target.is_absolute():
            current, steps = Path("/"), [*steps, *reversed(target.parts[1:])]
        else:
            steps = [*steps, *reversed(target.parts)]
    return False


def is_trusted_file(path: Path) -> bool:
    """Return whether only root and we can change which file a path leads to; it need not exist."""
    for _ in range(MOST_LINKS):
        if not is_trusted(path.parent):
            return False
        try:
            path = path.parent / path.readlink()
        except PermissionError:
            return False
        except OSError:  # it is no link, or does not exist
            return True
    return False


@contextlib.contextmanager
def acting_as(owner: Owner) -> Iterator[None]:
    """Have the rights of the owner, and no others, inside the block. Only for root, and before threads are started."""
    user_id, group_id, groups = os.geteuid(), os.getegid(), os.getgroups()
    try:
        if owner.group_id is not None:
            os.setgroups([owner.group_id])
            os.setegid(owner.group_id)
        if owner.user_id is not None:
            with contextlib.suppress(KeyError):  # an id without an entry has no further groups
                name = pwd.getpwuid(owner.user_id).pw_name
                os.initgroups(name, os.getegid() if owner.group_id is None else owner.group_id)
            os.seteuid(owner.user_id)
        yield
    finally:
        os.seteuid(user_id)
        os.setegid(group_id)
        os.setgroups(groups)


class _Switch:
    """Which user this process will switch to."""

    owner: Owner | None = None


def switch_later(owner: Owner | None) -> None:
    """Say which user this process will switch to, if it is root now; None: it does not switch."""
    _Switch.owner = owner


def opening(path: Path) -> contextlib.AbstractContextManager[None]:
    """Have the rights that are safe for reading a file: root's, or those of the user that this process will switch to.

    That user could let a path lead to a file that only root may read, whose content it is then shown.
    """
    if _Switch.owner is None or os.geteuid() != 0 or is_trusted_file(path):
        return contextlib.nullcontext()
    return acting_as(_Switch.owner)


@contextlib.contextmanager
def creating_for(owner: Owner, directory: Path) -> Iterator[bool]:
    """Have the rights that are safe for creating something in a directory: root's, or those of the owner.

    :yields: whether they are root's, so that what is created must be given to the owner (`give`).
    """
    if is_trusted(directory):
        yield True
    else:
        with acting_as(owner):
            yield False


def make_directories(paths: Iterable[Path], owner: Owner) -> None:
    """Create the missing directories and their missing parents, as the owner's.

    A directory that cannot be created is skipped: the code that needs it reports that better.
    """
    for path in paths:
        missing = [each for each in (path, *path.parents) if not each.exists()]
        for directory in reversed(missing):
            try:
                with creating_for(owner, directory.parent) as as_root:
                    directory.mkdir(mode=0o755)
                    if as_root:
                        _give_directory(directory, owner)
            except OSError as error:
                logger.debug("Directory not created: %s", error)
                break


def give(descriptor: int, owner: Owner) -> None:
    """Change the owner of an open file or directory.

    :raises OSError: it cannot be changed.
    """
    user_id, group_id = owner.user_id, owner.group_id
    os.fchown(descriptor, -1 if user_id is None else user_id, -1 if group_id is None else group_id)


def _give_directory(directory: Path, owner: Owner) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        give(descriptor, owner)
    finally:
        os.close(descriptor)
