"""What the protocols over UDP share: reading one datagram's fields, challenges, and the form of an answer. Sans-I/O.

Every datagram may have a forged source address. A protocol's server half therefore says with each answer whether the
address was proved; its caller limits answers to unproved addresses that are longer than the question.
"""

from __future__ import annotations

import struct
from _blake2 import blake2s  # hashlib loads OpenSSL's libcrypto: 3.3 MiB, which no sleeping proxy needs
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from msgspec import Struct

from zeroscale.errors import ProtocolError
from zeroscale.protocols.conversation import Component

CHALLENGE_LIFETIME = 60.0
"""Seconds for which a challenge is accepted at least, and half of the most; vanilla Minecraft forgets its after 30."""

_SLOT = struct.Struct("<q")


class Answer(Struct, frozen=True):
    """What to send back for one datagram.

    :ivar datagrams: to the sender, in this order; often none.
    :ivar proved: whether the sender has shown that it receives what is sent to its address. If not, and the datagrams
        are longer than the question, the caller must limit how often they are sent.
    """

    datagrams: tuple[bytes, ...] = ()
    proved: bool = False


NO_ANSWER = Answer()


class WakeRequested(Struct, frozen=True):
    """A client's datagrams have met the rule by which they wake the server, or have proved that it wants to join.

    :ivar name: the name that a player claims; "": the protocol has none.
    """

    name: str = ""


class Reply(Struct, frozen=True):
    """What follows from one datagram.

    :ivar datagrams: to the sender, in this order; often none.
    :ivar proved: see `Answer`.
    :ivar wake: the server is to be woken.
    """

    datagrams: tuple[bytes, ...] = ()
    proved: bool = False
    wake: WakeRequested | None = None


NO_REPLY = Reply()


class ClientReply(Struct, frozen=True):
    """What is for one client, which may have sent nothing just now.

    :ivar host: its address.
    :ivar port: its port.
    """

    host: str
    port: int
    reply: Reply


class DatagramConversation(Protocol):
    """All clients of one port for datagrams: what they are answered while its server does not run. Bounded.

    `now` is seconds of one monotonic clock. A datagram that breaks the protocol raises `ProtocolError`: it is dropped,
    and its client remains, since anyone could have sent it.

    :ivar next_timeout: when `tick` is to be called at the latest; math.inf: never. It may change with every call.
    """

    @property
    def next_timeout(self) -> float:
        """See above."""
        ...

    def receive(self, datagram: bytes, host: str, port: int, now: float) -> Reply:
        """Take a client's datagram while the server does not run."""
        ...

    def tick(self, now: float) -> Sequence[ClientReply]:
        """Do what is due."""
        ...

    def server_ready(self, now: float) -> Sequence[ClientReply]:
        """Return what is for the clients that wait: the server runs now, or its start has failed."""
        ...

    def refuse(self, host: str, port: int, message: Component, now: float) -> Reply:
        """Tell a client, whose datagram has just asked to wake the server, why it may not; where it can be told."""
        ...

    def opens_session(self, datagram: bytes) -> bool:
        """Return whether, while the server runs, this datagram of a client without a session opens one."""
        ...

    def answer_running(self, datagram: bytes, host: str, port: int, now: float) -> Reply:
        """Take a datagram that opens no session, while the server runs.

        During a lockout `receive` takes those that would open one, and a `wake` of either is refused.
        """
        ...


class NextRequest(Struct, frozen=True):
    """The server wants a further request before it answers.

    :ivar request: the datagram to send, in place of the previous one also when it is repeated.
    """

    request: bytes


Event = TypeVar("Event", covariant=True)


class DatagramQuery(Protocol[Event]):
    """One question to a server: send `request`, again after a while without an answer, and feed the datagrams."""

    @property
    def request(self) -> bytes:
        """The datagram to send; another one after a `NextRequest`."""
        ...

    def receive(self, datagram: bytes, /) -> NextRequest | Event | None:
        """Take a datagram from the server; return the event in it. None: the answer is not complete.

        :raises ProtocolError: it is no answer to this question, or breaks a bound. Later ones may be.
        """
        ...


class Challenges:
    """Makes and checks challenges without storing them: keyed hashes of the client's address and the time.

    :param key: at least 16 random bytes, which nobody else knows; the same for as long as challenges must be accepted.
    :param purpose: at most 8 bytes: a challenge of one purpose is not accepted for another.
    :raises ValueError: the key is too short.
    """

    def __init__(self, key: bytes, purpose: bytes) -> None:
        if len(key) < 16:
            raise ValueError("a key of challenges has at least 16 bytes")
        self._key = key[:32]
        self._purpose = purpose

    def make(self, client: str, now: float, size: int) -> bytes:
        """Return the challenge of a client.

        :param client: the address that it proves, as text; with its port where the protocol keeps to one.
        :param now: seconds of any clock that does not go backwards.
        :param size: bytes, at most 32.
        """
        return self._of_slot(client, int(now // CHALLENGE_LIFETIME), size)

    def accepts(self, challenge: bytes, client: str, now: float) -> bool:
        """Return whether `make` has returned these bytes for the client, at most twice `CHALLENGE_LIFETIME` ago."""
        slot = int(now // CHALLENGE_LIFETIME)
        return any(challenge == self._of_slot(client, each, len(challenge)) for each in (slot, slot - 1))

    def _of_slot(self, client: str, slot: int, size: int) -> bytes:
        hashed = blake2s(_SLOT.pack(slot) + client.encode(), key=self._key, person=self._purpose)
        return hashed.digest()[:size]


class DatagramReader:
    """Reads the fields of one datagram in order; one that does not fit raises `ProtocolError`.

    :param data: the datagram.
    :param what: its name, for the messages of errors.
    :param position: the index of the first field.
    """

    __slots__ = ("_data", "_what", "position")

    def __init__(self, data: bytes, what: str, position: int = 0) -> None:
        self._data = data
        self._what = what
        self.position = position

    def __len__(self) -> int:
        """Return the number of bytes left."""
        return max(0, len(self._data) - self.position)

    def unpack(self, layout: struct.Struct) -> tuple[Any, ...]:
        """Read fields of fixed size."""
        begin = self.position
        if len(self) < layout.size:
            raise ProtocolError(f"{self._what} that ends early")
        self.position = begin + layout.size
        return layout.unpack_from(self._data, begin)

    def byte(self) -> int:
        """Read one byte."""
        return self.take(1)[0]

    def take(self, count: int) -> bytes:
        """Read this number of bytes."""
        begin = self.position
        if len(self) < count:
            raise ProtocolError(f"{self._what} that ends early")
        self.position = begin + count
        return self._data[begin : self.position]

    def until(self, end: bytes) -> bytes:
        """Read the bytes before the next `end`, and pass over that."""
        begin = self.position
        found = self._data.find(end, begin)
        if found < 0:
            raise ProtocolError(f"{self._what} that ends inside a text")
        self.position = found + len(end)
        return self._data[begin:found]

    def rest(self) -> bytes:
        """Read all bytes that are left."""
        return self.take(len(self))


def cut_text(text: str, longest: int, encoding: str) -> bytes:
    """Encode a text for one field: on one line, without NUL, and cut before the first character that does not fit.

    Characters that the encoding does not have become question marks.

    :param longest: bytes.
    """
    encoded = " ".join(text.replace("\0", " ").split()).encode(encoding, "replace")
    return encoded[:longest].decode(encoding, "ignore").encode(encoding)
