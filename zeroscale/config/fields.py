"""Kinds of configuration values: how messages describe each, and how to read those that need more than their type.

A field's annotation names its kind: `msgspec.Meta(extra={"kind": "duration"})`.
"""

from __future__ import annotations

import ipaddress
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from msgspec import Struct, inspect

from zeroscale.access_lists import AccessList
from zeroscale.config import durations, sizes, triggers, udp_listen
from zeroscale.config.messages import show
from zeroscale.config.model import HIGHEST_PORT, is_host

SMALLEST_SIZE, LARGEST_SIZE = 10**6, 10**12
"""Bytes of the sizes that are no mistake in the unit."""

LONGEST_SOCKET_PATH = 107
"""Bytes; sun_path (unix(7)) has one more, for the NUL behind it."""

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)


LONGEST_COMMAND = 1000
"""Characters of a line for a server's console."""


class Kind(Struct, frozen=True):
    """A kind of values.

    :ivar expected: what such a value is, with its article, for a message.
    :ivar brief: the same in a few words, for the reference pages.
    :ivar read: converts the written value; its second argument is the base directory of relative paths. Raises
        ValueError with a text that is appended to `expected`. Returns `FieldValues` for several fields.
    :ivar separator: pattern of what separates such values in a list that is written as plain text.
    """

    expected: str
    brief: str
    read: Callable[[object, Path], object]
    separator: str = r"[\s,]+"


class FieldValues(dict[str, object]):
    """The values of several fields of a struct, from one key."""


def kind_of(kind: inspect.Metadata) -> Kind | None:
    """Return the kind that an annotation names, or None where it names none.

    :raises KeyError: it names one that is not in `KINDS`.
    """
    name = (kind.extra or {}).get("kind")
    return None if name is None else KINDS[name]


def expected(kind: inspect.Type, text: bool = False) -> str:
    """Return what a value of this type must be, with its article.

    :param text: whether it is written as plain text: on a command line, in a label.
    """
    match kind:
        case inspect.Metadata():
            special = kind_of(kind)
            return special.expected if special else expected(kind.type, text)
        case inspect.UnionType():
            return " or ".join(expected(each, text) for each in kind.types if not isinstance(each, inspect.NoneType))
        case inspect.LiteralType():
            return _either([show(value) for value in kind.values])
        case inspect.BoolType():
            return "yes or no" if text else "true or false"
        case inspect.IntType():
            return "a whole number" + bounds(kind)
        case inspect.FloatType():
            return "a number" + bounds(kind)
        case inspect.StrType():
            return "a text" if text else "text in quotes"
        case inspect.VarTupleType():
            return expected(kind.item_type, text) + ("" if text else ", or a list of such")
        case inspect.CustomType():
            return "a path" if text else "a path in quotes"
    return "a table"


def brief(kind: inspect.Type) -> str:
    """Return what a value of this type is in a few words, for the reference pages."""
    match kind:
        case inspect.Metadata():
            special = kind_of(kind)
            return special.brief if special else brief(kind.type)
        case inspect.UnionType():
            return " or ".join(brief(each) for each in kind.types if not isinstance(each, inspect.NoneType))
        case inspect.LiteralType():
            return _either([str(value) for value in kind.values])
        case inspect.StrType():
            return "a text"
        case inspect.CustomType():
            return "a path"
        case inspect.VarTupleType():
            return f"{brief(kind.item_type)}, or a list"
    return expected(kind)


def _either(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def bounds(kind: inspect.IntType | inspect.FloatType) -> str:
    """Return the range of a number in words, with a space before it; empty where it has none."""
    if kind.ge is not None and kind.le is not None:
        return f" from {_number(kind.ge)} to {_number(kind.le)}"
    words = [
        f"{word} {_number(bound)}"
        for bound, word in (
            (kind.ge, "of at least"),
            (kind.gt, "above"),
            (kind.le, "at most"),
            (kind.lt, "below"),
        )
        if bound is not None
    ]
    return f" {' and '.join(words)}" if words else ""


def _number(value: float) -> str:
    return f"{value:.15g}"


def within(number: float, kind: inspect.IntType | inspect.FloatType) -> bool:
    """Return whether a number is in the range of its type."""
    return (
        abs(number) <= sys.float_info.max  # neither inf nor nan, nor a whole number that no float can hold
        and (kind.ge is None or number >= kind.ge)
        and (kind.gt is None or number > kind.gt)
        and (kind.le is None or number <= kind.le)
        and (kind.lt is None or number < kind.lt)
    )


def _duration(given: object, base: Path) -> float:
    if isinstance(given, str):
        try:
            return durations.seconds_of(given)
        except ValueError:
            raise ValueError from None
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise ValueError
    return float(given) if abs(given) <= sys.float_info.max else -1.0


def _size(given: object, base: Path) -> int:
    size = given
    if isinstance(given, str):
        try:
            size = sizes.bytes_of(given)
        except ValueError:
            raise ValueError from None
    if isinstance(size, bool) or not isinstance(size, int):
        raise ValueError
    if not SMALLEST_SIZE <= size <= LARGEST_SIZE:
        raise ValueError("; from 1 MB to 1 TB")
    return size


def _network(given: object, base: Path) -> str:
    if not isinstance(given, str):
        raise ValueError
    try:
        ipaddress.ip_network(given, strict=False)
    except ValueError:
        raise ValueError from None
    return given


def _listed(given: object, base: Path) -> str:
    if not isinstance(given, str):
        raise ValueError
    try:
        AccessList([given])
    except ValueError:
        raise ValueError from None
    return given


def _host(given: object, base: Path) -> str:
    """Read a host name in the form that clients' names are compared with: lower case, without a dot at its end."""
    if not isinstance(given, str):
        raise ValueError
    name = given.lower().removesuffix(".")
    if not name.isascii():
        try:
            raise ValueError(f"; write it as clients do: {show(name.encode('idna').decode())}")
        except UnicodeError:
            raise ValueError from None
    labels = name.removeprefix("*.").split(".")
    if len(name) <= 253 and all(_LABEL.fullmatch(label) for label in labels):
        return name
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        raise ValueError("; '*' may only be all of its first part" if "*" in name else "") from None


def _umask(given: object, base: Path) -> int:
    if not isinstance(given, str) or not re.fullmatch("0?[0-7]{3}", given):
        raise ValueError
    if int(given, 8) & 0o700:
        raise ValueError("; its first digit must be 0, or the owner could not use the files")
    return int(given, 8)


def _environment_value(given: object, base: Path) -> str:
    if isinstance(given, str) and "\0" not in given:
        return given
    raise ValueError


def _endpoint(given: object, base: Path) -> str:
    if isinstance(given, int) and not isinstance(given, bool):
        given = show(given)
    if not isinstance(given, str):
        raise ValueError
    if re.fullmatch("[0-9]{1,5}", given) and 1 <= int(given) <= HIGHEST_PORT:
        return str(int(given))
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*:.+", given):
        raise ValueError
    if given.startswith(udp_listen.UDP):
        try:
            udp_listen.parse(given)
        except ValueError as error:
            raise ValueError(f"; {error}") from None
    return _rooted(given, base)


def _control_socket(given: object, base: Path) -> str:
    if isinstance(given, str) and re.fullmatch("|unix:[^:].*", given):
        return _rooted(given, base)
    raise ValueError


def _rooted(endpoint: str, base: Path) -> str:
    """Return an endpoint string; the relative path of a Unix socket starts from `base`."""
    relative = re.match("unix:(?!/|address=)", endpoint)
    if relative is None:
        return endpoint
    directory = str(base).replace("\\", "\\\\").replace(":", "\\:")
    return f"unix:{directory}/{endpoint[relative.end() :]}"


def _server_address(given: object, base: Path) -> FieldValues:
    """Read "host:port", a port alone, or "[address]:port"."""
    if isinstance(given, bool) or not isinstance(given, int | str):
        raise ValueError
    text = given if isinstance(given, str) else show(given)
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon and not text.isdecimal():
        raise ValueError("; its port is missing")
    if ":" in host and not bracketed and re.fullmatch("[0-9A-Fa-f:.]+", host):
        raise ValueError(f"; an IPv6 address is written in brackets, such as {show(f'[{host}]:{port}')}")
    if not re.fullmatch("[0-9]{1,5}", port) or not 1 <= int(port) <= HIGHEST_PORT:
        raise ValueError(f"; a port is from 1 to {HIGHEST_PORT}")
    if not colon:
        return FieldValues(server_port=int(port))
    host = host[1:-1] if bracketed else host
    if host in ("tcp", "udp"):
        raise ValueError(f"; write {show(int(port))} alone: `listen` says whether it is on TCP or UDP")
    if not is_host(host):
        raise ValueError(f"; a host is {_HOST}")
    return FieldValues(server_host=host, server_port=int(port))


def _port_address(given: object, base: Path) -> FieldValues:
    """Read the same, or the path of a Unix socket."""
    if not (isinstance(given, str) and given.startswith("unix:")):
        return _server_address(given, base)
    path = given.removeprefix("unix:").removeprefix("path=")
    if not path or "\0" in path:
        raise ValueError("; its path is missing")
    absolute = str(base / path)
    if len(os.fsencode(absolute)) > LONGEST_SOCKET_PATH:
        raise ValueError(f"; the path of a Unix socket has at most {LONGEST_SOCKET_PATH} bytes: {show(absolute)}")
    return FieldValues(server_port=None, server_path=absolute)


def _server_host(given: object, base: Path) -> str:
    if isinstance(given, str) and is_host(given):
        return given
    raise ValueError


def _window(given: object, base: Path) -> str:
    if not isinstance(given, str):
        raise ValueError
    from zeroscale.schedule import windows  # only where there is one

    return windows.parse_window(given).text


def _timezone(given: object, base: Path) -> str:
    if not isinstance(given, str):
        raise ValueError
    from zeroscale.schedule import wall_time

    wall_time.find_zone(given)
    return given


def _trigger(parse: Callable[[str], object]) -> Callable[[object, Path], str]:
    def read(given: object, base: Path) -> str:
        if not isinstance(given, str):
            raise ValueError
        parse(given)
        return given

    return read


def _command(given: object, base: Path) -> tuple[str, ...]:
    words = triggers.split_words(given) if isinstance(given, str) else given
    if not isinstance(words, list | tuple) or not all(isinstance(word, str) and "\0" not in word for word in words):
        raise ValueError
    if not words or not words[0]:
        raise ValueError
    return tuple(words)


def _warning_command(given: object, base: Path) -> str:
    if not isinstance(given, str) or "{text}" not in given or not given.isprintable():
        raise ValueError
    if len(given) > LONGEST_COMMAND:
        raise ValueError(f"; it is longer than {LONGEST_COMMAND} characters")
    return given


def _cron(given: object, base: Path) -> str:
    if not isinstance(given, str):
        raise ValueError
    from zeroscale.schedule import restart_times  # only here: it imports a library

    restart_times.check(given)
    return given


def _not_read_here(given: object, base: Path) -> NoReturn:
    raise NotImplementedError  # the reader reads it, since its keys have paths of their own


_HOST = "an address, or a name of letters, digits, hyphens and dots"

KINDS = {
    "duration": Kind(f"a duration: {durations.EXPECTED}", "a duration", _duration),
    "size": Kind(sizes.EXPECTED, "a size", _size),
    "network": Kind('an address or a network, such as "192.0.2.7" or "10.0.0.0/8"', "an address or network", _network),
    "listed": Kind(
        'a player\'s name, a UUID, an address or a network, such as "192.0.2.0/24"',
        "a name, UUID, address or network",
        _listed,
    ),
    "endpoint": Kind(
        'a port from 1 to 65535, or an endpoint string such as "tcp:25565:interface=192.0.2.1"',
        "a port or an endpoint string",
        _endpoint,
    ),
    "control_socket": Kind(
        'a Unix socket such as "unix:/run/zeroscale/control.sock", or "" for none', "a Unix socket", _control_socket
    ),
    "host": Kind('a host name such as "survival.example.org" or "*.example.org"', "a host name", _host),
    "window": Kind(
        'a window such as "Mon-Fri 16:00-22:00", "Sat,Sun 10:00-24:00" or "daily 22:00-02:00"',
        "a time of a week",
        _window,
        separator=r"\s*;\s*",
    ),
    "timezone": Kind('the name of a time zone, such as "Europe/Berlin"', "a time zone", _timezone),
    "server_address": Kind(
        'where the real server listens, such as "127.0.0.1:25575", "[::1]:25575", or a port',
        "an address",
        _server_address,
    ),
    "port_address": Kind(
        'where this port of the real server is, such as 8123, "127.0.0.1:8123" or "unix:/run/map.sock"',
        "an address",
        _port_address,
    ),
    "server_host": Kind(_HOST, "an address", _server_host),
    "command": Kind('a command: a program and its arguments, such as ["pgrep", "backup"]', "a command", _command),
    "warning_command": Kind(
        'a line for the server\'s console with {text} in it, such as "say {text}"', "a text", _warning_command
    ),
    "cron": Kind(
        'five fields as in a crontab (minute, hour, day, month, weekday), such as "0 5 * * *"',
        "a cron expression",
        _cron,
    ),
    "umask": Kind('three octal digits, such as "027"', "three octal digits", _umask),
    "environment_value": Kind("text in quotes", "a text", _environment_value),
    "wake_on": Kind(triggers.WAKE_EXPECTED, "a text", _trigger(triggers.parse_wake_on)),
    "ready": Kind(triggers.READY_EXPECTED, "a text", _trigger(triggers.parse_ready)),
    "health_path": Kind(triggers.HEALTH_PATH_EXPECTED, "a path", _trigger(triggers.parse_health_path)),
    "plugin_arguments": Kind("a table", "a table", _not_read_here),
    "servers": Kind("a table; each server is a table of its own, [servers.NAME]", "tables", _not_read_here),
}
"""By the name in the annotation."""
