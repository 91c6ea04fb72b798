"""ClientHellos of real clients and made ones: their server names; tests/protocols/test_sniffing.py has the records."""

from __future__ import annotations

import contextlib
import re
import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroscale.errors import ProtocolError
from zeroscale.protocols.client_hello import (
    LONGEST_HELLO,
    LONGEST_NAME,
    LONGEST_RECORD,
    MOST_RECORDS,
    server_name,
    unrecognized_name,
    whole,
)


def openssl(name: str | None, *, send: bytes = b"") -> tuple[bytes, str]:
    """Return OpenSSL's first bytes, and what it says about an answer."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    connection = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        connection.do_handshake()
    hello = outgoing.read()
    if not send:
        return hello, ""
    incoming.write(send)
    with pytest.raises(ssl.SSLError) as refused:
        connection.do_handshake()
    return hello, str(refused.value)


def vector(content: bytes, size: int = 2) -> bytes:
    return len(content).to_bytes(size) + content


def extension(kind: int, content: bytes) -> bytes:
    return kind.to_bytes(2) + vector(content)


def names(*values: bytes, kind: int = 0) -> bytes:
    """An extension with these server names."""
    return extension(0, vector(b"".join(bytes([kind]) + vector(value) for value in values)))


def body(extensions: bytes | None, version: int = 0x0303) -> bytes:
    """The body of a ClientHello; None: without extensions."""
    fields = version.to_bytes(2) + bytes(32) + vector(b"", 1) + vector(b"\x13\x01") + vector(b"\0", 1)
    return fields if extensions is None else fields + vector(extensions)


def records(content: bytes, size: int = LONGEST_RECORD) -> bytes:
    """A ClientHello in records of a size."""
    message = b"\x01" + vector(content, 3)
    return b"".join(b"\x16\x03\x01" + vector(message[at : at + size]) for at in range(0, len(message), size))


GREASE = extension(0x0A0A, b"") + extension(0x1A1A, b"\0")
ECH = extension(0xFE0D, b"\0\0\x01\0\x01\x2a" + vector(bytes(32)) + vector(bytes(200)))
PADDING = extension(21, bytes(400))
POST_QUANTUM = extension(51, vector(b"\x11\xec" + vector(bytes(1216))))


@pytest.mark.parametrize("name", ["wiki.example.org", "WIKI.Example.ORG", "xn--bcher-kva.example", None])
def test_the_server_name_of_a_real_client(name: str | None) -> None:
    hello, _ = openssl(name)
    found = whole(hello)
    assert found is not None and server_name(found) == (name or "").lower()
    assert whole(hello + b"\x14\x03\x03\0\x01\x01more") == found, "what follows the hello is not looked at"


@pytest.mark.parametrize(
    ("extensions", "expected"),
    [
        (names(b"a.example.org"), "a.example.org"),
        (names(b"A.Example.Org."), "a.example.org"),
        (GREASE + names(b"public.example") + ECH + POST_QUANTUM + PADDING, "public.example"),
        (GREASE + ECH, ""),
        (names(b"192.0.2.1"), "192.0.2.1"),
        (names(b"2001:db8::1"), "2001:db8::1"),
        (names(b"a_b.example"), "a_b.example"),
        (names(b"x", kind=7), ""),
        (names(b"a" * LONGEST_NAME), "a" * LONGEST_NAME),
        (b"", ""),
        (None, ""),
    ],
)
def test_the_server_name_of_a_made_hello(extensions: bytes | None, expected: str) -> None:
    content = body(extensions)
    assert server_name(content) == expected
    for size in (LONGEST_RECORD, 100, len(content) // (MOST_RECORDS - 4) + 1):
        data = records(content, size)
        assert [whole(data[:length]) for length in range(len(data))] == [None] * len(data)
        assert whole(data) == content == whole(bytearray(data + b"more"))


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (body(names(b"a", b"b")), "two server names"),
        (body(names(b"a") + names(b"a")), "two lists of server names"),
        (body(extension(0, b"")), "list of server names has another length"),
        (body(extension(0, vector(b""))), "an empty list of server names"),
        (body(extension(0, vector(b"\0\0\0"))), "a server name of its ClientHello is cut off"),
        (body(extension(0, vector(b"\0\0\x09a"))), "a server name of its ClientHello is cut off"),
        (body(extension(0, vector(b"\0"))), "a server name of its ClientHello is cut off"),
        (body(extension(0, vector(b"\0" + vector(b"a")) + b"x")), "another length"),
        (body(names(b"a b")), "no name of a host"),
        (body(names(b"a\0.example.org")), "no name of a host"),
        (body(names("b\u00fccher.example".encode())), "no name of a host"),
        (body(names(b"a" * (LONGEST_NAME + 1))), "no name of a host"),
        (body(b"\0\0\0\x05ab"), "an extension of its ClientHello is cut off"),
        (body(b"\x05"), "an extension of its ClientHello is cut off"),
        (body(names(b"a")) + b"x", "extensions has another length"),
        (body(names(b"a"))[:-1], "extensions has another length"),
        (body(None) + b"\0", "extensions has another length"),
    ],
)
def test_a_hello_with_a_mistake_in_its_extensions(content: bytes, error: str) -> None:
    assert whole(records(content)) == content, "a server that has its port alone gets it"
    with pytest.raises(ProtocolError, match=re.escape(error)):
        server_name(content)


def test_a_hello_that_is_longer_than_a_record_is_read_up_to_a_bound() -> None:
    content = body(names(b"a.example.org") + extension(21, bytes(LONGEST_HELLO - 100)))
    data = records(content)
    assert len(content) > LONGEST_RECORD
    assert whole(data[:-1]) is None
    assert whole(data) == content and server_name(content) == "a.example.org"
    with pytest.raises(ProtocolError, match="a ClientHello of"):
        whole(records(body(extension(21, bytes(LONGEST_HELLO))))[:100])


def test_the_alert_is_understood() -> None:
    content = whole(openssl("a.example.org")[0])
    assert content is not None
    alert = unrecognized_name(content)
    assert alert == bytes.fromhex("15 03 03 00 02 02 70")
    _, said = openssl("a.example.org", send=alert)
    assert "UNRECOGNIZED_NAME" in said.upper().replace(" ", "_")
    versions = {0x0300: 0x0301, 0x0301: 0x0301, 0x0302: 0x0302, 0x0304: 0x0303}
    assert {version: int.from_bytes(unrecognized_name(body(None, version))[1:3]) for version in versions} == versions


REAL = openssl("a.example.org")[0]


@given(st.binary(max_size=600))
def test_any_extensions_give_a_name_or_a_protocol_error(extensions: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        assert isinstance(server_name(body(extensions)), str)


@given(st.integers(0, len(REAL) - 1), st.integers(0, 255))
def test_a_changed_hello_gives_a_name_or_a_protocol_error(at: int, byte: int) -> None:
    with contextlib.suppress(ProtocolError):
        content = whole(REAL[:at] + bytes([byte]) + REAL[at + 1 :])
        assert content is None or re.fullmatch("[0-9a-z_.:-]*", server_name(content))
