"""The first message of a TLS client: recognise it, read the server name in it, and refuse it with an alert. Sans-I/O.

Sources: RFC 8446, 4.1.2, 4.2 and 5.1; RFC 5246, 7.2 and 7.4; RFC 6066, 3 (server names).
"""

from __future__ import annotations

import re

from zeroscale.errors import ProtocolError

LONGEST_HELLO = 32768
"""Bytes of a ClientHello; with post-quantum key shares and tickets it has 2 to 8 KiB."""

LONGEST_RECORD = 16384
"""Bytes of one TLS record (RFC 8446, 5.1)."""

MOST_RECORDS = 64
"""Records of one ClientHello: two are usual; all of them are parsed again with every read."""

LONGEST_NAME = 255
"""Bytes of a server name, with a trailing dot, which some clients send."""

_HANDSHAKE = 22
_CLIENT_HELLO = 1
_RANDOM = 32
_LONGEST_SESSION_ID = 32
_SERVER_NAME = 0
_HOST_NAME = 0
_ALERT = 21
_FATAL = 2
_UNRECOGNIZED_NAME = 112
_TLS_1_0, _TLS_1_2 = 0x0301, 0x0303

_NAME = re.compile(rb"[0-9A-Za-z_.:-]+")
"""The characters of host names; those of IP addresses, too, which some clients send against the rule."""


def whole(data: bytes | bytearray) -> bytes | None:
    """Return the body of the ClientHello that a connection begins with; None while it is incomplete.

    It may be in several records. Its fields are checked up to the compression methods, its extensions are not.

    :param data: all bytes of the connection so far, perhaps with later ones after the ClientHello.
    :raises ProtocolError: they are no ClientHello of TLS 1.0 to 1.3, or one that exceeds a limit.
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
            return None
        length = int.from_bytes(header[3:])
        if not 1 <= length <= LONGEST_RECORD:
            raise ProtocolError(f"not TLS: a handshake record of {length} bytes")
        hello += data[position + 5 : position + 5 + length]
        position += 5 + length
        if len(hello) >= 4 and len(hello) >= _hello_length(hello):
            body = bytes(hello[4 : _hello_length(hello)])
            _extensions_at(body)
            return body
    if hello:
        _hello_length(hello)
    return None


def server_name(body: bytes) -> str:
    """Return the server name of a ClientHello: lower case, without trailing dots; "" if it has none.

    With Encrypted Client Hello this is the public name, the only one that can be read.

    :param body: of `whole`.
    :raises ProtocolError: its extensions are malformed, or the name is none.
    """
    at = _extensions_at(body)
    if at == len(body):  # allowed before TLS 1.3
        return ""
    extensions = _vector(body[at:], "extensions")
    name: str | None = None
    position = 0
    while position < len(extensions):
        content_at = position + 4
        length = int.from_bytes(extensions[position + 2 : content_at])
        if content_at + length > len(extensions):
            raise ProtocolError("not TLS: an extension of its ClientHello is cut off")
        if not extensions[position] and extensions[position + 1] == _SERVER_NAME:
            if name is not None:
                raise ProtocolError("not TLS: a ClientHello with two lists of server names")
            name = _host_name(_vector(extensions[content_at : content_at + length], "list of server names"))
        position = content_at + length
    return name or ""


def unrecognized_name(body: bytes) -> bytes:
    """Return the alert that ends the handshake of a client that has named no server of ours.

    :param body: of `whole`. Its version is the newest that a client of TLS 1.2 and before takes in a record.
    """
    version = min(max(int.from_bytes(body[:2]), _TLS_1_0), _TLS_1_2)
    return bytes((_ALERT, *version.to_bytes(2), 0, 2, _FATAL, _UNRECOGNIZED_NAME))


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


def _extensions_at(body: bytes) -> int:
    """Check the fields before the extensions; return where those begin."""
    session_at = 2 + _RANDOM
    if len(body) <= session_at or body[0] != 3 or body[session_at] > _LONGEST_SESSION_ID:
        raise ProtocolError("not TLS: a ClientHello without a version or a session")
    ciphers_at = session_at + 1 + body[session_at]
    ciphers = int.from_bytes(body[ciphers_at : ciphers_at + 2])
    compression_at = ciphers_at + 2 + ciphers
    if ciphers < 2 or ciphers % 2 or compression_at >= len(body) or not body[compression_at]:
        raise ProtocolError("not TLS: a ClientHello without ciphers")
    return compression_at + 1 + body[compression_at]


def _vector(data: bytes, what: str) -> bytes:
    """Return the content of a vector with a length of two bytes, which is all of `data`."""
    if len(data) < 2 or int.from_bytes(data[:2]) != len(data) - 2:
        raise ProtocolError(f"not TLS: a ClientHello whose {what} has another length than it says")
    return data[2:]


def _host_name(names: bytes) -> str:
    found: str | None = None
    if not names:
        raise ProtocolError("not TLS: a ClientHello with an empty list of server names")
    while names:
        kind, length = names[0], int.from_bytes(names[1:3])
        name, names = names[3 : 3 + length], names[3 + length :]
        if not length or len(name) < length:
            raise ProtocolError("not TLS: a server name of its ClientHello is cut off")
        if kind == _HOST_NAME:
            if found is not None:
                raise ProtocolError("not TLS: a ClientHello with two server names")
            if length > LONGEST_NAME or _NAME.fullmatch(name) is None:
                raise ProtocolError("not TLS: a server name that is no name of a host")
            found = name.decode("ascii").lower().rstrip(".")
    return found or ""
