"""Write a configuration without its secrets, to be shown to others. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from zeroscale.ctl.config_template import quoted
from zeroscale.hidden_addresses import without_addresses

LEFT_OUT = "[left out]"
"""Replaces a secret."""

SECRET_TABLES = frozenset({"environment", "texts"})
"""Tables all of whose values are left out: variables are often secrets, and texts may name people."""

_WORD = r"passw|passphrase|secret|token|api_?key|access_?key|private|credential|webhook|discord|apprise"
_SECRET_KEY = re.compile(rf"(?i){_WORD}|^url$")
_BARE = re.compile(r"[A-Za-z0-9_-]+")

_USER_IN_URL = re.compile(r"(?<=://)[^/@\s]+@")
_WEBHOOK = re.compile(r"(?i)(https?://\S*(?:webhook|hook)s?/)[^\s\"']+")
_AUTHORIZATION = re.compile(r"(?i)\b((?:bearer|basic) +)[\w.~+/=-]{6,}")
_NAMED = rf"[\w.-]*(?:{_WORD})[\w.-]*"
_TEXT = r"(?:\\?\"(?:[^\"\\]|\\.)*\"|'[^']*'|[^\s,;]+)"
_ASSIGNED = re.compile(rf"(?i)({_NAMED}[\"']?\s*[=:]\s*){_TEXT}")
_OPTION = re.compile(rf"(?i)((?<![\w-])--?{_NAMED}\s+)(?!-){_TEXT}")
"""What secrets look like in a line: `password=x`, `"token": "x"`, `--password x`, `Authorization: Bearer x`."""

_OPTION_ALONE = re.compile(rf"(?i)--?{_NAMED}")
"""A word of a command whose next word is a secret."""


def redacted_toml(table: Mapping[str, object]) -> str:
    """Return a configuration as TOML, without secrets and without the addresses of people."""
    return "\n".join(_lines("", table)).strip() + "\n"


def redacted_line(line: str) -> str:
    """Return a line of a log without what looks like a secret, and without addresses."""
    for pattern in (_AUTHORIZATION, _WEBHOOK, _OPTION, _ASSIGNED):
        line = pattern.sub(rf"\1{LEFT_OUT}", line)
    return without_addresses(_USER_IN_URL.sub("", line))


def _lines(path: str, table: Mapping[str, object]) -> Iterator[str]:
    tables = {key: value for key, value in table.items() if isinstance(value, Mapping)}
    for key, value in table.items():
        if key in tables or _is_list_of_tables(value):
            continue
        hidden = _SECRET_KEY.search(key) is not None
        yield f"{_key(key)} = {_value(LEFT_OUT) if hidden else _value(value)}"
    for key, inner in tables.items():
        name = f"{path}{_key(key)}"
        if not inner or not all(isinstance(each, Mapping) for each in inner.values()):
            yield from ("", f"[{name}]")
        if _SECRET_KEY.search(key) or key in SECRET_TABLES:
            yield from (f"{_key(each)} = {_value(LEFT_OUT)}" for each in inner)
        else:
            yield from _lines(f"{name}.", inner)
    for key, value in table.items():
        if isinstance(value, list) and _is_list_of_tables(value):
            for each in value:
                yield from ("", f"[[{path}{_key(key)}]]")
                yield from _lines(f"{path}{_key(key)}.", each)


def _is_list_of_tables(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, Mapping) for each in value)


def _value(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return str(value)
        case list():
            before = [None, *value]
            hidden = (isinstance(word, str) and _OPTION_ALONE.fullmatch(word) for word in before)
            shown = (_value(LEFT_OUT if hide else each) for each, hide in zip(value, hidden, strict=False))
            return f"[{', '.join(shown)}]"
        case Mapping():
            return f"{{ {', '.join(f'{_key(key)} = {_value(LEFT_OUT)}' for key in value)} }}"
        case _:
            return quoted(redacted_line(str(value)))


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else quoted(key)
