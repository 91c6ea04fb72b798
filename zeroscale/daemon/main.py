"""The `zeroscale` command: installs the reactor, runs the service in the foreground, ends with a clean exit code.

It must not import, before the reactor is installed, anything that imports the global one.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from zeroscale.daemon import log as logs
from zeroscale.daemon import options
from zeroscale.daemon.runtime import EXIT_CLEAN, EXIT_FAILED, EXIT_USAGE, Interrupts, Proxy, install_reactor
from zeroscale.errors import ConfigError, ZeroscaleError, lines_of
from zeroscale.system.socket_activation import handed

if TYPE_CHECKING:
    from twisted.internet.asyncioreactor import AsyncioSelectorReactor

logger = logging.getLogger(__name__)


LONGEST_LINE = 4096
"""Characters of one line typed on our console; a longer one is cut in several."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a proxy until it is told to end.

    :param argv: the words after the program's name; None: the process's own.
    :return: the exit code: 0 after a clean stop, 1 after an error, 2 for a command line or a file that makes no sense.
    """
    handed()  # before anything is started that could inherit it
    try:
        invocation = options.parse(sys.argv[1:] if argv is None else argv)
    except ConfigError as error:
        _complain(error)
        return EXIT_USAGE
    logs.to_stderr(invocation.log_level, invocation.config.log)
    reactor = install_reactor()
    from zeroscale.proxy import service  # what it is made of imports the global reactor

    try:
        service.check(invocation.config, file=invocation.config_file)
        proxy = service.make_service(invocation.config, reactor, invocation.read_again, invocation.config_file)
    except ZeroscaleError as error:
        _complain(error)
        return EXIT_FAILED
    foreground = Foreground(proxy, reactor)
    names = [server.name for server in invocation.config.servers]
    interrupts = Interrupts(asyncio.get_event_loop(), lambda _: foreground.end(), proxy, names)
    reactor.callWhenRunning(interrupts.install)
    reactor.callWhenRunning(foreground.begin)
    if invocation.console:
        reactor.callWhenRunning(Console(reactor, foreground.end, proxy.command).start)
    reactor.run(installSignalHandlers=False)
    # All is down. Python takes its handlers away on its way out, and one signal more would then spoil the exit code.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    return foreground.exit_code


class Console:
    """What is typed on our standard input: `stop` ends us, anything else is for the server. Panels know no other way.

    Read in a thread: on a terminal, a reactor that reads its input would leave its output non-blocking as well.

    :param reactor: whose thread `stop` and `command` are called in.
    """

    def __init__(
        self, reactor: AsyncioSelectorReactor, stop: Callable[[], None], command: Callable[[str], None]
    ) -> None:
        self._reactor = reactor
        self._stop = stop
        self._command = command

    def start(self) -> None:
        """Begins to read. The end of the input is no end of ours: a daemon's input is empty."""
        threading.Thread(target=self._read, name="console", daemon=True).start()

    def _read(self) -> None:
        while line := sys.stdin.readline(LONGEST_LINE):
            self._reactor.callFromThread(self.typed, line.strip())

    def typed(self, line: str) -> None:
        """One line has been typed."""
        if line == "stop":
            logger.info("Told to stop")
            self._stop()
        elif line:
            self._command(line)


class Foreground:
    """One run of a proxy in a process of its own.

    :ivar exit_code: what the process is to end with, once the reactor has stopped.
    """

    def __init__(self, proxy: Proxy, reactor: AsyncioSelectorReactor) -> None:
        self.exit_code = EXIT_CLEAN
        self._proxy = proxy
        self._reactor = reactor
        self._told_to_end: Deferred[None] = Deferred()

    def begin(self) -> None:
        """Starts the proxy; the reactor is stopped when all is over."""
        life = Deferred.fromCoroutine(self._live())
        life.addErrback(self._fail)
        life.addBoth(lambda _: self._reactor.stop())

    def end(self) -> None:
        """Stops the proxy, once it has started; said twice, it means nothing more."""
        if not self._told_to_end.called:
            self._told_to_end.callback(None)

    async def _live(self) -> None:
        try:
            await self._proxy.start()
        except ZeroscaleError as error:
            self._fail(Failure(error))
        else:
            self._proxy.fatal.addErrback(self._die)
            await self._told_to_end
        await self._proxy.stop()

    def _die(self, failure: Failure) -> None:
        self._fail(failure)
        self.end()

    def _fail(self, failure: Failure) -> None:
        self.exit_code = EXIT_FAILED
        _complain(failure.value)
        if not failure.check(ZeroscaleError):
            logger.critical("this is a defect of zeroscale itself", exc_info=failure.value)


def _complain(error: BaseException | None) -> None:
    for line in lines_of(error):
        sys.stderr.write(f"zeroscale: error: {line}\n")
