"""The client's side of the ping before 1.7, sans-I/O: asks a server for its MOTD and its players.

Source: docs/protocol.md, "Before 1.7". The request is that of 1.6, which every version from Beta 1.8 on answers, later
ones too. All that a server sends is bounded and checked.
"""

from __future__ import annotations

import re

from msgspec import Struct

from zeroscale.errors import ProtocolError
from zeroscale.protocols.minecraft.legacy import LONGEST_HOST, PING_HOST, UNKNOWN_PROTOCOL
from zeroscale.protocols.minecraft.packets import utf16_length
from zeroscale.protocols.minecraft.text_component import SECTION

KICK = 0xFF
HEADER = 3
"""Bytes before a reply's text: `KICK`, and the number of its UTF-16 units."""

LONGEST_TEXT = 4096
"""UTF-16 units of a reply's text; vanilla sends at most 256, plugins longer MOTDs."""

BEFORE_1_7 = range(39, 79)
"""Protocol numbers of 1.3.2 to 1.6.4 (docs/protocol.md, "Versions"). Later servers send `UNKNOWN_PROTOCOL`, their own
number, or the client's."""

_SINCE_1_4 = f"{SECTION}1\x00"
_NUMBER = re.compile(r"[0-9]{1,10}")


class LegacyStatus(Struct, frozen=True):
    """A server's reply.

    :ivar motd: with section-sign codes, where the server sends them.
    :ivar online: players online.
    :ivar maximum: the player limit.
    :ivar protocol: the protocol number; None: the server is older than 1.4, and sends none.
    """

    motd: str
    online: int
    maximum: int
    protocol: int | None

    @property
    def before_1_7(self) -> bool:
        """Whether the server is older than 1.7, as far as its reply tells: 47 is also the number of 1.8."""
        return self.protocol is None or self.protocol in BEFORE_1_7


class LegacyPingClient:
    """Pings a server once.

    :param host: the host in the ping.
    :param port: the port in the ping.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host = host[:LONGEST_HOST]
        self._port = port
        self._received = bytearray()

    def request(self) -> bytes:
        """Return the bytes to send."""
        host = self._host.encode("utf-16-be", "replace")
        length = utf16_length(self._host)
        fields = (7 + len(host)).to_bytes(2, "big"), bytes([UNKNOWN_PROTOCOL]), length.to_bytes(2, "big"), host
        return b"".join((PING_HOST, *fields, self._port.to_bytes(4, "big")))

    def receive(self, data: bytes) -> LegacyStatus | None:
        """Take the server's next bytes, however they are cut; return its reply once it is complete.

        :raises ProtocolError: they are no reply to a ping.
        """
        self._received += data
        if self._received and self._received[0] != KICK:
            raise ProtocolError(f"{self._received[0]:#04x} in place of the reply to a ping of before 1.7")
        if len(self._received) < HEADER:
            return None
        end = HEADER + 2 * int.from_bytes(self._received[1:HEADER], "big")
        if end > HEADER + 2 * LONGEST_TEXT:
            raise ProtocolError(f"a reply of more than {LONGEST_TEXT} characters")
        if len(self._received) < end:
            return None
        return _parsed(self._received[HEADER:end].decode("utf-16-be", "replace"))


def _parsed(text: str) -> LegacyStatus:
    if text.startswith(_SINCE_1_4):
        head, online, maximum = _last_two(text, "\x00")
        fields = head.split("\x00", 3)
        if len(fields) < 4:
            raise ProtocolError("a reply to a ping of before 1.7 with too few fields")
        return LegacyStatus(fields[3], online, maximum, _number(fields[1]))
    return LegacyStatus(*_last_two(text, SECTION), None)


def _last_two(text: str, separator: str) -> tuple[str, int, int]:
    """Return what stands before the last two fields, and those: the numbers of players."""
    head, *numbers = text.rsplit(separator, 2)
    if len(numbers) < 2:
        raise ProtocolError(f"{text[:60]!r} in place of a reply to a ping of before 1.7")
    return head, _number(numbers[0]), _number(numbers[1])


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ProtocolError(f"{text[:60]!r} in place of a number, in a reply to a ping of before 1.7")
    return int(text)
