"""The first message of a Bedrock client that joins: its protocol number and, where it is in it, the name it claims.

Sans-I/O. Source: docs/protocol.md, "Bedrock". Since protocol 554 a client sends Request Network Settings first, which
has no name; before, it sends Login, compressed, whose beginning has the name.
"""

from __future__ import annotations

import base64
import json
import struct
import zlib

from msgspec import Struct

from zeroscale.errors import ProtocolError
from zeroscale.protocols.datagrams import DatagramReader

WRAPPER = 0xFE
LOGIN, REQUEST_NETWORK_SETTINGS = 0x01, 0xC1

PACKET_ID = 0x3FF
"""The bits of a packet's header that are its id; the others number the players of a split screen."""

LONGEST_VARINT = 5
LARGEST_LOGIN = 1 << 16
"""Bytes of a login that are decompressed: it begins with the name, and ends with the player's appearance."""

LONGEST_CHAIN = 1 << 15
"""Bytes of the certificates at its beginning: those of accounts have about 3000."""

MOST_CERTIFICATES = 8

LONGEST_NAME = 32
"""Characters of a name that are kept: those of accounts have at most 16."""

_PROTOCOL = struct.Struct(">i")
_LENGTH = struct.Struct("<i")


class JoinClaim(Struct, frozen=True):
    """What a client says of itself before anything is checked.

    :ivar protocol: its protocol number.
    :ivar name: the name it claims; "" where it has not sent one yet, or its login is longer than what is read of it.
    """

    protocol: int
    name: str


def read_first(message: bytes) -> JoinClaim:
    """Read a client's first message.

    :param message: from its first byte, `WRAPPER`; of a login the beginning suffices.
    :raises ProtocolError: it is neither of the two.
    """
    if not message or message[0] != WRAPPER:
        raise ProtocolError("a message that is none of the game")
    try:
        reader = DatagramReader(message, "a request of network settings", 1)
        _varint(reader)
        if _varint(reader) & PACKET_ID == REQUEST_NETWORK_SETTINGS and len(reader) == _PROTOCOL.size:
            return JoinClaim(_protocol(reader), "")
    except ProtocolError:
        pass  # a compressed login
    return _read_login(_decompressed(message[1:]))


def _read_login(login: bytes) -> JoinClaim:
    reader = DatagramReader(login, "a login")
    _varint(reader)
    if _varint(reader) & PACKET_ID != LOGIN:
        raise ProtocolError("a first message that is no login")
    protocol = _protocol(reader)
    try:
        _varint(reader)
        (size,) = reader.unpack(_LENGTH)
        if not 0 <= size <= LONGEST_CHAIN:
            return JoinClaim(protocol, "")
        return JoinClaim(protocol, _name_in(reader.take(size)))
    except ProtocolError:
        return JoinClaim(protocol, "")


def _protocol(reader: DatagramReader) -> int:
    protocol = int(reader.unpack(_PROTOCOL)[0])
    if protocol <= 0:
        raise ProtocolError(f"the protocol number {protocol}")
    return protocol


def _decompressed(data: bytes) -> bytes:
    """Return the beginning of a batch: raw deflate since RakNet 10, before with a header, whose first byte is 78."""
    inflater = zlib.decompressobj(zlib.MAX_WBITS if data.startswith(b"\x78") else -zlib.MAX_WBITS)
    try:
        return inflater.decompress(data, LARGEST_LOGIN)
    except zlib.error as error:
        raise ProtocolError(f"a first message that cannot be decompressed: {error}") from None


def _name_in(chain: bytes) -> str:
    """Return the claimed name in the certificates of a login, JSON Web Tokens, whose signatures are not checked."""
    try:
        certificates = json.loads(chain)["chain"]
        for certificate in reversed(certificates[:MOST_CERTIFICATES]):
            payload = certificate.split(".")[1]
            claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
            if "extraData" in claims:
                name = claims["extraData"]["displayName"]
                return name[:LONGEST_NAME] if isinstance(name, str) else ""
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        pass  # whatever it is, the real server judges it
    return ""


def _varint(reader: DatagramReader) -> int:
    number = 0
    for shift in range(0, 7 * LONGEST_VARINT, 7):
        byte = reader.byte()
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number
    raise ProtocolError(f"a number of more than {LONGEST_VARINT} bytes")
