"""Text components on a terminal: in their colours where there are some, as plain text where not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TextIO

from zeroscale.protocols import component
from zeroscale.protocols.base import Component

FORMATS = {"bold": 1, "italic": 3, "underlined": 4, "strikethrough": 9}
"""ECMA-48's numbers; there is none for obfuscated text, which is readable here."""


def wants_colour(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Whether colours are shown: on a terminal that is not a dumb one, unless NO_COLOR is set to something."""
    return stream.isatty() and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"


def render(text: Component, colour: bool) -> str:
    """A component as a string, with escape sequences where `colour` is true."""
    if not colour:
        return component.plain(text)
    return "".join(_run(words, style) for words, style in component.runs(text))


def _run(text: str, style: component.Style) -> str:
    codes = [str(code) for name, code in FORMATS.items() if getattr(style, name)]
    if style.color is not None:
        red, green, blue = component.RGB.get(style.color) or bytes.fromhex(style.color.removeprefix("#"))
        codes.append(f"38;2;{red};{green};{blue}")
    if not codes:
        return text
    # a style ends with its line, so that a pager or a cut line does not carry it on
    return re.sub("[^\n]+", lambda line: f"\033[{';'.join(codes)}m{line[0]}\033[0m", text)
