"""What a container's labels or a workload's annotations may say of a server, and how it is read. Pure.

Whoever may label a server must not gain more by that than what becomes of that server: which keys count is a list, and
neither a plugin nor a file, a command or an address of somebody else is among them. Who is told judges the values as
if they stood in the configuration file.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Sequence

Table = dict[str, object]
"""A server's table, as in the configuration file."""

PASSED_ON = (
    "hold_limit",
    "idle_shutdown",
    "join",
    "legacy_hold",
    "max_crashes",
    "minimum_online_time",
    "motd",
    "start_timeout",
    "status_protocol",
    "stop_timeout",
    "transfer_as_login",
    "wake_after",
)
"""Keys of a server's table that may be set; those of `TABLES` as `texts.sleeping`."""

TABLES = ("admission", "texts")

NUMBER = re.compile(r"[0-9]{1,9}")


def put(table: Table, key: str, text: str, where: str, own: Sequence[str], wrong: list[str]) -> None:
    """Writes one key into a table.

    :param where: what it is called where it was written.
    :param own: further keys that are known there.
    :param wrong: gets a line, where the key may not be set.
    """
    parent, dot, inner = key.partition(".")
    if key in PASSED_ON:
        table[key] = value(text)
    elif parent in TABLES and dot and inner:
        inside = table.setdefault(parent, {})
        assert isinstance(inside, dict)
        inside[inner] = value(text) if parent == "admission" else text
    else:
        close = difflib.get_close_matches(key, [*own, *PASSED_ON], n=1)
        wrong.append(where + (f" is not known: did you mean {close[0]}?" if close else " may not be set here"))


def value(text: str) -> object:
    """As in the file, but text needs no quotes: numbers, `true` and `false`, and lists of such."""
    if NUMBER.fullmatch(text):
        return int(text)
    if text in ("true", "false"):
        return text == "true"
    if text.startswith("["):
        try:
            read: object = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            return text
        # A table could name a variable of our environment, or a file: none in here.
        return read if isinstance(read, list) and all(isinstance(each, str | int | float) for each in read) else text
    return text


def is_ports(said: object) -> bool:
    """Whether this is a port, or a list of them. An endpoint string is none: it may name any file of ours."""
    return all(type(each) is int for each in (said if isinstance(said, list) else [said]))


def hosts(text: str) -> list[str]:
    """Names with commas or blanks between them."""
    return [host for host in re.split(r"[\s,]+", text) if host]
