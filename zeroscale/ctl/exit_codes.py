"""Exit codes, which scripts rely on."""

from __future__ import annotations

from zeroscale.status import Status

DONE = 0
"""It answered, and did what was asked; the player was let in."""

REFUSED = 1
"""It answered no, or could not; the player was kicked."""

USAGE = 2
"""The command line makes no sense (argparse's own number), or names a server that there is not."""

UNREACHABLE = 3
"""Nobody answered, or not in the language expected."""

OF_STATUS = {
    Status.running: DONE,
    Status.stopped: 10,
    Status.starting: 11,
    Status.stopping: 12,
    Status.paused: 13,
    Status.failed: 14,
}
"""For `status --exit-code`."""

INTERRUPTED = 130
"""Ctrl-C, as shells number it."""
