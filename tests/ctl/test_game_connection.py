"""Addresses as users type them, and the blocking connection."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable

import pytest
from msgspec.structs import replace
from ports import free_port

from zeroscale.ctl.game_connection import Address, GameConnection, parse_address, parse_host
from zeroscale.errors import BackendError

Serve = Callable[..., Address]


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("play.example.org", "play.example.org", 25565),
        ("play.example.org:1", "play.example.org", 1),
        ("127.0.0.1:65535", "127.0.0.1", 65535),
        ("::1", "::1", 25565),
        ("[::1]", "::1", 25565),
        ("[::1]:25575", "::1", 25575),
        ("fe80::1%eth0", "fe80::1%eth0", 25565),
    ],
)
def test_address(text: str, host: str, port: int) -> None:
    assert parse_address(text) == Address(host, port)


@pytest.mark.parametrize(
    "text", ["", ":25565", "host:", "host:0", "host:65536", "host:abc", "a b", "[::1", "http://host/"]
)
def test_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="is not a"):
        parse_address(text)


@pytest.mark.parametrize("text", ["host:1", "[::1]:2"])
def test_an_address_is_written_as_it_is_read(text: str) -> None:
    assert str(parse_address(text)) == text


def test_nobody_there() -> None:
    address = Address("127.0.0.1", free_port())
    with pytest.raises(BackendError, match=f"^{address}: .*refused"):
        GameConnection(address, 5)


@pytest.mark.parametrize("host", ["a" * 64 + ".invalid", "."])
def test_a_host_that_no_resolver_takes(host: str) -> None:
    with pytest.raises(BackendError):
        GameConnection(Address(host, 1), 5)


def test_what_is_sent_and_what_comes(serve: Serve) -> None:
    def echo(connection: socket.socket) -> None:
        connection.sendall(connection.recv(100))

    with GameConnection(serve(echo), 5) as connection:
        connection.send(b"hello")
        assert connection.receive(5) == b"hello"
        assert connection.receive(5) == b""


def test_silence_is_none(serve: Serve) -> None:
    def say_nothing(connection: socket.socket) -> None:
        connection.recv(1)

    with GameConnection(serve(say_nothing), 5) as connection:
        assert connection.receive(0.01) is None
        assert connection.receive(-1) is None


def test_a_reset_is_an_end(serve: Serve) -> None:
    def reset(connection: socket.socket) -> None:
        connection.recv(1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with GameConnection(serve(reset), 5) as connection:
        connection.send(b"x")
        assert connection.receive(5) == b""


def test_another_host_that_is_named() -> None:
    address = parse_address("192.0.2.1:1")
    assert (address.name, replace(address, other_name="a.example.org").name) == ("192.0.2.1", "a.example.org")
    assert parse_host("a.example.org") == "a.example.org"
    for text in ("", "a b", "a" * 256):
        with pytest.raises(ValueError, match="is not a host's name"):
            parse_host(text)
