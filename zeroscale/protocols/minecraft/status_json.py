"""Read JSON as leniently as the game's client does, and write it strictly.

A reader of the game (Gson) accepts what `decode` puts up with; mods and plugins send it (docs/protocol.md, "Status").
"""

from __future__ import annotations

import json
import math
from typing import NoReturn

_ABSENT = object()
"""Stands for a number that JSON does not have, until what contains it is complete."""

_BEFORE = "\ufeff \t\r\n"
"""A byte order mark, and JSON's white space."""

LEAST, GREATEST = -(2**63), 2**64 - 1
"""The integers that are read; Python itself refuses more than 4300 digits."""

LONGEST_INTEGER = 20
"""Characters of the longest of them."""


def decode(text: str) -> object:
    """Decode the JSON document at the beginning of a text.

    A byte order mark before it, whatever follows it, and control characters in its strings are put up with. `NaN`,
    `Infinity` and numbers beyond 64 bits are read as absent: their key or list element is left out.

    :raises ValueError: there is no document, or it is nested too deeply.
    """
    try:
        value: object = _DECODER.raw_decode(text.lstrip(_BEFORE))[0]
        value = _without_absent([value])
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not value:
        raise ValueError("it is a number that JSON does not have")
    return value[0]


def encode(value: object) -> str:
    """Encode a decoded value as valid JSON; half a surrogate pair becomes an escape."""
    return json.dumps(value, allow_nan=False)


def is_strict(text: str) -> bool:
    """Return whether a text is one JSON document and nothing else."""
    try:
        json.loads(text, parse_constant=_refuse, parse_int=float)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _float(text: str) -> object:
    number = float(text)
    return number if math.isfinite(number) else _ABSENT


def _integer(text: str) -> object:
    return int(text) if len(text) <= LONGEST_INTEGER and LEAST <= int(text) <= GREATEST else _ABSENT


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    return {
        key: _without_absent(value) if isinstance(value, list) else value
        for key, value in pairs
        if value is not _ABSENT
    }


def _without_absent(values: list[object]) -> list[object]:
    return [_without_absent(value) if isinstance(value, list) else value for value in values if value is not _ABSENT]


_DECODER = json.JSONDecoder(
    strict=False,
    parse_constant=lambda _: _ABSENT,
    parse_float=_float,
    parse_int=_integer,
    object_pairs_hook=_object,
)
