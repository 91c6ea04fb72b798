"""Plugin arguments as they come from a command line, understood: durations, yes and no, command lines. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from zeroscale.config.durations import EXPECTED, seconds_of
from zeroscale.errors import PluginError

PROTOCOLS = ("minecraft",)
"""What zeroscale can speak with a server's clients; of all others it knows connections."""

LONGEST = 24 * 3600.0
"""Seconds: nothing here waits longer than a day."""


def seconds(name: str, value: str | float, *, least: float = 0.01, most: float = LONGEST) -> float:
    """A duration.

    :raises PluginError: it is none, or not from `least` to a day.
    """
    try:
        number = seconds_of(value) if isinstance(value, str) else float(value)
    except (TypeError, ValueError):
        raise PluginError(f"{name}={value!r} is not a duration: {EXPECTED}") from None
    if not least <= number <= most:
        raise PluginError(f"{name}={value} is not from {least:g} to {most:.0f} seconds")
    return number


def words(name: str, value: str | Sequence[str]) -> Sequence[str]:
    """A command line, split as a shell would, or as its words; for pipes and the like it has to name a shell.

    :raises PluginError: it cannot be split, or is empty.
    """
    try:
        found = shlex.split(value) if isinstance(value, str) else [str(word) for word in value]
    except ValueError as error:
        raise PluginError(f"{name}={value!r} cannot be split into words: {error}") from None
    if not found:
        raise PluginError(f"{name}= is empty: give it a command line")
    return found


def yes_or_no(name: str, value: str | bool) -> bool:
    """A switch.

    :raises PluginError: it is neither.
    """
    if isinstance(value, bool):
        return value
    match value.strip().lower():
        case "yes" | "true" | "on" | "1":
            return True
        case "no" | "false" | "off" | "0" | "":
            return False
    raise PluginError(f"{name}={value!r} is neither yes nor no")


def protocol(value: str | None) -> str | None:
    """What a server's clients speak; None: zeroscale need not know.

    :raises PluginError: zeroscale does not know it.
    """
    if value is None or value in PROTOCOLS:
        return value
    raise PluginError(f"protocol={value!r}: zeroscale speaks {', '.join(PROTOCOLS)}; leave it out for all others")
