"""Frames of Minecraft since 1.7 and their fields, bounded before they are read. Packets are not interpreted.

Source: docs/protocol.md, "Frames and handshake". quarry's buffers read the fields; they have no length limits, so every
length is checked here first, and their exceptions become `ProtocolError`. quarry installs the global reactor when it is
imported: only this module imports it, and not before a field is read, so that the caller can install its own reactor.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

from zeroscale.errors import ProtocolError

LONGEST_PREFIX = 3
"""Bytes of a frame's length prefix: 21 bits."""

LARGEST_FRAME = (1 << 21) - 1
"""Bytes of a frame's body."""

_SURROGATE = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")
"""Half of a surrogate pair as UTF-8 would have it; Java replaces the three bytes by one U+FFFD, Python by three."""

Value = TypeVar("Value")


@cache
def _quarry() -> Any:
    import quarry.types.buffer

    return quarry.types.buffer


def preload() -> None:
    """Import quarry (about 0.3 s), so that the first client need not wait for it.

    To be called after the reactor is installed.
    """
    _quarry()


def take_frame(data: bytes | bytearray, start: int, bound: int) -> tuple[bytes, int] | None:
    """Return the frame at a position of `data`.

    :param start: the index of the frame's first byte.
    :param bound: the most bytes that its body may have.
    :returns: the body, and the index of the next frame; None while the frame is incomplete.
    :raises ProtocolError: its length is 0, above the bound, or has more than 3 bytes; also of an incomplete frame.
    """
    length = 0
    for index in range(LONGEST_PREFIX):
        if start + index >= len(data):
            return None
        byte = data[start + index]
        length |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            begin = start + index + 1
            break
    else:
        raise ProtocolError("a frame's length is longer than 3 bytes")
    if length == 0:
        raise ProtocolError("an empty frame")
    if length > bound:
        raise ProtocolError(f"a frame of {length} bytes where at most {bound} are allowed")
    end = begin + length
    if end > len(data):
        return None
    return bytes(data[begin:end]), end


class Fields:
    """Reads the fields of one frame's body in order; a field that does not fit raises `ProtocolError`."""

    def __init__(self, body: bytes) -> None:
        self._buffer = _quarry().Buffer1_7(body)

    def __len__(self) -> int:
        """Return the number of bytes left."""
        return len(self._buffer)

    def varint(self) -> int:
        """Read a VarInt: signed, 32 bits, at most 5 bytes."""
        before = len(self)
        number: int = self._read(self._buffer.unpack_varint, "a VarInt")
        if before - len(self) > 5:
            raise ProtocolError("a VarInt of more than 5 bytes")
        return number

    def string(self, longest: int) -> str:
        """Read a string of at most `longest` UTF-16 units; as in Java, U+FFFD replaces what is not UTF-8."""
        raw = _SURROGATE.sub("\ufffd".encode(), self._take(3 * longest, "a string"))
        text = raw.decode("utf-8", "replace")
        if utf16_length(text) > longest:
            raise ProtocolError(f"a string longer than {longest} characters")
        return text

    def byte_array(self, longest: int) -> bytes:
        """Read a byte array: a VarInt count, at most `longest`, and as many bytes."""
        return self._take(longest, "a byte array")

    def unsigned_short(self) -> int:
        """Read 16 bits, unsigned."""
        number: int = self._read(lambda: self._buffer.unpack("H"), "an unsigned short")
        return number

    def long(self) -> int:
        """Read 64 bits, signed."""
        number: int = self._read(lambda: self._buffer.unpack("q"), "a long")
        return number

    def boolean(self) -> bool:
        """Read one byte that is 0 or 1."""
        byte: int = self._read(lambda: self._buffer.unpack("B"), "a boolean")
        if byte > 1:
            raise ProtocolError(f"a boolean that is {byte}")
        return byte == 1

    def uuid(self) -> str:
        """Read 16 bytes, as 32 lower-case hexadecimal digits."""
        raw: bytes = self._read(lambda: self._buffer.read(16), "a UUID")
        return raw.hex()

    def rest(self) -> bytes:
        """Read all bytes that are left."""
        raw: bytes = self._buffer.read()
        return raw

    def finish(self, what: str) -> None:
        """Raise `ProtocolError` if bytes are left.

        :param what: the packet's name, for the message.
        """
        if len(self):
            raise ProtocolError(f"{len(self)} bytes too many in {what}")

    def _take(self, longest: int, what: str) -> bytes:
        count = self.varint()
        if not 0 <= count <= longest:
            raise ProtocolError(f"{what} of {count} bytes where at most {longest} are allowed")
        raw: bytes = self._read(lambda: self._buffer.read(count), what)
        return raw

    def _read(self, unpack: Callable[[], Value], what: str) -> Value:
        try:
            return unpack()
        except _quarry().BufferUnderrun:
            raise ProtocolError(f"the frame ends inside {what}") from None
        except (ValueError, struct.error) as error:  # a UnicodeDecodeError is a ValueError
            raise ProtocolError(f"{what} is invalid: {error}") from None


def utf16_length(text: str) -> int:
    """Return the number of UTF-16 units in `text`."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def varint(number: int) -> bytes:
    """Encode a VarInt: signed, 32 bits."""
    packed: bytes = _quarry().Buffer1_7.pack_varint(number)
    return packed


def string(text: str) -> bytes:
    """Encode a string (quarry's limit is 32767 bytes, the game's 32767 UTF-16 units)."""
    raw = text.encode("utf-8", "replace")  # a lone surrogate, possible in JSON, has no UTF-8
    return varint(len(raw)) + raw


def frame(packet_id: int, *fields: bytes) -> bytes:
    """Encode a frame of a packet id and encoded fields."""
    body = b"".join((varint(packet_id), *fields))
    return varint(len(body)) + body
