"""`twistd zeroscale`: the same command line as `zeroscale`, as a daemon with a pid file and a log file.

twistd loads this module before it has installed a reactor, so that ours can be installed here, and before it
changes its directory and forks, so that every path is made absolute here and nothing is started here.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.error import ReactorNotRunning
from twisted.logger import ILogObserver
from twisted.python import usage
from twisted.python.failure import Failure

from zeroscale.daemon import log as logs
from zeroscale.daemon.invocation import Invocation
from zeroscale.daemon.options import parse
from zeroscale.daemon.runtime import EXIT_FAILED, Interrupts, Proxy, install_reactor
from zeroscale.errors import ConfigError, ZeroscaleError, lines_of
from zeroscale.system.privileges import Owner, owner
from zeroscale.system.socket_activation import handed

if TYPE_CHECKING:
    from twisted.internet.asyncioreactor import AsyncioSelectorReactor

logger = logging.getLogger(__name__)

PROGRAM = "twistd zeroscale"


class Options(usage.Options):
    """twistd's idea of a command line, which hands all of it to ours.

    :ivar invocation: what it said, once it has been parsed.
    :ivar reactor: the reactor, installed by then.
    """

    invocation: Invocation
    reactor: AsyncioSelectorReactor

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parses the words after `twistd zeroscale`. Relative paths start from `--rundir`, as twistd's own do.

        :raises usage.UsageError: they make no sense, or twistd was told to use another reactor.
        """
        handed()  # before anything is started that could inherit it
        try:
            self.reactor = install_reactor()
        except ConfigError as error:
            mend = "leave out twistd's --reactor, or say 'twistd --reactor=asyncio zeroscale ...'"
            raise usage.UsageError(f"{error}: {mend}") from None
        directory = Path(self.parent["rundir"]) if self.parent else None
        try:
            self.invocation = parse(options or (), PROGRAM, directory)
        except ConfigError as error:
            raise usage.UsageError(str(error)) from None
        if self.invocation.console:
            raise usage.UsageError("--console is for the 'zeroscale' command: a daemon has no input")


def makeService(options: Options) -> DaemonService:
    """The service that twistd runs.

    :raises SystemExit: it cannot run as it was told; the text is one line.
    """
    from zeroscale.proxy import service  # what it is made of imports the global reactor

    config = options.invocation.config
    observer = logs.to_twisted(options.invocation.log_level, config.log, options.parent, options.reactor)
    try:
        service.check(config, file=options.invocation.config_file)
        proxy = service.make_service(
            config, options.reactor, options.invocation.read_again, options.invocation.config_file
        )
    except ZeroscaleError as error:
        raise SystemExit("\n".join(f"{PROGRAM}: error: {line}" for line in lines_of(error))) from None
    heir = None
    if options.parent is not None and os.geteuid() == 0:
        heir = owner(options.parent["uid"], options.parent["gid"])
    somebody_waits = options.parent is not None and not options.parent["nodaemon"]
    names = [server.name for server in config.servers]
    return DaemonService(proxy, options.reactor, names, somebody_waits, observer, heir)


class DaemonService(Service):
    """A proxy as twistd starts and stops it."""

    def __init__(
        self,
        proxy: Proxy,
        reactor: AsyncioSelectorReactor,
        names: Sequence[str],
        somebody_waits: bool,
        observer: ILogObserver | None = None,
        heir: Owner | None = None,
    ) -> None:
        """Makes the service; starts nothing.

        :param somebody_waits: twistd forks, and its parent process waits to hear how `startService()` went.
        :param observer: what twistd's log is to be given to; None: its own.
        :param heir: whom twistd makes of this process, before `startService()`; None: it stays who it is.
        """
        self._heir = heir
        self._observer = observer
        self._proxy = proxy
        self._reactor = reactor
        self._somebody_waits = somebody_waits
        self._interrupts = Interrupts(asyncio.get_event_loop(), self._interrupted, proxy, names)
        self._starting: Deferred[None] | None = None
        self._error: BaseException | None = None

    def setServiceParent(self, parent: Any) -> None:
        """Joins twistd's application, which twistd then asks for its log observer."""
        super().setServiceParent(parent)  # type: ignore[no-untyped-call]  # Twisted has no types here
        if self._observer is not None:
            parent.setComponent(ILogObserver, self._observer)

    def privilegedStartService(self) -> None:
        """Does as root what needs root, before twistd's `--uid` and `--gid`."""
        super().privilegedStartService()  # type: ignore[no-untyped-call]  # Twisted has no types here
        if self._heir is not None:
            # what fails here fails again in startService(), which has a way to say so
            self._proxy.prepare(self._heir).addErrback(lambda failure: logger.debug("%s", failure.getErrorMessage()))

    def startService(self) -> None:
        """Starts the proxy, in the process that stays.

        :raises ZeroscaleError: it cannot start, and there is a parent process that tells the operator so.
        """
        super().startService()  # type: ignore[no-untyped-call]  # Twisted has no types here
        self._reactor.callWhenRunning(self._interrupts.install)
        self._proxy.fatal.addErrback(self._fail)
        self._starting = self._proxy.start().addErrback(self._fail)
        if self._error is not None and self._somebody_waits:
            raise self._error
        self._somebody_waits = False
        if self._error is not None:
            self._reactor.callWhenRunning(self._stop_reactor)

    def stopService(self) -> Deferred[None]:
        """Stops the proxy; fires when the servers are down. twistd waits for it."""
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted has no types here
        return Deferred.fromCoroutine(self._stop()).addErrback(self._fail)

    async def _stop(self) -> None:
        if self._starting is not None:
            await self._starting
        await self._proxy.stop()

    def _fail(self, failure: Failure) -> None:
        if self._error is None:
            self._error = failure.value
            # twistd has no way to ask for an exit code; this is the last thing that happens
            atexit.register(_exit_failed)
        expected = failure.check(ZeroscaleError)
        said = "; ".join(lines_of(failure.value))
        logger.critical("%s", said, exc_info=None if expected else failure.value)
        if self._reactor.running:
            self._stop_reactor()

    def _interrupted(self, number: signal.Signals) -> None:
        # so that the process ends in twistd's own way: its pid file removed, its exit status the signal
        stop = self._reactor.sigTerm if number == signal.SIGTERM else self._reactor.sigInt
        stop(number)

    def _stop_reactor(self) -> None:
        with contextlib.suppress(ReactorNotRunning):  # somebody was quicker
            self._reactor.stop()


def _exit_failed() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(EXIT_FAILED)
