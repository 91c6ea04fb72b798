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

_SECRET_KEY = re.compile(r"(?i)passw|secret|token|api_?key|private|credential|webhook|discord|apprise|^url$")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_USER_IN_URL = re.compile(r"(?<=://)[^/@\s]+@")
_ASSIGNED = re.compile(r"(?i)((?:passw\w*|secret|token|api_?key)\s*[=:]\s*)(?:\"[^\"]*\"|\S+)")


def redacted_toml(table: Mapping[str, object]) -> str:
    """Return a configuration as TOML, without secrets and without the addresses of people."""
    return "\n".join(_lines("", table)).strip() + "\n"


def redacted_line(line: str) -> str:
    """Return a line of a log without what looks like a secret, and without addresses."""
    return without_addresses(_USER_IN_URL.sub("", _ASSIGNED.sub(rf"\1{LEFT_OUT}", line)))


def _lines(path: str, table: Mapping[str, object]) -> Iterator[str]:
    tables = {key: value for key, value in table.items() if isinstance(value, Mapping)}
    for key, value in table.items():
        if key in tables or _is_list_of_tables(value):
            continue
        hidden = _SECRET_KEY.search(key) is not None
        yield f"{_key(key)} = {_value(LEFT_OUT) if hidden else _value(value)}"
    for key, inner in tables.items():
        name = f"{path}{_key(key)}"
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
            return f"[{', '.join(map(_value, value))}]"
        case Mapping():
            return f"{{ {', '.join(f'{_key(key)} = {_value(LEFT_OUT)}' for key in value)} }}"
        case _:
            return quoted(redacted_line(str(value)))


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else quoted(key)
