"""Bounded reads, atomic writes, and damaged files set aside.

There are three readers, none of which waits for a FIFO. `read_bounded` is for files of others, such as those of a game
(`read_start` and `open_other` for parts of them), and `read_configured` for those that the configuration names: they
may be symlinks, as secrets of Docker and Kubernetes are. `read_own` is for files that belong to zeroscale or that an
operator makes for it: other users may be able to write to the directory, so a symlink is not followed.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, TypeVar

from zeroscale.errors import ConfigError
from zeroscale.system.privileges import opening

logger = logging.getLogger("zeroscale.system")

T = TypeVar("T")

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+@-]{0,99}")
"""A server's name: one path component that is neither hidden nor an option, and fits every file system (255 bytes)."""

UNTRUSTED = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""Flags of `os.open` for a file of ours: a symlink is an error, and a FIFO is not waited for."""

FOLLOWED = os.O_NONBLOCK | os.O_CLOEXEC
"""Flags of `os.open` for a file of others: a symlink is followed, and a FIFO is not waited for."""

NOT_REGULAR = "it is not a regular file"

MOST_DAMAGED = 10
"""How many names are tried for a file that is set aside; a directory in the way cannot be replaced."""


def server_directory(state_directory: Path, name: str) -> Path:
    """Return the state directory of the server of this name.

    :raises ConfigError: the name cannot be the name of a directory.
    """
    if NAME.fullmatch(name) is None:
        raise ConfigError(
            f"server name {name!r} cannot be a directory's name: use up to 100 letters, digits and . _ + @ -, "
            "beginning with a letter, a digit or _"
        )
    return state_directory / name


def directory_problem(path: Path) -> str | None:
    """Return why a path cannot be used as a directory, in words that follow it; None: it can be."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return "does not exist"
        return f"cannot be used: {error.strerror}"
    return None if stat.S_ISDIR(mode) else "is not a directory"


def make_private(directory: Path) -> None:
    """Create a directory of ours and its parents where they are missing, also when they were removed since our start.

    :raises OSError: that is not possible.
    """
    missing = [each for each in (directory, *directory.parents) if not each.exists()]
    for each in reversed(missing):  # not `parents=True`, which would give parents the umask's mode
        each.mkdir(mode=0o700, exist_ok=True)
    if not directory.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(directory))


def open_own(path: Path, flags: int) -> int:
    """Open a file of ours without following a symlink and without blocking; it is created with mode 0600.

    :param flags: as of `os.open`.
    :return: a descriptor that children do not inherit.
    :raises OSError: it cannot be opened, or is a symlink.
    :raises ValueError: it is not a regular file.
    """
    return _open_regular(path, flags | UNTRUSTED)


def create_own(path: Path, flags: int) -> int:
    """Create a file of ours in place of what is there: never through a symlink or another name of the same file.

    A missing directory is created.

    :param flags: as of `os.open`.
    :return: a descriptor that children do not inherit.
    :raises OSError: it cannot be created.
    """
    flags |= os.O_CREAT | os.O_EXCL | UNTRUSTED
    for _attempt in range(2):
        try:
            return os.open(path, flags, 0o600)
        except FileExistsError:
            if stat.S_ISDIR(path.lstat().st_mode):
                set_aside(path)
            else:
                path.unlink()
        except FileNotFoundError:
            make_private(path.parent)
    return os.open(path, flags, 0o600)


def write_atomically(path: Path, content: bytes, *, sync: bool = True) -> None:
    """Replace a file of ours: after a crash at any moment it has the old content or the new one, never a part.

    Only one writer at a time is allowed; the caller holds the directory's lock. A missing directory is created.

    :param sync: whether the content must also survive a power cut.
    :raises OSError: writing failed; the file has its old content, or the new one where only the last fsync failed.
    """
    new = path.with_name(f"{path.name}.new")
    descriptor = create_own(new, os.O_WRONLY)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            if sync:
                os.fsync(descriptor)
        try:
            new.replace(path)
        except IsADirectoryError:
            set_aside(path)
            new.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            new.unlink()
        raise
    if not sync:
        return
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def read_bounded(path: Path, limit: int) -> bytes | None:
    """Return the content of a file of others, which may be a symlink; None if there is no file.

    :param limit: the most bytes it may have.
    :raises OSError: it cannot be read.
    :raises ValueError: it is longer, or not a regular file.
    """
    try:
        descriptor = _open_regular(path, os.O_RDONLY | FOLLOWED)
    except FileNotFoundError:
        return None
    return _content(descriptor, limit)


def read_start(path: Path, size: int) -> bytes | None:
    """Return the first bytes of a file of others, which may be a symlink; None if there is no file.

    :param size: the most bytes that are read.
    :raises OSError: it cannot be read.
    :raises ValueError: it is not a regular file.
    """
    try:
        with open_other(path) as file:
            return file.read(size)
    except FileNotFoundError:
        return None


def open_other(path: Path) -> BinaryIO:
    """Open a file of others, which may be a symlink, to read parts of it.

    :raises OSError: it cannot be opened.
    :raises ValueError: it is not a regular file.
    """
    return os.fdopen(_open_regular(path, os.O_RDONLY | FOLLOWED), "rb")


def read_configured(path: Path, limit: int, examine: Callable[[os.stat_result], None] | None = None) -> bytes:
    """Return the content of a file that the configuration or the command line names; it may be a symlink.

    :param limit: the most bytes it may have.
    :param examine: called with the status of the file that is read.
    :raises ConfigError: it cannot be read, is longer, or is not a regular file; the message names it.
    """
    try:
        return _content(_open_regular(path, os.O_RDONLY | FOLLOWED), limit, examine)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"cannot read {path}: {error}") from None


def read_own(path: Path, limit: int, examine: Callable[[os.stat_result], None] | None = None) -> bytes | None:
    """Return the content of a file of ours or of the operator; None if there is no file.

    :param limit: the most bytes it may have.
    :param examine: called with the status of the file that is read; may raise a ValueError.
    :raises OSError: it cannot be read, or is a symlink.
    :raises ValueError: it is longer, or not a regular file.
    """
    try:
        descriptor = _open_regular(path, os.O_RDONLY | UNTRUSTED)
    except FileNotFoundError:
        return None
    return _content(descriptor, limit, examine)


def load(path: Path, limit: int, decode: Callable[[bytes], T], lost: str) -> T | None:
    """Return what a file of ours contains; None if there is no file.

    A file that cannot be used, for whatever reason, is renamed to `NAME.damaged`, which costs one warning.

    :param limit: the most bytes it may have.
    :param decode: converts the content; any exception means that it is damaged.
    :param lost: what is lost with a damaged file, for the warning.
    """
    try:
        content = read_own(path, limit)
        return None if content is None else decode(content)
    except OSError as error:
        reason = error.strerror or str(error)
    except RecursionError:
        reason = "it is nested too deeply"
    except Exception as error:  # an error of any kind in a parser must cost no more than the content
        reason = str(error)
    try:
        kept = f"it is now {set_aside(path).name}"
    except OSError as error:
        kept = f"it cannot be renamed ({error.strerror})"
    logger.warning("%s is damaged (%s): %s; %s", path, reason, lost, kept)
    return None


def set_aside(path: Path) -> Path:
    """Rename whatever is at a path to `NAME.damaged`; an older file of that name is replaced.

    :return: the new path.
    :raises OSError: the directory cannot be written.
    """
    names = [f"{path.name}.damaged", *(f"{path.name}.damaged.{number}" for number in range(2, MOST_DAMAGED))]
    for name in names[:-1]:
        aside = path.with_name(name)
        try:
            return move(path, aside)
        except OSError:
            if not os.path.lexists(aside):  # nothing is in the way: the directory cannot be written
                raise
    return move(path, path.with_name(names[-1]))


def move(path: Path, target: Path) -> Path:
    """Rename a file, and replace what is there; also if that is the same file, where rename(2) does nothing.

    :return: the new path.
    :raises OSError: the directory cannot be written.
    """
    path.replace(target)
    with contextlib.suppress(FileNotFoundError):
        if os.path.samestat(path.lstat(), target.lstat()):
            path.unlink()
    return target


def resolved(path: Path) -> Path:
    """Return the path without links; unlike with `Path.resolve`, one that leads in a circle is no error."""
    return Path(os.path.realpath(path))


def _open_regular(path: Path, flags: int) -> int:
    """Open a file; the flags must include `os.O_NONBLOCK`.

    :raises OSError: it cannot be opened.
    :raises ValueError: it is not a regular file.
    """
    try:
        with opening(path):
            descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.EISDIR):  # a socket; a directory that is opened for writing
            raise ValueError(NOT_REGULAR) from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError(NOT_REGULAR)
    return descriptor


def _content(descriptor: int, limit: int, examine: Callable[[os.stat_result], None] | None = None) -> bytes:
    """Read a file to its end, and close it.

    :raises OSError: it cannot be read.
    :raises ValueError: it is longer, or `examine` raises this.
    """
    with os.fdopen(descriptor, "rb") as file:
        if examine is not None:
            examine(os.fstat(descriptor))
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"it is longer than {limit} bytes")
    return content
