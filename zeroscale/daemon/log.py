"""Send log lines to stderr, or into twistd's log.

zeroscale logs through the standard library, Twisted through a system of its own. Each function here connects the two in
one direction only, so that no line can loop.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, TextIO, cast

from twisted.internet.protocol import Factory
from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    STDLibLogObserver,
    globalLogBeginner,
    textFileLogObserver,
)
from twisted.python import log as twisted_log
from twisted.python.logfile import LogFile

from zeroscale.config.model import LogConfig
from zeroscale.daemon.log_format import JsonLines, TextLines
from zeroscale.reactor import Reactor
from zeroscale.system.privileges import give, owner

DEFAULTS = LogConfig()

TWISTD_LOG = "twistd.log"
"""twistd's default file name."""


class TwistedLogHandler(logging.Handler):
    """Writes into Twisted's log, with the observers that twistd has set up: its log file with rotation, or syslog."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log one record; one that cannot be formatted is reported as stdlib logging does, and raises nothing."""
        try:
            # without a system, Twisted prefixes the line with the name of the current connection
            twisted_log.msg(self.format(record), system="-")
        except Exception:
            self.handleError(record)


class FileHandler(logging.StreamHandler[TextIO]):
    """Writes into twistd's log file directly. stderr is redirected into Twisted's log then."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Report on the real stderr, in one line, that a record could not be written.

        The default writes to `sys.stderr`, which is redirected into this file: an endless loop on a full disk.
        """
        with contextlib.suppress(OSError, ValueError):  # a daemon may have no stderr
            if sys.__stderr__ is not None:
                sys.__stderr__.write(f"zeroscale: a log line of {record.name} was lost: {sys.exc_info()[1]!r}\n")


def to_stderr(level: int, config: LogConfig = DEFAULTS) -> None:
    """Log to stderr: zeroscale's records of `level` and above, Twisted's own of WARNING and above."""
    _install_handler(logging.StreamHandler(), level, config)
    observer = FilteringLogObserver(STDLibLogObserver("twisted"), [LogLevelFilterPredicate(LogLevel.warn)])
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)


def to_twisted(
    level: int,
    config: LogConfig = DEFAULTS,
    twistd: Mapping[str, Any] | None = None,
    reactor: Reactor | None = None,
) -> ILogObserver | None:
    """Log records of `level` and above into twistd's log.

    As text they are messages of Twisted's log, in twistd's form. As JSON they are the lines of its file, and Twisted's
    own messages become JSON lines too.

    :param twistd: twistd's options; None: not run by twistd.
    :param reactor: rotates the file on SIGUSR1, as twistd does, or reopens it where it was moved away; required with
        `twistd`.
    :return: the observer to use instead of twistd's; None: twistd's own.
    """
    Factory.noisy = False  # a factory is made for every probe
    file = None if twistd is None else _twistd_log_file(twistd, reactor)
    if config.format != "json" or file is None:
        _install_handler(TwistedLogHandler(), level, config)
        return None if file is None else textFileLogObserver(file)
    _install_handler(FileHandler(file), level, config)
    logging.getLogger("twisted").setLevel(min(level, logging.INFO))  # as in twistd's own log, whatever `level` is
    return STDLibLogObserver("twisted")


def _install_handler(handler: logging.Handler, level: int, config: LogConfig) -> None:
    lines = JsonLines if config.format == "json" else TextLines
    handler.setFormatter(lines(addresses=config.addresses))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(level)
    # at DEBUG asyncio logs its selector, which is of no use to an operator
    logging.getLogger("asyncio").setLevel(max(level, logging.INFO))


def _twistd_log_file(twistd: Mapping[str, Any], reactor: Reactor | None) -> TextIO | None:
    """Return the file that twistd logs to; None: it logs to syslog, or through the user's `--logger`."""
    if twistd["syslog"] or twistd["logger"]:
        return None
    name = twistd["logfile"]
    if twistd["nodaemon"] and name in (None, "", "-"):
        return sys.stdout
    if name == "-":
        return None  # twistd itself refuses: a daemon has no stdout
    file = LogFile.fromFullPath(str(Path(name or TWISTD_LOG).absolute()))  # twistd changes its directory
    new_owner = owner(twistd.get("uid"), twistd.get("gid"))
    if new_owner is not None and os.geteuid() == 0:
        give(Path(file.path), new_owner)
    if reactor is not None and signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL:
        signal.signal(signal.SIGUSR1, lambda number, frame: reactor.callFromThread(partial(_rotate, file)))
    return cast(TextIO, file)


def _rotate(file: LogFile) -> None:
    if Path(file.path).exists():
        file.rotate()
    else:
        file.reopen()
