"""The head of an HTTP response: its status and what it says of a later attempt. Pure.

The body is never read: nothing in it is needed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct

from zeroscale.errors import ProtocolError

LARGEST_HEAD = 16 * 1024
"""Bytes of all heads of one response, interim ones included; servers themselves accept 8 KiB in a request."""

LONGEST_RETRY_AFTER = 3600.0
"""Seconds: a server that wants to be left alone for longer is asked again after this time."""

_END = re.compile(rb"\r?\n\r?\n")
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?: .*)?")
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


class ResponseHead(Struct, frozen=True):
    """The head of a response.

    :ivar headers: by their names in lower case; of several with the same name the last one.
    """

    status: int
    headers: Mapping[str, str]


def parse_head(data: bytes) -> ResponseHead | None:
    """Parse the head of the final response; None: it is not complete yet. What follows it is ignored.

    :raises ProtocolError: this is not HTTP/1.1, or the head is too large.
    """
    if not b"HTTP/1.".startswith(data[:7]):
        raise ProtocolError("it does not answer with HTTP/1.1")
    start = 0
    while (end := _END.search(data, start)) is not None:
        status_line, *lines = data[start : end.start()].split(b"\n")
        found = _STATUS.fullmatch(status_line.rstrip(b"\r"))
        if found is None:
            raise ProtocolError("it does not answer with HTTP/1.1")
        status = int(found[1])
        if status >= 200:
            return ResponseHead(status, dict(map(_header, lines)))
        start = end.end()  # an interim response (RFC 9110, 15.2)
    if len(data) > LARGEST_HEAD:
        raise ProtocolError(f"the head of its answer has more than {LARGEST_HEAD} bytes")
    return None


def retry_after(head: ResponseHead, now: float) -> float | None:
    """Return after how many seconds a server wants to be asked again; None: it does not say.

    :param now: seconds since 1970; a server may write a date (RFC 9110, 10.2.3).
    """
    given = head.headers.get("retry-after", "").strip()
    if not given:
        return None
    if _SECONDS.fullmatch(given):  # Discord writes fractions of seconds
        return min(float(given), LONGEST_RETRY_AFTER)
    from email.utils import parsedate_to_datetime  # here, since few servers write one

    try:
        seconds = parsedate_to_datetime(given).timestamp() - now
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER)


def _header(line: bytes) -> tuple[str, str]:
    name, _, value = line.decode("latin-1").partition(":")
    return name.strip().lower(), value.strip()
