"""Text components: parsed from text with colour codes, and converted to plain or section-sign text.

No function raises for a component (`conversation.Component`) that is invalid or too deep: what cannot be shown is left
out, so that the rest of a server's text reaches the player.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from msgspec import Struct

from zeroscale.protocols.conversation import Component

SECTION = "\u00a7"
DEEPEST = 64
"""Levels of nesting that are read; the game's own limit is 255 (docs/protocol.md, "Status")."""

LONGEST = 32767
"""Characters and parts that are read, in at most 0.3 s: a status or kick has no more, as JSON. An argument can be used
more than once in a text, so a small component can stand for a text without end."""

COLORS = {
    "0": "black",
    "1": "dark_blue",
    "2": "dark_green",
    "3": "dark_aqua",
    "4": "dark_red",
    "5": "dark_purple",
    "6": "gold",
    "7": "gray",
    "8": "dark_gray",
    "9": "blue",
    "a": "green",
    "b": "aqua",
    "c": "red",
    "d": "light_purple",
    "e": "yellow",
    "f": "white",
}
"""The sixteen colours by their code."""

FORMATS = {"k": "obfuscated", "l": "bold", "m": "strikethrough", "n": "underlined", "o": "italic"}
"""The five formats by their code. `r` resets both."""

RGB = {
    "black": (0x00, 0x00, 0x00),
    "dark_blue": (0x00, 0x00, 0xAA),
    "dark_green": (0x00, 0xAA, 0x00),
    "dark_aqua": (0x00, 0xAA, 0xAA),
    "dark_red": (0xAA, 0x00, 0x00),
    "dark_purple": (0xAA, 0x00, 0xAA),
    "gold": (0xFF, 0xAA, 0x00),
    "gray": (0xAA, 0xAA, 0xAA),
    "dark_gray": (0x55, 0x55, 0x55),
    "blue": (0x55, 0x55, 0xFF),
    "green": (0x55, 0xFF, 0x55),
    "aqua": (0x55, 0xFF, 0xFF),
    "red": (0xFF, 0x55, 0x55),
    "light_purple": (0xFF, 0x55, 0xFF),
    "yellow": (0xFF, 0xFF, 0x55),
    "white": (0xFF, 0xFF, 0xFF),
}
"""The sixteen colours as red, green and blue, for a terminal."""

_CODES = {name: code for code, name in (COLORS | FORMATS).items()}
_AMPERSAND_CODE = re.compile(r"&&|&#[0-9a-f]{6}|[&\u00a7][0-9a-fk-or]", re.IGNORECASE)
_SECTION_CODE = re.compile(r"\u00a7(.?)", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
_ARGUMENT = re.compile(r"%(?:(\d{1,3})\$)?s|%%")


class Style(Struct, frozen=True):
    """The style of a run of text.

    :ivar color: one of the sixteen names, or `#rrggbb`; None: the default colour.
    """

    color: str | None = None
    bold: bool = False
    italic: bool = False
    underlined: bool = False
    strikethrough: bool = False
    obfuscated: bool = False


def parse(text: str) -> Component:
    """Parse text with colour codes into a component.

    Codes are `&0`-`&f`, `&k`-`&o`, `&r`, `&#rrggbb`, and the same letters after a section sign. As in the game, a
    colour resets the formats. `&&`, or an `&` that begins no code, is a literal `&`.
    """
    found: list[tuple[str, Style]] = []
    style = Style()
    literal = ""
    position = 0
    for match in _AMPERSAND_CODE.finditer(text):
        literal += text[position : match.start()]
        position = match.end()
        code = match[0]
        if code == "&&":
            literal += "&"
            continue
        if literal:
            found.append((literal, style))
            literal = ""
        style = Style(color=code[1:].lower()) if code[1] == "#" else _coded(style, Style(), code[1])
    literal += text[position:]
    if literal:
        found.append((literal, style))
    if not found:
        return ""
    if len(found) == 1 and found[0][1] == Style():
        return found[0][0]
    return {"text": "", "extra": [_component(part, style) for part, style in found]}


def runs(component: Component) -> list[tuple[str, Style]]:
    """Return the runs of text with their styles, inheritance and section-sign codes resolved.

    Control characters other than newlines are dropped, so that the text is safe for a terminal. A translated text
    becomes its fallback, or else its key with the arguments in parentheses. The text ends where `LONGEST` is exceeded.
    """
    found: list[tuple[str, Style]] = []
    room = LONGEST
    for text, style in _walk(component, Style(), 0):
        room -= 1 + len(text)
        if room < 0:
            found.append((_CONTROL.sub("", text[:room]), style))
            break
        found.append((_CONTROL.sub("", text), style))
    return [(text, style) for text, style in found if text]


def plain(component: Component) -> str:
    """Return the text without styles."""
    return "".join(text for text, _ in runs(component))


def section_text(component: Component) -> str:
    """Return the text with section-sign codes, for clients before 1.7; colours become the nearest of the sixteen."""
    pieces: list[str] = []
    before = Style()
    for text, style in runs(component):
        if style != before:
            color = _CODES[_nearest(style.color)] if style.color else "r"
            formats = [code for code, name in FORMATS.items() if getattr(style, name)]
            pieces.extend(f"{SECTION}{code}" for code in (color, *formats))
            before = style
        pieces.append(text)
    return "".join(pieces)


def clean(component: Component) -> Component:
    """Return the component without empty lists, which clients refuse, and not too deep (docs/protocol.md, "Status")."""
    return _clean(component, 0)


def with_fallbacks(component: Component) -> Component:
    """Return the component with fallbacks in place of their translation keys, the arguments filled in.

    For clients that lack a key, and show the key itself: `fallback` is understood since 1.19.4.
    """
    return _with_fallbacks(component, 0)


def _with_fallbacks(component: object, depth: int) -> Component:
    if depth > DEEPEST:
        return ""
    if isinstance(component, list | tuple):
        return [_with_fallbacks(child, depth + 1) for child in component]
    if not isinstance(component, Mapping):
        return literal(component)
    spelled = {**component}
    for key in ("extra", "with"):
        if isinstance(spelled.get(key), list | tuple):
            spelled[key] = _with_fallbacks(spelled[key], depth + 1)
    if "translate" not in spelled or spelled.get("fallback") is None or "text" in spelled:
        return spelled
    own = {key: spelled.pop(key, None) for key in ("translate", "fallback", "with")}
    children = spelled.get("extra")
    words = [_component(text, style) for text, style in runs(own)]
    return {**spelled, "text": "", "extra": [*words, *(children if isinstance(children, list) else ())]}


def _clean(component: object, depth: int) -> Component:
    if depth > DEEPEST:
        return ""
    if isinstance(component, Mapping):
        lists = {key: _children(component[key], depth) for key in ("extra", "with") if key in component}
        return {key: value for key, value in {**component, **lists}.items() if key not in lists or value}
    if isinstance(component, list | tuple):
        return _children(component, depth) or ""
    return literal(component)


def _children(value: object, depth: int) -> list[Component]:
    return [_clean(child, depth + 1) for child in value] if isinstance(value, list | tuple) else []


def _component(text: str, style: Style) -> dict[str, object]:
    component: dict[str, object] = {"text": text}
    if style.color is not None:
        component["color"] = style.color
    return component | {name: True for name in FORMATS.values() if getattr(style, name)}


def _coded(style: Style, base: Style, code: str) -> Style:
    """Return the style after a code; `r` resets it to `base`."""
    code = code.lower()
    if code in COLORS:
        return Style(color=COLORS[code])
    if code in FORMATS:
        return _restyled(style, style.color, {FORMATS[code]: True})
    return base if code == "r" else style


def _walk(component: object, inherited: Style, depth: int) -> Iterator[tuple[str, Style]]:
    """Yield the runs of text, with an empty one for each step without text, so that the steps can be counted."""
    yield "", inherited
    if depth > DEEPEST:
        return
    if isinstance(component, Mapping):
        style = _styled(component, inherited)
        yield from _own_text(component, style, depth)
        children = component.get("extra")
    elif isinstance(component, list | tuple):  # the first one is the parent of the others
        first, *children = component or ("",)
        yield from _walk(first, inherited, depth + 1)
        style = _styled(first, inherited) if isinstance(first, Mapping) else inherited
    else:
        yield from _resolved(literal(component), inherited)
        return
    if isinstance(children, list | tuple):
        for child in children:
            yield from _walk(child, style, depth + 1)


def _own_text(component: Mapping[str, object], style: Style, depth: int) -> Iterator[tuple[str, Style]]:
    key = component.get("translate")
    if "text" in component or key is None:
        yield from _resolved(literal(component.get("text", component.get("keybind", ""))), style)
        return
    given = component.get("with")
    arguments = given if isinstance(given, list | tuple) else ()
    fallback = component.get("fallback")
    if fallback is None:
        yield from _resolved(literal(key), style)
        for index, argument in enumerate(arguments):
            yield (", " if index else " (", style)
            yield from _walk(argument, style, depth + 1)
        if arguments:
            yield (")", style)
        return
    text = literal(fallback)
    position = following = 0
    for match in _ARGUMENT.finditer(text):
        yield from _resolved(text[position : match.start()], style)
        position = match.end()
        if match[0] == "%%":
            yield ("%", style)
            continue
        index = int(match[1]) - 1 if match[1] else following
        following += not match[1]
        if 0 <= index < len(arguments):
            yield from _walk(arguments[index], style, depth + 1)
    yield from _resolved(text[position:], style)


def literal(value: object) -> str:
    """Return a component that is no object or array as text; "" where it is null."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else ""


def _styled(component: Mapping[str, object], inherited: Style) -> Style:
    color = component.get("color")
    if isinstance(color, str) and (color in RGB or re.fullmatch("#[0-9a-fA-F]{6}", color)):
        color = color.lower()
    else:
        color = None if color == "reset" else inherited.color
    return _restyled(inherited, color, component)


def _restyled(style: Style, color: str | None, formats: Mapping[str, object]) -> Style:
    """Return the style with another colour, and with those formats that are booleans in `formats`."""
    flags: dict[str, bool] = {
        name: value if isinstance(value := formats.get(name), bool) else getattr(style, name)
        for name in FORMATS.values()
    }
    return Style(color=color, **flags)


def _resolved(text: str, base: Style) -> Iterator[tuple[str, Style]]:
    """Yield the runs of text with section-sign codes; an unknown code is dropped with its letter, as in the game."""
    style = base
    position = 0
    for match in _SECTION_CODE.finditer(text):
        yield text[position : match.start()], style
        position = match.end()
        style = _coded(style, base, match[1])
    yield text[position:], style


def _nearest(color: str) -> str:
    if color in RGB:
        return color
    wanted = bytes.fromhex(color[1:])
    return min(RGB, key=lambda name: sum((one - other) ** 2 for one, other in zip(RGB[name], wanted, strict=True)))
