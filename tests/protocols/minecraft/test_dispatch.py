"""The conversation of any Minecraft client: captured first bytes, in any pieces; everything else is refused."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from broken_messages import OTHER_PROTOCOLS, mutated
from hypothesis import given, settings
from hypothesis import strategies as st
from quarry.net.auth import OfflineProfile
from quarry.net.client import ClientFactory, ClientProtocol
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from zeroscale.errors import ProtocolError
from zeroscale.protocols.conversation import (
    ClientRecognised,
    Event,
    HoldAnswered,
    LoginRequested,
    MinecraftOptions,
    PingRequested,
    StatusReply,
    StatusRequested,
    Violation,
)
from zeroscale.protocols.minecraft.client import LoginClient, StatusClient
from zeroscale.protocols.minecraft.dispatch import MinecraftConversation
from zeroscale.protocols.minecraft.modern import LARGEST_HANDSHAKE, LARGEST_LOGIN_START, LONGEST_TAIL

CAPTURED = json.loads((Path(__file__).parent.parent.parent / "fixtures" / "first_bytes.json").read_text())
SENT = [bytes.fromhex(each["bytes"]) for each in CAPTURED]
REPLY = StatusReply(description="asleep", online=0, maximum=20, version_name="1.21.4")

MOST_KEPT = LARGEST_HANDSHAKE + LARGEST_LOGIN_START + 6 + LONGEST_TAIL
"""Bytes: the longest handshake and login start with their lengths, and what may follow."""


def converse(conversation: MinecraftConversation, pieces: list[bytes]) -> list[Event]:
    """Feed pieces, then the idle timeout; check the replay bytes on the way."""
    events: list[Event] = []
    for piece in pieces:
        events.extend(conversation.receive(piece))
        assert len(conversation.replay_bytes) <= MOST_KEPT
    if conversation.idle_timeout is not None:
        events.extend(conversation.on_idle())
    return events


@pytest.mark.parametrize("captured", CAPTURED, ids=lambda each: f"{each['client']}: {each['what']}")
@pytest.mark.parametrize("size", [1000, 1, 2, 3, 7])
def test_every_captured_client(captured: dict[str, Any], size: int) -> None:
    data = bytes.fromhex(captured["bytes"])
    conversation = MinecraftConversation()
    (event,) = converse(conversation, [data[at : at + size] for at in range(0, len(data), size)])
    expected = captured["expected"]
    match event:
        case LoginRequested():
            assert expected["event"] == "login"
            assert event.name == expected["name"]
            if "uuid" in expected:
                assert event.uuid == expected["uuid"]
            assert (event.uuid is not None) == (event.protocol >= 760)
            assert event.max_hold == (None if event.protocol >= 393 else 27.0 if event.protocol > 5 else 17.0)
            assert conversation.kick("no")
        case StatusRequested():
            assert expected["event"] == "status"
            assert conversation.status(REPLY)
        case _:
            assert expected["event"] == "ping"
            assert event == PingRequested()
            assert conversation.pong() == data[-10:]
    if isinstance(event, LoginRequested | StatusRequested):
        assert (event.protocol, event.host, event.port) == (expected["protocol"], expected["host"], expected["port"])
    assert conversation.replay_bytes == data


class RecordingClient(ClientProtocol):  # type: ignore[misc]  # quarry has no types
    """quarry's client, which records what it received."""

    def setup(self) -> None:
        self.understood: list[object] = []

    def status_response(self, data: object) -> None:
        self.understood.append(data)

    def packet_login_plugin_request(self, buff: Any) -> None:
        self.understood.append("asked")
        super().packet_login_plugin_request(buff)

    def packet_login_disconnect(self, buff: Any) -> None:
        self.understood.append(buff.unpack_chat().value)

    def protocol_error(self, err: Exception) -> None:
        raise err


class Destination:
    """Where quarry's client believes it connected to."""

    @staticmethod
    def getDestination() -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", 25565)


class ConnectedTransport(StringTransport):
    """A transport in memory that knows its connector, as a TCP client's does."""

    connector = Destination


@pytest.fixture
def quarry_client() -> Iterator[Callable[..., tuple[RecordingClient, StringTransport]]]:
    """Makes quarry's own client, connected in memory, its first bytes sent."""
    clients: list[RecordingClient] = []

    def connect(mode: str, protocol: int, name: str = "quarry") -> tuple[RecordingClient, StringTransport]:
        factory = ClientFactory(OfflineProfile(name))
        factory.protocol = RecordingClient
        factory.protocol_mode_next = mode
        factory.force_protocol_version = protocol
        client = factory.buildProtocol(Destination.getDestination())
        clients.append(client)
        transport = ConnectedTransport()  # type: ignore[no-untyped-call]  # Twisted's
        client.makeConnection(transport)
        return client, transport

    yield connect
    for client in clients:
        client.connectionLost(Failure(ConnectionDone()))


def test_quarrys_client_reads_the_status(quarry_client: Any, feed: Any) -> None:
    client, transport = quarry_client("status", 47)
    conversation = MinecraftConversation()
    (event,) = feed(conversation, transport.value())
    client.dataReceived(conversation.status(REPLY))
    (status,) = client.understood
    assert status["description"] == {"text": "asleep"}
    assert (event.host, event.port) == ("127.0.0.1", 25565)


@pytest.mark.parametrize("name", ["quarry", "Миряев", "has space", "\U0001f600" * 8])
@pytest.mark.parametrize("protocol", [4, 5, 47, 107, 340, 404, 498, 578, 754, 758, 759, 760])
def test_quarrys_client_is_held_and_kicked(quarry_client: Any, feed: Any, protocol: int, name: str) -> None:
    client, transport = quarry_client("login", protocol, name)
    conversation = MinecraftConversation()
    (event,) = feed(conversation, transport.value())
    assert (event.protocol, event.name) == (protocol, name)
    conversation.hold()
    expected: list[object] = []
    for _ in range(3 if protocol >= 393 else 0):
        transport.clear()
        client.dataReceived(conversation.keepalive())
        assert list(conversation.receive(transport.value())) == [HoldAnswered()]
        expected.append("asked")
    client.dataReceived(conversation.kick("starting"))
    assert client.understood == [*expected, {"text": "starting"}]


def modern_status_of_254_bytes() -> bytes:
    """A modern handshake whose first bytes are `FE 01`, as a ping of 1.4 would be."""
    client = StatusClient("h" * (254 - 8), 25565, 769)
    assert client.request().startswith(b"\xfe\x01\x00")
    return client.request()


@pytest.mark.parametrize("size", [None, 1, 2])
def test_a_modern_handshake_may_begin_like_a_legacy_ping(feed: Any, size: int | None) -> None:
    data = modern_status_of_254_bytes()
    conversation = MinecraftConversation()
    assert feed(conversation, data, size) == [StatusRequested(769, "h" * 246, 25565)]
    assert not conversation.closes_after_status
    assert conversation.replay_bytes == data


def test_a_lone_fe_is_a_ping_after_the_idle_timeout() -> None:
    conversation = MinecraftConversation()
    timeouts = [conversation.idle_timeout]
    for byte in (b"\xfe", b"\x01", b"\x00"):
        assert not conversation.receive(byte)
        timeouts.append(conversation.idle_timeout)
    assert timeouts == [None, 0.3, 0.3, None]
    assert not conversation.on_idle()


def test_fe_and_another_length_is_modern(feed: Any) -> None:
    client = StatusClient("h" * (382 - 8), 25565, 769)
    assert client.request().startswith(b"\xfe\x02\x00")
    assert len(feed(MinecraftConversation(), client.request(), 1)) == 1


def test_fe_01_and_another_byte_is_refused_at_once() -> None:
    with pytest.raises(ProtocolError):
        MinecraftConversation().receive(b"\xfe\x01\x05")


def test_legacy_dialects_close_after_the_status(feed: Any) -> None:
    conversation = MinecraftConversation()
    feed(conversation, b"\xfe\x01\xfa")
    assert list(conversation.on_idle()) == [StatusRequested(-1, "", 0)]
    assert conversation.closes_after_status
    assert conversation.status(REPLY).startswith(b"\xff")
    assert conversation.pong() == b""


def test_a_legacy_login_cannot_be_held(feed: Any) -> None:
    conversation = MinecraftConversation()
    name = "Steve".encode("utf-16-be")
    (event,) = feed(conversation, b"\x02\x00\x05" + name, 1)
    assert (event.name, event.max_hold) == ("Steve", 0.0)
    assert conversation.kick("starting").startswith(b"\xff\x00\x08")


def test_a_login_is_held_and_released() -> None:
    conversation = MinecraftConversation(hold_channel="a:b")
    client = LoginClient("mc.example.com", 25565, 769, "Steve")
    conversation.receive(client.request())
    conversation.hold()
    for _ in range(3):
        for request in client.receive(conversation.keepalive()):
            assert conversation.unanswered == 1
            conversation.receive(request.answer)  # type: ignore[union-attr]  # nothing else can come here
    assert conversation.unanswered == 0
    assert conversation.replay_bytes == client.request()


def test_options_reach_the_conversations() -> None:
    conversation = MinecraftConversation(minecraft_options=lambda _: MinecraftOptions(legacy_hold=True))
    (event,) = conversation.receive(LoginClient("a", 1, 340, "Steve").request())
    assert isinstance(event, LoginRequested)
    assert event.max_hold is None
    conversation.hold()
    assert conversation.keepalive() == b"\x00"
    forwarding = MinecraftConversation(forwarding=True)
    assert forwarding.receive(LoginClient("a" * 20000, 1, 340, "Steve").request())
    as_login = MinecraftConversation(minecraft_options=lambda _: MinecraftOptions(transfer_as_login=True))
    request = LoginClient("a", 1, 769, "Steve").request()
    as_login.receive(request.replace(b"\x00\x01\x02", b"\x00\x01\x03"))
    assert as_login.replay_bytes == request


STARTS = st.sampled_from([*SENT, modern_status_of_254_bytes(), b"\x02\x00\x05\x00S", b"\x02\x3d\x00\x05", b""])


@settings(max_examples=300)
@given(st.data())
def test_any_split_of_any_bytes(data: st.DataObject) -> None:
    start = data.draw(STARTS)
    whole = start[: data.draw(st.integers(0, len(start)))] + data.draw(st.binary(max_size=300))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    conversation = MinecraftConversation()
    try:
        events = converse(conversation, pieces)
    except ProtocolError:
        return
    assert conversation.replay_bytes == whole
    again = MinecraftConversation()
    assert converse(again, [whole]) == events


@settings(max_examples=200)
@given(st.binary(max_size=200), st.integers(1, 9), st.integers(0, 5), st.booleans())
def test_any_bytes_from_a_held_client(received: bytes, size: int, asked: int, old: bool) -> None:
    conversation = MinecraftConversation()
    client = LoginClient("a", 1, 340 if old else 769, "Steve")
    conversation.receive(client.request())
    conversation.hold()
    for _ in range(asked):
        conversation.keepalive()
    events: list[Event] = []
    for at in range(0, len(received), size):
        events.extend(conversation.receive(received[at : at + size]))
        assert conversation.replay_bytes == client.request()
    assert [type(event) for event in events if not isinstance(event, HoldAnswered)] in ([], [Violation])
    assert all(isinstance(event, HoldAnswered) for event in events[:-1])


def test_20000_mutated_first_messages_raise_only_protocol_errors() -> None:
    chance = random.Random(20261123)
    refused = 0
    for _ in range(20_000):
        data = mutated(chance, chance.choice([*SENT, *OTHER_PROTOCOLS]))
        cut = chance.randrange(len(data) + 1)
        conversation = MinecraftConversation()
        try:
            events = converse(conversation, [data[:cut], data[cut:]])
        except ProtocolError as error:
            refused += 1
            assert "\n" not in str(error)
            assert len(str(error)) < 200
            assert conversation.replay_bytes == b""
            continue
        assert not any(isinstance(event, ClientRecognised) for event in events)
        conversation.status(REPLY)
        conversation.pong()
        conversation.kick("no")
    assert 5_000 < refused < 20_000


def test_the_legacy_conversation_is_given_every_byte() -> None:
    conversation = MinecraftConversation()
    conversation.receive(b"\xfe")
    conversation.on_idle()
    full = [conversation.full]
    assert [type(event) for event in conversation.receive(b"\x01")] == [Violation]
    assert [*full, conversation.full] == [False, True]
    assert conversation.replay_bytes == b"\xfe\x01"
