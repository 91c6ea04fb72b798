"""RakNet's connection with one client, from its request on, in the server's role. Sans-I/O: the time is an argument.

Source: docs/protocol.md, "RakNet". It is as much as holding a client and telling it something takes: the few messages
of a client before it plays mean the same in whatever order and however often they come, so that no window of received
messages is kept. Of a message in fragments only the beginning is kept.
"""

from __future__ import annotations

import math
import struct

from msgspec import Struct

from zeroscale.errors import ProtocolError
from zeroscale.protocols.bedrock import addresses
from zeroscale.protocols.bedrock.frames import (
    ACK,
    DATAGRAM,
    IS_ACK,
    IS_NACK,
    IS_VALID,
    NACK,
    RELIABLE_ORDERED,
    UNRELIABLE,
    Fragment,
    acknowledgement,
    frame,
    numbers_in,
    read_datagram,
)
from zeroscale.protocols.bedrock.offline import HEADERS_IPV6, SMALLEST_MTU, Opening
from zeroscale.protocols.datagrams import DatagramReader

CONNECTED_PING, CONNECTED_PONG = 0x00, 0x03
CONNECTION_REQUEST, CONNECTION_ACCEPTED, NEW_INCOMING_CONNECTION = 0x09, 0x10, 0x13
DISCONNECT_NOTIFICATION = 0x15
GAME_MESSAGE = 0xFE

LARGEST_DATAGRAM = 1500
"""Bytes: RakNet's largest MTU is 1492."""

MOST_MISSING = 64
"""Datagrams that are asked for again at once: a client before it plays has few on the way."""

MOST_FRAGMENTS = 4096
"""Fragments of a message: a login with the largest appearance has some hundred."""

KEPT_FRAGMENTS = 24
"""Fragments from the beginning that are kept: 33 KiB of a login, which begins with the player's name."""

LARGEST_MESSAGE = SMALLEST_MTU - HEADERS_IPV6 - 14
"""Bytes of a message of ours: with the headers of datagram and frame it fits into the smallest MTU."""

INTERNAL_ADDRESSES = 20
"""Addresses in Connection Request Accepted: Bedrock's number. RakNet's own is 10: such a client takes the bytes of the
eleventh to thirteenth address for the two times that follow the last."""

ADDRESS_AT_TIME = 11
"""The index of the address whose host and port are where such a client reads the time that it returns."""

SILENCE = 10.0
"""Seconds without a datagram after which a client is gone; clients ping every 5 s at least, and use the same limit."""

RESEND_AFTER = 0.5
"""Seconds until a message of ours is sent again, twice as long each time."""

MOST_SENDINGS = 6
"""How often: a client that is not silent, but acknowledges nothing for 31 s, is gone."""

LEAVE_AFTER = 2.0
"""Seconds that a client has to acknowledge our last message before the connection ends."""

_LONG = struct.Struct(">q")


class AddressProved(Struct, frozen=True):
    """The client has returned a value that was sent to its address: the address is not forged."""


class MessageReceived(Struct, frozen=True):
    """A message of the game.

    :ivar message: from its first byte, `GAME_MESSAGE`; of a long one the beginning only.
    """

    message: bytes


class ClientLeft(Struct, frozen=True):
    """The connection has ended: drop it. The last event.

    :ivar reason: for the log.
    """

    reason: str


RakNetEvent = AddressProved | MessageReceived | ClientLeft


class RakNetOutput(Struct, frozen=True):
    """What a datagram, a moment or a command has brought about.

    :ivar datagrams: to send to the client, in this order.
    :ivar events: what has happened, in this order.
    :ivar proved: as `Answer.proved`: if not, the caller limits datagrams that are longer than the client's.
    """

    datagrams: tuple[bytes, ...] = ()
    events: tuple[RakNetEvent, ...] = ()
    proved: bool = False


class _Sent(Struct):
    """A reliable frame that is not acknowledged yet."""

    frame: bytes
    sendings: int
    due: float


class RakNetConnection:
    """A client's connection, from Open Connection Reply 2 on.

    :param opening: the client's request.
    :param host: the client's address.
    :param port: the client's port.
    :param now: seconds of a monotonic clock, as in all methods.
    """

    def __init__(self, opening: Opening, host: str, port: int, now: float) -> None:
        self.client_guid = opening.client_guid
        self._address = addresses.encode(host, port)
        self._proof = _LONG.pack(opening.proof)
        self._echoes = (self._proof, self._proof[-6:] + addresses.encode("255.255.255.255", 0)[:2])
        self._proved = opening.proved
        self._announced = False
        self._heard_at = now
        self._next_received = 0
        self._next_sent = 0
        self._next_reliable = 0
        self._unacknowledged: dict[int, _Sent] = {}
        self._accepted: bytes = b""
        self._fragments: dict[int, bytes] = {}
        self._fragmented: tuple[int, int] | None = None
        self._leave_at = math.inf
        self._left = False
        self._datagrams: list[bytes] = []
        self._events: list[RakNetEvent] = []

    @property
    def proved(self) -> bool:
        """Whether the client's address is proved."""
        return self._proved

    @property
    def next_timeout(self) -> float:
        """When `tick` is to be called at the latest; it changes with every call."""
        if self._left:
            return math.inf
        resend = min((sent.due for sent in self._unacknowledged.values() if self._proved), default=math.inf)
        return min(self._heard_at + SILENCE, self._leave_at, resend)

    def receive(self, datagram: bytes, now: float) -> RakNetOutput:
        """Take a datagram of the client's.

        :raises ProtocolError: it is none of RakNet's. The connection remains: anyone could have sent it.
        """
        if self._left:
            return RakNetOutput()
        if len(datagram) > LARGEST_DATAGRAM or not datagram or not datagram[0] & IS_VALID:
            raise ProtocolError("a datagram that is none of a RakNet connection")
        if datagram[0] & IS_ACK:
            for number in numbers_in(datagram):
                self._unacknowledged.pop(number, None)
            if not self._unacknowledged and self._leave_at < math.inf:
                self._leave("told")
        elif datagram[0] & IS_NACK:
            for number in numbers_in(datagram):
                if number in self._unacknowledged:
                    self._resend(number, now)
        else:
            self._receive_frames(datagram, now)
        self._heard_at = now
        return self._output()

    def tick(self, now: float) -> RakNetOutput:
        """Do what is due: send messages again, end a silent connection."""
        if self._left:
            return RakNetOutput()
        if now >= self._leave_at:
            self._leave("told")
        elif now >= self._heard_at + SILENCE:
            self._leave("silent")
        elif self._proved:  # what an unproved client misses, it asks for again
            for number in [number for number, sent in self._unacknowledged.items() if now >= sent.due]:
                self._resend(number, now)
        return self._output()

    def send(self, message: bytes, now: float) -> RakNetOutput:
        """Send the client a message of the game.

        :raises ValueError: it has more than `LARGEST_MESSAGE` bytes.
        """
        if not self._left:
            self._send_reliably(message, now)
        return self._output()

    def send_last(self, message: bytes, now: float) -> RakNetOutput:
        """Send the client a message of the game, and end the connection once the client has it.

        :raises ValueError: it has more than `LARGEST_MESSAGE` bytes.
        """
        if not self._left and self._leave_at == math.inf:
            self._leave_at = now + LEAVE_AFTER
            self._send_reliably(message, now)
        return self._output()

    def close(self) -> RakNetOutput:
        """End the connection at once."""
        if not self._left:
            self._leave("closed")
        return self._output()

    def _output(self) -> RakNetOutput:
        if self._proved and not self._announced:
            self._announced = True
            self._events.insert(0, AddressProved())
        output = RakNetOutput(tuple(self._datagrams), tuple(self._events), self._proved)
        self._datagrams = []
        self._events = []
        return output

    def _leave(self, reason: str) -> None:
        self._left = True
        self._unacknowledged.clear()
        self._fragments.clear()
        if self._proved and reason != "left":
            self._send_frame(frame(UNRELIABLE, bytes((DISCONNECT_NOTIFICATION,))))
        self._events.append(ClientLeft(reason))

    def _receive_frames(self, datagram: bytes, now: float) -> None:
        number, frames = read_datagram(datagram)
        whole = [message for message, fragment in frames if fragment is None and message]
        pings = [message for message in whole if message[0] == CONNECTED_PING]
        for message in [*pings[:1], *(message for message in whole if message[0] != CONNECTED_PING)]:
            self._receive_message(message, now)
        fragments = [(message, fragment) for message, fragment in frames if fragment is not None]
        if fragments and not self._proved:
            return  # nothing is kept for an unproved address; without an acknowledgement the client sends it again
        for message, fragment in fragments:
            if beginning := self._joined(message, fragment):
                self._receive_message(beginning, now)
        self._acknowledge(number)

    def _receive_message(self, message: bytes, now: float) -> None:
        if self._left:
            return
        match message[0]:
            case 0x00:
                self._send_pong(message, now)
            case 0x09:
                self._accept(message, now)
            case 0x13:
                times = message[-2 * _LONG.size :]
                if any(times[at : at + _LONG.size] in self._echoes for at in (0, _LONG.size)):
                    self._proved = True
            case 0x15:
                self._leave("left")
            case 0xFE:
                self._events.append(MessageReceived(message))

    def _accept(self, request: bytes, now: float) -> None:
        """Answer a Connection Request; one that is repeated is answered by the same message."""
        reader = DatagramReader(request, "a connection request", 1)
        reader.take(8)
        sent_at = reader.take(8)
        if not self._accepted:
            internal = [addresses.encode("255.255.255.255", 0)] * INTERNAL_ADDRESSES
            internal[ADDRESS_AT_TIME] = internal[0][:1] + self._proof[-6:]
            start = bytes((CONNECTION_ACCEPTED,)) + self._address + b"\x00\x00"
            self._accepted = start + b"".join(internal) + sent_at + self._proof
            self._send_reliably(self._accepted, now)
            return
        for number, sent in list(self._unacknowledged.items()):
            if sent.frame.endswith(self._accepted):
                self._resend(number, now)

    def _send_pong(self, ping: bytes, now: float) -> None:
        sent_at = DatagramReader(ping, "a ping", 1).take(8)
        self._send_frame(frame(UNRELIABLE, bytes((CONNECTED_PONG,)) + sent_at + _LONG.pack(int(now * 1000))))

    def _joined(self, part: bytes, fragment: Fragment) -> bytes:
        """Keep a fragment; return the beginning of its message as soon as that is complete, else nothing."""
        count, index = fragment.count, fragment.index
        if index >= count or count > MOST_FRAGMENTS:
            raise ProtocolError(f"fragment {index} of {count}: there are at most {MOST_FRAGMENTS}")
        if (fragment.message, count) != self._fragmented:  # another count: a client that contradicts itself
            self._fragmented = (fragment.message, count)
            self._fragments = {}
        wanted = min(count, KEPT_FRAGMENTS)
        if index >= wanted or -1 in self._fragments:
            return b""
        self._fragments[index] = part
        if len(self._fragments) < wanted:
            return b""
        whole = b"".join(self._fragments[each] for each in range(wanted))
        self._fragments = {-1: b""}  # complete: what is repeated of it is of no use
        return whole

    def _acknowledge(self, number: int) -> None:
        if self._left:
            return
        self._datagrams.append(acknowledgement(ACK, number, number))
        missing = number - self._next_received
        if 0 < missing <= MOST_MISSING:
            self._datagrams.append(acknowledgement(NACK, self._next_received, number - 1))
        self._next_received = max(self._next_received, number + 1)

    def _send_reliably(self, message: bytes, now: float) -> None:
        if len(message) > LARGEST_MESSAGE:
            raise ValueError(f"a message of {len(message)} bytes: it has at most {LARGEST_MESSAGE}")
        encoded = frame(RELIABLE_ORDERED, message, self._next_reliable)
        self._next_reliable += 1
        self._unacknowledged[self._send_frame(encoded)] = _Sent(encoded, 1, now + RESEND_AFTER)

    def _resend(self, number: int, now: float) -> None:
        """Send a frame again, in a datagram of a new number."""
        sent = self._unacknowledged.pop(number, None)
        if sent is None:
            return
        if sent.sendings >= MOST_SENDINGS:
            self._leave("lost")
            return
        again = _Sent(sent.frame, sent.sendings + 1, now + RESEND_AFTER * 2**sent.sendings)
        self._unacknowledged[self._send_frame(sent.frame)] = again

    def _send_frame(self, encoded: bytes) -> int:
        number = self._next_sent
        self._next_sent += 1
        self._datagrams.append(bytes((DATAGRAM,)) + number.to_bytes(3, "little") + encoded)
        return number
