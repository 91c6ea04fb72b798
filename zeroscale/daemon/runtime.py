"""Code shared by `zeroscale` and `twistd zeroscale`: installing the reactor, signal handlers.

Like `main` and `tap` this is loaded before a reactor is installed, and must not import the global reactor.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn, Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from zeroscale.daemon.exit_codes import EXIT_FAILED
from zeroscale.errors import ConfigError, ZeroscaleError, lines_of
from zeroscale.system.privileges import Owner
from zeroscale.system.worker_threads import WorkerThreads

if TYPE_CHECKING:
    from twisted.internet.asyncioreactor import AsyncioSelectorReactor

logger = logging.getLogger("zeroscale.proxy")


class Proxy(Protocol):
    """The proxy, as the process that runs it uses it. `proxy.service.ProxyService` implements it."""

    def prepare(self, owner: Owner) -> Deferred[None]:
        """Do as root what needs root, before the process switches to `owner`."""
        ...

    def start(self) -> Deferred[None]:
        """Listen; the Deferred fails with `ZeroscaleError` if that is not possible."""
        ...

    def stop(self) -> Deferred[None]:
        """Stop; the Deferred fires when the servers are down. Also allowed after a start that failed."""
        ...

    def skip_to_sigterm(self) -> None:
        """Make a running `stop()` quicker without losing data: send SIGTERM now."""
        ...

    def send_to_consoles(self, line: str) -> None:
        """Send a line to the consoles of the servers."""
        ...

    def reload(self) -> Deferred[Sequence[str]]:
        """Read the configuration again; the Deferred fires with one line for each change."""
        ...

    @property
    def running(self) -> Sequence[str]:
        """Return the names of the servers that run, or are being started or stopped."""
        ...

    @property
    def fatal(self) -> Deferred[None]:
        """Return a Deferred that fails when the proxy cannot go on."""
        ...


class Interrupts:
    """Signal handlers: the first SIGTERM or SIGINT stops, the second hastens that, the third exits; SIGHUP reloads."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        stop: Callable[[signal.Signals], None],
        proxy: Proxy,
        finish_log: Callable[[], None],
    ) -> None:
        """Prepare the handlers; `install()` installs them.

        :param loop: the reactor's event loop.
        :param stop: called by the first SIGTERM or SIGINT.
        :param proxy: reloaded by SIGHUP, hurried by the second SIGTERM or SIGINT.
        :param finish_log: called before the process exits at once.
        """
        self._loop = loop
        self._stop = stop
        self._proxy = proxy
        self._finish_log = finish_log
        self._count = 0

    def install(self) -> None:
        """Replace the signal handlers of the process; call this once the reactor runs."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self.interrupt, number)
        self._loop.add_signal_handler(signal.SIGHUP, self.reload)

    def reload(self) -> None:
        """Read the configuration again (SIGHUP)."""
        self._proxy.reload().addCallbacks(self._reloaded, self._not_reloaded)

    def _reloaded(self, changes: Sequence[str]) -> None:
        if not changes:
            logger.info("SIGHUP: nothing has changed")

    def _not_reloaded(self, failure: Failure) -> None:
        expected = failure.check(ZeroscaleError)
        for line in lines_of(failure.value):
            logger.error("Not reloaded: %s", line, exc_info=None if expected else failure.value)

    def interrupt(self, number: signal.Signals) -> None:
        """Count one more SIGTERM or SIGINT: the second hastens the stop, the third exits at once."""
        self._count += 1
        if self._count == 1:
            logger.info("%s: stopping", number.name)
            self._stop(number)
        elif self._count == 2:
            logger.warning("%s again: hurrying; a third one exits at once and leaves the server running", number.name)
            self._proxy.skip_to_sigterm()
        else:
            self._leave(number)

    def _leave(self, number: signal.Signals) -> NoReturn:
        names = self._proxy.running
        left = f"left as recorded, for the next start to adopt: {', '.join(names)}" if names else "no server runs"
        logger.critical("%s a third time: %s", number.name, left)
        self._finish_log()
        # not sys.exit(): asyncio would kill its child processes
        os._exit(EXIT_FAILED)


def install_reactor() -> AsyncioSelectorReactor:
    """Install Twisted's asyncio reactor on asyncio's current event loop, with a monotonic clock and our threads.

    :return: the reactor; an asyncio reactor that is installed already is used.
    :raises ConfigError: a reactor of another kind is installed already.
    """
    from twisted.internet import asyncioreactor

    if "twisted.internet.reactor" not in sys.modules:
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        asyncioreactor.install(loop)
    from twisted.internet import reactor

    if not isinstance(reactor, asyncioreactor.AsyncioSelectorReactor):
        raise ConfigError(f"Twisted's asyncio reactor is needed, but {type(reactor).__name__} is installed already")
    # Its clock is the wall clock: setting that back by an hour would delay every timer by an hour.
    if not reactor.running:
        reactor.seconds = time.monotonic
        loop = asyncio.get_event_loop()
        _watch_children_without_threads(loop)
        workers = WorkerThreads()
        loop.set_default_executor(workers)
        reactor.callWhenRunning(workers.start)  # after the fork of a daemon
    return reactor


def _watch_children_without_threads(loop: asyncio.AbstractEventLoop) -> None:
    """Wait for the end of children by pidfds, as asyncio does by itself from Python 3.12 on.

    Before, it starts a thread for each child, after the child: where no thread can be had, the child is left running.
    """
    if sys.version_info < (3, 12) and sys.platform == "linux":
        with contextlib.suppress(OSError):  # an old kernel, or a sandbox that forbids it
            os.close(os.pidfd_open(os.getpid()))
            watcher = asyncio.PidfdChildWatcher()
            watcher.attach_loop(loop)
            asyncio.set_child_watcher(watcher)
