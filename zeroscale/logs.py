"""Where log lines go: every one in the form LEVEL:logger:message, on stderr or into twistd's log.

Everything of ours logs through the standard library. Twisted logs through a system of its own; each function here
joins the two, in one direction only, so that no line can go round in a circle.
"""

from __future__ import annotations

import logging

from twisted.internet.protocol import Factory
from twisted.logger import FilteringLogObserver, LogLevel, LogLevelFilterPredicate, STDLibLogObserver, globalLogBeginner
from twisted.python import log as twisted_log

FORM = "%(levelname)s:%(name)s:%(message)s"


class TwistedLogHandler(logging.Handler):
    """Writes into Twisted's log, whose observers (twistd's log file with its rotation, syslog) stay as they are."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter(FORM))

    def emit(self, record: logging.LogRecord) -> None:
        """Logs one line; a record that cannot be formatted is reported as stdlib logging does, never raised."""
        try:
            # the name of the connection that is served just then would stand before the line
            twisted_log.msg(self.format(record), system="-")
        except Exception:
            self.handleError(record)


def to_stderr(level: int) -> None:
    """Lines of `level` and above go to stderr, and of Twisted's own what is a warning or worse."""
    logging.basicConfig(format=FORM)
    _set_level(level)
    observer = FilteringLogObserver(STDLibLogObserver("twisted"), [LogLevelFilterPredicate(LogLevel.warn)])
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)


def to_twisted(level: int) -> None:
    """Lines of `level` and above go into Twisted's log."""
    Factory.noisy = False  # a factory comes and goes with every question to the real server
    logging.getLogger().addHandler(TwistedLogHandler())
    _set_level(level)


def _set_level(level: int) -> None:
    logging.getLogger().setLevel(level)
    # at debug asyncio tells which selector it uses, in the middle of the server's story
    logging.getLogger("asyncio").setLevel(max(level, logging.INFO))
