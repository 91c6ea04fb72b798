"""Sniffers on whole bytes, byte by byte, with more after them, and on bytes of no client."""

from __future__ import annotations

import contextlib
import re
import ssl
import time

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from zeroscale.errors import ProtocolError
from zeroscale.protocols import sniffing
from zeroscale.protocols.client_hello import MOST_RECORDS
from zeroscale.protocols.sniffing import LONGEST_IDENTIFICATION, LONGEST_MATCHED, Sniffer


def client_hello(**options: object) -> bytes:
    """OpenSSL's first bytes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    for name, value in options.items():
        setattr(context, name, value)
    outgoing = ssl.MemoryBIO()
    connection = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="example.org")
    with pytest.raises(ssl.SSLWantReadError):
        connection.do_handshake()
    return outgoing.read()


HELLO = client_hello()
OLD_HELLO = client_hello(maximum_version=ssl.TLSVersion.TLSv1_2)
REDIS_PATTERN = regex.compile(rb"\*[1-9][0-9]*\r\n", regex.DOTALL)


def redis(data: bytes | bytearray) -> bool:
    """A client of redis."""
    return sniffing.matching_pattern(REDIS_PATTERN)(data)


CLIENTS = [
    (sniffing.any_byte, b"\0"),
    (sniffing.tls, HELLO),
    (sniffing.tls, OLD_HELLO),
    (sniffing.ssh, b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u10\r\n"),
    (sniffing.ssh, b"SSH-1.99-x\n"),
    (redis, b"*1\r\n"),
]


def in_records(hello: bytes, size: int) -> bytes:
    """The same ClientHello, cut into records of a size."""
    body = hello[5:]
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(hello[:3] + len(piece).to_bytes(2) + piece for piece in pieces)


@pytest.mark.parametrize(("sniffer", "data"), CLIENTS)
def test_a_client(sniffer: Sniffer, data: bytes) -> None:
    assert [sniffer(data[:length]) for length in range(len(data))] == [False] * len(data)
    assert sniffer(data)
    assert sniffer(bytearray(data + b"more"))


@pytest.mark.parametrize("size", [1000, 100, len(HELLO) // (MOST_RECORDS - 1)])
def test_a_client_hello_in_several_records(size: int) -> None:
    data = in_records(HELLO, size)
    assert [sniffing.tls(data[:length]) for length in range(len(data))] == [False] * len(data)
    assert sniffing.tls(data)


def changed(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


@pytest.mark.parametrize(
    ("sniffer", "data", "error"),
    [
        (sniffing.tls, b"\x17", "no handshake record"),
        (sniffing.tls, b"GET / HTTP/1.1\r\n\r\n", "no handshake record"),
        (sniffing.tls, b"\x16\x02", "no handshake record"),
        (sniffing.tls, b"\x16\x03\x01\x00\x00", "record of 0 bytes"),
        (sniffing.tls, b"\x16\x03\x01\x40\x01", "record of 16385 bytes"),
        (sniffing.tls, b"\x16\x03\x01\x00\x04\x02", "no ClientHello"),
        (sniffing.tls, b"\x16\x03\x01\x00\x04\x01\x01\x00\x00", "ClientHello of 65540 bytes"),
        (sniffing.tls, b"\x16\x03\x01\x00\x04\x01\x00\x00\x00", "without a version"),
        (sniffing.tls, changed(HELLO, 9, b"\x02"), "without a version"),
        (sniffing.tls, changed(HELLO, 43, b"\x21"), "without a version or a session"),
        (sniffing.tls, changed(HELLO, 44 + HELLO[43], b"\0\0"), "without ciphers"),
        (sniffing.tls, changed(HELLO, 44 + HELLO[43], b"\xff\xfe"), "without ciphers"),
        (sniffing.tls, in_records(HELLO, 1), "more than 64 records"),
        (sniffing.ssh, b"GET /", "does not begin"),
        (sniffing.ssh, b"SSH-1.5-x\n", "does not begin"),
        (sniffing.ssh, b"SSH-2.0-" + b"x" * 250, f"longer than {LONGEST_IDENTIFICATION}"),
        (redis, b"PING\r\n" + b"x" * LONGEST_MATCHED, "not what a client's are"),
    ],
)
def test_bytes_of_no_client(sniffer: Sniffer, data: bytes, error: str) -> None:
    with pytest.raises(ProtocolError, match=re.escape(error)):
        sniffer(data)


@given(st.sampled_from([sniffing.tls, sniffing.ssh, redis]), st.binary(max_size=3000))
def test_any_bytes_return_a_boolean_or_raise_protocol_error(sniffer: Sniffer, data: bytes) -> None:
    try:
        assert sniffer(data) in (True, False)
    except ProtocolError as refused:
        assert "\n" not in str(refused)


@given(st.integers(0, len(HELLO) - 1), st.integers(0, 255), st.integers(0, len(HELLO)))
def test_a_broken_hello_returns_a_boolean_or_raises_protocol_error(at: int, byte: int, end: int) -> None:
    with contextlib.suppress(ProtocolError):
        assert sniffing.tls(changed(HELLO, at, bytes([byte]))[:end]) in (True, False)


def test_a_slow_pattern_is_interrupted() -> None:
    sniffer = sniffing.matching_pattern(regex.compile(rb"(?:a|aa)+$", regex.DOTALL))
    began = time.thread_time()
    with pytest.raises(ProtocolError, match="make the pattern simpler"):
        sniffer(b"a" * 1000 + b"!")
    assert time.thread_time() - began < 10 * sniffing.LONGEST_MATCHING


def test_matches_on_one_connection_are_limited() -> None:
    sniffer = sniffing.matching_pattern(REDIS_PATTERN)
    for length in range(1, sniffing.MOST_MATCHINGS):
        assert not sniffer(b"*1" + b"0" * length)
    with pytest.raises(ProtocolError, match="in 100 pieces"):
        sniffer(b"*1" + b"0" * 500)
