"""Text for a terminal: colours, and the removal of control characters from untrusted text."""

from __future__ import annotations

import re
from collections.abc import Mapping
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


def paint(text: str, colour: str | None) -> str:
    """Return text in one of `COLOURS`; None: without colour."""
    return text if colour is None else f"\033[{COLOURS[colour]}m{text}\033[0m"


def wants_colour(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Return whether to use colours: on a terminal that is not dumb, unless NO_COLOR is set and not empty."""
    return stream.isatty() and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"


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
