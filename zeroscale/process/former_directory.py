"""Take over the state directory that a server had under a former name, and the server that runs from it.

A server of the command line was called PLUGIN-SERVERPORT once, and is called PLUGIN-LISTENPORT now. As one server's
former name may be another's name, each directory under a name of the new kind contains the file `MARKER`.

The directory is renamed, which a crash cannot interrupt. What a running server has of it (its lock, its output file,
its console) is renamed with it; only the value of `group.MARK` in its environment is not, so its record keeps that.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import stat
from pathlib import Path

from zeroscale.errors import StateError
from zeroscale.process import inherited_lock
from zeroscale.process.group import LOCK, mark_of
from zeroscale.process.record import FILE, load_record
from zeroscale.system.files import make_private, open_own
from zeroscale.system.lock_file import Lock

logger = logging.getLogger("zeroscale.server")

MARKER = "named-after-listen-port"
"""An empty file in the directory of a server that is not called by its former name."""


def take_over(former: Path, directory: Path, lock_name: str) -> None:
    """Rename the directory of a server's former name, unless there is none, or one of the new name with files in it.

    What prevents it is logged, and the server begins with an empty directory.

    :param former: the directory under the former name; the same as `directory` if the name has not changed.
    :param directory: the directory under the name of now; created if missing.
    :param lock_name: the name of the file in a directory that the zeroscale which uses it has locked.
    :raises StateError: another zeroscale, of an earlier version, runs the server under its former name.
    """
    if former == directory:
        return
    try:
        if _may_be_taken(former):
            _rename(former, directory, lock_name)
    except StateError as error:
        raise StateError(f"{directory.name} was called {former.name} by an earlier version; {error}") from None
    except OSError as error:
        logger.warning(
            "%s, which has the state of %s under its former name, cannot be taken over: %s",
            former,
            directory.name,
            error.strerror,
        )
    with contextlib.suppress(OSError, ValueError):  # whoever uses the directory next reports it
        make_private(directory)
        os.close(open_own(directory / MARKER, os.O_WRONLY | os.O_CREAT))


def _may_be_taken(former: Path) -> bool:
    try:
        return stat.S_ISDIR(former.lstat().st_mode) and not os.path.lexists(former / MARKER)
    except FileNotFoundError:
        return False


def _rename(former: Path, directory: Path, lock_name: str) -> None:
    lock = Lock(former / lock_name)
    lock.acquire()
    try:
        _keep_mark(former)
        former.rename(directory)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        logger.warning(
            "%s is used, not %s, which has the same server's state under its former name: %sremove that",
            directory,
            former,
            "stop the server that still runs from it, and " if inherited_lock.is_held(former / LOCK) else "",
        )
    else:
        logger.info("%s is called %s now: %s has been renamed", former.name, directory.name, former)
    finally:
        lock.release()


def _keep_mark(former: Path) -> None:
    record = load_record(former / FILE)
    if record is None:
        return
    try:
        record.with_mark(mark_of(former)).save(former / FILE)
    except OSError as error:  # needed only for a server that has replaced its own process, or runs in the background
        logger.warning("the record of the running server cannot be written: %s", error.strerror)
