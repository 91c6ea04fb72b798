"""Send log lines to stderr, or into twistd's log.

zeroscale logs through the standard library, Twisted through a system of its own. Each function here connects the two in
one direction only, so that no line can loop.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO, cast

from msgspec import Struct
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

from zeroscale.config.model import LogConfig
from zeroscale.daemon.log_file import DescriptorOutput, FileOutput
from zeroscale.daemon.log_format import JsonLines, TextLines
from zeroscale.daemon.log_writer import Handler, LogWriter
from zeroscale.reactor import Reactor
from zeroscale.system.privileges import owner

DEFAULTS = LogConfig()

TWISTD_LOG = "twistd.log"
"""twistd's default file name."""


class TwistdLog(Struct, frozen=True):
    """The log under twistd.

    :ivar writer: writes twistd's log file or stdout; None: twistd logs to syslog, or through the user's `--logger`.
    :ivar observer: the log observer for twistd to use; None: twistd's own.
    """

    writer: LogWriter | None = None
    observer: ILogObserver | None = None


def to_stderr(level: int, config: LogConfig = DEFAULTS) -> LogWriter:
    """Log to stderr: zeroscale's records of `level` and above, Twisted's own of WARNING and above.

    Lines of text begin with the time, unless stderr is journald, which has its own.
    """
    descriptor = sys.stderr.fileno()
    writer = LogWriter(DescriptorOutput(descriptor))
    _install_handler(_lines_to(writer), level, config, times=config.format == "text" and not _is_journal(descriptor))
    observer = FilteringLogObserver(STDLibLogObserver("twisted"), [LogLevelFilterPredicate(LogLevel.warn)])
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)
    return writer


def to_twisted(
    level: int,
    config: LogConfig = DEFAULTS,
    twistd: Mapping[str, Any] | None = None,
    reactor: Reactor | None = None,
) -> TwistdLog:
    """Log records of `level` and above into twistd's log.

    As text they are messages of Twisted's log, in twistd's form, which has the time. As JSON they are the lines of its
    file, and Twisted's own messages become JSON lines too.

    :param twistd: twistd's options; None: not run by twistd.
    :param reactor: rotates the file on SIGUSR1, as twistd does, or reopens it where it was moved away; required with
        `twistd`.
    :raises ConfigError: the log file cannot be opened.
    """
    Factory.noisy = False  # a factory is made for every probe
    writer = None if twistd is None else _twistd_writer(twistd, reactor)
    if config.format != "json" or writer is None:
        # without a system, Twisted prefixes the line with the name of the current connection
        _install_handler(Handler(lambda line: twisted_log.msg(line, system="-")), level, config)
        return TwistdLog(writer, None if writer is None else textFileLogObserver(cast(TextIO, writer)))
    _install_handler(_lines_to(writer), level, config)
    logging.getLogger("twisted").setLevel(min(level, logging.INFO))  # as in twistd's own log, whatever `level` is
    return TwistdLog(writer, STDLibLogObserver("twisted"))


def _lines_to(writer: LogWriter) -> Handler:
    return Handler(lambda line: writer.write(f"{line}\n"))


def _is_journal(descriptor: int) -> bool:
    """Return whether a descriptor is journald's (systemd.exec(5), JOURNAL_STREAM)."""
    status = os.fstat(descriptor)
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def _install_handler(handler: logging.Handler, level: int, config: LogConfig, *, times: bool = False) -> None:
    if config.format == "json":
        handler.setFormatter(JsonLines(addresses=config.addresses))
    else:
        handler.setFormatter(TextLines(addresses=config.addresses, times=times))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(level)
    # at DEBUG asyncio logs its selector, which is of no use to an operator
    logging.getLogger("asyncio").setLevel(max(level, logging.INFO))


def _twistd_writer(twistd: Mapping[str, Any], reactor: Reactor | None) -> LogWriter | None:
    """Return a writer for what twistd logs to; None: it logs to syslog, or through the user's `--logger`."""
    if twistd["syslog"] or twistd["logger"]:
        return None
    name = twistd["logfile"]
    if twistd["nodaemon"] and name in (None, "", "-"):
        return LogWriter(DescriptorOutput(sys.stdout.fileno()))
    if name == "-":
        return None  # twistd itself refuses: a daemon has no stdout
    new_owner = owner(twistd.get("uid"), twistd.get("gid")) if os.geteuid() == 0 else None
    writer = LogWriter(FileOutput(Path(name or TWISTD_LOG), new_owner))
    if reactor is not None and signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL:
        signal.signal(signal.SIGUSR1, lambda number, frame: reactor.callFromThread(writer.rotate))
    return writer
