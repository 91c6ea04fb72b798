"""Exit codes of `zeroscale` and `twistd zeroscale`; service managers rely on them."""

from __future__ import annotations

EXIT_CLEAN = 0
"""Stopped when asked to."""

EXIT_FAILED = 1
"""It cannot start, or cannot go on."""

EXIT_USAGE = 2
"""A mistake in the command line or in the configuration file."""
