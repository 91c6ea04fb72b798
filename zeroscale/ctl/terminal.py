"""Text for a terminal: colours, lines that are overwritten, untrusted text without its control characters."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from typing import TextIO

from zeroscale.characters import DIRECTIONS, HIGH_CONTROLS
from zeroscale.protocols.conversation import Component
from zeroscale.protocols.minecraft import text_component

FORMATS = {"bold": 1, "italic": 3, "underlined": 4, "strikethrough": 9}
"""Numbers of ECMA-48; obfuscated text has none and is shown plainly."""

COLOURS = {"red": 31, "green": 32, "yellow": 33, "cyan": 36, "faint": 2, "bold": 1}

_CONTROLS = re.compile(f"[\x00-\x08\x0a-\x1f{HIGH_CONTROLS}{DIRECTIONS}]")
"""Not the tab."""


def clean(text: str) -> str:
    """Return one line of untrusted text with a mark in place of each control character."""
    # a lone surrogate cannot be printed
    return _CONTROLS.sub("\ufffd", text).encode("utf-8", errors="replace").decode()


def clean_json(text: str) -> str:
    """Return the same JSON with control characters escaped."""
    return re.sub(f"[{HIGH_CONTROLS}{DIRECTIONS}]", lambda found: f"\\u{ord(found[0]):04x}", text)


def can_overwrite(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Return whether lines that were written can be overwritten: on a terminal that is not dumb."""
    return stream.isatty() and environment.get("TERM") != "dumb"


class LiveLines:
    """Lines at the end of a terminal's output that are overwritten until they are erased.

    :param stream: writes to a terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._shown = 0

    def show(self, lines: Sequence[str]) -> None:
        """Show these lines in place of the former ones, as far as the terminal has room for them."""
        columns, rows = shutil.get_terminal_size()
        room = max(rows - 1, 1)  # what scrolls out at the top cannot be overwritten, nor can a line that is wrapped
        fitting = list(lines) if len(lines) <= room else [*lines[: room - 1], f"and {len(lines) - room + 1} more"]
        text = "\n".join(line[: max(columns - 1, 1)] for line in fitting)
        self._stream.write(self._back() + text)
        self._stream.flush()
        self._shown = len(fitting)

    def erase(self) -> None:
        """Erase the lines."""
        if self._shown:
            self._stream.write(self._back())
            self._stream.flush()
            self._shown = 0

    def _back(self) -> str:
        """Return what moves the cursor to the first of our lines and erases them (ECMA-48 CUU, ED)."""
        up = f"\033[{self._shown - 1}A" if self._shown > 1 else ""
        return f"{up}\r\033[J"


def paint(text: str, colour: str | None) -> str:
    """Return text in one of `COLOURS`; None: without colour."""
    return text if colour is None else f"\033[{COLOURS[colour]}m{text}\033[0m"


def wants_colour(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Return whether to use colours: on a terminal that is not dumb, unless NO_COLOR is set and not empty."""
    return can_overwrite(stream, environment) and not environment.get("NO_COLOR")


def render(text: Component, colour: bool) -> str:
    """Return a text component as a string, with escape sequences if `colour` is true."""
    if not colour:
        return text_component.plain(text)
    return "".join(_run(words, style) for words, style in text_component.runs(text))


def _run(text: str, style: text_component.Style) -> str:
    codes = [str(code) for name, code in FORMATS.items() if getattr(style, name)]
    if style.color is not None:
        red, green, blue = text_component.RGB.get(style.color) or bytes.fromhex(style.color.removeprefix("#"))
        codes.append(f"38;2;{red};{green};{blue}")
    if not codes:
        return text
    # the style ends with each line, so that it does not continue in a pager or after a truncated line
    return re.sub("[^\n]+", lambda line: f"\033[{';'.join(codes)}m{line[0]}\033[0m", text)
