"""How values, keys and expectations of a configuration file are said in a message. Pure."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable

from zeroscale.config.secret_refs import Secret

LONGEST_SHOWN = 60
"""Characters of a value in a message: enough to find it by."""


def join(path: str, key: str) -> str:
    """The path of a table's key, as TOML would write it."""
    component = key if re.fullmatch("[A-Za-z0-9_-]{1,100}", key) else show(key)
    return f"{path}.{component}" if path else component


def show(value: object) -> str:
    """A value in a message: as it stands in the file, on one line, shortened; a secret only by its source."""
    match value:
        case Secret():
            return f"the text {value.source}"
        case bool():
            return "true" if value else "false"
        case str():
            quoted = "".join(letter if letter.isprintable() else _escaped(letter) for letter in value[:LONGEST_SHOWN])
            return f'"{quoted}"' if len(value) <= LONGEST_SHOWN else f'"{quoted}..."'
        case int():
            # Python refuses to write out thousands of digits, which a hexadecimal number may have
            return str(value) if value.bit_length() <= 128 else f"a number of {value.bit_length()} bits"
        case float():
            return f"{value:.15g}"
        case list() | tuple():
            return "a list" if value else "an empty list"
        case dict():
            return "a table"
    return str(value)[:LONGEST_SHOWN]


def _escaped(letter: str) -> str:
    return json.dumps(letter)[1:-1] if ord(letter) < 0x7F else f"\\u{ord(letter):04x}"


def perhaps(word: str, known: Iterable[str]) -> str:
    """The near miss, as the end of a sentence; empty where there is none."""
    close = difflib.get_close_matches(word.lower(), list(known), n=1)
    return f"; did you mean {show(close[0])}?" if close else ""
