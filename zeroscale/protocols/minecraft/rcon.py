"""RCON, the client's half, sans-I/O (docs/protocol.md, "RCON"): bytes in, events out, requests as bytes.

Whoever drives it has the socket and the clock. One request at a time, each in one write: the game takes what it reads
at once for a whole request, and drops the rest.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from zeroscale.errors import ProtocolError

LOGIN, COMMAND, REPLY = 3, 2, 0
LOGIN_REPLY = 2
MARKER = 100
"""A type that no server knows; each answers it all the same ("Unknown request 64"), after all it said before."""

REFUSED = -1
"""The id of the answer to a wrong password."""

LARGEST_REQUEST = 1460
"""Bytes in all: what the game reads at once."""

PIECE = 4096
"""Where the game splits a long reply: UTF-16 units of it, which are never fewer bytes."""

LARGEST_PACKET = 3 * PIECE + 10
"""Bytes after the length: a piece whose every unit takes three bytes, the two numbers before it, two zeros after."""

LARGEST_REPLY = 1 << 20
"""Bytes of one reply in all; the longest that the game makes, `help` with mods, has some ten thousand."""

LONGEST_ID = 0x7FFFFFFF

_HEADER = struct.Struct("<iii")
_LIST = re.compile(
    r"There are (?P<on>\d+)(?: of a max(?: of)? | out of maximum |/)(?P<max>\d+) players online[:.]\s*(?P<names>.*)",
    re.DOTALL,
)
_NAME = re.compile(r"[!-~]{1,16}")
_COLOUR = re.compile("\u00a7.")


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """The password was right: commands may follow."""


@dataclass(frozen=True, slots=True)
class LoginRefused:
    """The password was wrong. Nothing can follow."""


@dataclass(frozen=True, slots=True)
class Replied:
    """The command's whole reply.

    :ivar text: what the server said, often several lines or none.
    """

    text: str


@dataclass(frozen=True, slots=True)
class MoreNeeded:
    """The reply may go on: write `request`, whose answer marks its end.

    :ivar request: bytes to send.
    """

    request: bytes


Event = LoggedIn | LoginRefused | Replied | MoreNeeded


class RconClient:
    """One RCON connection.

    :param password: `rcon.password`.
    :raises ValueError: it is too long for the game to read, or has a zero in it.
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
        """The first request. Its answer is `LoggedIn` or `LoginRefused`."""
        self._awaited = self._id
        return self._login

    def command(self, line: str) -> bytes:
        """A command's request. Its answer is `Replied`, and perhaps `MoreNeeded` before.

        :param line: without a slash.
        :raises ValueError: it is too long for the game to read, or has a zero in it.
        :raises RuntimeError: the request before has not been answered.
        """
        if not self._logged_in or self._awaited is not None:
            raise RuntimeError("one RCON request at a time, after the login")
        request = _packet(self._next_id(), COMMAND, line)
        self._awaited = self._id
        self._reply = []
        self._reply_size = 0
        return request

    def receive(self, data: bytes) -> Sequence[Event]:
        """Takes the next bytes of the server, however they were cut.

        :raises ProtocolError: it does not speak RCON, or too much of it.
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
            return None  # Source servers, the protocol's origin, send an empty reply before the answer
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


@dataclass(frozen=True, slots=True)
class PlayerList:
    """What `list` said.

    :ivar count: players online.
    :ivar names: theirs, as far as they are names.
    """

    count: int
    names: tuple[str, ...]


def parse_list(text: str) -> PlayerList | None:
    """Reads the reply to `list`, as the game has worded it since 1.3.

    :returns: None where it is worded otherwise (by a plugin, or in another language).
    """
    found = _LIST.search(_COLOUR.sub("", text))
    if found is None:
        return None
    names = tuple(name.strip() for name in found["names"].split(","))
    return PlayerList(int(found["on"]), tuple(name for name in names if _NAME.fullmatch(name)))


def _packet(packet_id: int, kind: int, payload: str) -> bytes:
    body = payload.encode()
    if b"\x00" in body:
        raise ValueError("an RCON request cannot carry a zero")
    if _HEADER.size + len(body) + 2 > LARGEST_REQUEST:
        raise ValueError(f"an RCON request of {len(body)} bytes: the game reads {LARGEST_REQUEST - _HEADER.size - 2}")
    return _HEADER.pack(len(body) + 10, packet_id, kind) + body + b"\x00\x00"
