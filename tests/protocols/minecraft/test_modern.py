"""1.7 and later: handshakes, status, ping, login, and the way from there into a hold."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quarry.types.buffer import Buffer1_7, BufferUnderrun

from zeroscale.errors import ProtocolError
from zeroscale.protocols.conversation import (
    Event,
    HoldAnswered,
    LoginRequested,
    MinecraftOptions,
    PingRequested,
    StatusReply,
    StatusRequested,
    Violation,
)
from zeroscale.protocols.minecraft.identity import routing_host
from zeroscale.protocols.minecraft.modern import (
    LARGEST_HANDSHAKE,
    LARGEST_LOGIN_START,
    LONGEST_TAIL,
    ModernConversation,
)

UUID = "0123456789abcdef0123456789abcdef"
REPLY = StatusReply(description="asleep", online=0, maximum=20, version_name="1.21.4")


def pack(packet_id: int, *fields: bytes) -> bytes:
    """A frame as quarry packs it."""
    packed: bytes = Buffer1_7.pack_packet(Buffer1_7.pack_varint(packet_id) + b"".join(fields))
    return packed


def handshake(intent: int, protocol: int = 769, host: str = "mc.example.com", port: int = 25565) -> bytes:
    """A handshake as quarry packs it."""
    return pack(
        0,
        Buffer1_7.pack_varint(protocol),
        Buffer1_7.pack_string(host),
        Buffer1_7.pack("H", port),
        Buffer1_7.pack_varint(intent),
    )


def login(protocol: int, *after: bytes, name: str = "Steve", intent: int = 2) -> bytes:
    """A handshake and a login start."""
    return handshake(intent, protocol) + pack(0, Buffer1_7.pack_string(name), *after)


STATUS_REQUEST = pack(0)
PING = pack(1, struct.pack(">q", -2))
IDENTITY = bytes.fromhex(UUID)
SIGNATURE = b"\x01" + struct.pack(">q", 5) + b"\x03key" + b"\x04sign"


@pytest.mark.parametrize("size", [None, 1])
def test_a_status_and_a_ping(feed: Any, size: int | None) -> None:
    conversation = ModernConversation()
    data = handshake(1, 47, "MC.Example.com.", 4711) + STATUS_REQUEST + PING
    assert feed(conversation, data, size) == [StatusRequested(47, "mc.example.com", 4711), PingRequested()]
    assert conversation.replay_bytes == data
    assert conversation.pong() == PING
    assert not conversation.closes_after_status
    assert conversation.kick("no") == b""


def test_a_ping_without_a_status_request_is_answered(feed: Any) -> None:
    conversation = ModernConversation()
    assert feed(conversation, handshake(1) + PING) == [PingRequested()]
    assert conversation.pong() == PING


ASKED = StatusRequested(769, "mc.example.com", 25565)
BAD = {"no packet": b"\x00", "a frame that is too long": b"\x0a", "HTTP": b"GET /", "another packet": pack(2)}


@pytest.mark.parametrize(
    ("valid", "events", "bad"),
    [
        (STATUS_REQUEST, [ASKED], STATUS_REQUEST),
        (STATUS_REQUEST + PING, [ASKED, PingRequested()], PING),
        (STATUS_REQUEST + PING, [ASKED, PingRequested()], STATUS_REQUEST),
        (PING, [PingRequested()], STATUS_REQUEST),
        *((STATUS_REQUEST, [ASKED], bad) for bad in BAD.values()),
        *((STATUS_REQUEST + PING, [ASKED, PingRequested()], bad) for bad in BAD.values()),
    ],
)
@pytest.mark.parametrize("size", [None, 1])
def test_what_is_valid_is_an_event_before_a_violation(
    feed: Any, valid: bytes, events: list[Event], bad: bytes, size: int | None
) -> None:
    conversation = ModernConversation()
    data = handshake(1) + valid + bad
    *before, violation = feed(conversation, data, size)
    assert before == events
    assert isinstance(violation, Violation)
    assert conversation.full, "nothing more is read until a running server has the bytes"
    assert feed(conversation, STATUS_REQUEST, size) == []
    assert conversation.replay_bytes == data + STATUS_REQUEST


@pytest.mark.parametrize("after", [pack(0, b"x"), pack(1, bytes(7)), pack(2), b"\x0a", b"\x00"])
@pytest.mark.parametrize("size", [None, 1])
def test_invalid_packets_of_a_status_client(feed: Any, after: bytes, size: int | None) -> None:
    conversation = ModernConversation()
    with pytest.raises(ProtocolError):
        feed(conversation, handshake(1) + after, size)
    assert conversation.replay_bytes == b""
    with pytest.raises(ProtocolError):
        conversation.receive(STATUS_REQUEST)


def varint_by_quarry(buffer: Any) -> int:
    """A VarInt, which has five bytes at most."""
    before = len(buffer)
    number: int = buffer.unpack_varint()
    if before - len(buffer) > 5:
        raise ValueError
    return number


def handshake_by_quarry(body: bytes) -> tuple[int, str, int, int] | None:
    """The fields of a handshake; None: it is invalid."""
    buffer = Buffer1_7(body)
    try:
        packet_id, protocol, length = varint_by_quarry(buffer), varint_by_quarry(buffer), varint_by_quarry(buffer)
        if length < 0:
            return None
        raw = buffer.read(length)
        port = buffer.unpack("H")
        if len(buffer) != 1 or packet_id != 0:
            return None
        intent = varint_by_quarry(buffer)
    except (BufferUnderrun, ValueError):
        return None
    host = re.sub(rb"\xed[\xa0-\xbf][\x80-\xbf]", "\ufffd".encode(), raw).decode("utf-8", "replace")
    return (protocol, host, port, intent) if intent in (1, 2, 3) else None


HOSTS = st.text(max_size=20) | st.sampled_from(
    ["a.B..", "a\x00FML\x00", "a///1.2.3.4", "a.\x00\x00b///", "\u0130.example"]
)
HANDSHAKES = st.builds(
    handshake,
    st.sampled_from([0, 1, 2, 3, 4]),
    st.integers(-(2**31), 2**31 - 1) | st.sampled_from([4, 47, 340, 393, 759, 760, 764, 777]),
    HOSTS,
    st.integers(0, 65535),
).map(lambda packed: packed[1:])  # a short frame: its length has one byte


@st.composite
def changed(draw: st.DrawFn, bodies: st.SearchStrategy[bytes]) -> bytes:
    """A packet's body, some of whose bytes are replaced, removed or added."""
    body = draw(bodies)
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(body)))
        body = body[:at] + draw(st.binary(max_size=2)) + body[at + draw(st.integers(0, 2)) :]
    return body or b"\x00"


@settings(max_examples=500)
@given(changed(HANDSHAKES), st.lists(st.integers(0, 60), max_size=3).map(sorted))
def test_any_handshake_is_read_as_quarry_reads_it(feed: Any, body: bytes, cuts: list[int]) -> None:
    expected = handshake_by_quarry(body)
    after = pack(0, b"\x05Steve") if expected and expected[3] != 1 else STATUS_REQUEST
    data = Buffer1_7.pack_packet(body) + after
    conversation = ModernConversation()
    if expected is None:
        with pytest.raises(ProtocolError):
            feed(conversation, data, cuts=cuts)
        assert conversation.replay_bytes == b""
        return
    (event,) = feed(conversation, data, cuts=cuts)
    protocol, host, port, intent = expected
    assert (event.protocol, event.host, event.port) == (protocol, routing_host(host), port)
    assert isinstance(event, StatusRequested) if intent == 1 else event.transfer == (intent == 3)
    assert conversation.replay_bytes == data


LAYOUTS = [
    (4, (), None, 17.0),
    (5, (), None, 17.0),
    (47, (), None, 27.0),
    (340, (), None, 27.0),
    (385, (), None, 27.0),
    (393, (), None, None),
    (758, (), None, None),
    (759, (b"\x00",), None, None),
    (759, (SIGNATURE,), None, None),
    (760, (b"\x00", b"\x00"), None, None),
    (760, (b"\x00", b"\x01", IDENTITY), UUID, None),
    (760, (SIGNATURE, b"\x01", IDENTITY), UUID, None),
    (761, (b"\x00",), None, None),
    (763, (b"\x01", IDENTITY), UUID, None),
    (764, (IDENTITY,), UUID, None),
    (777, (IDENTITY,), UUID, None),
    (778, (IDENTITY, b"something new"), UUID, None),
    (0x40000000 + 400, (IDENTITY,), UUID, None),
    (-1, (IDENTITY,), UUID, None),
    (-1, (), None, None),  # a layout that does not fit its version is left to the real server
    (764, (b"short",), None, None),
    (760, (b"\x07",), None, None),
]


@pytest.mark.parametrize(("protocol", "after", "uuid", "max_hold"), LAYOUTS)
@pytest.mark.parametrize("size", [None, 1])
def test_a_login_of_every_layout(
    feed: Any, protocol: int, after: tuple[bytes, ...], uuid: str | None, max_hold: float | None, size: int | None
) -> None:
    conversation = ModernConversation()
    data = login(protocol, *after)
    expected = LoginRequested(
        protocol=protocol,
        host="mc.example.com",
        port=25565,
        name="Steve",
        uuid=uuid,
        transfer=False,
        max_hold=max_hold,
    )
    assert feed(conversation, data, size) == [expected]
    assert conversation.replay_bytes == data


@pytest.mark.parametrize(
    "name",
    ["", "a b", "Миряев", "J\u00fcrgen", "名" * 16, "\U0001f600" * 8, "\x00\x1b[31m\n\u202e\u00a7c'\"", "a" * 17],
)
@pytest.mark.parametrize("size", [None, 1])
def test_names_are_not_judged(feed: Any, name: str, size: int | None) -> None:
    conversation = ModernConversation()
    data = login(47, name=name)
    assert [event.name for event in feed(conversation, data, size)] == [name]
    assert conversation.replay_bytes == data


@pytest.mark.parametrize("name", ["a" * 18, "名" * 400, "\U0001f600" * 20])
def test_a_name_that_is_too_long_is_cut_and_still_too_long(feed: Any, name: str) -> None:
    (event,) = feed(ModernConversation(), login(47, name=name))
    assert event.name == name[:17]


def test_a_name_that_is_not_utf_8_is_read_as_the_game_reads_it(feed: Any) -> None:
    conversation = ModernConversation()
    data = handshake(2, 47) + pack(0, b"\x08a\xff\xed\xa0\xbd\xed\xb8\x80")
    assert [event.name for event in feed(conversation, data)] == ["a\ufffd\ufffd\ufffd"]
    assert conversation.replay_bytes == data


@pytest.mark.parametrize("frame", [pack(1, b"\x05Steve"), pack(0), pack(0, b"\x05Stev"), pack(0, bytes(3000))])
def test_invalid_login_starts(feed: Any, frame: bytes) -> None:
    with pytest.raises(ProtocolError):
        feed(ModernConversation(), handshake(2) + frame)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (handshake(0), "intent 0"),
        (handshake(4), "intent 4"),
        (handshake(300), "2 bytes"),
        (pack(0, handshake(1)[2:] + b"\x00"), "2 bytes"),
        (pack(0, b"\x2f\x01a\x63\xdd"), "0 bytes"),
        (pack(0x10, handshake(1)[2:]), "0x10"),
        (pack(0, b"\x2f\x05a"), "ends inside"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", "TLS"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "SSH"),
        (b"\x03\x00\x00\x13\x0e\xe0\x00\x00\x00\x00\x00\x01\x00\x08\x00\x03", "RDP"),
        (b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n", "PROXY"),
        (b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00", "PROXY"),
        (b"\xff\xff\xff\xff\xff", "3 bytes"),
        (b"\x00", "empty"),
    ],
)
def test_other_protocols_are_refused_at_once(data: bytes, error: str) -> None:
    conversation = ModernConversation()
    with pytest.raises(ProtocolError, match=error):
        conversation.receive(data)
    assert conversation.replay_bytes == b""


def test_other_protocols_are_refused_before_the_frame_is_whole() -> None:
    conversation = ModernConversation()
    conversation.receive(b"\x80\x02")
    with pytest.raises(ProtocolError, match="0x47"):
        conversation.receive(b"G")


def test_a_handshake_has_a_bound_and_forwarding_has_a_higher_one(feed: Any) -> None:
    forwarded = handshake(2, host="mc.example.com\x00203.0.113.7\x00" + UUID + "\x00" + "x" * 20000)
    with pytest.raises(ProtocolError, match=f"at most {LARGEST_HANDSHAKE}"):
        ModernConversation().receive(forwarded[:3])
    conversation = ModernConversation(forwarding=True)
    (event,) = feed(conversation, forwarded + pack(0, b"\x05Steve", IDENTITY), 1000)
    assert event.host == "mc.example.com"
    longest = handshake(1, host="\u20ac" * 255 + "\x00FML\x00")
    assert feed(ModernConversation(), longest + STATUS_REQUEST)[0].host == "\u20ac" * 255


@pytest.mark.parametrize(
    ("largest", "error"),
    [
        (lambda more: handshake(1, host="h" * (LARGEST_HANDSHAKE - 8 + more)), "1025 bytes where at most 1024"),
        (lambda more: login(769, name="n" * (LARGEST_LOGIN_START - 3 + more)), "2049 bytes where at most 2048"),
    ],
)
def test_a_frame_is_refused_by_its_length(feed: Any, largest: Callable[[int], bytes], error: str) -> None:
    feed(ModernConversation(), largest(0))
    conversation = ModernConversation()
    data = largest(1)
    end = len(handshake(2)) if error.startswith("2049") else 0
    feed(conversation, data[: end + 1])
    with pytest.raises(ProtocolError, match=error):
        conversation.receive(data[end + 1 : end + 2])


def test_a_handshake_and_a_login_in_one_read_or_two(feed: Any) -> None:
    data, first = login(769, IDENTITY), len(handshake(2))
    (event,) = feed(ModernConversation(), data)
    assert (
        feed(ModernConversation(), data, cuts=[first]) == feed(ModernConversation(), data, cuts=[first + 1]) == [event]
    )


def test_the_options_of_a_server_are_asked_once_and_for_a_login_only(feed: Any) -> None:
    asked: list[str] = []

    def options(host: str) -> MinecraftOptions:
        asked.append(host)
        return MinecraftOptions()

    feed(ModernConversation(minecraft_options=options), handshake(1) + STATUS_REQUEST + PING)
    assert asked == []
    feed(ModernConversation(minecraft_options=options), login(769, IDENTITY), 1)
    assert asked == ["mc.example.com"]


@pytest.mark.parametrize("as_login", [False, True])
def test_a_transfer_is_a_login_and_can_look_like_one(feed: Any, as_login: bool) -> None:
    conversation = ModernConversation(minecraft_options=lambda _: MinecraftOptions(transfer_as_login=as_login))
    data = login(769, IDENTITY, intent=3)
    (event,) = feed(conversation, data)
    assert event.transfer
    assert conversation.replay_bytes == (login(769, IDENTITY, intent=2) if as_login else data)


def test_an_invalid_transfer_leaves_no_replay_bytes(feed: Any) -> None:
    conversation = ModernConversation(minecraft_options=lambda _: MinecraftOptions(transfer_as_login=True))
    with pytest.raises(ProtocolError):
        feed(conversation, handshake(3) + pack(1))
    assert conversation.replay_bytes == b""


def test_no_other_intent_is_ever_changed(feed: Any) -> None:
    for data in (login(769, IDENTITY), handshake(1) + STATUS_REQUEST):
        conversation = ModernConversation(minecraft_options=lambda _: MinecraftOptions(transfer_as_login=True))
        feed(conversation, data)
        assert conversation.replay_bytes == data


def test_bytes_after_a_login_are_stored(feed: Any) -> None:
    conversation = ModernConversation()
    data = login(47) + b"more"
    assert len(feed(conversation, data)) == 1
    assert feed(conversation, b" and more", 1) == []
    assert conversation.replay_bytes == data + b" and more"


def test_bytes_after_a_login_have_a_bound(feed: Any) -> None:
    conversation = ModernConversation()
    feed(conversation, login(47) + bytes(LONGEST_TAIL - 1))
    full = [conversation.full]
    assert not conversation.receive(b"x")
    assert [*full, conversation.full] == [False, True]
    assert conversation.replay_bytes == login(47) + bytes(LONGEST_TAIL - 1) + b"x"


@pytest.mark.parametrize("protocol", [47, 769])
def test_bytes_after_a_login_are_refused_by_hold(feed: Any, protocol: int) -> None:
    conversation = ModernConversation()
    feed(conversation, login(protocol, IDENTITY) + b"\x07")
    with pytest.raises(ProtocolError, match="before it was answered"):
        conversation.hold()


def test_answers_of_a_held_player_are_not_replayed(feed: Any) -> None:
    conversation = ModernConversation(hold_channel="a:b")
    data = login(769, IDENTITY)
    feed(conversation, data)
    assert not conversation.hold()
    request = Buffer1_7(conversation.keepalive()).unpack_packet(Buffer1_7)
    assert request.unpack_varint() == 4
    request_id = request.unpack_varint()
    assert (request.unpack_string(), request.read()) == ("a:b", b"")
    assert conversation.unanswered == 1
    answer = pack(2, Buffer1_7.pack_varint(request_id), b"\x00")
    assert feed(conversation, answer, 1) == [HoldAnswered()]
    assert conversation.unanswered == 0
    assert conversation.replay_bytes == data
    (violation,) = feed(conversation, answer)
    assert isinstance(violation, Violation)
    assert feed(conversation, answer, 1) == []
    assert conversation.replay_bytes == data
    assert conversation.kick("no") != b""


def test_a_player_can_be_kicked_before_and_during_the_hold(feed: Any) -> None:
    conversation = ModernConversation()
    feed(conversation, login(47))
    before = conversation.kick({"text": "full"})
    conversation.hold()
    assert conversation.kick({"text": "full"}) == before == pack(0, Buffer1_7.pack_string('{"text":"full"}'))


def test_a_held_player_before_1_13_may_send_nothing(feed: Any) -> None:
    conversation = ModernConversation()
    feed(conversation, login(47))
    conversation.hold()
    assert conversation.keepalive() == b""
    assert [type(event) for event in feed(conversation, b"\x01")] == [Violation]


def test_the_status_shows_the_clients_number_by_default(feed: Any) -> None:
    conversation = ModernConversation()
    feed(conversation, handshake(1, 762) + STATUS_REQUEST)
    for reply, expected in (
        (REPLY, 762),
        (StatusReply(description="", online=0, maximum=1, version_name="", protocol=5), 5),
    ):
        buffer = Buffer1_7(conversation.status(reply)).unpack_packet(Buffer1_7)
        assert buffer.unpack_varint() == 0
        assert buffer.unpack_json()["version"]["protocol"] == expected
