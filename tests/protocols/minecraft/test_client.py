"""The client's side: with quarry's server, with our conversations, and with invalid bytes."""

from __future__ import annotations

import json
import struct
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from quarry.net.server import ServerFactory, ServerProtocol
from quarry.types.buffer import Buffer1_7
from quarry.types.uuid import UUID
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from zeroscale.access_lists import offline_uuid
from zeroscale.errors import ProtocolError
from zeroscale.protocols.conversation import StatusReply
from zeroscale.protocols.minecraft.client import (
    LARGEST_LOGIN,
    LARGEST_STATUS,
    CompressionSet,
    CookieRequested,
    Disconnected,
    EncryptionRequested,
    LoginClient,
    LoginSucceeded,
    PluginRequested,
    PongReceived,
    StatusClient,
    StatusReceived,
    StatusUnreadable,
    login_start,
)
from zeroscale.protocols.minecraft.dispatch import MinecraftConversation
from zeroscale.protocols.minecraft.text_component import parse

VARINT = Buffer1_7.pack_varint
STRING = Buffer1_7.pack_string
OFFLINE = "b50ad385829d3141a2167e7d7539ba7f"
"""The UUID of Notch on a server in offline mode."""


def compressed(body: bytes, claimed: int) -> bytes:
    """Set Compression, and a frame that claims to be that big once it is inflated."""
    body = VARINT(claimed) + body
    return pack(3, VARINT(0)) + bytes(VARINT(len(body))) + body


def pack(packet_id: int, *fields: bytes, threshold: int = -1) -> bytes:
    """A packet as quarry packs it."""
    packed: bytes = Buffer1_7.pack_packet(VARINT(packet_id) + b"".join(fields), threshold)
    return packed


def fed(client: StatusClient | LoginClient, data: bytes, size: int | None) -> list[Any]:
    """Feed `data` in pieces of `size`."""
    size = size or max(1, len(data))
    return [event for at in range(0, len(data), size) for event in client.receive(data[at : at + size])]


@pytest.fixture
def quarry_server() -> Iterator[Callable[[bool], tuple[ServerProtocol, StringTransport]]]:
    """Makes quarry's own server, connected in memory."""
    servers: list[ServerProtocol] = []

    def connect(online_mode: bool = False) -> tuple[ServerProtocol, StringTransport]:
        factory = ServerFactory()
        factory.online_mode = online_mode
        factory.motd = "awake"
        server = factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 40000))
        servers.append(server)
        transport = StringTransport()
        server.makeConnection(transport)
        return server, transport

    yield connect
    for server in servers:
        server.connectionLost(Failure(ConnectionDone()))


def test_the_status_of_quarrys_server(quarry_server: Any) -> None:
    server, transport = quarry_server()
    client = StatusClient("mc.example.com", 4711, 47)
    server.dataReceived(client.request())
    (received,) = client.receive(transport.value())
    assert received.status["description"] == {"text": "awake"}  # type: ignore[union-attr]  # a StatusReceived
    transport.clear()
    server.dataReceived(client.ping(5))
    assert client.receive(transport.value()) == [PongReceived(5)]
    assert (server.connect_host, server.connect_port) == ("mc.example.com", 4711)


@pytest.mark.parametrize("protocol", [4, 5, 47, 340, 404, 578, 754, 758, 759, 760])
def test_quarrys_server_accepts_the_login(quarry_server: Any, protocol: int) -> None:
    server, transport = quarry_server()
    client = LoginClient("mc.example.com", 25565, protocol, "Notch")
    server.dataReceived(client.request())
    events = client.receive(transport.value())
    assert events == [*([CompressionSet(256)] if protocol >= 47 else []), LoginSucceeded("Notch")]


def test_quarrys_server_in_online_mode_asks_for_encryption(quarry_server: Any) -> None:
    server, transport = quarry_server(online_mode=True)
    client = LoginClient("mc.example.com", 25565, 754, "Notch")
    server.dataReceived(client.request())
    assert client.receive(transport.value()) == [EncryptionRequested()]


def test_quarrys_server_refuses_the_login(quarry_server: Any) -> None:
    server, transport = quarry_server()
    client = LoginClient("mc.example.com", 25565, 9999, "Notch")
    server.dataReceived(client.request())
    assert client.receive(transport.value()) == [Disconnected({"text": "Unknown protocol version"})]


@pytest.mark.parametrize("size", [None, 1])
def test_the_status_of_our_conversation(size: int | None) -> None:
    client = StatusClient("MC.example.com", 4711, 769)
    server = MinecraftConversation()
    (asked,) = server.receive(client.request())
    reply = server.status(StatusReply(parse("&6asleep"), 0, 20, "1.21.4"))
    (received,) = fed(client, reply, size)
    assert isinstance(received, StatusReceived)
    assert received.status["description"] == {"text": "asleep", "color": "gold"}
    assert json.loads(received.raw) == received.status
    server.receive(client.ping(-(2**63)))
    assert fed(client, server.pong(), size) == [PongReceived(-(2**63))]
    assert repr(asked) == "StatusRequested(protocol=769, host='mc.example.com', port=4711)"


def test_a_status_and_a_pong_may_come_in_one_piece() -> None:
    client = StatusClient("a", 1)
    events = client.receive(pack(0, STRING('{"a": 1}')) + pack(1, struct.pack(">q", 7)))
    assert events == [StatusReceived({"a": 1}, '{"a": 1}'), PongReceived(7)]


def test_a_status_may_be_as_long_as_the_game_allows() -> None:  # which is more than quarry can pack
    text = json.dumps({"description": "\u20ac" * 32000}, ensure_ascii=False)
    raw = text.encode()
    body = b"\x00" + VARINT(len(raw)) + raw
    (event,) = StatusClient("a", 1).receive(VARINT(len(body)) + body)
    assert isinstance(event, StatusReceived)
    assert event.raw == text


DOCUMENT = '{"description": "hello"}'


@pytest.mark.parametrize(
    "fields",
    [
        (STRING(DOCUMENT),),
        (STRING(DOCUMENT), STRING('{"modpackID": 17, "isMeta": false}')),  # as BetterCompatibilityChecker does
        (STRING(DOCUMENT), b"\x00\xff\xff\xff\xff\xff\xff"),
        (STRING("\ufeff" + DOCUMENT),),
        (STRING(DOCUMENT + "\x00"),),
        (STRING(DOCUMENT + DOCUMENT),),
        (STRING('{"description": "hello", "other": NaN}'),),
    ],
)
@pytest.mark.parametrize("size", [None, 1])
def test_what_surrounds_the_status_document_is_put_up_with(fields: tuple[bytes, ...], size: int | None) -> None:
    (event,) = fed(StatusClient("a", 1), pack(0, *fields), size)
    assert isinstance(event, StatusReceived)
    assert event.status == {"description": "hello"}
    assert json.loads(event.raw) == event.status


def test_text_of_a_status_that_is_not_valid_is_replaced() -> None:
    (event,) = StatusClient("a", 1).receive(pack(0, VARINT(10), b'{"a": "\xff"}', b"x"))
    assert event == StatusReceived({"a": "\ufffd"}, '{"a": "\ufffd"}')


@pytest.mark.parametrize("after", [pack(7, b"more"), b"\xff\xff\xff\xff"])
def test_what_is_wrong_after_the_status_does_not_cost_the_status(after: bytes) -> None:
    client = StatusClient("a", 1)
    assert client.receive(pack(0, STRING("{}")) + after) == [StatusReceived({}, "{}")]
    for _ in range(2):
        with pytest.raises(ProtocolError):
            client.receive(b"")


@pytest.mark.parametrize(
    "reply",
    [
        pack(0, STRING("[]")),
        pack(0, STRING('"text"')),
        pack(0, STRING("null")),
        pack(0, STRING("{")),
        pack(0, STRING("")),
        pack(0, STRING("[" * 20000)),
        pack(0),
        pack(0, VARINT(100), b"{}"),
        pack(0, VARINT(-1), b"{}"),
        pack(0, b"\xff\xff"),
        pack(0, VARINT(LARGEST_STATUS + 1), b'"' + b"x" * LARGEST_STATUS),
    ],
    ids=lambda value: repr(value)[:30],
)
@pytest.mark.parametrize("size", [None, 1])
def test_a_status_that_cannot_be_read_is_an_event(reply: bytes, size: int | None) -> None:
    client = StatusClient("a", 1)
    unreadable, pong = fed(client, reply + pack(1, bytes(8)), size)
    assert isinstance(unreadable, StatusUnreadable)
    assert unreadable.reason
    assert pong == PongReceived(0)


@given(st.binary(max_size=200))
def test_any_body_of_a_status_frame_is_an_event(body: bytes) -> None:
    (event,) = StatusClient("a", 1).receive(pack(0, body))
    assert isinstance(event, StatusReceived | StatusUnreadable)


@pytest.mark.parametrize(
    "reply",
    [
        pack(1, b"short"),
        pack(1, bytes(9)),
        pack(2),
        b"\x00",
        b"HTTP/1.1 400 Bad Request\r\n\r\n" + bytes(100),
        b"\xff\xff\xff\xff",
    ],
)
@pytest.mark.parametrize("size", [None, 1])
def test_invalid_status_replies(reply: bytes, size: int | None) -> None:
    with pytest.raises(ProtocolError):
        fed(StatusClient("a", 1), reply, size)


@pytest.mark.parametrize(
    ("protocol", "identity"),
    [(5, b""), (340, b""), (735, b"binary"), (758, b"binary"), (777, b"binary"), (-1, b"binary")],
)
@pytest.mark.parametrize("size", [None, 1])
def test_a_login_that_succeeds(protocol: int, identity: bytes, size: int | None) -> None:
    uuid = UUID.from_hex(OFFLINE)
    uuid_field = uuid.to_bytes() if identity else STRING(str(uuid))
    data = pack(2, uuid_field, STRING("Steve")) + b"\xff\xff\xff\xff whatever follows"
    assert fed(LoginClient("a", 1, protocol, "Steve"), data, size) == [LoginSucceeded("Steve")]


@pytest.mark.parametrize("threshold", [0, 64, 256])
@pytest.mark.parametrize("size", [None, 1])
def test_compression_in_both_directions(threshold: int, size: int | None) -> None:
    client = LoginClient("a", 1, 769, "Steve")
    data = pack(3, VARINT(threshold))
    data += pack(4, VARINT(9), STRING("a:b"), bytes(300), threshold=threshold)
    data += pack(0, STRING('{"text":"' + "no" * 200 + '"}'), threshold=threshold)
    compressed, asked, refused = fed(client, data, size)
    assert compressed == CompressionSet(threshold)
    assert (asked.message_id, asked.channel) == (9, "a:b")
    assert (asked.answer[1] == 0) == (threshold > 3)  # a server refuses what is compressed, or not, against the rule
    answer = Buffer1_7(asked.answer).unpack_packet(Buffer1_7, threshold)
    assert answer.read() == b"\x02\x09\x00"
    assert refused == Disconnected({"text": "no" * 200})


def test_a_negative_threshold_compresses_nothing() -> None:
    client = LoginClient("a", 1, 769, "Steve")
    assert client.receive(pack(3, VARINT(-1)) + pack(1)) == [CompressionSet(-1), EncryptionRequested()]


def test_plugin_and_cookie_requests_get_empty_answers() -> None:
    client = LoginClient("a", 1, 769, "Steve")
    plugin, cookie = client.receive(pack(4, VARINT(-7), STRING("a:b"), b"data") + pack(5, STRING("c:d")))
    assert plugin == PluginRequested(-7, "a:b", pack(2, VARINT(-7), b"\x00"))
    assert cookie == CookieRequested("c:d", pack(4, STRING("c:d"), b"\x00"))


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ('{"text":"no"}', {"text": "no"}),
        ('"no"', "no"),
        ('["no"]', ["no"]),
        ("no JSON", "no JSON"),
        ("5", "5"),
        ("[" * 20000, "[" * 20000),
    ],
)
def test_a_refusal_is_a_component(raw: str, reason: Any) -> None:
    assert LoginClient("a", 1, 769, "Steve").receive(pack(0, STRING(raw))) == [Disconnected(reason)]


def test_the_kick_of_our_conversation() -> None:
    client = LoginClient("a", 1, 769, "Steve")
    server = MinecraftConversation()
    server.receive(client.request())
    assert client.receive(server.kick("starting")) == [Disconnected({"text": "starting"})]


def test_empty_frames_are_skipped_by_clients_that_skip_them() -> None:
    assert fed(LoginClient("a", 1, 340, "Steve"), b"\x00\x00" + pack(1) + b"\x00", 1) == [EncryptionRequested()]
    with pytest.raises(ProtocolError):
        LoginClient("a", 1, 393, "Steve").receive(b"\x00")


@pytest.mark.parametrize(
    "data",
    [
        compressed(zlib.compress(bytes(LARGEST_LOGIN + 1)), LARGEST_LOGIN + 1),
        compressed(zlib.compress(b"x"), -1),
        compressed(zlib.compress(bytes(9)), 10),
        compressed(b"not zlib", 10),
        compressed(b"", 10),
        compressed(b"", 0),
        pack(9),
        pack(2, b"\x05short"),
        VARINT(LARGEST_LOGIN + 1),
    ],
)
@pytest.mark.parametrize("size", [None, 7])
def test_invalid_login_replies(data: bytes, size: int | None) -> None:
    with pytest.raises(ProtocolError):
        fed(LoginClient("a", 1, 769, "Steve"), data, size)


def test_a_frame_is_not_inflated_beyond_its_size() -> None:
    bomb = zlib.compress(b"\x01" + bytes(100_000_000), 1)
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolError, match="not as long as its size"):
            LoginClient("a", 1, 769, "Steve").receive(compressed(bomb, 5))
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("protocol", [4, 47, 340, 758, 759, 760, 761, 763, 764, 777, 778, -1])
def test_the_login_is_parsed_by_our_conversation(protocol: int) -> None:
    client = LoginClient("MC.example.com", 25565, protocol, "Notch")
    (event,) = MinecraftConversation().receive(client.request())
    uuid = OFFLINE if protocol >= 760 or protocol < 0 else None
    assert event.uuid == uuid  # type: ignore[union-attr]  # a LoginRequested: the name says so
    assert event.name == "Notch"  # type: ignore[union-attr]


def test_offline_uuids() -> None:
    assert offline_uuid("Notch") == UUID.from_offline_player("Notch").to_hex(with_dashes=False) == OFFLINE
    given_uuid = "0123456789abcdef0123456789abcdef"
    assert login_start(769, "Steve", given_uuid).endswith(bytes.fromhex(given_uuid))


@given(st.binary(max_size=200), st.integers(1, 50), st.sampled_from([5, 340, 769]))
def test_any_bytes_are_events_or_a_protocol_error(data: bytes, size: int, protocol: int) -> None:
    for client in (StatusClient("a", 1), LoginClient("a", 1, protocol, "Steve")):
        try:
            fed(client, data, size)
        except ProtocolError as error:
            assert len(str(error)) < 200
