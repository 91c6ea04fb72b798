"""HTTP health checks: recognise the first request of a connection as one, by its path, and reply. Sans-I/O.

Only the request line is read. Source: RFC 9112, section 3.
"""

from __future__ import annotations

import re

from zeroscale.protocols.http import LONGEST_LINE

METHODS = (b"GET", b"HEAD", b"OPTIONS")
"""The methods of health checks; OPTIONS is the default of HAProxy's `option httpchk PATH`."""

_LINE = re.compile(rb"([A-Z]+) ([\x21-\x7e\x80-\xff]+) HTTP/1\.[0-9]")
_AUTHORITY = re.compile(rb"https?://[^/?]*", re.IGNORECASE)
_SCHEMES = (b"http://", b"https://")
_BODY = b"ok\n"
_REPLY = (
    b"HTTP/1.1 200 OK\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: %d\r\n"
    b"Cache-Control: no-store\r\n"
    b"Connection: close\r\n"
    b"\r\n" % len(_BODY)
)


def reply_to(data: bytes | bytearray, path: str) -> bytes | None:
    """Return the whole reply to a health check; empty if it is none, None while it may become one.

    The path is compared byte by byte: no percent-encoding is decoded, and no dot segments are removed. A query is
    ignored, since some checkers add one to get past caches. HTTP/2 is no health check.

    :param data: all that the client has sent.
    :param path: the path of health checks.
    """
    wanted = path.encode("ascii")
    line, line_break, _ = bytes(data[:LONGEST_LINE]).removeprefix(b"\r\n").partition(b"\n")
    if line_break:
        found = _LINE.fullmatch(line.removesuffix(b"\r"))
        if found is None or found[1] not in METHODS or _path_of(found[2]) != wanted:
            return b""
        return _REPLY + (b"" if found[1] == b"HEAD" else _BODY)
    return None if len(data) < LONGEST_LINE and _may_become_a_check(line, wanted) else b""


def _may_become_a_check(line: bytes, path: bytes) -> bool:
    method, space, rest = line.partition(b" ")
    if not space:
        return line == b"\r" or any(each.startswith(method) for each in METHODS)
    target, space, version = rest.partition(b" ")
    found = _path_of(target)
    is_target = found == path or (not space and (path.startswith(found) or _is_part_of_a_scheme(target)))
    return method in METHODS and is_target and b"HTTP/1.".startswith(version[:7])


def _is_part_of_a_scheme(target: bytes) -> bool:
    return any(scheme.startswith(target.lower()) for scheme in _SCHEMES)


def _path_of(target: bytes) -> bytes:
    """Return the path of a request's target, which may be absolute, `http://host/path` (RFC 9112, 3.2.2)."""
    authority = _AUTHORITY.match(target)
    if authority is not None:
        target = target[authority.end() :]
    path, _, _ = target.partition(b"?")
    return path or (b"/" if authority is not None else b"")
