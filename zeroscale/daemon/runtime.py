"""What a proxy in the foreground and a proxy as a daemon share: the reactor, the signals, how errors are said.

Like cli.py and tap.py this is loaded before a reactor is installed, and must not import what imports one.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn, Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from zeroscale.errors import ConfigError, ZeroscaleError, lines_of
from zeroscale.system.privileges import Owner

if TYPE_CHECKING:
    from twisted.internet.asyncioreactor import AsyncioSelectorReactor

logger = logging.getLogger(__name__)

EXIT_CLEAN = 0
EXIT_FAILED = 1
EXIT_USAGE = 2


class Proxy(Protocol):
    """What `service.make_service()` makes, as those who run it know it."""

    def prepare(self, owner: Owner) -> Deferred[None]:
        """What only root can do, before this process becomes `owner`; fails as `start()` does after it."""
        ...

    def start(self) -> Deferred[None]:
        """Listens; fails with `ZeroscaleError` when it cannot."""
        ...

    def stop(self) -> Deferred[None]:
        """The graceful end: fires when the servers are down. Allowed after a start that failed, too."""
        ...

    def hurry(self) -> None:
        """Makes a running `stop()` quicker, as far as no data is lost by it."""
        ...

    def command(self, line: str) -> None:
        """One line for the consoles of the servers."""
        ...

    def reload(self) -> Deferred[Sequence[str]]:
        """Reads the configuration again; fires with what has changed, a line each."""
        ...

    @property
    def fatal(self) -> Deferred[None]:
        """Fails when something died without which the proxy cannot go on."""
        ...


class Interrupts:
    """SIGTERM and SIGINT, counted: the first stops, the second hurries that, the third leaves the servers running."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        stop: Callable[[signal.Signals], None],
        proxy: Proxy,
        names: Sequence[str],
    ) -> None:
        """Makes it; `install()` puts it to work.

        :param loop: the loop that the reactor runs on.
        :param stop: what the first one calls.
        :param proxy: whose stop the second one hurries.
        :param names: the servers' names.
        """
        self._loop = loop
        self._stop = stop
        self._proxy = proxy
        self._names = names
        self._count = 0

    def install(self) -> None:
        """Replaces the process's signal handlers; to be called once the reactor runs."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self.interrupt, number)
        self._loop.add_signal_handler(signal.SIGHUP, self.reload)

    def reload(self) -> None:
        """SIGHUP: the configuration is read again."""
        self._proxy.reload().addCallbacks(self._reloaded, self._not_reloaded)

    def _reloaded(self, changes: Sequence[str]) -> None:
        if not changes:
            logger.info("SIGHUP: nothing has changed")

    def _not_reloaded(self, failure: Failure) -> None:
        expected = failure.check(ZeroscaleError)
        for line in lines_of(failure.value):
            logger.error("Not reloaded: %s", line, exc_info=None if expected else failure.value)

    def interrupt(self, number: signal.Signals) -> None:
        """One more of them."""
        self._count += 1
        if self._count == 1:
            logger.info("%s: stopping", number.name)
            self._stop(number)
        elif self._count == 2:
            logger.warning("%s again: hurrying; a third one would leave the server running", number.name)
            self._proxy.hurry()
        else:
            self._leave(number)

    def _leave(self, number: signal.Signals) -> NoReturn:
        names = ", ".join(self._names)
        logger.critical("%s a third time: %s is left as recorded, for the next start to adopt", number.name, names)
        logging.shutdown()
        # not sys.exit(): on the way out asyncio kills the child processes that it still knows
        os._exit(EXIT_FAILED)


def install_reactor() -> AsyncioSelectorReactor:
    """Installs Twisted's asyncio reactor, on a loop that is also asyncio's current one, and with a monotonic clock.

    :return: the reactor; the installed one, if it is of that kind.
    :raises ConfigError: another one is installed already.
    """
    from twisted.internet import asyncioreactor

    if "twisted.internet.reactor" not in sys.modules:
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        asyncioreactor.install(loop)
    from twisted.internet import reactor

    if not isinstance(reactor, asyncioreactor.AsyncioSelectorReactor):
        raise ConfigError(f"Twisted's asyncio reactor is needed, but {type(reactor).__name__} is installed already")
    # Its own clock is the wall clock: whoever sets that back by an hour would have every timer wait an hour more.
    if not reactor.running:
        reactor.seconds = time.monotonic
    return reactor
