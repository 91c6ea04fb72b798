"""Exit codes, which scripts rely on."""

DONE = 0
"""It answered; the player was let in."""

REFUSED = 1
"""It answered no; the player was kicked."""

USAGE = 2
"""The command line makes no sense (argparse's own number)."""

UNREACHABLE = 3
"""Nobody answered, or not in the game's language."""

INTERRUPTED = 130
"""Ctrl-C, as shells number it."""
