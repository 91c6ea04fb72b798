"""The PROXY protocol, versions 1 and 2, both ways: the address of the client behind a proxy.

Source: docs/protocol.md, "PROXY protocol". Which addresses may send a header is not decided here.
"""

from __future__ import annotations

import ipaddress
import struct
from functools import lru_cache
from typing import Literal

from msgspec import Struct

from zeroscale.errors import ProtocolError

Version = Literal["v1", "v2"]

LONGEST_V1 = 107
"""Bytes of a version 1 line, its CR LF included: the specification's worst case."""

LARGEST_V2 = 2048
"""Bytes after the 16 fixed ones: addresses take at most 216, and a proxy may add extensions."""

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
V2_FIXED = 16
V1_START = b"PROXY "

LOCAL, PROXY = 0x20, 0x21
UNSPECIFIED, TCP4, TCP6 = 0x00, 0x11, 0x21
UDP4, UDP6 = 0x12, 0x22
IPV4_BYTES, IPV6_BYTES = 12, 36

MOST_KEPT = 256
"""Addresses whose parsed form is kept: the destination is the same in most headers, and parsing takes microseconds."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Endpoint(Struct, frozen=True):
    """One end of a connection, or of a datagram's way.

    :ivar host: an IPv4 or IPv6 address; the parsers turn an IPv4-mapped IPv6 address into the IPv4 address.
    :ivar port: 0 to 65535.
    """

    host: str
    port: int


class ProxyHeader(Struct, frozen=True):
    """The content of a header.

    :ivar source: the client's end; None for the proxy's own connection (LOCAL) or an unknown client (UNKNOWN).
    :ivar destination: the end that the client connected to; None as above.
    """

    source: Endpoint | None
    destination: Endpoint | None


def encode(version: Version, source: Endpoint, destination: Endpoint, *, datagrams: bool = False) -> bytes:
    """Return the header of a connection that is made on behalf of `source`.

    :param datagrams: it is for the first datagram of a client over UDP; version 2 only.
    :raises ValueError: an invalid address, a port out of range, or version 1 for datagrams.
    """
    ends = [_parsed(end.host) for end in (source, destination)]
    # A header has one address family: beside an IPv6 end, an IPv4 end is written as a mapped address.
    if any(end.version == 6 for end in ends):
        ends = [end if end.version == 6 else ipaddress.ip_address(f"::ffff:{end}") for end in ends]
    is_ipv4 = ends[0].version == 4
    if not all(0 <= end.port <= 0xFFFF for end in (source, destination)):
        raise ValueError("a port out of range")
    if version == "v1":
        if datagrams:
            raise ValueError("version 1 is for TCP")
        family = "TCP4" if is_ipv4 else "TCP6"
        return f"PROXY {family} {ends[0]} {ends[1]} {source.port} {destination.port}\r\n".encode("ascii")
    addresses = ends[0].packed + ends[1].packed + struct.pack(">HH", source.port, destination.port)
    kind = (UDP4 if is_ipv4 else UDP6) if datagrams else (TCP4 if is_ipv4 else TCP6)
    return SIGNATURE + struct.pack(">BBH", PROXY, kind, len(addresses)) + addresses


@lru_cache(MOST_KEPT)
def _parsed(host: str) -> Address:
    """Return the address of an end, without a scope.

    :raises ValueError: it is none.
    """
    return ipaddress.ip_address(host.partition("%")[0])


def local_header(version: Version = "v2") -> bytes:
    """Return the header of zeroscale's own connection, such as a probe, or of a client without an address."""
    if version == "v1":
        return V1_START + b"UNKNOWN\r\n"
    return SIGNATURE + struct.pack(">BBH", LOCAL, UNSPECIFIED, 0)


def reject_header(received: bytes) -> None:
    """Raise an error if a connection's first bytes begin with a header.

    :raises ProtocolError: they do.
    """
    if received.startswith((SIGNATURE, V1_START)):
        raise ProtocolError(
            "a PROXY protocol header from an address that is not trusted to send one (proxy_protocol.accept_from)"
        )


class HeaderRejector:
    """Rejects a header from an address that must not send one.

    :ivar received: all bytes so far.
    """

    def __init__(self) -> None:
        self.received = b""

    def receive(self, data: bytes) -> bytes | None:
        """Take the next bytes of the connection, however they are cut.

        :returns: all bytes so far, once they cannot begin a header; None while they may.
        :raises ProtocolError: they are a header.
        """
        self.received += data
        received = self.received
        reject_header(received)
        if SIGNATURE.startswith(received) or V1_START.startswith(received):
            return None
        return received


class ProxyHeaderParser:
    """Parses the one header at the beginning of a connection."""

    def __init__(self) -> None:
        self._received = b""

    def receive(self, data: bytes) -> tuple[ProxyHeader, bytes] | None:
        """Take the next bytes, however they are cut; not to be called after it has returned a header.

        :returns: the header and the bytes after it; None while it is incomplete.
        :raises ProtocolError: there is no header, or an invalid or too long one.
        """
        self._received += data
        received = self._received
        if received.startswith(SIGNATURE):
            return _parse_v2(received)
        if received.startswith(V1_START):
            return _parse_v1(received)
        if SIGNATURE.startswith(received) or V1_START.startswith(received):
            return None
        raise ProtocolError("no PROXY protocol header where one is required")


def _parse_v1(received: bytes) -> tuple[ProxyHeader, bytes] | None:
    line, end, rest = received[:LONGEST_V1].partition(b"\r\n")
    if not end:
        if len(received) >= LONGEST_V1:
            raise ProtocolError(f"a PROXY v1 header longer than {LONGEST_V1} bytes")
        return None
    rest += received[LONGEST_V1:]
    words = line.split(b" ")
    if words[1] == b"UNKNOWN":  # the rest of the line is to be ignored
        return ProxyHeader(None, None), rest
    families = {b"TCP4": 4, b"TCP6": 6}
    if len(words) != 6 or words[1] not in families:
        raise ProtocolError("an invalid PROXY v1 header")
    source, destination = (
        Endpoint(_address(host, families[words[1]]), _port(port))
        for host, port in zip(words[2:4], words[4:], strict=True)
    )
    return ProxyHeader(source, destination), rest


def _address(word: bytes, version: int) -> str:
    try:
        address = ipaddress.ip_address(word.decode("ascii"))
    except ValueError:
        address = None
    if address is None or address.version != version or b"%" in word:
        raise ProtocolError("a PROXY v1 header with an invalid address")
    return _normalised(address)


@lru_cache(MOST_KEPT)
def _unpacked(packed: bytes) -> str:
    return _normalised(ipaddress.ip_address(packed))


def _normalised(address: Address) -> str:
    """Return the address as bans and networks have it: IPv4 without the `::ffff:` of a mapped one."""
    return str(getattr(address, "ipv4_mapped", None) or address)


def _port(word: bytes) -> int:
    if not (word.isdigit() and len(word) <= 5 and int(word) <= 0xFFFF):
        raise ProtocolError("a PROXY v1 header with an invalid port")
    return int(word)


def _parse_v2(received: bytes) -> tuple[ProxyHeader, bytes] | None:
    if len(received) < V2_FIXED:
        return None
    command, family, length = struct.unpack_from(">BBH", received, len(SIGNATURE))
    if command not in (LOCAL, PROXY):
        raise ProtocolError(f"a PROXY v2 header with version and command {command:#04x}")
    if length > LARGEST_V2:
        raise ProtocolError(f"a PROXY v2 header of {length} bytes where at most {LARGEST_V2} are allowed")
    if len(received) < V2_FIXED + length:
        return None
    body, rest = received[V2_FIXED : V2_FIXED + length], received[V2_FIXED + length :]
    if command == LOCAL or family not in (TCP4, TCP6):  # unknown families: use nothing
        return ProxyHeader(None, None), rest
    size, width = (IPV4_BYTES, 4) if family == TCP4 else (IPV6_BYTES, 16)
    if length < size:
        raise ProtocolError(f"a PROXY v2 header of {length} bytes where its addresses have {size}")
    ports = struct.unpack_from(">HH", body, 2 * width)
    source, destination = (
        Endpoint(_unpacked(body[at : at + width]), port) for at, port in zip((0, width), ports, strict=True)
    )
    return ProxyHeader(source, destination), rest
