"""Pinging a server as clients before 1.7 do: with our own conversation, and with the replies of other servers."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroscale.errors import ProtocolError
from zeroscale.protocols.conversation import StatusReply, StatusRequested
from zeroscale.protocols.minecraft.dispatch import MinecraftConversation
from zeroscale.protocols.minecraft.legacy_client import LONGEST_TEXT, LegacyPingClient, LegacyStatus

S = "\u00a7"


def kick(text: str) -> bytes:
    """A reply, as every version frames it."""
    raw = text.encode("utf-16-be", "surrogatepass")
    return struct.pack(">BH", 0xFF, len(raw) // 2) + raw


def fed(data: bytes, size: int | None) -> LegacyStatus | None:
    client = LegacyPingClient("mc.example.com", 25565)
    size = size or max(1, len(data))
    replies = [client.receive(data[at : at + size]) for at in range(0, len(data), size)]
    assert not any(replies[: -(-len(data) // size) - 1]), "no reply before it is complete"
    return replies[-1]


def test_the_request_is_that_of_1_6() -> None:
    request = LegacyPingClient("mc.example.com", 4711).request()
    assert request == (
        b"\xfe\x01\xfa\x00\x0b"
        + "MC|PingHost".encode("utf-16-be")
        + struct.pack(">HBH", 7 + 2 * 14, 127, 14)
        + "mc.example.com".encode("utf-16-be")
        + struct.pack(">i", 4711)
    )


@pytest.mark.parametrize("host", ["mc.example.com", "", "\U0001f600.example", "x" * 255])
@pytest.mark.parametrize("size", [None, 1])
def test_our_own_conversation_answers_it(host: str, size: int | None) -> None:
    client = LegacyPingClient(host, 4711)
    conversation = MinecraftConversation()
    events = [event for byte in client.request() for event in conversation.receive(bytes([byte]))]
    assert events == [StatusRequested(protocol=127, host=host, port=4711)]
    reply = conversation.status(StatusReply("A server", 3, 20, "1.6.4", protocol=78))
    assert fed(reply, size) == LegacyStatus("A server", 3, 20, 78)


def test_a_host_that_is_too_long_is_cut() -> None:
    (event,) = MinecraftConversation().receive(LegacyPingClient("x" * 300, 1).request())
    assert event == StatusRequested(protocol=127, host="x" * 255, port=1)


@pytest.mark.parametrize(
    ("text", "expected", "before_1_7"),
    [
        (f"A Minecraft Server{S}0{S}20", LegacyStatus("A Minecraft Server", 0, 20, None), True),  # Beta 1.8 to 1.3
        (f"{S}4Red{S}r motd{S}12{S}100", LegacyStatus(f"{S}4Red{S}r motd", 12, 100, None), True),  # CraftBukkit
        (f"{S}1{S}0{S}20", LegacyStatus(f"{S}1", 0, 20, None), True),
        (f"{S}1\x0049\x001.4.5\x00A Minecraft Server\x000\x0020", LegacyStatus("A Minecraft Server", 0, 20, 49), True),
        (f"{S}1\x0078\x001.6.4\x00motd\x002\x0020", LegacyStatus("motd", 2, 20, 78), True),
        (f"{S}1\x0078\x001.6.4\x00a\x00b\x002\x0020", LegacyStatus("a\x00b", 2, 20, 78), True),
        (f"{S}1\x00127\x001.21.4\x00\x001\x0020", LegacyStatus("", 1, 20, 127), False),  # 1.7 and later
        (f"{S}1\x005\x001.7.10\x00x\x001\x0020", LegacyStatus("x", 1, 20, 5), False),  # minecraft-protocol
        (f"{S}0{S}20", LegacyStatus("", 0, 20, None), True),
    ],
)
@pytest.mark.parametrize("size", [None, 1])
def test_the_replies_of_servers(text: str, expected: LegacyStatus, before_1_7: bool, size: int | None) -> None:
    assert fed(kick(text), size) == expected
    assert expected.before_1_7 is before_1_7


def test_what_follows_a_reply_is_ignored() -> None:
    reply = kick(f"motd{S}1{S}20")
    assert LegacyPingClient("a", 1).receive(reply + b"\xff\x00\x00rest") == LegacyStatus("motd", 1, 20, None)


def test_half_a_surrogate_pair_is_replaced() -> None:
    reply = LegacyPingClient("a", 1).receive(kick(f"\ud83d{S}1{S}20"))
    assert reply == LegacyStatus("\ufffd", 1, 20, None)


@pytest.mark.parametrize(
    "data",
    [
        b"\x00",
        b"HTTP/1.1 400 Bad Request\r\n",
        b"\x12\x00",
        b"\xff" + (LONGEST_TEXT + 1).to_bytes(2, "big"),
        kick(""),
        kick("Protocol error"),
        kick("Outdated client!"),
        kick(f"motd{S}20"),
        kick(f"motd{S}x{S}20"),
        kick(f"motd{S}-1{S}20"),
        kick(f"motd{S}\u0663{S}20"),
        kick(f"motd{S}{'1' * 11}{S}20"),
        kick(f"{S}1\x0078\x001.6.4\x002\x0020"),
        kick(f"{S}1\x00x\x001.6.4\x00motd\x002\x0020"),
    ],
)
@pytest.mark.parametrize("size", [None, 1])
def test_what_is_no_reply(data: bytes, size: int | None) -> None:
    with pytest.raises(ProtocolError):
        fed(data, size)


@given(st.binary(max_size=60) | st.text().map(kick) | st.from_regex(f"({S}1\x00)?[a{S}\x000-9]*").map(kick))
def test_any_bytes_are_a_reply_or_an_error(data: bytes) -> None:
    try:
        reply = LegacyPingClient("a", 1).receive(data)
    except ProtocolError:
        return
    assert reply is None or (reply.online >= 0 and reply.maximum >= 0)


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(0, 10**9), st.integers(0, 10**9))
def test_any_motd_is_read_back(motd: str, online: int, maximum: int) -> None:
    reply = LegacyPingClient("a", 1).receive(kick(f"{S}1\x0078\x001.6.4\x00{motd}\x00{online}\x00{maximum}"))
    assert reply == LegacyStatus(motd, online, maximum, 78)
