"""Format a log record as text (the time, then LEVEL:logger:message) or as one JSON object.

Names of players, hosts and server output are untrusted: nothing in a record can begin a line or control a terminal.
"""

from __future__ import annotations

import json
import logging
import math
import re
from datetime import UTC, datetime

from zeroscale.characters import DIRECTIONS, HIGH_CONTROLS, LINE_SEPARATORS, SURROGATES
from zeroscale.hidden_addresses import HIDDEN, without_addresses

FORM = "%(levelname)s:%(name)s:%(message)s"
TIME = "%Y-%m-%dT%H:%M:%S%z"
"""Local time with its offset, as in twistd's log."""

CONTROLS = f"[\x00-\x08\x0b-\x1f{HIGH_CONTROLS}{DIRECTIONS}{LINE_SEPARATORS}{SURROGATES}]"
"""Control characters, line separators, bidirectional controls and surrogates; not newline and tab."""

OWN_FIELDS = frozenset({"time", "level", "logger", "message", "exception"})
NO_FIELDS = frozenset({*vars(logging.makeLogRecord({})), "asctime", "taskName"}) | OWN_FIELDS
"""Attributes of every record, which are not fields of its own."""


class TextLines(logging.Formatter):
    """LEVEL:logger:message, after the time; further lines of the message are indented.

    :param addresses: whether addresses are shown.
    :param times: whether the time is shown; not where the log's reader adds its own.
    """

    def __init__(self, *, addresses: bool = True, times: bool = False) -> None:
        super().__init__(FORM)
        self._addresses = addresses
        self._times = times

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text, without its final newline."""
        text = super().format(record)
        if not self._addresses:
            text = without_addresses(text)
        time = f"{self.formatTime(record, TIME)} " if self._times else ""
        return time + re.sub(CONTROLS, _escaped, text).replace("\n", "\n  ")


class JsonLines(logging.Formatter):
    """One JSON object, in ASCII: `time`, `level`, `logger`, `message`, and the record's own fields.

    A record's own fields are those of its `extra`; fields that are None are left out.

    :param addresses: whether addresses are shown.
    """

    def __init__(self, *, addresses: bool = True) -> None:
        super().__init__()
        self._addresses = addresses

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as a JSON object, without its final newline."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
            "level": record.levelname,
            "logger": record.name,
            "message": self._shown(record.getMessage()),
        }
        for name, value in vars(record).items():
            shown = None if name in NO_FIELDS else self._shown(value)
            if shown is not None and shown != HIDDEN:
                line[name] = shown
        if record.exc_info:
            line["exception"] = self._shown(self.formatException(record.exc_info))
        return json.dumps(line)

    def _shown(self, value: object) -> object:
        if isinstance(value, float):
            return value if math.isfinite(value) else None  # JSON has neither NaN nor infinity
        if value is None or isinstance(value, int):
            return value
        return str(value) if self._addresses else without_addresses(str(value))


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")
