"""A lock on the directory in which only one server may run, held by the server process itself.

It shows a server that outlived its proxy also to a proxy with another state directory, and from the first moment on:
before the server has opened its world or bound its port.
"""

from __future__ import annotations

import logging
from pathlib import Path

from zeroscale.errors import PluginError, StateError
from zeroscale.process import inherited_lock
from zeroscale.system import lock_file

logger = logging.getLogger("zeroscale.server")

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
        :raises PluginError: another server holds it, or its file is another user's.
        """
        try:
            return inherited_lock.acquire(self.path)
        except lock_file.LockHeldError:
            raise PluginError(self._holder()) from None
        except StateError as error:
            raise PluginError(str(error)) from None
        except OSError as error:
            logger.warning(
                "cannot lock %s (%s): another zeroscale may start a second server there", self.path, error.strerror
            )
            return None

    def remove(self) -> None:
        """Remove the lock's file, unless a server holds the lock."""
        lock_file.remove(self.path)

    def _holder(self) -> str:
        holders = inherited_lock.holders(self.path)
        which = f" (pid {', '.join(map(str, holders))})" if holders else ""
        return f"another zeroscale's server{which} runs in this directory already: it holds {self.path}"
