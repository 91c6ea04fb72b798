"""The client's side of RCON, sans-I/O: bytes in, events out, requests as bytes.

Source: docs/protocol.md, "RCON". Send one request at a time, each in one write: the game drops a request that is not
complete in one read.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from msgspec import Struct

from zeroscale.errors import ProtocolError

LOGIN, COMMAND, REPLY = 3, 2, 0
LOGIN_REPLY = 2
MARKER = 100
"""An unknown type, which servers answer ("Unknown request 64") after all earlier replies."""

REFUSED = -1
"""The id of the reply to a wrong password."""

LARGEST_REQUEST = 1460
"""Bytes of a whole request: the game reads no more at once."""

PIECE = 4096
"""UTF-16 units after which the game splits a long reply; as UTF-8 they have at least as many bytes."""

LARGEST_PACKET = 3 * PIECE + 10
"""Bytes after the length: a piece of three bytes per unit, id and type before it, two zeros after it."""

LARGEST_REPLY = 1 << 20
"""Bytes of one whole reply; the longest known, `help` with mods, has some ten thousand."""

LONGEST_ID = 0x7FFFFFFF

_HEADER = struct.Struct("<iii")


class LoggedIn(Struct, frozen=True):
    """The password is right: commands may follow."""


class LoginRefused(Struct, frozen=True):
    """The password is wrong: the connection is of no further use."""


class Replied(Struct, frozen=True):
    """The whole reply to a command.

    :ivar text: any number of lines, often none.
    """

    text: str


class MoreNeeded(Struct, frozen=True):
    """The reply may be longer: send `request`; its own reply marks the end.

    :ivar request: bytes to send.
    """

    request: bytes


Event = LoggedIn | LoginRefused | Replied | MoreNeeded


class RconClient:
    """One RCON connection.

    :param password: `rcon.password` of server.properties.
    :raises ValueError: the password is too long for the game to read, or contains a NUL.
    """

    def __init__(self, password: str) -> None:
        self._login = _packet(1, LOGIN, password)
        self._received = bytearray()
        self._id = 1
        self._awaited: int | None = None
        self._marker: int | None = None
        self._logged_in = False
        self._reply: list[str] = []
        self._reply_size = 0

    def login(self) -> bytes:
        """Return the first request, which is answered with `LoggedIn` or `LoginRefused`."""
        self._awaited = self._id
        return self._login

    def command(self, line: str) -> bytes:
        """Return the request of a command, which is answered with `Replied`, perhaps after `MoreNeeded`.

        :param line: the command, without a slash.
        :raises ValueError: it is too long for the game to read, or contains a NUL.
        :raises RuntimeError: the previous request has not been answered.
        """
        if not self._logged_in or self._awaited is not None:
            raise RuntimeError("one RCON request at a time, after the login")
        request = _packet(self._next_id(), COMMAND, line)
        self._awaited = self._id
        self._reply = []
        self._reply_size = 0
        return request

    def receive(self, data: bytes) -> Sequence[Event]:
        """Take the server's next bytes, however they are cut; return the events in them.

        :raises ProtocolError: they break the protocol or exceed a limit.
        """
        self._received += data
        events: list[Event] = []
        while len(self._received) >= 4:
            size = int.from_bytes(self._received[:4], "little", signed=True)
            if not 10 <= size <= LARGEST_PACKET:
                raise ProtocolError(f"an RCON packet of {size} bytes: it has 10 to {LARGEST_PACKET}")
            if len(self._received) < 4 + size:
                break
            packet = bytes(self._received[: 4 + size])
            del self._received[: 4 + size]
            if packet[-2:] != b"\x00\x00":
                raise ProtocolError("an RCON packet that does not end with two zeros")
            _, packet_id, kind = _HEADER.unpack_from(packet)
            event = self._answered(packet_id, kind, packet[_HEADER.size : -2])
            if event is not None:
                events.append(event)
        return events

    def _answered(self, packet_id: int, kind: int, payload: bytes) -> Event | None:
        if self._awaited is None:
            raise ProtocolError("an RCON answer to nothing")
        if not self._logged_in:
            return self._login_answered(packet_id, kind)
        if kind == REPLY and packet_id == self._marker:
            return self._whole()
        if kind != REPLY or packet_id != self._awaited:
            raise ProtocolError(f"an RCON answer of type {kind} to request {packet_id}, which was not asked")
        self._reply_size += len(payload)
        if self._reply_size > LARGEST_REPLY:
            raise ProtocolError(f"an RCON reply of more than {LARGEST_REPLY} bytes")
        self._reply.append(payload.decode("utf-8", "replace"))
        if self._marker is not None:
            return None
        if len(payload) < PIECE:
            return self._whole()
        self._marker = self._next_id()
        return MoreNeeded(_packet(self._marker, MARKER, ""))

    def _login_answered(self, packet_id: int, kind: int) -> Event | None:
        if kind == REPLY and packet_id == self._awaited:
            return None  # servers of the Source engine send an empty reply first
        if kind != LOGIN_REPLY or packet_id not in (self._awaited, REFUSED):
            raise ProtocolError(f"an RCON answer of type {kind} to request {packet_id}, before the login's")
        self._awaited = None
        if packet_id == REFUSED:
            return LoginRefused()
        self._logged_in = True
        return LoggedIn()

    def _whole(self) -> Event:
        self._awaited = None
        self._marker = None
        return Replied("".join(self._reply))

    def _next_id(self) -> int:
        self._id = self._id % LONGEST_ID + 1
        return self._id


def _packet(packet_id: int, kind: int, payload: str) -> bytes:
    body = payload.encode()
    if b"\x00" in body:
        raise ValueError("an RCON request cannot contain a NUL")
    if _HEADER.size + len(body) + 2 > LARGEST_REQUEST:
        raise ValueError(f"an RCON request of {len(body)} bytes: the game reads {LARGEST_REQUEST - _HEADER.size - 2}")
    return _HEADER.pack(len(body) + 10, packet_id, kind) + body + b"\x00\x00"
