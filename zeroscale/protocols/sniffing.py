"""Sniffers: recognise a client of a protocol by its first bytes, and refuse port scanners. Sans-I/O.

A sniffer is called with all bytes of a connection so far, however they were cut. It returns True once they are a
client's, False while they may become a client's, and raises `ProtocolError` once they cannot. Each has its own bound.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from zeroscale.errors import ProtocolError

if TYPE_CHECKING:
    import regex

Sniffer = Callable[[bytes | bytearray], bool]

LONGEST_HELLO = 32768
"""Bytes of a ClientHello; with post-quantum key shares and tickets it has 2 to 8 KiB."""

LONGEST_RECORD = 16384
"""Bytes of one TLS record (RFC 8446, 5.1)."""

MOST_RECORDS = 64
"""Records of one ClientHello: two are usual; all of them are parsed again with every read."""

LONGEST_IDENTIFICATION = 255
"""Bytes of an SSH identification line, its line break included (RFC 4253, 4.2)."""

LONGEST_MATCHED = 1024
"""Bytes that a regular expression is matched against: more than any greeting."""

LONGEST_MATCHING = 0.01
"""Seconds for one match: a good pattern takes microseconds; a bad one would let a client block the proxy."""

MOST_MATCHINGS = 100
"""Matches on one connection, which bounds the CPU time of a client that sends single bytes."""

_HANDSHAKE = 22
_CLIENT_HELLO = 1
_RANDOM = 32
_LONGEST_SESSION_ID = 32


def any_byte(data: bytes | bytearray) -> bool:
    """Recognise any client that sends a byte."""
    return bool(data)


def tls(data: bytes | bytearray) -> bool:
    """Recognise a complete ClientHello of TLS 1.0 to 1.3, in one or more records.

    Source: RFC 8446, 4.1.2 and 5.1; RFC 5246, 7.4.
    """
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


def _hello_length(hello: bytearray) -> int:
    """Return the length of the ClientHello with its header, or more than there is while that is incomplete."""
    if hello[0] != _CLIENT_HELLO:
        raise ProtocolError("not TLS: it begins with no ClientHello")
    if len(hello) < 4:
        return len(hello) + 1
    length = 4 + int.from_bytes(hello[1:4])
    if length > LONGEST_HELLO:
        raise ProtocolError(f"not TLS: a ClientHello of {length} bytes")
    return length


def _check_hello(hello: bytearray) -> None:
    """Check the ClientHello's fields up to the compression methods; the extensions are not checked."""
    body = hello[4 : _hello_length(hello)]
    session_at = 2 + _RANDOM
    if len(body) <= session_at or body[0] != 3 or body[session_at] > _LONGEST_SESSION_ID:
        raise ProtocolError("not TLS: a ClientHello without a version or a session")
    ciphers_at = session_at + 1 + body[session_at]
    ciphers = int.from_bytes(body[ciphers_at : ciphers_at + 2])
    compression_at = ciphers_at + 2 + ciphers
    if ciphers < 2 or ciphers % 2 or compression_at >= len(body) or not body[compression_at]:
        raise ProtocolError("not TLS: a ClientHello without ciphers")
