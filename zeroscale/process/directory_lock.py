"""A lock on the directory in which only one server may run, held by the server itself, whoever has started it.

It tells of a server whose proxy is gone also to a proxy with another state directory, and that from its first moment
on: before it has opened its world, or bound its port.
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

    :param directory: where the server runs.
    :ivar path: its file.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / LOCK_NAME

    def acquire(self) -> int | None:
        """Takes it for a server that is about to be started.

        :returns: a descriptor that the server is to inherit, and the caller then to close; None where the directory
            takes no lock, which is said.
        :raises PluginError: another server has it.
        """
        while True:
            try:
                descriptor = self._locked()
            except OSError as error:
                logger.warning("cannot lock %s (%s): a second zeroscale is not kept from it", self.path, error.strerror)
                return None
            if lock_file.is_named(self.path, descriptor):
                return descriptor
            os.close(descriptor)  # whoever had it has removed it between our opening and our locking it

    def remove(self) -> None:
        """Takes its file away, unless a server has it."""
        with contextlib.suppress(OSError):  # it is not there, or not ours: an empty file harms nobody
            descriptor = lock_file.open_lock_file(self.path, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if lock_file.is_named(self.path, descriptor):
                    self.path.unlink()
            finally:
                os.close(descriptor)

    def _locked(self) -> int:
        descriptor = lock_file.open_lock_file(self.path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise PluginError(self._who_has_it()) from None
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    def _who_has_it(self) -> str:
        holders = procfs.lock_holders(self.path)
        which = f" (pid {', '.join(map(str, holders))})" if holders else ""
        return f"another zeroscale's server{which} runs in this directory already: it holds {self.path}"
