"""RCON with a server like the game's, and with invalid bytes."""

from __future__ import annotations

import contextlib
import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocols.minecraft.rcon_server import RconServer, packet, reply

from zeroscale.errors import ProtocolError
from zeroscale.protocols.minecraft import rcon
from zeroscale.protocols.minecraft.rcon import (
    Event,
    LoggedIn,
    LoginRefused,
    MoreNeeded,
    RconClient,
    Replied,
)

PASSWORD = "s\u00e9cret"


def exchange(client: RconClient, server: RconServer, request: bytes) -> list[Event]:
    """Send a request, and those of `MoreNeeded`; return all other events."""
    requests = [request]
    events: list[Event] = []
    while requests:
        for event in client.receive(server.read(requests.pop())):
            if isinstance(event, MoreNeeded):
                requests.append(event.request)
            else:
                events.append(event)
    return events


def logged_in(text: str = "") -> tuple[RconClient, RconServer]:
    client, server = RconClient(PASSWORD), RconServer(PASSWORD, lambda _: text)
    assert exchange(client, server, client.login()) == [LoggedIn()]
    return client, server


def test_the_bytes_of_a_login() -> None:
    assert RconClient("passwrd").login() == bytes.fromhex("11000000 01000000 03000000 70617373777264 0000")


def test_a_command_and_its_reply() -> None:
    client, server = logged_in("There are 0 of a max of 20 players online: ")
    assert exchange(client, server, client.command("list")) == [Replied("There are 0 of a max of 20 players online: ")]
    assert server.requests[-1][1:] == (2, "list")


def test_a_wrong_password() -> None:
    client, server = RconClient("wrong"), RconServer(PASSWORD, str)
    assert exchange(client, server, client.login()) == [LoginRefused()]


def test_several_commands_one_after_the_other() -> None:
    client, server = logged_in()
    for _ in range(3):
        assert exchange(client, server, client.command("say hi")) == [Replied("")]


@pytest.mark.parametrize("length", [0, 1, 1400, 4095, 4096, 4097, 8192, 12288, 50000])
@pytest.mark.parametrize("character", ["a", "\u00e9", "\u2603", "\U0001f600"])
def test_a_reply_in_pieces_is_whole(length: int, character: str) -> None:
    text = character * (length // len(character.encode("utf-16-le")) * 2)
    client, server = logged_in(text)
    assert exchange(client, server, client.command("help")) == [Replied(text)]
    assert exchange(client, server, client.command("help")) == [Replied(text)]


def test_a_short_reply_needs_no_second_request() -> None:
    client, server = logged_in("short")
    exchange(client, server, client.command("help"))
    assert len(server.requests) == 2


@given(st.integers(0, 9000), st.lists(st.integers(1, 5000), min_size=1, max_size=5))
def test_replies_in_any_pieces(length: int, sizes: list[int]) -> None:
    client, server = logged_in("x" * length)
    stream = server.read(client.command("help"))
    events: list[Event] = []
    for size in itertools.cycle(sizes):
        if not stream:
            break
        piece, stream = stream[:size], stream[size:]
        for event in client.receive(piece):
            if isinstance(event, MoreNeeded):
                stream += server.read(event.request)
            else:
                events.append(event)
    assert events == [Replied("x" * length)]


def test_byte_by_byte() -> None:
    client, server = logged_in("hello")
    stream = server.read(client.command("list"))
    assert [event for byte in stream for event in client.receive(bytes([byte]))] == [Replied("hello")]


def test_a_source_server_s_empty_reply_before_the_login_s() -> None:
    client = RconClient(PASSWORD)
    client.login()
    assert client.receive(packet(1, 0, "") + packet(1, 2, "")) == [LoggedIn()]


@pytest.mark.parametrize(
    "answer",
    [
        struct.pack("<i", -1),
        struct.pack("<i", 9),
        struct.pack("<i", 1 << 30),
        b"HTTP/1.1 400 Bad Request\r\n",
        packet(7, 0, "not asked"),
        packet(2, 2, "of another type"),
        packet(2, 0, "once") + packet(2, 0, "twice"),
        packet(2, 0, "without its end")[:-2] + b"ab",
    ],
)
def test_an_answer_that_breaks_the_protocol(answer: bytes) -> None:
    client, _ = logged_in()
    client.command("list")
    with pytest.raises(ProtocolError):
        client.receive(answer)


def test_an_answer_without_a_request() -> None:
    with pytest.raises(ProtocolError, match="to nothing"):
        RconClient(PASSWORD).receive(packet(1, 2, ""))


def test_a_reply_without_end_is_bounded() -> None:
    client, _ = logged_in()
    client.command("help")
    kept = 0
    with pytest.raises(ProtocolError, match="more than"):
        while True:
            client.receive(reply(2, "x" * 4096))
            kept += 4096
    assert kept <= rcon.LARGEST_REPLY


@given(st.binary(max_size=64))
def test_any_bytes_are_events_or_a_protocol_error(data: bytes) -> None:
    client, _ = logged_in()
    client.command("list")
    with contextlib.suppress(ProtocolError):
        client.receive(data)


def test_one_request_at_a_time() -> None:
    client, _ = logged_in()
    client.command("list")
    with pytest.raises(RuntimeError, match="one RCON request at a time"):
        client.command("list")
    with pytest.raises(RuntimeError):
        RconClient(PASSWORD).command("list")


@pytest.mark.parametrize("line", ["x" * 1447, "say a\0b"])
def test_a_command_that_is_too_long_or_has_a_nul(line: str) -> None:
    client, server = logged_in()
    with pytest.raises(ValueError, match="RCON request"):
        client.command(line)
    assert exchange(client, server, client.command("x" * 1446)) == [Replied("")]
