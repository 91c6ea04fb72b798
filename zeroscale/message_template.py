"""The template language of the messages that an operator may write. Pure.

`{name}` is replaced by a variable's value; `[...]` is left out when a variable in it has no value; `&a` and the like
are colours and styles (`text_component.parse`). `{{`, `[[`, `]]` and `&&` are the characters themselves, and so are
brackets without a variable in them. Values are never read as codes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set

from msgspec import Struct

from zeroscale.errors import ConfigError, suggest
from zeroscale.protocols.conversation import Component
from zeroscale.protocols.minecraft.text_component import parse, section_text

LONGEST_TEXT = 2000
"""Characters; the server list shows about 120, and a kick of this length fills a screen."""

DEEPEST = 32
"""Levels of nested components."""

_TOKEN = re.compile(r"\{\{|\}\}|\[\[|\]\]|\[|\]|\{(?P<name>[^{}]*)\}")
_AMPERSAND = re.compile(r"&&|&#[0-9a-f]{6}|&[0-9a-fk-or]|&", re.IGNORECASE)
_FILLED_KEYS = frozenset({"text", "fallback"})
_SIBLING_KEYS = frozenset({"extra", "with"})
_ABSENT = frozenset({"", "0"})


class _Variable(Struct, frozen=True):
    name: str


class _Group(Struct, frozen=True):
    pieces: tuple[str | _Variable, ...]


_Pieces = tuple[str | _Variable | _Group, ...]


class _Leaf(Struct, frozen=True):
    pieces: _Pieces


class Template:
    """One message as a text with codes.

    :param text: as the operator wrote it.
    :param name: the message's name, for errors.
    :param allowed: the variables that it may have.
    :raises ConfigError: it is too long, or has a variable that is not allowed.
    """

    def __init__(self, text: str, name: str, allowed: Set[str]) -> None:
        self._pieces = _parse(_AMPERSAND.sub(_unambiguous, text), name, allowed)

    def fill(self, values: Mapping[str, str], unknown: Mapping[str, str]) -> Component:
        """Return the message as a component.

        :param values: the variables' values, without section signs; "" and "0" leave a group out.
        :param unknown: what to write for an empty value outside of a group, by the variable's name.
        """
        return parse(_joined(self._pieces, {name: value.replace("&", "&&") for name, value in values.items()}, unknown))

    def line(self, values: Mapping[str, str], unknown: Mapping[str, str]) -> str:
        """Return the message as a string with section-sign codes; the parameters are those of `fill`."""
        return section_text(self.fill(values, unknown))


class ComponentTemplate:
    """One message as a JSON component: its texts have variables and groups as in a `Template`, but no `&` codes.

    :param component: as the operator wrote it.
    :param name: the message's name, for errors.
    :param allowed: the variables that it may have.
    :raises ConfigError: it is not a component, or has a variable that is not allowed.
    """

    def __init__(self, component: Mapping[str, object] | Sequence[object], name: str, allowed: Set[str]) -> None:
        self._component = _compiled(component, name, allowed, DEEPEST)

    def fill(self, values: Mapping[str, str], unknown: Mapping[str, str]) -> Component:
        """Return the component with all its texts filled; the parameters are those of `Template.fill`."""
        filled = _filled(self._component, values, unknown)
        assert isinstance(filled, dict | list)
        return filled


def _parse(text: str, name: str, allowed: Set[str]) -> _Pieces:
    if len(text) > LONGEST_TEXT:
        raise ConfigError(f"texts.{name} has {len(text)} characters: at most {LONGEST_TEXT}")
    pieces: list[str | _Variable | _Group] = []
    group: list[str | _Variable] | None = None
    position = 0

    def add(piece: str | _Variable) -> None:
        (pieces if group is None else group).append(piece)

    def end_group(end: str) -> None:
        nonlocal group
        inner, group = group or [], None
        if end and any(isinstance(piece, _Variable) for piece in inner):
            pieces.append(_Group(tuple(inner)))
        else:
            pieces.extend(["[", *inner, end])

    for found in _TOKEN.finditer(text):
        add(text[position : found.start()])
        position = found.end()
        token = found[0]
        if found["name"] is not None:
            add(_variable(found["name"], name, allowed))
        elif len(token) == 2:
            add(token[0])
        elif token == "[":
            if group is not None:
                end_group("")
            group = []
        elif group is not None:
            end_group("]")
        else:
            add(token)
    add(text[position:])
    if group is not None:
        end_group("")
    return tuple(piece for piece in pieces if piece != "")


def _variable(variable: str, name: str, allowed: Set[str]) -> _Variable:
    if variable in allowed:
        return _Variable(variable)
    listed = " ".join(map(_braced, sorted(allowed)))
    known = suggest(variable, allowed, show=_braced) or (f"it has {listed}" if allowed else "it has none")
    raise ConfigError(f"texts.{name} has no variable {_braced(variable)}: {known}")


def _braced(variable: str) -> str:
    return f"{{{variable}}}"


def _joined(pieces: _Pieces, values: Mapping[str, str], unknown: Mapping[str, str]) -> str:
    filled = []
    for piece in pieces:
        if not isinstance(piece, _Group):
            filled.append(_value(piece, values, unknown))
        elif all(isinstance(inner, str) or values[inner.name] not in _ABSENT for inner in piece.pieces):
            filled.extend(_value(inner, values, unknown) for inner in piece.pieces)
    return "".join(filled)


def _value(piece: str | _Variable, values: Mapping[str, str], unknown: Mapping[str, str]) -> str:
    if isinstance(piece, str):
        return piece
    return values[piece.name] or unknown.get(piece.name, "")


def _unambiguous(found: re.Match[str]) -> str:
    """Double an `&` that begins no code, so that it does not make one with the value that follows it."""
    return "&&" if found[0] == "&" else found[0]


def _compiled(value: object, name: str, allowed: Set[str], levels: int) -> object:
    if levels == 0:
        raise ConfigError(f"texts.{name} is nested more than {DEEPEST} deep")
    match value:
        case str():
            return _Leaf(_parse(value, name, allowed))
        case Mapping():
            compiled = {}
            for key, inner in value.items():
                if key in _SIBLING_KEYS and not isinstance(inner, list):
                    raise ConfigError(f"texts.{name}: {key!r} must be an array of components")
                filled = (key in _FILLED_KEYS and isinstance(inner, str)) or key in _SIBLING_KEYS
                compiled[key] = _compiled(inner, name, allowed, levels - 1) if filled else inner
            return compiled
        case list() | tuple():
            if not value:
                raise ConfigError(f"texts.{name}: an array of components must not be empty")
            return [_compiled(inner, name, allowed, levels - 1) for inner in value]
    raise ConfigError(f"texts.{name}: {value!r} is not a component: write a text, an object or an array of them")


def _filled(value: object, values: Mapping[str, str], unknown: Mapping[str, str]) -> object:
    match value:
        case _Leaf():
            return _joined(value.pieces, values, unknown)
        case dict():
            return {key: _filled(inner, values, unknown) for key, inner in value.items()}
        case list():
            return [_filled(inner, values, unknown) for inner in value]
    return value
