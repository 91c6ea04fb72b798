"""The values of `wake_on`, `ready` and `health_path`: what wakes a server, when it is ready, what is a health check.

Only their syntax is here: `protocols.sniffing` recognises the bytes, and `probes` asks the server.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

if TYPE_CHECKING:
    import regex

WakeKind = Literal["connect", "data", "tls", "http", "ssh", "regex", "datagrams"]

WAKE_WORDS: tuple[WakeKind, ...] = ("connect", "data", "tls", "http", "ssh")

WAKE_EXPECTED = f"one of {', '.join(WAKE_WORDS)} or regex:PATTERN; for UDP datagrams:NUMBER/SECONDS or regex:PATTERN"
HEALTH_PATH_EXPECTED = "a path such as /healthz"
READY_EXPECTED = (
    "one of connect, bytes:EXPECTED, bytes:QUESTION=>EXPECTED, http, http:/PATH, http:/PATH=STATUS, command:COMMAND or "
    "line:PATTERN"
)

_PATH = re.compile(r"/[\x21-\x7e]*")
_PATH_RULE = "a path begins with a slash, and spaces and what is not ASCII in it are %-encoded"

LONGEST_PATTERN = 1000
"""Characters of a pattern."""

DATAGRAMS_WITHIN = 10.0
"""Seconds within which the datagrams have to come, unless the value says it."""

MOST_DATAGRAMS = 20
"""More are no better sign of a client: whoever can forge one address can send any number from it. The times of that
many are kept for each address."""

LONGEST_WITHIN = 3600.0

LONGEST_HEALTH_PATH = 1000
"""Characters of a path of health checks; `protocols.http` reads request lines of 8192 bytes."""

ANY_ANSWER = range(100, 500)
"""HTTP statuses of a server that is up, unless one is named: 401 and 404 are answers, too."""


class WakeTrigger(Struct, frozen=True):
    """What a client must send to wake a server.

    :ivar kind: `connect` is nothing; `data` is any byte; `datagrams` is for UDP.
    :ivar pattern: for `regex`: what its bytes must match, from the first one on.
    :ivar count: for `datagrams`: how many of one address.
    :ivar seconds: for `datagrams`: within which time.
    """

    kind: WakeKind
    pattern: regex.Pattern[bytes] | None = None
    count: int = 0
    seconds: float = 0.0


DEFAULT_DATAGRAMS = WakeTrigger("datagrams", count=3, seconds=DATAGRAMS_WITHIN)
"""What wakes a UDP server: scanners send one or two."""


class ConnectCheck(Struct, frozen=True):
    """Ready when the server accepts a connection."""


class ExpectBytes(Struct, frozen=True):
    """Ready when the server sends these bytes.

    :ivar expected: the first bytes that it sends.
    :ivar request: what is sent to it before.
    """

    expected: bytes
    request: bytes = b""


class HttpCheck(Struct, frozen=True):
    """Ready when the server answers a GET request.

    :ivar path: the path of the request.
    :ivar statuses: the HTTP statuses that count.
    """

    path: str
    statuses: range


class ExecCheck(Struct, frozen=True):
    """Ready when a command exits with 0.

    :ivar words: the program and its arguments.
    """

    words: tuple[str, ...]


class OutputLineCheck(Struct, frozen=True):
    """Ready when the server has written a line of output, and accepts a connection.

    :ivar pattern: a regular expression that matches somewhere in the line.
    """

    pattern: str


ReadyCheck = ConnectCheck | ExpectBytes | HttpCheck | ExecCheck | OutputLineCheck


def parse_wake_on(text: str) -> WakeTrigger:
    """Parse a value of `wake_on`.

    :raises ValueError: it is not `WAKE_EXPECTED`; the message, which may be empty, is to be appended to that.
    """
    for word in WAKE_WORDS:
        if text == word:
            return WakeTrigger(word)
    kind, colon, pattern = text.partition(":")
    if kind == "regex" and colon:
        return WakeTrigger("regex", _bytes_pattern(pattern))
    if kind == "datagrams" and colon:
        return _datagrams(pattern)
    raise ValueError


def parse_ready(text: str) -> ReadyCheck:
    """Parse a value of `ready`.

    :raises ValueError: it is not `READY_EXPECTED`; the message, which may be empty, is to be appended to that.
    """
    kind, colon, value = text.partition(":")
    match kind:
        case "connect" if not colon:
            return ConnectCheck()
        case "bytes" if value:
            request, arrow, expected = value.rpartition("=>")
            if expected:
                return ExpectBytes(_bytes(expected), _bytes(request) if arrow else b"")
        case "http" if value or not colon:
            return _http_check(value or "/")
        case "command" if value.strip():
            return ExecCheck(split_words(value))
        case "line" if value:
            return OutputLineCheck(_text_pattern(value))
    raise ValueError


def parse_health_path(text: str) -> str:
    """Return a value of `health_path`.

    :raises ValueError: it is not `HEALTH_PATH_EXPECTED`; the message is to be appended to that.
    """
    if not _PATH.fullmatch(text):
        raise ValueError(f"; {_PATH_RULE}")
    if re.search("[?#]", text):
        raise ValueError("; what follows a '?' in a request is not compared, so it has no '?' and no '#'")
    if len(text) > LONGEST_HEALTH_PATH:
        raise ValueError(f"; it is longer than {LONGEST_HEALTH_PATH} characters")
    return text


def _datagrams(value: str) -> WakeTrigger:
    found = re.fullmatch(r"([0-9]{1,9})(?:/([0-9]{1,9}(?:\.[0-9]{1,9})?))?", value, re.ASCII)
    if found is None:
        raise ValueError("; after datagrams: comes a number, or a number and seconds, such as datagrams:3/10")
    count, seconds = int(found[1]), float(found[2] or DATAGRAMS_WITHIN)
    if not 1 <= count <= MOST_DATAGRAMS:
        raise ValueError(f"; the number of datagrams is from 1 to {MOST_DATAGRAMS}, not {count}")
    if not 0 < seconds <= LONGEST_WITHIN:
        raise ValueError(f"; the datagrams come within more than 0 and at most {LONGEST_WITHIN:.0f} seconds")
    return WakeTrigger("datagrams", count=count, seconds=seconds)


def _http_check(value: str) -> HttpCheck:
    path, equals, status = value.rpartition("=")
    if not equals or not re.fullmatch("[0-9]+", status):
        path, status = value, ""
    if not _PATH.fullmatch(path):
        raise ValueError(f"; {_PATH_RULE}")
    if not status:
        return HttpCheck(path, ANY_ANSWER)
    if not 100 <= int(status[:9]) <= 599:
        raise ValueError(f"; an HTTP status is from 100 to 599, not {status}")
    return HttpCheck(path, range(int(status), int(status) + 1))


def split_words(command: str) -> tuple[str, ...]:
    """Split a command line as a shell would.

    :raises ValueError: it cannot be split; the message is to be appended to what was expected.
    """
    try:
        return tuple(shlex.split(command))
    except ValueError as error:
        raise ValueError(f"; it cannot be split into words: {str(error).lower()}") from None


def _bytes(text: str) -> bytes:
    r"""Return the bytes of a text with Python's escapes: `\r`, `\n`, `\x00`, `\\`."""
    try:
        return text.encode("latin-1", "backslashreplace").decode("unicode_escape").encode("latin-1")
    except UnicodeError:
        raise ValueError(r"; what is not ASCII in the bytes is written as \xNN") from None


def _bytes_pattern(pattern: str) -> regex.Pattern[bytes]:
    """Compile a pattern with `regex`, which can limit the time of a match: clients choose the bytes."""
    import regex  # imported only where it is used: it takes two MiB

    _text_pattern(pattern)
    try:
        re.compile(pattern.encode())  # it takes Python's syntax, and less of it for bytes
        return regex.compile(pattern.encode(), regex.DOTALL)
    except (re.error, regex.error) as error:
        raise ValueError(f"; it is no regular expression of bytes: {error}") from None


def _text_pattern(pattern: str) -> str:
    if not pattern or len(pattern) > LONGEST_PATTERN:
        raise ValueError(f"; a regular expression has 1 to {LONGEST_PATTERN} characters")
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"; it is no regular expression: {error}") from None
    return pattern
