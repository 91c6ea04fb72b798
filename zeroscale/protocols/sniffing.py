"""Sniffers: recognise a client of a protocol by its first bytes, and refuse port scanners. Sans-I/O.

A sniffer is called with all bytes of a connection so far, however they were cut. It returns True once they are a
client's, False while they may become a client's, and raises `ProtocolError` once they cannot. Each has its own bound.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from zeroscale.errors import ProtocolError
from zeroscale.protocols import client_hello

if TYPE_CHECKING:
    import regex

Sniffer = Callable[[bytes | bytearray], bool]

LONGEST_IDENTIFICATION = 255
"""Bytes of an SSH identification line, its line break included (RFC 4253, 4.2)."""

LONGEST_MATCHED = 1024
"""Bytes that a regular expression is matched against: more than any greeting."""

LONGEST_MATCHING = 0.01
"""Seconds for one match: a good pattern takes microseconds; a bad one would let a client block the proxy."""

MOST_MATCHINGS = 100
"""Matches on one connection, which bounds the CPU time of a client that sends single bytes."""


def any_byte(data: bytes | bytearray) -> bool:
    """Recognise any client that sends a byte."""
    return bool(data)


def tls(data: bytes | bytearray) -> bool:
    """Recognise a complete ClientHello of TLS 1.0 to 1.3, in one or more records."""
    return client_hello.whole(data) is not None


def ssh(data: bytes | bytearray) -> bool:
    """Recognise an SSH client's identification line, which it may send before the server's (RFC 4253, 4.2)."""
    for prefix in (b"SSH-2.0-", b"SSH-1.99-"):
        if data.startswith(prefix):
            line, line_break, _ = data[:LONGEST_IDENTIFICATION].partition(b"\n")
            if not line_break and len(line) == LONGEST_IDENTIFICATION:
                raise ProtocolError(f"not SSH: its first line is longer than {LONGEST_IDENTIFICATION} bytes")
            return bool(line_break)
        if prefix.startswith(data):
            return False
    raise ProtocolError("not SSH: it does not begin with SSH-2.0-")


def matching_pattern(pattern: regex.Pattern[bytes]) -> Sniffer:
    """Return a sniffer, for one connection, that matches the client's bytes with the pattern, from the first one on."""
    tries = 0

    def sniff(data: bytes | bytearray) -> bool:
        nonlocal tries
        tries += 1
        try:
            found = pattern.match(data[:LONGEST_MATCHED], timeout=LONGEST_MATCHING)
        except TimeoutError:
            raise ProtocolError("wake_on's pattern takes too long on what it sent; make the pattern simpler") from None
        if found:
            return True
        if len(data) >= LONGEST_MATCHED:
            raise ProtocolError(f"its first {LONGEST_MATCHED} bytes are not what a client's are")
        if tries >= MOST_MATCHINGS:
            raise ProtocolError(f"what came in {MOST_MATCHINGS} pieces is not what a client's is")
        return False

    return sniff
