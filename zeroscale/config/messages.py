"""Mistakes in a configuration, and how its keys and values are written in a message. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

from msgspec import Struct

from zeroscale.config.secret_refs import Secret

LONGEST_SHOWN = 60
"""Characters of a value in a message: enough to find it."""


class Mistake(Struct, frozen=True):
    """One mistake in a configuration.

    :ivar path: the key that has it, from the top of the file; "": the whole file.
    :ivar text: what is wrong, on one line.
    :ivar where: the path as it is shown: with the file before it, or the name of an option; None: the path itself.
    :ivar environment: what was written may be right: a library or a file is missing.
    """

    path: str
    text: str
    where: str | None = None
    environment: bool = False

    def __str__(self) -> str:
        where = self.path if self.where is None else self.where
        return f"{where}: {self.text}" if where else self.text


class Mistakes:
    """Mistakes in the order in which they were found."""

    def __init__(self, mistakes: Iterable[Mistake] = ()) -> None:
        self._mistakes: list[Mistake] = []
        self._paths: set[str] = set()
        for mistake in mistakes:
            self.add(mistake)

    def add(self, mistake: Mistake) -> None:
        """Add one."""
        self._mistakes.append(mistake)
        path = mistake.path
        self._paths.update({path} | {path[: found.start()] for found in re.finditer(r"[.\[]", path)})

    def is_bad(self, path: str) -> bool:
        """Return whether there is a mistake at this path or below it."""
        return path in self._paths

    def __iter__(self) -> Iterator[Mistake]:
        return iter(self._mistakes)

    def __len__(self) -> int:
        return len(self._mistakes)


def join(path: str, key: str) -> str:
    """Return the path of a table's key, written as in TOML."""
    component = key if re.fullmatch("[A-Za-z0-9_-]{1,100}", key) else show(key)
    return f"{path}.{component}" if path else component


def show(value: object) -> str:
    """Return a value for a message: as it is in the file, on one line, shortened; of a secret only its source."""
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
