"""`twistd zeroscale`: the same command line as `zeroscale`, as a daemon with a pid file and a log file.

twistd loads this module before it installs a reactor, so the asyncio reactor is installed here. It changes its
directory and forks later, so every path is made absolute here and nothing is started here.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import os
import signal
import stat
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

from zeroscale.config.messages import Mistake
from zeroscale.config.tls import unneeded_modules
from zeroscale.daemon import log
from zeroscale.daemon.exit_codes import EXIT_FAILED
from zeroscale.daemon.options import Invocation, examine
from zeroscale.daemon.runtime import Interrupts, Proxy, install_reactor
from zeroscale.errors import ConfigError, ZeroscaleError, lines_of, printed
from zeroscale.system.left_out import leave_out
from zeroscale.system.privileges import Owner, is_trusted, is_trusted_file, owner, python_problem, switch_later
from zeroscale.system.socket_activation import service_manager_environment

if TYPE_CHECKING:
    from twisted.internet.asyncioreactor import AsyncioSelectorReactor

logger = logging.getLogger("zeroscale.proxy")

PROGRAM = "twistd zeroscale"


class Options(usage.Options):
    """The options of `twistd zeroscale`, parsed by `daemon.options`.

    :ivar invocation: the parsed command line; set by `parseOptions`.
    :ivar reactor: the installed reactor; set by `parseOptions`.
    :ivar umask: the umask of the shell that started twistd, which changes it later; set by `parseOptions`.
    """

    invocation: Invocation
    reactor: AsyncioSelectorReactor
    umask: int

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parse the arguments after `twistd zeroscale`. Relative paths start from `--rundir`, as twistd's own do.

        :raises usage.UsageError: a mistake in the arguments, twistd was started with another reactor, or other users
            could misuse its pid file or the configuration.
        """
        service_manager_environment()  # before any child could inherit it
        self.umask = os.umask(0o077)
        os.umask(self.umask)
        if self.parent and self.parent["pidfile"]:
            # as twistd does: it removes `..` by the path's text, and changes the root before it writes
            written = os.path.normpath(Path(self.parent["pidfile"]).absolute())
            _check_pid_file(Path(f"{self.parent['chroot'] or ''}{written}"))
        new_owner = _new_owner(self)
        switch_later(new_owner)
        directory = Path(self.parent["rundir"]) if self.parent else None
        try:
            self.invocation = examine(options or (), PROGRAM, directory)
            if new_owner is not None and self.invocation.config_file is not None:
                _check_config_file(self.invocation.config_file)
            if self.invocation.console:
                text = "--console is for the 'zeroscale' command: a daemon has no input"
                self.invocation.mistakes.add(Mistake("", text))
            if not self.invocation.mistakes:
                leave_out(unneeded_modules(self.invocation.config))  # before the reactor imports them
            self.reactor = _install_reactor()
            if self.invocation.mistakes:
                from zeroscale.proxy import service  # imports the global reactor

                service.check(
                    self.invocation.config, self.reactor, self.invocation.config_file, self.invocation.mistakes
                )
        except ConfigError as error:
            raise usage.UsageError(str(error)) from None


def _install_reactor() -> AsyncioSelectorReactor:
    try:
        return install_reactor()
    except ConfigError as error:
        advice = "leave out twistd's --reactor, or write 'twistd --reactor=asyncio zeroscale ...'"
        raise usage.UsageError(f"{error}: {advice}") from None


def _check_pid_file(path: Path) -> None:
    """Check that no other user can make root write its pid file somewhere else.

    :raises usage.UsageError: another user can.
    """
    if os.geteuid() == 0 and (path.is_symlink() or not is_trusted(path.parent)):
        raise usage.UsageError(
            f"other users can replace the pid file {path}, which root writes: write --pidfile /run/zeroscale.pid, or "
            "another path in a directory that only root can write to, or --pidfile= for none"
        )


def _check_config_file(path: Path) -> None:
    """Check that no other user can have root read files by changing the configuration, which names them.

    :raises usage.UsageError: another user can.
    """
    try:
        found = path.stat()
    except OSError as error:  # also if it could be read: another user may have removed it since
        raise usage.UsageError(f"cannot read {path}: {error.strerror}") from None
    if not is_trusted_file(path):
        advice = (
            "move it to a directory that only root can write to, such as /etc, or start zeroscale as that user, "
            "without --uid"
        )
    elif found.st_uid != 0 or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        advice = "run chown root and chmod go-w on it"
    else:
        return
    raise usage.UsageError(
        f"other users can change the configuration {path}, which root reads before it switches to --uid: {advice}"
    )


def _new_owner(options: Options) -> Owner | None:
    """Return the user that twistd switches to; None: it does not switch."""
    if options.parent is None or os.geteuid() != 0:
        return None
    return owner(options.parent["uid"], options.parent["gid"])


def makeService(options: Options) -> DaemonService:
    """Return the service that twistd runs.

    :raises SystemExit: the configuration cannot run; the text is one line for each mistake.
    """
    from zeroscale.proxy import service  # imports the global reactor

    config = options.invocation.config
    try:
        twistd_log = log.to_twisted(options.invocation.log_level, config.log, options.parent, options.reactor)
        service.check(config, options.reactor, options.invocation.config_file)
        proxy = service.make_service(
            config, options.reactor, options.invocation.read_again, options.invocation.config_file
        )
    except ZeroscaleError as error:
        raise SystemExit(printed(error, PROGRAM)) from None
    parent_waits = options.parent is not None and not options.parent["nodaemon"]
    umask = config.umask
    if umask is None and (options.parent is None or options.parent["umask"] is None):
        umask = options.umask
    return DaemonService(proxy, options.reactor, parent_waits, twistd_log, _new_owner(options), umask)


class DaemonService(Service):
    """The proxy as a Twisted service."""

    def __init__(
        self,
        proxy: Proxy,
        reactor: AsyncioSelectorReactor,
        parent_waits: bool,
        twistd_log: log.TwistdLog,
        new_owner: Owner | None = None,
        umask: int | None = None,
    ) -> None:
        """Make the service without starting anything.

        :param parent_waits: twistd forks, and its parent process waits for the result of `startService()`.
        :param twistd_log: the log, which is written in a thread once the service is started.
        :param new_owner: the user and group that twistd switches to before `startService()`; None: it does not switch.
        :param umask: the umask for servers, in place of the 077 of twistd's daemons; None: as twistd sets it.
        """
        self._new_owner = new_owner
        self._log = twistd_log
        self._umask = umask
        self._proxy = proxy
        self._reactor = reactor
        self._parent_waits = parent_waits
        self._interrupts = Interrupts(asyncio.get_event_loop(), self._interrupted, proxy, self._finish_log)
        self._starting: Deferred[None] | None = None
        self._error: BaseException | None = None

    def setServiceParent(self, parent: Any) -> None:
        """Set twistd's application as the parent, and give it the log observer."""
        super().setServiceParent(parent)  # type: ignore[no-untyped-call]  # Twisted has no types here
        if self._log.observer is not None:
            parent.setComponent(ILogObserver, self._log.observer)

    def privilegedStartService(self) -> None:
        """Do as root what needs root, before twistd switches to `--uid` and `--gid`."""
        super().privilegedStartService()  # type: ignore[no-untyped-call]  # Twisted has no types here
        if self._new_owner is not None:
            # a failure here occurs again in startService(), which can report it
            self._proxy.prepare(self._new_owner).addErrback(
                lambda failure: logger.debug("%s", failure.getErrorMessage())
            )

    def startService(self) -> None:
        """Start the proxy, after the fork.

        :raises ZeroscaleError: it cannot start, and a parent process waits to report that to the operator.
        """
        if self._umask is not None:
            os.umask(self._umask)
        if self._log.writer is not None:
            self._log.writer.start()
            # before twistd ends the process with the signal that it got, without Python's exit handlers
            self._reactor.addSystemEventTrigger("after", "shutdown", self._log.writer.close)
        super().startService()  # type: ignore[no-untyped-call]  # Twisted has no types here
        problem = None if self._new_owner is None else python_problem()
        if problem is not None:
            logger.warning("%s", problem)
        self._reactor.callWhenRunning(self._interrupts.install)
        self._proxy.fatal.addErrback(self._fail)
        self._starting = self._proxy.start().addErrback(self._fail)
        if self._error is not None and self._parent_waits:
            raise self._error
        self._parent_waits = False
        if self._error is not None:
            self._reactor.callWhenRunning(self._stop_reactor)

    def stopService(self) -> Deferred[None]:
        """Stop the proxy; the Deferred, which twistd waits for, fires when the servers are down."""
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted has no types here
        return Deferred.fromCoroutine(self._stop()).addErrback(self._fail)

    async def _stop(self) -> None:
        if self._starting is not None:
            await self._starting
        await self._proxy.stop()

    def _fail(self, failure: Failure) -> None:
        if self._error is None:
            self._error = failure.value
            # twistd always exits with 0; the last exit handler changes that
            atexit.register(self._exit_failed)
        expected = failure.check(ZeroscaleError)
        logger.critical("%s", "; ".join(lines_of(failure.value)), exc_info=None if expected else failure.value)
        if self._reactor.running:
            self._stop_reactor()

    def _interrupted(self, number: signal.Signals) -> None:
        # twistd then removes its pid file, and ends with the signal as its exit status
        stop = self._reactor.sigTerm if number == signal.SIGTERM else self._reactor.sigInt
        stop(number)

    def _stop_reactor(self) -> None:
        with contextlib.suppress(ReactorNotRunning):  # it has stopped already
            self._reactor.stop()

    def _finish_log(self) -> None:
        if self._log.writer is not None:
            self._log.writer.close()

    def _exit_failed(self) -> None:
        self._finish_log()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(EXIT_FAILED)
