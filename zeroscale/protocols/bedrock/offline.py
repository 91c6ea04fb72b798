"""RakNet before a connection: pings and the opening handshake, for the port of a sleeping server. Sans-I/O.

Source: docs/protocol.md, "RakNet". Nothing is stored for a client. Two values prove that it receives what is sent to
its address: the cookie, which comes back in Open Connection Request 2, and `Opening.proof`, which comes back later.
"""

from __future__ import annotations

import struct

from msgspec import Struct

from zeroscale.errors import ProtocolError
from zeroscale.protocols.bedrock import addresses
from zeroscale.protocols.datagrams import NO_ANSWER, Answer, Challenges, DatagramReader

MAGIC = bytes.fromhex("00ffff00fefefefefdfdfdfd12345678")

UNCONNECTED_PING, UNCONNECTED_PING_OPEN, UNCONNECTED_PONG = 0x01, 0x02, 0x1C
OPEN_REQUEST_1, OPEN_REPLY_1, OPEN_REQUEST_2, OPEN_REPLY_2 = 0x05, 0x06, 0x07, 0x08
INCOMPATIBLE = 0x19

PROTOCOLS = (10, 11)
"""RakNet protocols of Bedrock since 1.16."""

SMALLEST_MTU, LARGEST_MTU = 400, 1400
"""RakNet's own limits are 400 and 1492; more than 1400 is lost in tunnels, and the real server decides for itself."""

HEADERS_IPV4, HEADERS_IPV6 = 28, 48
"""Bytes of the IP and UDP headers, which count for the MTU."""

PING_SIZE = 33
COOKIE_SIZE = 4
PROOF_SIZE = 8

_LONG = struct.Struct(">q")
_SHORT = struct.Struct(">H")


class Opening(Struct, frozen=True):
    """A client's Open Connection Request 2: send `reply`, and make a `connected.RakNetConnection` if it has none.

    A client repeats this request until it has the reply: one with the same `client_guid` is no new connection.

    :ivar reply: the datagram to send.
    :ivar client_guid: what the client calls itself; anyone may claim it.
    :ivar mtu: bytes of an IP packet that may be sent to it.
    :ivar proof: a number that only the receiver of the next messages knows.
    :ivar proved: whether the client's address is proved already, by the cookie.
    """

    reply: bytes
    client_guid: int
    mtu: int
    proof: int
    proved: bool


def is_offline(datagram: bytes) -> bool:
    """Return whether a datagram is outside of a connection; those of connections have the highest bit set."""
    return bool(datagram) and datagram[0] < 0x80


class RakNetListener:
    """Answers datagrams that belong to no connection.

    :param key: see `Challenges`.
    :param guid: the server's own number; clients take two servers of one number for the same.
    :param cookie: whether the cookie is asked for. Native RakNet returns it; jsp-raknet takes it for the MTU.
    """

    def __init__(self, key: bytes, guid: int, *, cookie: bool = True) -> None:
        self._cookies = Challenges(key, b"raknet 1")
        self._proofs = Challenges(key, b"raknet 2")
        self._guid = _LONG.pack(guid)
        self._with_cookie = cookie

    def answer(self, datagram: bytes, host: str, port: int, now: float, status: bytes) -> Answer | Opening:
        """Return the answer to a datagram.

        :param host: the sender's address.
        :param port: the sender's port.
        :param now: see `Challenges.make`.
        :param status: the string of `status.py`, for pings.
        :raises ProtocolError: it is no message of RakNet outside of a connection, or is shorter than real clients' are.
        """
        kind = datagram[0] if datagram else -1
        match kind:
            case 0x01 | 0x02:
                return self._answer_ping(datagram, status)
            case 0x05:
                return self._answer_request_1(datagram, host, port, now)
            case 0x07:
                return self._answer_request_2(datagram, host, port, now)
        raise ProtocolError("a datagram that is no ping and no request for a connection")

    def _answer_ping(self, datagram: bytes, status: bytes) -> Answer:
        if len(datagram) < PING_SIZE or datagram[9:25] != MAGIC:
            raise ProtocolError("a ping without RakNet's magic")
        echoed = datagram[1:9]
        pong = bytes((UNCONNECTED_PONG,)) + echoed + self._guid + MAGIC + _SHORT.pack(len(status)) + status
        return Answer((pong,))

    def _answer_request_1(self, datagram: bytes, host: str, port: int, now: float) -> Answer:
        mtu = len(datagram) + _headers(host)
        if datagram[1:17] != MAGIC or mtu < SMALLEST_MTU:
            raise ProtocolError("a request for a connection without RakNet's magic, or too short")
        if datagram[17] not in PROTOCOLS:
            return Answer((bytes((INCOMPATIBLE, PROTOCOLS[-1])) + MAGIC + self._guid,))
        cookie = b"\x00"
        if self._with_cookie:
            cookie = b"\x01" + self._cookies.make(f"{host} {port}", now, COOKIE_SIZE)
        reply = bytes((OPEN_REPLY_1,)) + MAGIC + self._guid + cookie + _SHORT.pack(min(mtu, LARGEST_MTU))
        return Answer((reply,))

    def _answer_request_2(self, datagram: bytes, host: str, port: int, now: float) -> Answer | Opening:
        reader = DatagramReader(datagram, "a second request for a connection", 1)
        if reader.take(len(MAGIC)) != MAGIC:
            raise ProtocolError("a second request for a connection without RakNet's magic")
        client = f"{host} {port}"
        if self._with_cookie:
            cookie = reader.take(COOKIE_SIZE)
            reader.byte()  # whether the client encrypts, which Bedrock's never do
            if not self._cookies.accepts(cookie, client, now):
                return NO_ANSWER
        addresses.skip(reader)
        (mtu,) = reader.unpack(_SHORT)
        (client_guid,) = reader.unpack(_LONG)
        mtu = max(SMALLEST_MTU, min(mtu, LARGEST_MTU))
        own = addresses.encode(host, port)
        reply = bytes((OPEN_REPLY_2,)) + MAGIC + self._guid + own + _SHORT.pack(mtu) + b"\x00"
        proof = int.from_bytes(self._proofs.make(client, now, PROOF_SIZE)) >> 1  # positive as a signed number
        return Opening(reply, client_guid, mtu, proof, proved=self._with_cookie)


def _headers(host: str) -> int:
    return HEADERS_IPV6 if ":" in host else HEADERS_IPV4
