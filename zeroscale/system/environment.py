"""Our own environment variables, without the secrets that the configuration takes from them.

A child inherits `os.environ`. A variable that the configuration names by `{ env = ... }` is moved out of it, and kept
here for the next reading of the configuration.
"""

from __future__ import annotations

import os
from collections import ChainMap
from collections.abc import Iterable, Mapping

_withheld: dict[str, str] = {}


def readable() -> Mapping[str, str]:
    """Return all variables that the configuration may name."""
    return ChainMap(os.environ, _withheld)


def withhold(names: Iterable[str]) -> None:
    """Move variables out of the environment that children inherit. A name without a variable is ignored.

    The kernel still shows the environment that we were started with in /proc/PID/environ, to the same user and to root.
    """
    for name in names:
        if name in os.environ:
            _withheld[name] = os.environ.pop(name)
