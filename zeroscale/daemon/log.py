"""Where log lines go: on stderr, or into twistd's log.

Everything of ours logs through the standard library. Twisted logs through a system of its own; each function here
joins the two, in one direction only, so that no line can go round in a circle.
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
from zeroscale.system.privileges import give, owner

AS_EVER = LogConfig()

TWISTD_LOG = "twistd.log"
"""twistd's own default."""


class TwistedLogHandler(logging.Handler):
    """Writes into Twisted's log, whose observers (twistd's log file with its rotation, syslog) stay as they are."""

    def emit(self, record: logging.LogRecord) -> None:
        """Logs one line; a record that cannot be formatted is reported as stdlib logging does, never raised."""
        try:
            # the name of the connection that is served just then would stand before the line
            twisted_log.msg(self.format(record), system="-")
        except Exception:
            self.handleError(record)


class FileHandler(logging.StreamHandler[TextIO]):
    """Writes into the file that would be twistd's log, while what is said on stderr goes into Twisted's log."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Says in one line, on the real stderr, that a record could not be written.

        Python's own way ends in `sys.stderr`, which is Twisted's log here, which is this file: for ever, once the disk
        is full.
        """
        with contextlib.suppress(OSError, ValueError):  # a daemon may have no stderr
            if sys.__stderr__ is not None:
                sys.__stderr__.write(f"zeroscale: a log line of {record.name} is lost: {sys.exc_info()[1]!r}\n")


def to_stderr(level: int, told: LogConfig = AS_EVER) -> None:
    """Lines of `level` and above go to stderr, and of Twisted's own what is a warning or worse."""
    _send(logging.StreamHandler(), level, told)
    observer = FilteringLogObserver(STDLibLogObserver("twisted"), [LogLevelFilterPredicate(LogLevel.warn)])
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)


def to_twisted(
    level: int, told: LogConfig = AS_EVER, twistd: Mapping[str, Any] | None = None, reactor: Any = None
) -> ILogObserver | None:
    """Lines of `level` and above go into twistd's log.

    As text they are messages of Twisted's log, in twistd's form. As JSON they are the lines of its file, and Twisted's
    own messages become such lines as well.

    :param twistd: its options; None: it is not twistd that runs us.
    :param reactor: where the file is rotated when SIGUSR1 asks for it, as twistd does; or opened anew, where somebody
        else has moved it away, which twistd does not.
    :returns: what Twisted's log has to be given to instead of twistd's own observer; None: that one is right.
    """
    Factory.noisy = False  # a factory comes and goes with every question to the real server
    file = None if twistd is None else _twistds_file(twistd, reactor)
    if told.format != "json" or file is None:
        _send(TwistedLogHandler(), level, told)
        return None if file is None else textFileLogObserver(file)
    _send(FileHandler(file), level, told)
    logging.getLogger("twisted").setLevel(min(level, logging.INFO))  # as twistd's log has them, whatever ours are
    return STDLibLogObserver("twisted")


def _send(handler: logging.Handler, level: int, told: LogConfig) -> None:
    lines = JsonLines if told.format == "json" else TextLines
    handler.setFormatter(lines(addresses=told.addresses))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(level)
    # at debug asyncio tells which selector it uses, in the middle of the server's story
    logging.getLogger("asyncio").setLevel(max(level, logging.INFO))


def _twistds_file(twistd: Mapping[str, Any], reactor: Any) -> TextIO | None:
    """The file that twistd would log to; None: it logs to syslog, or as a `--logger` of the user's says."""
    if twistd["syslog"] or twistd["logger"]:
        return None
    name = twistd["logfile"]
    if twistd["nodaemon"] and name in (None, "", "-"):
        return sys.stdout
    if name == "-":
        return None  # twistd says itself that a daemon has no stdout
    file = LogFile.fromFullPath(str(Path(name or TWISTD_LOG).absolute()))  # twistd changes its directory
    heir = owner(twistd.get("uid"), twistd.get("gid"))
    if heir is not None and os.geteuid() == 0:
        give(Path(file.path), heir)
    if signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL:
        signal.signal(signal.SIGUSR1, lambda number, frame: reactor.callFromThread(partial(_rotate, file)))
    return cast(TextIO, file)


def _rotate(file: LogFile) -> None:
    if Path(file.path).exists():
        file.rotate()
    else:
        file.reopen()
