"""Before 1.7. The `02` logins are built from their published layouts: see tests/fixtures/README.md."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from zeroscale.errors import ProtocolError
from zeroscale.protocols.conversation import LoginRequested, StatusReply, StatusRequested, Violation
from zeroscale.protocols.minecraft.legacy import LONGEST_TAIL, LegacyConversation
from zeroscale.protocols.minecraft.text_component import parse

S = "\u00a7"


def string16(text: str) -> bytes:
    """A string as clients before 1.7 write it."""
    return struct.pack(">H", len(text)) + text.encode("utf-16-be")


def ping16(host: str = "mc.example.com", port: int = 25565, protocol: int = 78, excess: int = 0) -> bytes:
    """The ping of 1.6."""
    head = b"\xfe\x01\xfa" + string16("MC|PingHost") + struct.pack(">HB", 7 + 2 * len(host) + excess, protocol)
    return head + string16(host) + struct.pack(">i", port)


def login16(name: str = "Steve", host: str = "mc.example.com", port: int = 25565, protocol: int = 61) -> bytes:
    """The login of 1.3 to 1.6."""
    return struct.pack(">BB", 2, protocol) + string16(name) + string16(host) + struct.pack(">i", port)


def text_of(packet: bytes) -> str:
    """The text of a kick packet, whose length is checked."""
    packet_id, units = struct.unpack(">BH", packet[:3])
    assert packet_id == 0xFF
    assert len(packet) == 3 + 2 * units
    return packet[3:].decode("utf-16-be")


def asked(data: bytes) -> LegacyConversation:
    """A conversation that was pinged with `data`."""
    conversation = LegacyConversation()
    if not conversation.receive(data):
        assert conversation.on_idle()
    return conversation


@pytest.mark.parametrize("size", [None, 1, 2])
def test_the_fields_of_a_ping_of_1_6(feed: Any, size: int | None) -> None:
    conversation = LegacyConversation()
    data = ping16("MC.Example.com.", 4711, 74)
    assert feed(conversation, data, size) == [StatusRequested(74, "mc.example.com", 4711)]
    assert conversation.replay_bytes == data
    assert (conversation.idle_timeout, conversation.on_idle()) == (None, ())
    assert conversation.closes_after_status
    assert conversation.pong() + conversation.keepalive() + conversation.kick("no") == b""


@pytest.mark.parametrize("data", [b"\xfe", b"\xfe\x01", b"\xfe\x01\xfa"])
def test_a_short_ping_is_whole_after_the_idle_timeout(feed: Any, data: bytes) -> None:
    conversation = LegacyConversation()
    assert feed(conversation, data, 1) == []
    before = conversation.idle_timeout
    assert list(conversation.on_idle()) == [StatusRequested(-1, "", 0)]
    assert (before, conversation.idle_timeout) == (0.3, None)
    assert not conversation.on_idle()
    full = [conversation.full]
    assert [type(event) for event in feed(conversation, b"\x01")] == [Violation]
    assert [*full, conversation.full] == [False, True]
    assert feed(conversation, b"\x01") == []
    assert conversation.replay_bytes == data + b"\x01\x01"


def test_half_a_ping_of_1_6_is_not_answered() -> None:
    conversation = LegacyConversation()
    conversation.receive(ping16()[:20])
    assert (conversation.idle_timeout, conversation.on_idle()) == (None, ())


@pytest.mark.parametrize(
    "data", [ping16(excess=1), ping16(port=70000), ping16(port=-1), b"\xfe\x01\xfa\x00\x0bMC|PingHost\x00\x05"]
)
@pytest.mark.parametrize("size", [None, 1])
def test_a_ping_that_cannot_be_read_is_answered_nevertheless(feed: Any, data: bytes, size: int | None) -> None:
    conversation = LegacyConversation()
    assert feed(conversation, data, size) == []
    assert conversation.idle_timeout == 0.3
    assert list(conversation.on_idle()) == [StatusRequested(-1, "", 0)]


@pytest.mark.parametrize("bad", [b"x", ping16(), bytes(600)])
@pytest.mark.parametrize("size", [None, 1])
def test_a_ping_is_an_event_before_a_violation(feed: Any, bad: bytes, size: int | None) -> None:
    conversation = LegacyConversation()
    asked, violation = feed(conversation, ping16() + bad, size)
    assert asked == StatusRequested(78, "mc.example.com", 25565)
    assert isinstance(violation, Violation)
    assert conversation.full
    assert conversation.idle_timeout is None
    assert conversation.replay_bytes == ping16() + bad


@pytest.mark.parametrize("data", [b"\xfe\x01\xfa" + bytes(600), b"\xfe\x01\xfa\x00\x0b" + b"M" * 600])
@pytest.mark.parametrize("size", [None, 1])
def test_more_than_a_ping_is_refused(feed: Any, data: bytes, size: int | None) -> None:
    conversation = LegacyConversation()
    with pytest.raises(ProtocolError):
        feed(conversation, data, size)
    assert conversation.replay_bytes == b""
    assert conversation.idle_timeout is None
    with pytest.raises(ProtocolError):
        conversation.receive(b"\xfe")


@pytest.mark.parametrize(
    ("data", "protocol", "host", "port"),
    [
        (login16(), 61, "mc.example.com", 25565),
        (login16(host="MC.example.com."), 61, "mc.example.com", 25565),
        (b"\x02" + string16("Steve"), -1, "", 0),
        (b"\x02" + string16("Steve;mc.example.com:25565"), -1, "mc.example.com", 25565),
        (b"\x02" + string16("Steve;" + "h" * 200 + ":25565"), -1, "h" * 200, 25565),
        (b"\x02" + string16("Steve;mc.example.com"), -1, "mc.example.com", 0),
        (b"\x02" + string16("Steve;mc.example.com:99999999"), -1, "mc.example.com:99999999", 0),
    ],
)
@pytest.mark.parametrize("size", [None, 1])
def test_a_login_of_every_layout(feed: Any, data: bytes, protocol: int, host: str, port: int, size: int | None) -> None:
    conversation = LegacyConversation()
    expected = LoginRequested(
        protocol=protocol, host=host, port=port, name="Steve", uuid=None, transfer=False, max_hold=0.0
    )
    assert feed(conversation, data, size) == [expected]
    assert feed(conversation, b"more", size) == []
    assert conversation.replay_bytes == data + b"more"
    assert conversation.idle_timeout is None
    with pytest.raises(ProtocolError):
        conversation.hold()


def test_more_bytes_after_hold_are_a_violation(feed: Any) -> None:
    conversation = LegacyConversation()
    conversation.receive(login16())
    conversation.hold()
    assert [type(event) for event in feed(conversation, b"x")] == [Violation]


def test_bytes_after_a_login_have_a_bound(feed: Any) -> None:
    conversation = LegacyConversation()
    assert len(feed(conversation, login16() + bytes(LONGEST_TAIL - 1))) == 1
    full = [conversation.full]
    assert feed(conversation, b"x") == []
    assert [*full, conversation.full] == [False, True]


NAMES = ["", "a b", "Миряев", "J\u00fcrgen", "名" * 16, "\x00\x1b[31m\u202e\u00a7c", "a" * 17]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [None, 1])
def test_names_are_not_judged(feed: Any, name: str, size: int | None) -> None:
    for data in (login16(name=name), b"\x02" + string16(name), b"\x02" + string16(f"{name};mc.example.com:25565")):
        conversation = LegacyConversation()
        assert [event.name for event in feed(conversation, data, size)] == [name]
        assert conversation.kick("no").startswith(b"\xff")
        assert conversation.replay_bytes == data


@pytest.mark.parametrize(
    "data", [login16(name="a" * 255), b"\x02" + string16("a" * 511), b"\x02" + string16("a" * 279)]
)
def test_a_name_that_is_too_long_is_cut_and_still_too_long(feed: Any, data: bytes) -> None:
    (event,) = feed(LegacyConversation(), data)
    assert event.name == "a" * 17


def test_half_a_surrogate_pair_in_a_name(feed: Any) -> None:
    data = b"\x02\x3d" + struct.pack(">H", 2) + b"\xd8\x00\x00a" + login16(name="")[4:]
    assert [event.name for event in feed(LegacyConversation(), data)] == ["\ufffda"]


@pytest.mark.parametrize(
    "data",
    [
        login16(name="a" * 256),
        login16(host="h" * 256),
        login16(port=70000),
        login16(port=-1),
    ],
)
@pytest.mark.parametrize("size", [None, 1])
def test_invalid_logins(feed: Any, data: bytes, size: int | None) -> None:
    with pytest.raises(ProtocolError):
        feed(LegacyConversation(), data, size)


REPLY = StatusReply(description=parse("&6Gold\n&lbold & more"), online=3, maximum=20, version_name="&a1.21")


def test_beta_gets_plain_text_in_one_line() -> None:
    reply = StatusReply(description=f"{S}6Gold\n{S}l  bold\x00", online=3, maximum=20, version_name="x")
    assert text_of(asked(b"\xfe").status(reply)) == f"Gold bold{S}3{S}20"


@pytest.mark.parametrize(
    ("ping", "protocol"),
    [(b"\xfe\x01", 127), (b"\xfe\x01\xfa", 127), (ping16(protocol=78), 78), (ping16(protocol=127), 127)],
)
def test_1_4_and_later_get_fields_and_colours(ping: bytes, protocol: int) -> None:
    fields = text_of(asked(ping).status(REPLY)).split("\x00")
    assert fields == [f"{S}1", str(protocol), "&a1.21", f"{S}6Gold {S}6{S}lbold & more", "3", "20"]


def test_a_reply_is_encoded_once_for_each_dialect_and_number() -> None:
    reply = StatusReply(description="x", online=0, maximum=1, version_name="y")
    pings = [b"\xfe", b"\xfe\x01", ping16(), ping16(protocol=61)]
    first = [asked(ping).status(reply) for ping in pings]
    assert len(set(first)) == len(pings)
    assert all(asked(ping).status(reply) is known for ping, known in zip(pings, first, strict=True))
    assert asked(b"\xfe").status(replace(reply, online=1)) not in first


def test_a_reply_with_its_own_protocol_number() -> None:
    reply = StatusReply(description="x", online=0, maximum=1, version_name="y", protocol=61)
    assert text_of(asked(ping16()).status(reply)) == f"{S}1\x0061\x00y\x00x\x000\x001"


@given(
    kind=st.sampled_from([b"\xfe", b"\xfe\x01"]),
    motd=st.text(),
    version=st.text(),
    online=st.integers(0, 2**31),
    maximum=st.integers(0, 2**31),
)
def test_any_reply_can_be_split_and_is_short_enough(
    kind: bytes, motd: str, version: str, online: int, maximum: int
) -> None:
    reply = StatusReply(description=motd * 20, online=online, maximum=maximum, version_name=version * 20)
    text = text_of(asked(kind).status(reply))
    if kind == b"\xfe":
        assert len(text.encode("utf-16-be")) <= 2 * 100
        assert text.split(S)[1:] == [str(online), str(maximum)]
    else:
        assert len(text.encode("utf-16-be")) <= 2 * 256
        fields = text.split("\x00")
        assert len(fields) == 6
        assert (fields[0], fields[4], fields[5]) == (f"{S}1", str(online), str(maximum))
    assert "\n" not in text


@pytest.mark.parametrize(("login", "longest"), [(login16(), 256), (b"\x02" + string16("Steve"), 100)])
def test_a_kick_is_one_line_and_short_enough(login: bytes, longest: int) -> None:
    conversation = LegacyConversation()
    conversation.receive(login)
    assert text_of(conversation.kick(parse("&cStarting\nabout 40 s"))) == f"{S}cStarting about 40 s"
    assert len(text_of(conversation.kick("x" * 1000))) == longest
    assert text_of(conversation.kick("\U0001f600" * 1000)) == "\U0001f600" * (longest // 2)
    assert text_of(conversation.kick("x" * (longest - 1) + f"{S}cRed")) == "x" * (longest - 1)
