"""By its first bytes: is this a client of the protocol that it ought to speak, or a port scanner? Pure.

A recogniser is given all bytes so far, however they were cut. It says True as soon as they are a client's, False while
they may become one's, and raises `ProtocolError` once they cannot: each has its own bound.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from zeroscale.errors import ProtocolError

if TYPE_CHECKING:
    import regex

Sniffer = Callable[[bytes | bytearray], bool]

LONGEST_HELLO = 32768
"""Bytes of a ClientHello: with post-quantum key shares and tickets one has 2 to 8 KiB."""

LONGEST_RECORD = 16384
"""Bytes in one TLS record (RFC 8446, 5.1)."""

MOST_RECORDS = 64
"""Records that one ClientHello may be cut into: two are usual, and what is in each is looked at with every read."""

LONGEST_IDENTIFICATION = 255
"""Bytes of the line that an SSH client begins with, its line break included (RFC 4253, 4.2)."""

LONGEST_MATCHED = 1024
"""Bytes that a regular expression is given: more than any greeting has."""

LONGEST_MATCHING = 0.01
"""Seconds of CPU that it is given: a good one takes microseconds; with a bad one a stranger could stop everybody."""

MOST_MATCHINGS = 100
"""How often it is tried on one connection, in however many pieces its bytes come."""

_HANDSHAKE = 22
_CLIENT_HELLO = 1
_RANDOM = 32
_LONGEST_SESSION_ID = 32


def any_byte(data: bytes | bytearray) -> bool:
    """Whoever says anything."""
    return bool(data)


def tls(data: bytes | bytearray) -> bool:
    """A whole ClientHello of TLS 1.0 to 1.3, in one record or several (RFC 8446, 4.1.2 and 5.1; RFC 5246, 7.4)."""
    hello = bytearray()
    position = records = 0
    while position < len(data):
        records += 1
        if records > MOST_RECORDS:
            raise ProtocolError(f"not TLS: a ClientHello in more than {MOST_RECORDS} records")
        header = data[position : position + 5]
        if header[0] != _HANDSHAKE or (len(header) > 1 and header[1] != 3):
            raise ProtocolError("not TLS: it begins with no handshake record")
        if len(header) < 5:
            return False
        length = int.from_bytes(header[3:])
        if not 1 <= length <= LONGEST_RECORD:
            raise ProtocolError(f"not TLS: a handshake record of {length} bytes")
        hello += data[position + 5 : position + 5 + length]
        position += 5 + length
        if len(hello) >= 4 and len(hello) >= _hello_length(hello):
            _check_hello(hello)
            return True
    if hello:
        _hello_length(hello)
    return False


def ssh(data: bytes | bytearray) -> bool:
    """The line that an SSH client begins with; it need not wait for the server's (RFC 4253, 4.2)."""
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
    """Whose bytes match, from the first one on. It is for one connection."""
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


def _hello_length(hello: bytearray) -> int:
    """With its header, as far as that is there."""
    if hello[0] != _CLIENT_HELLO:
        raise ProtocolError("not TLS: it begins with no ClientHello")
    if len(hello) < 4:
        return len(hello) + 1
    length = 4 + int.from_bytes(hello[1:4])
    if length > LONGEST_HELLO:
        raise ProtocolError(f"not TLS: a ClientHello of {length} bytes")
    return length


def _check_hello(hello: bytearray) -> None:
    """Its fields up to the compression methods; whoever has made those has made the rest."""
    body = hello[4 : _hello_length(hello)]
    session_at = 2 + _RANDOM
    if len(body) <= session_at or body[0] != 3 or body[session_at] > _LONGEST_SESSION_ID:
        raise ProtocolError("not TLS: a ClientHello without a version or a session")
    ciphers_at = session_at + 1 + body[session_at]
    ciphers = int.from_bytes(body[ciphers_at : ciphers_at + 2])
    compression_at = ciphers_at + 2 + ciphers
    if ciphers < 2 or ciphers % 2 or compression_at >= len(body) or not body[compression_at]:
        raise ProtocolError("not TLS: a ClientHello without ciphers")
