"""The conversation of a client before 1.7: `FE` pings and `02` logins, answered in their own format.

Source: docs/protocol.md, "Before 1.7". These clients cannot be held: no packet resets their timer.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache

from zeroscale.errors import ProtocolError
from zeroscale.protocols.conversation import (
    Component,
    Event,
    LoginRequested,
    StatusReply,
    StatusRequested,
    Violation,
)
from zeroscale.protocols.minecraft import text_component
from zeroscale.protocols.minecraft.identity import bounded_name, routing_host
from zeroscale.protocols.minecraft.responses import MOST_KEPT

IDLE_TIMEOUT = 0.3
"""Seconds after which a ping that may be complete is taken as complete; real clients send it in one piece."""

PING, LOGIN = 0xFE, 0x02

PING_HOST = b"\xfe\x01\xfa\x00\x0b" + "MC|PingHost".encode("utf-16-be")
"""The first bytes of the ping of 1.6, and of later clients' second try."""

LONGEST_HOST = 255
LONGEST_CLAIM = 255
"""UTF-16 units of a name that are read, so that one that is too long is refused with a message."""

LARGEST_PING = len(PING_HOST) + 2 + 1 + 2 + 2 * LONGEST_HOST + 4
LONGEST_OLD_USERNAME = 0x01FF
"""UTF-16 units: 1.2 sends "name;host:port", of 278 at most."""

LONGEST_TAIL = 1024
"""Bytes stored after a login until reading stops; a real client sends none before it is answered."""

LONGEST_TEXT = 256
"""UTF-16 units of a reply or a kick."""

LONGEST_BETA_TEXT = 100
"""The same for Beta."""

UNKNOWN_PROTOCOL = 127
"""The protocol number in vanilla's replies, for which clients show the version's text in place of the players."""


class LegacyConversation:
    """A client before 1.7: its first byte is `FE` or `02`. Implements `Conversation`."""

    closes_after_status = True
    unanswered = 0

    def __init__(self) -> None:
        self._received = b""
        self._is_beta = False
        self._protocol = -1
        self._unreadable = False
        self._ends = 0
        self._is_login = False
        self._finished = False
        self._violated = False
        self._refused = False

    def opened(self) -> Sequence[Event]:
        """Return no event: the client sends first."""
        return ()

    def receive(self, data: bytes) -> Sequence[Event]:
        """See `Conversation.receive`.

        :raises ProtocolError: this is no client of ours, or one that breaks the rules; whatever comes later is refused.
        """
        if not data:
            return ()
        if self._refused:
            raise ProtocolError("more from a client that was refused")
        self._received += data
        try:
            events = self._parse()
        except ProtocolError:
            self._refused = True
            self._received = b""
            raise
        if not self._finished or len(self._received) == self._ends or self._violated:
            return events
        self._violated = True
        return [*events, Violation("more after the last packet that may come")]

    @property
    def idle_timeout(self) -> float | None:
        """Set after `FE`, `FE 01`, `FE 01 FA` and an unreadable ping, which may be complete or not."""
        return IDLE_TIMEOUT if self._may_be_whole else None

    def on_idle(self) -> Sequence[Event]:
        """Take the bytes so far as a whole ping, if they can be one."""
        if not self._may_be_whole:
            return ()
        self._finish(len(self._received))
        self._is_beta = len(self._received) == 1
        return (StatusRequested(protocol=-1, host="", port=0),)

    @property
    def full(self) -> bool:
        """Whether to stop reading until the relay: after a violation, and at `LONGEST_TAIL`."""
        return self._violated or (self._is_login and len(self._received) - self._ends >= LONGEST_TAIL)

    @property
    def replay_bytes(self) -> bytes:
        """All that the client sent."""
        return self._received

    def status(self, reply: StatusReply) -> bytes:
        """Return the reply to a ping: a kick packet with fields in its text."""
        return _encode_status(reply, self._protocol, is_beta=self._is_beta)

    def pong(self) -> bytes:
        """Return nothing: these clients measure latency by the status reply."""
        return b""

    def kick(self, reason: Component) -> bytes:
        """Return a kick with the reason in one line; nothing before a login."""
        if not self._is_login:
            return b""
        longest = LONGEST_BETA_TEXT if self._is_beta else LONGEST_TEXT
        return _packet(_one_line(text_component.section_text(reason)), longest)

    def hold(self) -> Sequence[Event]:
        """Accept no more bytes. `max_hold` was 0: the caller is about to refuse the login.

        :raises ProtocolError: the client sent more than its login.
        """
        self._finished = True
        if len(self._received) > self._ends:
            raise ProtocolError("more after the login, before it was answered")
        return ()

    def keepalive(self) -> bytes:
        """Return nothing: no packet resets these clients' timer."""
        return b""

    @property
    def _may_be_whole(self) -> bool:
        if self._finished or self._refused:
            return False
        return self._unreadable or self._received in (PING_HOST[:1], PING_HOST[:2], PING_HOST[:3])

    def _parse(self) -> Sequence[Event]:
        if self._ends:
            return ()
        try:
            return self._parse_ping() if self._received[0] == PING else self._parse_login()
        except _Incomplete:
            return ()

    def _parse_ping(self) -> Sequence[Event]:
        """Parse a ping; one with wrong fields is answered too, since some tools send such pings."""
        reader = _Reader(self._received)
        try:
            reader.literal(PING_HOST)
            length = reader.unsigned_short()
            protocol = reader.byte()
            host = reader.string(LONGEST_HOST)
            port = reader.port()
            if length != 7 + 2 * _units(host):
                raise ProtocolError("a legacy ping with lengths that do not fit")
        except ProtocolError:
            if len(self._received) > LARGEST_PING:
                raise ProtocolError(f"a legacy ping of more than {LARGEST_PING} bytes") from None
            self._unreadable = True
            return ()
        self._finish(reader.position)
        self._protocol = protocol
        return (StatusRequested(protocol, routing_host(host), port),)

    def _finish(self, ends: int) -> None:
        self._ends = ends
        self._finished = True

    def _parse_login(self) -> Sequence[Event]:
        reader = _Reader(self._received)
        reader.literal(bytes([LOGIN]))
        # The second byte is a protocol number since 1.3, at least 39 (docs/protocol.md, "Versions"); before, it is the
        # high half of a name's length.
        if reader.peek() <= LONGEST_OLD_USERNAME >> 8:
            self._is_beta = True
            name, _, address = reader.string(LONGEST_OLD_USERNAME).partition(";")
            host, _, digits = address.rpartition(":")
            port = int(digits) if digits.isascii() and digits.isdecimal() and int(digits[:6]) <= 0xFFFF else 0
            if port == 0:
                host = address
        else:
            self._protocol = reader.byte()
            name = reader.string(LONGEST_CLAIM)
            host = reader.string(LONGEST_HOST)
            port = reader.port()
        self._ends = reader.position
        self._is_login = True
        return (
            LoginRequested(
                protocol=self._protocol,
                host=routing_host(host),
                port=port,
                name=bounded_name(name),
                uuid=None,
                transfer=False,
                max_hold=0.0,
            ),
        )


class _Incomplete(Exception):
    """More bytes are needed."""


class _Reader:
    """Reads bounded big-endian fields; raises `_Incomplete` where the bytes end too soon."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.position = 0

    def literal(self, expected: bytes) -> None:
        """Read exactly these bytes; raise `ProtocolError` at the first that differs."""
        found = self._data[self.position : self.position + len(expected)]
        if not expected.startswith(found):
            raise ProtocolError("an invalid legacy ping")
        self._take(len(expected))

    def peek(self) -> int:
        byte = self.byte()
        self.position -= 1
        return byte

    def byte(self) -> int:
        return self._take(1)[0]

    def unsigned_short(self) -> int:
        return int.from_bytes(self._take(2), "big")

    def port(self) -> int:
        """Read a port, which has 32 bits."""
        port = int.from_bytes(self._take(4), "big")
        if port > 0xFFFF:
            raise ProtocolError("a port above 65535")
        return port

    def string(self, longest: int) -> str:
        """Read a text of at most `longest` UTF-16 units; U+FFFD replaces half a surrogate pair."""
        units = self.unsigned_short()
        if units > longest:
            raise ProtocolError(f"a string of {units} characters where at most {longest} are allowed")
        return self._take(2 * units).decode("utf-16-be", "replace")

    def _take(self, count: int) -> bytes:
        begin = self.position
        taken = self._data[begin : begin + count]
        if len(taken) < count:
            raise _Incomplete
        self.position = begin + count
        return taken


@lru_cache(MOST_KEPT)
def _encode_status(reply: StatusReply, protocol: int, *, is_beta: bool) -> bytes:
    """Return the reply to a ping of Beta 1.8 to 1.3, or of 1.4 to 1.6.

    :param protocol: the asking client's protocol number; -1: it sent none.
    """
    if is_beta:
        numbers = f"{text_component.SECTION}{reply.online}{text_component.SECTION}{reply.maximum}"
        motd = _one_line(text_component.plain(reply.description))
        return _packet(_cut(motd, LONGEST_BETA_TEXT - len(numbers)) + numbers, LONGEST_BETA_TEXT)
    shown = reply.protocol
    if shown is None:
        shown = UNKNOWN_PROTOCOL if protocol < 0 else protocol
    version = _cut(_one_line(text_component.section_text(reply.version_name)), LONGEST_TEXT // 4)
    motd = _one_line(text_component.section_text(reply.description))
    head = f"{text_component.SECTION}1\x00{shown}\x00{version}\x00"
    tail = f"\x00{reply.online}\x00{reply.maximum}"
    return _packet(head + _cut(motd, LONGEST_TEXT - _units(head + tail)) + tail, LONGEST_TEXT)


def _packet(text: str, longest: int) -> bytes:
    """Return a kick packet: FF, the number of UTF-16 units, the text."""
    raw = _cut(text, longest).encode("utf-16-be", "replace")
    return struct.pack(">BH", 0xFF, len(raw) // 2) + raw


def _one_line(text: str) -> str:
    return " ".join(line.strip() for line in text.split("\n") if line.strip())


def _units(text: str) -> int:
    return len(text.encode("utf-16-be", "replace")) // 2


def _cut(text: str, longest: int) -> str:
    """Return at most `longest` UTF-16 units of `text`, without half a character or colour code at the end."""
    cut = text.encode("utf-16-be", "replace")[: 2 * max(longest, 0)].decode("utf-16-be", "ignore")
    return cut if cut == text else cut.removesuffix(text_component.SECTION)
