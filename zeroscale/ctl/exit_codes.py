"""Exit codes of `zeroscalectl`; scripts rely on them."""

from __future__ import annotations

from zeroscale.status import Status

DONE = 0
"""Done; the server answered; the player was let in."""

REFUSED = 1
"""Refused or failed; the player was kicked."""

USAGE = 2
"""A mistake in the command line (argparse's number) or in a file, or no server of this name."""

UNREACHABLE = 3
"""No answer, or one that is not of the expected protocol."""

OF_STATUS = {
    Status.running: DONE,
    Status.stopped: 10,
    Status.starting: 11,
    Status.stopping: 12,
    Status.paused: 13,
    Status.failed: 14,
}
"""Exit codes of `status --exit-code`."""

INTERRUPTED = 130
"""Ctrl-C; the number that shells use."""
