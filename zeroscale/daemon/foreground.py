"""Run a proxy in the foreground, from the installation of the reactor to the exit code.

Before the reactor is installed, nothing may be imported that imports the global reactor.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from zeroscale.daemon import log
from zeroscale.daemon.exit_codes import EXIT_CLEAN, EXIT_FAILED, EXIT_USAGE
from zeroscale.daemon.log_writer import LogWriter
from zeroscale.daemon.options import Invocation
from zeroscale.daemon.runtime import Interrupts, Proxy, install_reactor
from zeroscale.errors import ConfigMistakes, ZeroscaleError, printed

if TYPE_CHECKING:
    from twisted.internet.asyncioreactor import AsyncioSelectorReactor

logger = logging.getLogger("zeroscale.proxy")

LONGEST_LINE = 4096
"""Characters of one line typed on the console; a longer line is cut into several."""


def run(invocation: Invocation) -> int:
    """Run a proxy until a signal or the console stops it.

    :return: the exit code: 0 after a clean stop, 2 for a mistake in the command line or the file, else 1.
    """
    writer = log.to_stderr(invocation.log_level, invocation.config.log)
    reactor = install_reactor()
    from zeroscale.proxy import service  # imports the global reactor

    try:
        service.check(invocation.config, reactor, invocation.config_file, invocation.mistakes)
        proxy = service.make_service(invocation.config, reactor, invocation.read_again, invocation.config_file)
    except ZeroscaleError as error:
        writer.write(f"{printed(error)}\n")
        return EXIT_USAGE if isinstance(error, ConfigMistakes) and error.usage else EXIT_FAILED
    foreground = Foreground(proxy, reactor, writer)
    interrupts = Interrupts(asyncio.get_event_loop(), lambda _: foreground.end(), proxy, writer.close)
    reactor.callWhenRunning(interrupts.install)
    reactor.callLater(0, foreground.begin)  # in the loop, which the coroutines that close plugins need
    if invocation.console:
        reactor.callWhenRunning(Console(reactor, foreground.end, proxy.send_to_consoles).start)
    writer.start()
    gc.freeze()  # a full collection need not walk through all modules, which takes some 20 ms
    gc.enable()
    reactor.run(installSignalHandlers=False)
    # Python removes its signal handlers when it exits; another signal would then change the exit code.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    writer.close()
    return foreground.exit_code


class Console:
    """Commands from standard input, as game panels send them: `stop` stops the proxy, other lines go to the server.

    Standard input is read in a thread: if the reactor read it, a terminal's output would become non-blocking too.

    :param reactor: calls `stop` and `command` in its thread.
    """

    def __init__(
        self, reactor: AsyncioSelectorReactor, stop: Callable[[], None], command: Callable[[str], None]
    ) -> None:
        self._reactor = reactor
        self._stop = stop
        self._command = command

    def start(self) -> None:
        """Begin to read. The end of the input does not stop the proxy: the input of a daemon is empty."""
        try:
            threading.Thread(target=self._read, name="console", daemon=True).start()
        except RuntimeError as error:
            logger.warning("What is typed on the console is not read: no thread can be started (%s)", error)

    def _read(self) -> None:
        while line := sys.stdin.readline(LONGEST_LINE):
            self._reactor.callFromThread(self.typed, line.strip())

    def typed(self, line: str) -> None:
        """Handle one line."""
        if line == "stop":
            logger.info("stop on the console: stopping")
            self._stop()
        elif line:
            self._command(line)


class Foreground:
    """One run of a proxy in the foreground.

    :ivar exit_code: the exit code of the process, valid once the reactor has stopped.
    """

    def __init__(self, proxy: Proxy, reactor: AsyncioSelectorReactor, writer: LogWriter) -> None:
        self.exit_code = EXIT_CLEAN
        self._proxy = proxy
        self._reactor = reactor
        self._writer = writer
        self._end_requested: Deferred[None] = Deferred()

    def begin(self) -> None:
        """Start the proxy; the reactor stops when the proxy has stopped."""
        run = Deferred.fromCoroutine(self._run())
        run.addErrback(self._fail)
        run.addBoth(lambda _: self._reactor.stop())

    def end(self) -> None:
        """Stop the proxy, once it has started. Further calls do nothing."""
        if not self._end_requested.called:
            self._end_requested.callback(None)

    async def _run(self) -> None:
        try:
            await self._proxy.start()
        except ZeroscaleError as error:
            self._fail(Failure(error))
        else:
            self._proxy.fatal.addErrback(self._proxy_failed)
            await self._end_requested
        await self._proxy.stop()

    def _proxy_failed(self, failure: Failure) -> None:
        self._fail(failure)
        self.end()

    def _fail(self, failure: Failure) -> None:
        self.exit_code = EXIT_FAILED
        self._writer.write(f"{printed(failure.value)}\n")
        if not failure.check(ZeroscaleError):
            logger.critical("this is a defect of zeroscale", exc_info=failure.value)
