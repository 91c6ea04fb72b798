"""The status in a pong: real servers' strings, and that of a sleeping one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroscale.errors import ProtocolError
from zeroscale.protocols.bedrock.status import (
    LONGEST_STATUS,
    BedrockStatus,
    PongQuery,
    asleep,
    empty,
    on_port,
    parse,
    ping,
    read_pong,
    repeated,
)

# captured: PowerNukkit 1.6.0.1-PN; bedrock-protocol 3.59 with raknet-native, and with jsp-raknet
NUKKIT = b"MCPE;A Nukkit Server;503;1.18.30;0;20;3742752842121118968;second line;Survival;1"
NATIVE = b"MCPE;A Bedrock server;2193;1.26.51;0;7;1796068234912;a level;Creative;1;29311;29311;0;"
JSP = b"MCPE;A Bedrock server;800;1.21.80;0;7;-40243948559938473;a level;Creative;1;29312;29312;0;"
NUKKIT_PONG = bytes.fromhex("1c313233343536373833f0ede144b684f800ffff00fefefefefdfdfdfd123456780050") + NUKKIT


WITHOUT_STRING = 33
"""Bytes of a pong that ends behind the magic."""


def sleeping(last: BedrockStatus | None, first: str = "Asleep", second: str = "join", port: int | None = 19132) -> str:
    return asleep(last, first, second, 4711, port).decode()


@pytest.mark.parametrize(("raw", "protocol", "maximum"), [(NUKKIT, 503, 20), (NATIVE, 2193, 7), (JSP, 800, 7)])
def test_real_servers(raw: bytes, protocol: int, maximum: int) -> None:
    status = parse(raw)
    assert (status.protocol, status.players, status.maximum) == (protocol, 0, maximum)


def test_the_asleep_status_differs_in_texts_players_guid_and_ports_only() -> None:
    last = parse(NATIVE.replace(b";0;7;", b";3;7;"))
    assert last.players == 3
    assert sleeping(last) == "MCPE;Asleep;2193;1.26.51;0;7;4711;join;Creative;1;19132;19132;0;"
    assert sleeping(last, port=None) == "MCPE;Asleep;2193;1.26.51;0;7;4711;join;Creative;1;29311;29311;0;"
    assert sleeping(parse(NUKKIT)) == "MCPE;Asleep;503;1.18.30;0;20;4711;join;Survival;1"


def test_servers_that_say_little_or_nothing() -> None:
    assert sleeping(parse(b"MCPE;old;70;0.14.3;1;20")) == "MCPE;Asleep;70;0.14.3;0;20;4711;join"
    assert sleeping(None) == "MCPE;Asleep;2225;1.26.60;0;10;4711;join;Survival;1;19132;19132;0;"


def test_our_texts_are_one_field_each() -> None:
    fields = sleeping(parse(NATIVE), "§aa;b\\;c\nd\0", "x" * 999).split(";")
    assert fields[1] == "§aa,b/,c d"
    assert fields[7] == "x" * 127
    assert len(fields) == 14


def test_an_escaped_semicolon_separates_nothing() -> None:
    assert parse(b"MCPE;a\\;b;503;1.18.30;2;20;").fields[1] == "a\\;b"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"MCPE",
        b"MCPE;a;b;503;1.18.30;2;20;",
        b"MCPE;a;503;1.18.30;x;20;",
        b"MCPE;a;503;1.18.30;2;;",
        b"MCPE;" * LONGEST_STATUS,
    ],
)
def test_unreadable_strings(raw: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse(raw)


def test_a_pong_is_read() -> None:
    assert read_pong(NUKKIT_PONG, b"12345678") == NUKKIT
    assert read_pong(NUKKIT_PONG + b"more", b"12345678") == NUKKIT
    assert read_pong(NUKKIT_PONG) == NUKKIT
    with pytest.raises(ProtocolError, match="another"):
        read_pong(NUKKIT_PONG, b"12345679")
    with pytest.raises(ProtocolError, match="no pong"):
        read_pong(ping(b"12345678"), b"12345678")
    for size in set(range(len(NUKKIT_PONG))) - {WITHOUT_STRING}:
        with pytest.raises(ProtocolError):
            read_pong(NUKKIT_PONG[:size], b"12345678")


def test_a_pong_without_a_string() -> None:
    assert read_pong(NUKKIT_PONG[:WITHOUT_STRING], b"12345678") == b""
    assert on_port(NUKKIT_PONG[:WITHOUT_STRING], 1, 19132) == NUKKIT_PONG[:WITHOUT_STRING]


@given(st.binary(max_size=100), st.text(max_size=40))
def test_any_string_raises_nothing_else(data: bytes, text: str) -> None:
    try:
        last = parse(b"MCPE;x;" + data)
    except ProtocolError:
        return
    assert parse(asleep(last, text, text, 1, 1)).players == 0


def test_a_query_takes_its_own_pong_only() -> None:
    query = PongQuery(b"12345678")
    assert query.request == ping(b"12345678")
    assert query.receive(NUKKIT_PONG) == NUKKIT_PONG
    with pytest.raises(ProtocolError, match="another"):
        query.receive(repeated(NUKKIT_PONG, ping(b"87654321")))


def test_a_pong_answers_another_ping() -> None:
    assert read_pong(repeated(NUKKIT_PONG, ping(b"87654321")), b"87654321") == NUKKIT


def pong(status: bytes) -> bytes:
    return NUKKIT_PONG[: -len(NUKKIT) - 2] + len(status).to_bytes(2) + status


def test_the_servers_own_port_becomes_that_of_the_clients() -> None:
    assert on_port(pong(NATIVE), 29311, 19132) == pong(NATIVE.replace(b"29311", b"19132"))
    for other in (NATIVE, NUKKIT, b"", b"MCPE;a;b\xff;2193"):
        assert on_port(pong(other), 1, 19132) == pong(other)
    with pytest.raises(ProtocolError):
        on_port(b"\x1c", 1, 2)


def test_a_string_without_players() -> None:
    assert empty(parse(NATIVE.replace(b";0;7;", b";3;7;"))) == NATIVE
