"""Reload the configuration when its file has changed (`reload = "auto"`).

The change is announced by inotify where there is it, else the file is looked at now and then. It is read once it has
not changed for a while. What is read, and whether it can be applied, is the business of the reload.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from zeroscale.config.loader import LARGEST_FILE
from zeroscale.errors import ConfigError, ZeroscaleError, lines_of
from zeroscale.reactor import Reactor
from zeroscale.system.files import read_configured
from zeroscale.system.path_watch import PathWatch

logger = logging.getLogger("zeroscale.proxy")

QUIET = 1.0
"""Seconds without a change after which the file is read: editors and tools write a file in several steps."""

LOOK_EVERY = 3.0
"""Seconds between two looks at a file whose changes are not announced, or that is missing."""

RECENT = 10.0
"""Seconds: a file that has changed so shortly before the watch may have changed after it was read at the start."""


class ConfigWatch:
    """Watches one configuration file.

    :param path: the file; symlinks that lead to it are watched as well.
    :param reload: reads the file and applies it; where that fails with `ZeroscaleError`, nothing has changed.
    :param now: returns seconds since 1970, with which the file's times are compared.
    """

    def __init__(
        self,
        reactor: Reactor,
        path: Path,
        reload: Callable[[], Deferred[Sequence[str]]],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._reactor = reactor
        self._path = path
        self._reload = reload
        self._now = now
        self._watch: PathWatch | None = None
        self._watch_error: int | None = None
        self._timer: IDelayedCall | None = None
        self._state: object = None
        self._read_state: object = None
        self._logged: object = None
        self._stopped = False

    def start(self) -> None:
        """Begin to watch; the file was read a moment ago."""
        try:
            read_configured(self._path, LARGEST_FILE)
        except ConfigError as error:
            logger.warning(
                'reload = "auto": %s as user %d; no change of the configuration can be applied', error, os.geteuid()
            )
        watched = self._begin()
        self._state = self._read_state = _state(self._path)
        if _changed_since(self._path, self._now() - RECENT):
            self._read_state = None
            self._look_after(QUIET)
        elif not watched:
            self._look_after(LOOK_EVERY)

    def stop(self) -> None:
        """End the watch."""
        self._stopped = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    def _begin(self) -> bool:
        """Have the next change announced; return whether it will be."""
        try:
            self._watch = self._watch or PathWatch(self._reactor, self._path, self._changed, content=True)
            self._watch.begin()
        except OSError as error:
            if error.errno != self._watch_error:
                logger.debug("%s is not watched, but looked at every %g s: %s", self._path, LOOK_EVERY, error)
            self._watch_error = error.errno
            return False
        self._watch_error = None
        return True

    def _changed(self) -> None:
        self._state = _state(self._path)
        self._look_after(QUIET)

    def _look_after(self, seconds: float) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = self._reactor.callLater(seconds, self._look)

    def _look(self) -> None:
        watched = self._begin()  # before the look, so that no change is missed
        state = _state(self._path)
        is_quiet = state == self._state
        self._state = state
        if not is_quiet:
            self._look_after(QUIET)
            return
        if not watched:
            self._look_after(LOOK_EVERY)
        if state != self._read_state:
            self._read_state = state
            content = _content(self._path)
            self._reload().addCallbacks(self._reloaded, self._not_reloaded, errbackArgs=(content,))

    def _reloaded(self, changes: Sequence[str]) -> None:
        self._logged = None
        if not changes:
            logger.debug("%s has changed, but nothing that it says", self._path)

    def _not_reloaded(self, failure: Failure, content: object) -> None:
        if self._stopped:
            return
        expected = failure.check(ZeroscaleError)
        lines = lines_of(failure.value)
        if (content, lines) == self._logged:
            return
        self._logged = content, lines
        for line in lines:
            logger.error("Not reloaded: %s", line, exc_info=None if expected else failure.value)


def _state(path: Path) -> object:
    """Return what differs when a file, or the file that a path leads to, has changed."""
    try:
        found = path.stat()
    except OSError as error:
        return error.errno
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _changed_since(path: Path, then: float) -> bool:
    try:
        return path.stat().st_ctime >= then
    except OSError:
        return True


def _content(path: Path) -> object:
    """Return what stands for the content of a file; it is not kept itself, as it may have secrets."""
    try:
        return hash(read_configured(path, LARGEST_FILE))
    except ConfigError:
        return None
