"""Convert plugin arguments, which are texts on a command line: durations, yes or no, command lines. Pure."""

from __future__ import annotations

import re
import shlex
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import ParamSpec, TypeVar, cast

from zeroscale.config.durations import EXPECTED, seconds_of
from zeroscale.errors import PluginError

P = ParamSpec("P")
T = TypeVar("T")

PROTOCOLS = ("minecraft", "http")
"""Protocols that zeroscale speaks with clients; of other servers it sees only connections."""

MINECRAFT_READY = r"Done \([0-9.,]+s\)!"
"""The line of output after which a Minecraft server answers (docs/protocol.md, "The server's process")."""

PAUSING_SIGNALS = frozenset({signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGCONT})
"""Signals that pause a process or let it continue: none of them stops one for good."""

LONGEST = 24 * 3600.0
"""Seconds; no plugin waits longer than a day."""


class ArgumentMistakes:
    """Collects the mistakes of a plugin's arguments."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def read(self, convert: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Convert an argument; keep the mistake and return None if `convert` raises `PluginError`."""
        try:
            return convert(*args, **kwargs)
        except PluginError as error:
            self.add(str(error))
            return cast(T, None)

    def add(self, text: str) -> None:
        """Keep a mistake."""
        self.texts.append(text)


@contextmanager
def collect_mistakes() -> Iterator[ArgumentMistakes]:
    """Report the mistakes of all arguments in one message. Values are valid only after the `with` block.

    :raises PluginError: at the end of the block, if there is any mistake.
    """
    mistakes = ArgumentMistakes()
    yield mistakes
    if mistakes.texts:
        raise PluginError("; ".join(mistakes.texts))


def seconds(name: str, value: str | float, *, least: float = 0.01, most: float = LONGEST) -> float:
    """Return the seconds of a duration.

    :param least: the lowest value, in seconds.
    :param most: the highest value, in seconds.
    :raises PluginError: it is not a duration, or not in this range.
    """
    try:
        number = seconds_of(value) if isinstance(value, str) else float(value)
    except (TypeError, ValueError):
        raise PluginError(f"{name}={value!r} is not a duration: {EXPECTED}") from None
    if not least <= number <= most:
        raise PluginError(f"{name}={value} is not from {least:g} to {most:.0f} seconds")
    return number


def words(name: str, value: str | Sequence[str]) -> Sequence[str]:
    """Return the words of a command line. It is split as a shell would, but pipes and the like need a shell.

    :raises PluginError: it cannot be split, or is empty.
    """
    try:
        found = shlex.split(value) if isinstance(value, str) else [str(word) for word in value]
    except ValueError as error:
        raise PluginError(f"{name}={value!r} cannot be split into words: {error}") from None
    if not found:
        raise PluginError(f"{name}= is empty: give it a command line")
    return found


def regular_expression(name: str, value: str | None) -> str | None:
    """Return a regular expression, or None.

    :raises PluginError: it is not one.
    """
    try:
        re.compile(value or "")
    except re.error as error:
        raise PluginError(f"{name}={value!r} is not a regular expression: {error}") from None
    return value


def yes_or_no(name: str, value: str | bool) -> bool:
    """Return whether a switch is on: yes, true, on or 1.

    :raises PluginError: it is neither on nor off.
    """
    if isinstance(value, bool):
        return value
    match value.strip().lower():
        case "yes" | "true" | "on" | "1":
            return True
        case "no" | "false" | "off" | "0" | "":
            return False
    raise PluginError(f"{name}={value!r} is neither yes nor no")


def stop_signal(name: str, value: str | int) -> signal.Signals:
    """Return a signal by its name, with or without `SIG`, or by its number.

    :raises PluginError: there is no such signal, or it only pauses a process.
    """
    try:
        if isinstance(value, int) or value.isdigit():
            number = signal.Signals(int(value))
        else:
            upper = value.strip().upper()
            number = signal.Signals[upper if upper.startswith("SIG") else f"SIG{upper}"]
    except (KeyError, ValueError):
        raise PluginError(f"{name}={value!r} is not a signal: SIGTERM and SIGINT are usual") from None
    if number in PAUSING_SIGNALS:
        raise PluginError(f"{name}={value!r} pauses a program and does not stop it: use SIGTERM or SIGINT")
    return number


def protocol(value: str | None) -> str | None:
    """Return the protocol of a server's clients; None: any other.

    :raises PluginError: zeroscale does not speak it.
    """
    if value is None or value in PROTOCOLS:
        return value
    raise PluginError(f"protocol={value!r}: zeroscale speaks {', '.join(PROTOCOLS)}; leave it out for all others")
