"""The little language of the texts that an operator may write. Pure.

`{name}` is replaced by a value; `[...]` with a placeholder in it is left out when that has no value; `&a` and the like
are colours and styles (`protocols.component.parse`). `{{`, `[[`, `]]` and `&&` are the characters themselves, brackets
without a placeholder in them too. Values are never read as codes.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from zeroscale.errors import ConfigError
from zeroscale.protocols.conversation import Component
from zeroscale.protocols.minecraft.text_component import parse, section_text

LONGEST_TEXT = 2000
"""Characters; a MOTD shows about 120, a kick fills a screen with this."""

DEEPEST = 32
"""Levels of a component."""

_TOKEN = re.compile(r"\{\{|\}\}|\[\[|\]\]|\[|\]|\{(?P<name>[^{}]*)\}")
_AMPERSAND = re.compile(r"&&|&#[0-9a-f]{6}|&[0-9a-fk-or]|&", re.IGNORECASE)
_FILLED_KEYS = frozenset({"text", "fallback"})
_SIBLING_KEYS = frozenset({"extra", "with"})
_ABSENT = frozenset({"", "0"})


@dataclass(frozen=True, slots=True)
class _Placeholder:
    name: str


@dataclass(frozen=True, slots=True)
class _Group:
    parts: tuple[str | _Placeholder, ...]


_Parts = tuple[str | _Placeholder | _Group, ...]


@dataclass(frozen=True, slots=True)
class _Leaf:
    parts: _Parts


class Template:
    """One text.

    :param text: as the operator wrote it.
    :param name: the text's name, for messages.
    :param allowed: the placeholders that have a meaning in it.
    :raises ConfigError: it is too long, or has a placeholder that is not allowed.
    """

    def __init__(self, text: str, name: str, allowed: Set[str]) -> None:
        self._parts = _parse(_AMPERSAND.sub(_unambiguous, text), name, allowed)

    def fill(self, values: Mapping[str, str], unknown: Mapping[str, str]) -> Component:
        """The text as a component.

        :param values: of the placeholders, without section signs; an empty one (or 0) has none, and takes its group
            away.
        :param unknown: what an empty one is called outside a group.
        """
        return parse(_joined(self._parts, {name: value.replace("&", "&&") for name, value in values.items()}, unknown))

    def line(self, values: Mapping[str, str], unknown: Mapping[str, str]) -> str:
        """The same with section-sign codes."""
        return section_text(self.fill(values, unknown))


class ComponentTemplate:
    """One text as a JSON component: what it says is filled in as in a `Template`, but has no `&` codes.

    :param component: as the operator wrote it.
    :param name: the text's name, for messages.
    :param allowed: the placeholders that have a meaning in it.
    :raises ConfigError: it is no component, or has a placeholder that is not allowed.
    """

    def __init__(self, component: Mapping[str, object] | Sequence[object], name: str, allowed: Set[str]) -> None:
        self._component = _compiled(component, name, allowed, DEEPEST)

    def fill(self, values: Mapping[str, str], unknown: Mapping[str, str]) -> Component:
        """The component with all its texts filled; see `Template.fill`."""
        filled = _filled(self._component, values, unknown)
        assert isinstance(filled, dict | list)
        return filled


def _parse(text: str, name: str, allowed: Set[str]) -> _Parts:
    if len(text) > LONGEST_TEXT:
        raise ConfigError(f"texts.{name} has {len(text)} characters: at most {LONGEST_TEXT}")
    parts: list[str | _Placeholder | _Group] = []
    group: list[str | _Placeholder] | None = None
    position = 0

    def add(part: str | _Placeholder) -> None:
        (parts if group is None else group).append(part)

    def end_group(end: str) -> None:
        nonlocal group
        inner, group = group or [], None
        if end and any(isinstance(part, _Placeholder) for part in inner):
            parts.append(_Group(tuple(inner)))
        else:
            parts.extend(["[", *inner, end])

    for found in _TOKEN.finditer(text):
        add(text[position : found.start()])
        position = found.end()
        token = found[0]
        if found["name"] is not None:
            add(_placeholder(found["name"], name, allowed))
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
    return tuple(part for part in parts if part != "")


def _placeholder(placeholder: str, name: str, allowed: Set[str]) -> _Placeholder:
    if placeholder in allowed:
        return _Placeholder(placeholder)
    near = difflib.get_close_matches(placeholder, allowed, n=1)
    known = (
        f"did you mean {{{near[0]}}}?" if near else "it knows " + " ".join(f"{{{each}}}" for each in sorted(allowed))
    )
    raise ConfigError(f"texts.{name} has no placeholder {{{placeholder}}}: {known}")


def _joined(parts: _Parts, values: Mapping[str, str], unknown: Mapping[str, str]) -> str:
    filled = []
    for part in parts:
        if not isinstance(part, _Group):
            filled.append(_value(part, values, unknown))
        elif all(isinstance(inner, str) or values[inner.name] not in _ABSENT for inner in part.parts):
            filled.extend(_value(inner, values, unknown) for inner in part.parts)
    return "".join(filled)


def _value(part: str | _Placeholder, values: Mapping[str, str], unknown: Mapping[str, str]) -> str:
    if isinstance(part, str):
        return part
    return values[part.name] or unknown.get(part.name, "")


def _unambiguous(found: re.Match[str]) -> str:
    """An `&` that begins no code must not begin one with the value that follows it."""
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
    raise ConfigError(f"texts.{name}: {value!r} is no component: a text, an object or an array of them")


def _filled(value: object, values: Mapping[str, str], unknown: Mapping[str, str]) -> object:
    match value:
        case _Leaf():
            return _joined(value.parts, values, unknown)
        case dict():
            return {key: _filled(inner, values, unknown) for key, inner in value.items()}
        case list():
            return [_filled(inner, values, unknown) for inner in value]
    return value
