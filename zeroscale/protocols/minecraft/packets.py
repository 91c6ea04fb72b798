"""Frames and the fields inside them, as Minecraft since 1.7 has them: bounded first, then read.

quarry's buffers read the fields; they believe every length they are told, so nothing reaches them that has not been
measured here, and nothing of theirs is raised out of here. The only module that imports quarry, and only when a field
is first read: quarry installs the global reactor on import, and whoever imports us must be able to choose it first.
Knows no packet's meaning.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

from zeroscale.errors import ProtocolError

LONGEST_PREFIX = 3
"""Bytes of a frame's length, at most (docs/protocol.md, "Frames and handshake"): 21 bits."""

LARGEST_FRAME = (1 << 21) - 1
"""Bytes of a frame's body, at most."""

Value = TypeVar("Value")


@cache
def _quarry() -> Any:
    """quarry's buffer package, imported when a field is first read."""
    import quarry.types.buffer

    return quarry.types.buffer


def preload() -> None:
    """Imports what reading fields needs (about 0.3 s), so that no client waits for it.

    Call it once the reactor is installed.
    """
    _quarry()


def take_frame(data: bytes | bytearray, start: int, bound: int) -> tuple[bytes, int] | None:
    """Cuts one frame out of `data`.

    :param start: where in `data` the frame begins.
    :param bound: how many bytes its body may have.
    :returns: the body and where the next frame begins; None while there are not enough bytes yet.
    :raises ProtocolError: for a length that is 0, above the bound, or longer than 3 bytes; as soon as it shows.
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
    """The fields of one frame's body, read one after the other; whatever does not fit raises `ProtocolError`."""

    def __init__(self, body: bytes) -> None:
        self._buffer = _quarry().Buffer1_7(body)

    def __len__(self) -> int:
        """How many bytes are left."""
        return len(self._buffer)

    def varint(self) -> int:
        """A VarInt: signed, 32 bits, at most 5 bytes."""
        before = len(self)
        number: int = self._read(self._buffer.unpack_varint, "a VarInt")
        if before - len(self) > 5:
            raise ProtocolError("a VarInt of more than 5 bytes")
        return number

    def string(self, longest: int) -> str:
        """A string of at most `longest` UTF-16 units, which is how the game counts."""
        text = self._read(self._take(3 * longest, "a string").decode, "a string")
        if utf16_length(text) > longest:
            raise ProtocolError(f"a string longer than {longest} characters")
        return text

    def byte_array(self, longest: int) -> bytes:
        """Bytes after their count, which may be at most `longest`."""
        return self._take(longest, "a byte array")

    def unsigned_short(self) -> int:
        """16 bits, unsigned."""
        number: int = self._read(lambda: self._buffer.unpack("H"), "an unsigned short")
        return number

    def long(self) -> int:
        """64 bits, signed."""
        number: int = self._read(lambda: self._buffer.unpack("q"), "a long")
        return number

    def boolean(self) -> bool:
        """One byte: 0 or 1."""
        byte: int = self._read(lambda: self._buffer.unpack("B"), "a boolean")
        if byte > 1:
            raise ProtocolError(f"a boolean that is {byte}")
        return byte == 1

    def uuid(self) -> str:
        """16 bytes, as 32 lower-case hexadecimal digits."""
        raw: bytes = self._read(lambda: self._buffer.read(16), "a UUID")
        return raw.hex()

    def rest(self) -> bytes:
        """All that is left."""
        raw: bytes = self._buffer.read()
        return raw

    def finish(self, what: str) -> None:
        """Makes sure that nothing is left.

        :param what: what the body is, for the message.
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
            raise ProtocolError(f"{what} that is none: {error}") from None


def utf16_length(text: str) -> int:
    """How many UTF-16 units `text` has."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def varint(number: int) -> bytes:
    """Packs a VarInt: signed, 32 bits."""
    packed: bytes = _quarry().Buffer1_7.pack_varint(number)
    return packed


def string(text: str) -> bytes:
    """Packs a string. (quarry's own stops at 32767 bytes, where the game counts UTF-16 units.)"""
    raw = text.encode("utf-8", "replace")  # a lone surrogate, which JSON can spell, has no UTF-8
    return varint(len(raw)) + raw


def frame(packet_id: int, *fields: bytes) -> bytes:
    """Packs a frame of an id and fields that are packed already."""
    body = b"".join((varint(packet_id), *fields))
    return varint(len(body)) + body
