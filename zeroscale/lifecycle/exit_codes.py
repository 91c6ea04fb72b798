"""The meaning of a server's exit code, in words. Pure."""

from __future__ import annotations

import signal
from collections.abc import Sequence

CLEAN_EXIT_CODES = frozenset({0, 129, 130, 143})
"""After a `stop`, SIGHUP, SIGINT and SIGTERM: all four save the world first (docs/protocol.md)"""

LINES_QUOTED = 5
"""Lines of a server's last output that are quoted in the log: the head of a stack trace is the most useful."""

_WORDS = {
    1: "an error",
    126: "its command could not be run",
    127: "its command was not found",
    137: "killed, often because memory ran out",
}


def is_clean(code: int | None) -> bool:
    """Return whether a server exits with this code when it was stopped; an unknown one (None) is taken for clean."""
    return code is None or code in CLEAN_EXIT_CODES


def describe(code: int | None) -> str:
    """Return an exit code in words, like "exit code 137: killed, often because memory ran out"."""
    if code is None:
        return "exit code unknown"
    words = _WORDS.get(code)
    if words is None and code > 128:
        try:
            words = f"ended by {signal.Signals(code - 128).name}"
        except ValueError:
            words = None
    return f"exit code {code}" + (f": {words}" if words else "")


def quote_output(lines: Sequence[str]) -> str:
    """Return the last lines of a server's output as the end of a sentence; "" where there are none."""
    quoted = [line.strip() for line in lines if line.strip()][-LINES_QUOTED:]
    return "; its last output: " + " | ".join(quoted) if quoted else ""
