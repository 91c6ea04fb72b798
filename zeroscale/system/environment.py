"""Our own environment variables, without the secrets that the configuration takes from them.

A child inherits `os.environ`. A variable that the configuration names by `{ env = ... }` is moved out of it, and kept
here for the next reading of the configuration.
"""

from __future__ import annotations

import os
from collections import ChainMap
from collections.abc import Iterable, Mapping

BASIC = frozenset({"PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TERM", "TMPDIR", "XDG_RUNTIME_DIR"})
BASIC_PREFIX = "LC_"
"""What a program expects of every session."""

NEEDED = BASIC | {
    "DBUS_SESSION_BUS_ADDRESS",
    "DISPLAY",
    "DOCKER_HOST",
    "JAVA_HOME",
    "JDK_HOME",
    "KUBECONFIG",
    "LANGUAGE",
    "LD_LIBRARY_PATH",
    "PWD",
    "PYTHONHOME",
    "PYTHONPATH",
    "SHELL",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "VIRTUAL_ENV",
}
NEEDED_PREFIXES = (BASIC_PREFIX, "XDG_")
"""What many programs do not start without. None of them has a secret as its value."""

_withheld: dict[str, str] = {}


def readable() -> Mapping[str, str]:
    """Return all variables that the configuration may name."""
    return ChainMap(os.environ, _withheld)


def withhold(names: Iterable[str]) -> None:
    """Move variables out of the environment that children inherit. A name without a variable is ignored.

    Those that programs need stay: the configuration may name one to pass it on where `environment_only` is set.
    The kernel still shows the environment that we were started with in /proc/PID/environ, to the same user and to root.
    """
    for name in names:
        if name in os.environ and name not in NEEDED and not name.startswith(NEEDED_PREFIXES):
            _withheld[name] = os.environ.pop(name)
