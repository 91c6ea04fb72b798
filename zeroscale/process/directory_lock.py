"""A lock on the directory in which only one server may run, held by the server process itself.

It shows a server that outlived its proxy also to a proxy with another state directory, and from the first moment on:
before the server has opened its world or bound its port.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
from pathlib import Path

from zeroscale.errors import PluginError
from zeroscale.process import procfs
from zeroscale.system import lock_file

logger = logging.getLogger(__name__)

LOCK_NAME = ".zeroscale.server"


class DirectoryLock:
    """The lock on one directory.

    :ivar path: the lock's file.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / LOCK_NAME

    def acquire(self) -> int | None:
        """Acquire the lock for a server that is about to be started.

        :returns: a descriptor that the server must inherit and the caller then close; None where the directory cannot
            be locked (logged).
        :raises PluginError: another server holds it.
        """
        while True:
            try:
                descriptor = self._lock()
            except OSError as error:
                logger.warning(
                    "cannot lock %s (%s): another zeroscale may start a second server there", self.path, error.strerror
                )
                return None
            if lock_file.is_named(self.path, descriptor):
                return descriptor
            os.close(descriptor)  # the previous holder removed the file after we had opened it

    def remove(self) -> None:
        """Remove the lock's file, unless a server holds the lock."""
        with contextlib.suppress(OSError):  # it is not there, or not ours: an empty file does no harm
            descriptor = lock_file.open_lock_file(self.path, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if lock_file.is_named(self.path, descriptor):
                    self.path.unlink()
            finally:
                os.close(descriptor)

    def _lock(self) -> int:
        descriptor = lock_file.open_lock_file(self.path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise PluginError(self._holder()) from None
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    def _holder(self) -> str:
        holders = procfs.lock_holders(self.path)
        which = f" (pid {', '.join(map(str, holders))})" if holders else ""
        return f"another zeroscale's server{which} runs in this directory already: it holds {self.path}"
