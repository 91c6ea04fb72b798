"""The datagrams of a RakNet connection: frames and acknowledgements, both ways. Sans-I/O.

Source: docs/protocol.md, "RakNet".
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from msgspec import Struct

from zeroscale.protocols.datagrams import DatagramReader

DATAGRAM, ACK, NACK = 0x84, 0xC0, 0xA0
IS_VALID, IS_ACK, IS_NACK = 0x80, 0x40, 0x20

UNRELIABLE, RELIABLE_ORDERED = 0, 3
RELIABLE = (2, 3, 4, 6, 7)
SEQUENCED = (1, 4)
ORDERED = (1, 3, 4, 7)
IS_FRAGMENT = 0x10

MOST_RANGES = MOST_OF_A_RANGE = 64
"""Ranges read of one acknowledgement, and numbers of each: we have a few datagrams on the way."""

_TRIAD = struct.Struct("<HB")
_FRAGMENT = struct.Struct(">IHI")
_SHORT = struct.Struct(">H")


class Fragment(Struct, frozen=True):
    """Where in a message a frame's content belongs.

    :ivar count: of how many fragments the message is.
    :ivar message: the message's number.
    :ivar index: the fragment's.
    """

    count: int
    message: int
    index: int


def read_datagram(datagram: bytes) -> tuple[int, list[tuple[bytes, Fragment | None]]]:
    """Return a datagram's number, and the content of its frames.

    :raises ProtocolError: it ends inside a frame.
    """
    reader = DatagramReader(datagram, "a RakNet datagram", 1)
    number = _triad(reader)
    frames = []
    while len(reader):
        frames.append(_read_frame(reader))
    return number, frames


def _read_frame(reader: DatagramReader) -> tuple[bytes, Fragment | None]:
    flags = reader.byte()
    reliability = flags >> 5
    (bits,) = reader.unpack(_SHORT)
    if reliability in RELIABLE:
        reader.take(3)
    if reliability in SEQUENCED:
        reader.take(3)
    if reliability in ORDERED:
        reader.take(4)
    fragment = Fragment(*reader.unpack(_FRAGMENT)) if flags & IS_FRAGMENT else None
    return reader.take((bits + 7) // 8), fragment


def frame(reliability: int, message: bytes, number: int = 0) -> bytes:
    """Encode a frame.

    :param reliability: `UNRELIABLE`, or `RELIABLE_ORDERED`, which is in the channel 0 of the game.
    :param number: the index of a reliable one.
    """
    header = bytes((reliability << 5,)) + _SHORT.pack(len(message) * 8)
    if reliability == RELIABLE_ORDERED:
        header += number.to_bytes(3, "little") + number.to_bytes(3, "little") + b"\x00"
    return header + message


def numbers_in(datagram: bytes) -> Sequence[int]:
    """Return the numbers in an acknowledgement; of a long one the first.

    :raises ProtocolError: it ends early.
    """
    reader = DatagramReader(datagram, "an acknowledgement", 1)
    (ranges,) = reader.unpack(_SHORT)
    numbers: list[int] = []
    for _ in range(min(ranges, MOST_RANGES)):
        is_single = reader.byte()
        first = _triad(reader)
        last = first if is_single else _triad(reader)
        numbers += range(first, min(last, first + MOST_OF_A_RANGE) + 1)
    return numbers


def acknowledgement(kind: int, first: int, last: int) -> bytes:
    """Encode an `ACK` or `NACK` of a range of numbers."""
    start = bytes((kind,)) + b"\x00\x01"
    if first == last:
        return start + b"\x01" + first.to_bytes(3, "little")
    return start + b"\x00" + first.to_bytes(3, "little") + last.to_bytes(3, "little")


def _triad(reader: DatagramReader) -> int:
    low, high = reader.unpack(_TRIAD)
    return int(high << 16 | low)
