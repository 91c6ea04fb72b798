"""PROXY protocol headers: whole, byte by byte, with bytes after them, and invalid."""

from __future__ import annotations

import ipaddress
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.protocols.haproxy._v1parser import V1Parser
from twisted.protocols.haproxy._v2parser import V2Parser

from zeroscale.errors import ProtocolError
from zeroscale.protocols.proxy_protocol import (
    LARGEST_V2,
    LONGEST_V1,
    SIGNATURE,
    Endpoint,
    ProxyHeader,
    ProxyHeaderParser,
    Version,
    encode,
    local_header,
)

CLIENT, US = Endpoint("203.0.113.7", 56324), Endpoint("192.0.2.1", 25565)
CLIENT6, US6 = Endpoint("2001:db8::7", 56324), Endpoint("2001:db8::1", 25565)
NO_ADDRESSES = ProxyHeader(None, None)


def v2(command: int, family: int, body: bytes) -> bytes:
    """A v2 header."""
    return SIGNATURE + struct.pack(">BBH", command, family, len(body)) + body


GOOD = [
    (b"PROXY TCP4 203.0.113.7 192.0.2.1 56324 25565\r\n", ProxyHeader(CLIENT, US)),
    (b"PROXY TCP6 2001:db8::7 2001:db8::1 56324 25565\r\n", ProxyHeader(CLIENT6, US6)),
    (b"PROXY UNKNOWN\r\n", NO_ADDRESSES),
    (b"PROXY UNKNOWN " + b"f" * 80 + b"\r\n", NO_ADDRESSES),
    (
        bytes.fromhex("0d0a0d0a000d0a515549540a 21 11 000c cb007107 c0000201 dc04 63dd"),
        ProxyHeader(CLIENT, US),
    ),
    (
        bytes.fromhex("0d0a0d0a000d0a515549540a 21 21 0024")
        + ipaddress.ip_address("2001:db8::7").packed
        + ipaddress.ip_address("2001:db8::1").packed
        + bytes.fromhex("dc0463dd"),
        ProxyHeader(CLIENT6, US6),
    ),
    (v2(0x21, 0x11, bytes.fromhex("cb007107c0000201dc0463dd") + b"\x04\x00\x03abc"), ProxyHeader(CLIENT, US)),
    (v2(0x20, 0x00, b""), NO_ADDRESSES),
    (v2(0x20, 0x11, bytes(12)), NO_ADDRESSES),
    (v2(0x21, 0x00, b""), NO_ADDRESSES),
    (v2(0x21, 0x31, bytes(216)), NO_ADDRESSES),
]


@pytest.mark.parametrize(("data", "header"), GOOD)
@pytest.mark.parametrize("rest", [b"", b"\x10\x00\x2f", b"\r\nPROXY "])
def test_a_whole_header_and_the_bytes_after_it(data: bytes, header: ProxyHeader, rest: bytes) -> None:
    assert ProxyHeaderParser().receive(data + rest) == (header, rest)


@pytest.mark.parametrize(("data", "header"), GOOD)
def test_a_header_byte_by_byte(data: bytes, header: ProxyHeader) -> None:
    parser = ProxyHeaderParser()
    results = [parser.receive(data[at : at + 1]) for at in range(len(data))]
    assert results == [None] * (len(data) - 1) + [(header, b"")]


@pytest.mark.parametrize(
    "data",
    [
        b"\x10\x00\x2f",
        b"GET / HTTP/1.1\r\n\r\n",
        b"PROXX",
        b"PROXY TCP4 203.0.113.7 192.0.2.1 56324\r\n",
        b"PROXY TCP4 203.0.113.7 192.0.2.1 56324 25565 1\r\n",
        b"PROXY TCP4  203.0.113.7 192.0.2.1 56324 25565\r\n",
        b"PROXY TCP4 2001:db8::7 192.0.2.1 56324 25565\r\n",
        b"PROXY TCP6 fe80::1%eth0 2001:db8::1 56324 25565\r\n",
        b"PROXY TCP4 203.0.113.256 192.0.2.1 56324 25565\r\n",
        b"PROXY TCP4 203.0.113.\xff 192.0.2.1 56324 25565\r\n",
        b"PROXY TCP4 203.0.113.7 192.0.2.1 65536 25565\r\n",
        b"PROXY TCP4 203.0.113.7 192.0.2.1 -1 25565\r\n",
        b"PROXY TCP4 203.0.113.7 192.0.2.1 " + b"0" * 20 + b" 1\r\n",
        b"PROXY UDP4 203.0.113.7 192.0.2.1 1 2\r\n",
        b"PROXY \r\n",
        b"PROXY " + b"x" * LONGEST_V1,
        b"PROXY UNKNOWN " + b"x" * LONGEST_V1 + b"\r\n",
        SIGNATURE + b"\x11\x11\x00\x00",
        SIGNATURE + b"\x22\x11\x00\x00",
        SIGNATURE + struct.pack(">BBH", 0x21, 0x11, LARGEST_V2 + 1),
        v2(0x21, 0x11, bytes(11)),
        v2(0x21, 0x21, bytes(35)),
    ],
)
@pytest.mark.parametrize("size", [1000, 1])
def test_invalid_headers(data: bytes, size: int) -> None:
    parser = ProxyHeaderParser()
    with pytest.raises(ProtocolError):
        for at in range(0, len(data), size):
            parser.receive(data[at : at + size])


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize(("source", "destination"), [(CLIENT, US), (CLIENT6, US6)])
def test_encoded_headers_are_parsed_by_twisted_and_here(
    version: Version, source: Endpoint, destination: Endpoint
) -> None:
    data = encode(version, source, destination)
    assert ProxyHeaderParser().receive(data) == (ProxyHeader(source, destination), b"")
    theirs: Any = (V1Parser if version == "v1" else V2Parser)().parse(
        data.removesuffix(b"\r\n") if version == "v1" else data
    )
    assert str(ipaddress.ip_address(theirs.source.host)) == source.host
    assert (theirs.source.port, theirs.destination.port) == (source.port, destination.port)


@pytest.mark.parametrize(("source", "destination", "family"), [(CLIENT, US, 0x12), (CLIENT6, US6, 0x22)])
def test_a_header_of_datagrams_says_that_it_is_one(source: Endpoint, destination: Endpoint, family: int) -> None:
    header, other = encode("v2", source, destination, datagrams=True), encode("v2", source, destination)
    assert header[13] == family
    assert (header[:13], header[14:]) == (other[:13], other[14:])
    with pytest.raises(ValueError, match="TCP"):
        encode("v1", source, destination, datagrams=True)


def test_ends_of_two_families() -> None:
    assert encode("v1", CLIENT, US6).startswith(b"PROXY TCP6 ::ffff:")
    for version in ("v1", "v2"):
        assert ProxyHeaderParser().receive(encode(version, CLIENT, US6)) == (ProxyHeader(CLIENT, US6), b"")


def test_a_scope_is_not_written() -> None:
    assert b"%" not in encode("v1", Endpoint("fe80::1%eth0", 1), US6)


@pytest.mark.parametrize("end", [Endpoint("localhost", 1), Endpoint("192.0.2.1", 65536), Endpoint("192.0.2.1", -1)])
def test_ends_that_cannot_be_encoded(end: Endpoint) -> None:
    for version in ("v1", "v2"):
        with pytest.raises(ValueError):
            encode(version, end, US)


def test_a_local_header_has_no_addresses() -> None:
    assert local_header() == bytes.fromhex("0d0a0d0a000d0a515549540a20000000")
    assert ProxyHeaderParser().receive(local_header() + b"x") == (NO_ADDRESSES, b"x")


@given(
    st.sampled_from([data for data, _ in GOOD] + [b""]),
    st.integers(0, 60),
    st.binary(max_size=150),
    st.integers(1, 40),
)
def test_any_bytes_are_a_header_or_an_error_or_incomplete(start: bytes, prefix: int, noise: bytes, size: int) -> None:
    data = start[:prefix] + noise
    parser = ProxyHeaderParser()
    for at in range(0, len(data), size):
        try:
            result = parser.receive(data[at : at + size])
        except ProtocolError:
            return
        if result is not None:
            assert data[: at + size].endswith(result[1])
            return
