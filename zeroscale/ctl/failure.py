"""Print the error of a command, and choose the exit code for it."""

from __future__ import annotations

import sys

from zeroscale.ctl import exit_codes, terminal
from zeroscale.ctl.client import UsageError
from zeroscale.errors import BackendError, ConfigMistakes, ProtocolError, ZeroscaleError


def report(error: ZeroscaleError) -> int:
    """Print an error on stderr and return its exit code."""
    lines = "\n".join(terminal.clean(line) for line in str(error).splitlines())
    sys.stderr.write(f"zeroscalectl: error: {lines}\n")
    if isinstance(error, UsageError) or (isinstance(error, ConfigMistakes) and error.usage):
        return exit_codes.USAGE
    return exit_codes.UNREACHABLE if isinstance(error, BackendError | ProtocolError) else exit_codes.REFUSED
