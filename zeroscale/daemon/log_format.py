"""Format a log record as text (LEVEL:logger:message) or as one JSON object.

Names of players, hosts and server output are untrusted: nothing in a record can begin a line or control a terminal.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import math
import re
from datetime import UTC, datetime

from zeroscale.characters import DIRECTIONS, HIGH_CONTROLS, LINE_SEPARATORS, SURROGATES

FORM = "%(levelname)s:%(name)s:%(message)s"

HIDDEN = "[address]"
"""Replaces an address that is kept out of the log."""

CONTROLS = f"[\x00-\x08\x0b-\x1f{HIGH_CONTROLS}{DIRECTIONS}{LINE_SEPARATORS}{SURROGATES}]"
"""Control characters, line separators, bidirectional controls and surrogates; not newline and tab."""

IPV6 = (
    r"(?i)(?:(?<![\w:.])|(?<=\dm)|(?<=\[m)|(?<=§[0-9a-fk-or])|(?<=[g-z]:)|(?<=_))"  # after a word or a colour code
    r"\[?((?:[0-9a-f]{0,4}:){2,7}(?:(?:\d{1,3}\.){3}\d{1,3}|[0-9a-f]{0,4}))(?:%\w+)?\]?(?::\d{1,5}\b)?"
)
IPV4 = r"(?<!\d)((?:\d{1,3}\.){3}\d{1,3})(?!\d)(?::\d{1,5}\b)?"
"""An address with its brackets, zone and port, where present."""

OWN_FIELDS = frozenset({"time", "level", "logger", "message", "exception"})
NO_FIELDS = frozenset({*vars(logging.makeLogRecord({})), "asctime", "taskName"}) | OWN_FIELDS
"""Attributes of every record, which are not fields of its own."""


class TextLines(logging.Formatter):
    """LEVEL:logger:message; further lines of the message are indented.

    :param addresses: whether addresses are shown.
    """

    def __init__(self, *, addresses: bool = True) -> None:
        super().__init__(FORM)
        self._addresses = addresses

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text, without its final newline."""
        text = super().format(record)
        if not self._addresses:
            text = without_addresses(text)
        return re.sub(CONTROLS, _escaped, text).replace("\n", "\n  ")


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


def without_addresses(text: str) -> str:
    """Replace each IP address in a text by `HIDDEN`, except loopback and unspecified addresses."""
    return re.sub(IPV4, _hidden, re.sub(IPV6, _hidden, text))


def _hidden(match: re.Match[str]) -> str:
    whole, address = match[0], match[1]
    tail = ""
    if address.endswith(":") and not address.endswith("::"):
        # the colon belongs to the sentence
        address, tail = address[:-1], ":"
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return whole
    return whole if parsed.is_loopback or parsed.is_unspecified else HIDDEN + tail


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")
