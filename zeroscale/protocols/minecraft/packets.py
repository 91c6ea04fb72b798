"""Frames of Minecraft since 1.7 and their fields, bounded before they are read. Packets are not interpreted.

Source: docs/protocol.md, "Frames and handshake".
"""

from __future__ import annotations

import re

from zeroscale.errors import ProtocolError

LONGEST_PREFIX = 3
"""Bytes of a frame's length prefix: 21 bits."""

LARGEST_FRAME = (1 << 21) - 1
"""Bytes of a frame's body."""

LONGEST_VARINT = 5
"""Bytes of a VarInt: 32 bits."""

_SURROGATE = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")
"""Half of a surrogate pair as UTF-8 would have it; Java replaces the three bytes by one U+FFFD, Python by three."""


def take_frame(data: bytes | bytearray, start: int, bound: int) -> tuple[bytes, int] | None:
    """Return the frame at a position of `data`.

    :param start: the index of the frame's first byte.
    :param bound: the most bytes that its body may have.
    :returns: the body, and the index of the next frame; None while the frame is incomplete.
    :raises ProtocolError: its length is 0, above the bound, or has more than 3 bytes; also of an incomplete frame.
    """
    begin = start
    length = shift = 0
    for byte in data[start : start + LONGEST_PREFIX]:
        begin += 1
        length |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
    else:
        if begin - start == LONGEST_PREFIX:
            raise ProtocolError("a frame's length is longer than 3 bytes")
        return None
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

    __slots__ = ("_at", "_body")

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    def __len__(self) -> int:
        """Return the number of bytes left."""
        return len(self._body) - self._at

    def varint(self) -> int:
        """Read a VarInt: signed, 32 bits, at most 5 bytes."""
        body, at = self._body, self._at
        if at < len(body) and (byte := body[at]) < 0x80:
            self._at = at + 1
            return byte
        number = shift = 0
        for byte in body[at : at + LONGEST_VARINT]:
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        else:
            if shift == 7 * LONGEST_VARINT:
                raise ProtocolError(f"a VarInt of more than {LONGEST_VARINT} bytes")
            raise ProtocolError("the frame ends inside a VarInt")
        if number >= 1 << 32:
            raise ProtocolError("a VarInt of more than 32 bits")
        self._at = at + shift // 7
        return number if number < 1 << 31 else number - (1 << 32)

    def string(self, longest: int) -> str:
        """Read a string of at most `longest` UTF-16 units; as in Java, U+FFFD replaces what is not UTF-8."""
        raw = self._take_counted(3 * longest, "a string")
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            text = _SURROGATE.sub("\ufffd".encode(), raw).decode("utf-8", "replace")
        if len(raw) > longest and utf16_length(text) > longest:  # a unit has at least one byte
            raise ProtocolError(f"a string longer than {longest} characters")
        return text

    def byte_array(self, longest: int) -> bytes:
        """Read a byte array: a VarInt count, at most `longest`, and as many bytes."""
        return self._take_counted(longest, "a byte array")

    def unsigned_short(self) -> int:
        """Read 16 bits, unsigned."""
        return int.from_bytes(self._take(2, "an unsigned short"))

    def long(self) -> int:
        """Read 64 bits, signed."""
        return int.from_bytes(self._take(8, "a long"), signed=True)

    def boolean(self) -> bool:
        """Read one byte that is 0 or 1."""
        byte = self._take(1, "a boolean")[0]
        if byte > 1:
            raise ProtocolError(f"a boolean that is {byte}")
        return byte == 1

    def uuid(self) -> str:
        """Read 16 bytes, as 32 lower-case hexadecimal digits."""
        return self._take(16, "a UUID").hex()

    def rest(self) -> bytes:
        """Read all bytes that are left."""
        return self._take(len(self), "the rest")

    def finish(self, what: str) -> None:
        """Raise `ProtocolError` if bytes are left.

        :param what: the packet's name, for the message.
        """
        if len(self):
            raise ProtocolError(f"{len(self)} bytes too many in {what}")

    def _take_counted(self, longest: int, what: str) -> bytes:
        count = self.varint()
        if not 0 <= count <= longest:
            raise ProtocolError(f"{what} of {count} bytes where at most {longest} are allowed")
        return self._take(count, what)

    def _take(self, count: int, what: str) -> bytes:
        begin = self._at
        raw = self._body[begin : begin + count]
        if len(raw) < count:
            raise ProtocolError(f"the frame ends inside {what}")
        self._at = begin + count
        return raw


def utf16_length(text: str) -> int:
    """Return the number of UTF-16 units in `text`."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def varint(number: int) -> bytes:
    """Encode a VarInt: signed, 32 bits.

    :raises ValueError: the number has more bits.
    """
    if not -(1 << 31) <= number < 1 << 31:
        raise ValueError(f"{number} has more than 32 bits")
    rest = number & 0xFFFFFFFF
    encoded = []
    while rest >= 0x80:
        encoded.append(rest & 0x7F | 0x80)
        rest >>= 7
    encoded.append(rest)
    return bytes(encoded)


def string(text: str) -> bytes:
    """Encode a string of any length; the game's limit is 32767 UTF-16 units."""
    raw = text.encode("utf-8", "replace")  # a lone surrogate, possible in JSON, has no UTF-8
    return varint(len(raw)) + raw


def frame(packet_id: int, *fields: bytes) -> bytes:
    """Encode a frame of a packet id and encoded fields."""
    body = b"".join((varint(packet_id), *fields))
    return varint(len(body)) + body
