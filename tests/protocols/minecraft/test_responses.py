"""Status and kick replies since 1.7, read by mcstatus and quarry."""

from __future__ import annotations

import gc
import json
import weakref
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcstatus.responses import JavaStatusResponse
from quarry.types.buffer import Buffer1_7

from zeroscale.protocols.conversation import StatusReply
from zeroscale.protocols.minecraft import responses
from zeroscale.protocols.minecraft.legacy import LegacyConversation
from zeroscale.protocols.minecraft.responses import LONGEST_JSON, MOST_KEPT, encode_kick, encode_status
from zeroscale.protocols.minecraft.text_component import parse

ICON = "data:image/png;base64,iVBORw0KGgo="


def decoded(packet: bytes) -> Any:
    """The JSON of a packet 0x00, whose size is checked."""
    buffer = Buffer1_7(packet)
    assert buffer.unpack_varint() == len(buffer)
    assert buffer.unpack_varint() == 0
    assert buffer.unpack_varint() == len(buffer)
    text = buffer.read().decode()
    assert len(text.encode("utf-16-le")) <= 2 * LONGEST_JSON
    return json.loads(text)


def test_mcstatus_reads_the_status() -> None:
    reply = StatusReply(
        description=parse("&6Asleep\n&ljoin to wake"),
        online=0,
        maximum=20,
        version_name="Paper 1.21.4",
        sample=["\u00a7aIt sleeps", "two\nlines"],
        favicon=ICON,
        extra={"enforcesSecureChat": True, "preventsChatReports": True},
    )
    status = JavaStatusResponse.build(decoded(encode_status(reply, 769)), 0)
    assert status.motd.to_plain() == "Asleep\njoin to wake"
    assert (status.version.name, status.version.protocol) == ("Paper 1.21.4", 769)
    assert (status.players.online, status.players.max) == (0, 20)
    assert status.players.sample is not None
    assert [player.name for player in status.players.sample] == ["\u00a7aIt sleeps", "two", "lines"]
    assert {player.uuid for player in status.players.sample} == {responses.NIL_UUID}
    assert status.icon == ICON
    assert status.enforces_secure_chat is True
    assert status.raw["preventsChatReports"] is True  # type: ignore[typeddict-item]  # a mod's key


def test_missing_values_have_no_keys() -> None:
    assert decoded(encode_status(StatusReply("asleep", 0, 20, "1.8.9"), 47)) == {
        "version": {"name": "1.8.9", "protocol": 47},
        "players": {"max": 20, "online": 0},
        "description": {"text": "asleep"},
    }


def test_extra_keys_are_replayed_but_none_of_ours_is_replaced() -> None:
    forge = {"fmlNetworkVersion": 3, "channels": [], "mods": [{"modId": "a", "modmarker": "1"}]}
    extra = {"forgeData": forge, "version": "theirs", "players": None, "description": "theirs", "favicon": "theirs"}
    status = decoded(encode_status(StatusReply("ours", 0, 20, "1.20.1", extra=extra), 763))
    assert status["forgeData"] == forge
    assert status["description"] == {"text": "ours"}
    assert "favicon" not in status
    with_icon = decoded(encode_status(StatusReply("ours", 0, 20, "1.20.1", extra=extra, favicon=ICON), 763))
    assert with_icon["favicon"] == ICON


def test_empty_lists_that_clients_refuse_are_left_out() -> None:
    description = {"text": "a", "extra": []}
    assert decoded(encode_status(StatusReply(description, 0, 20, "x"), 47))["description"] == {"text": "a"}


S = "\u00a7"
TWO_COLOURS = parse("&6Asleep.\n&fJoin to &lwake it")


def test_all_text_is_in_the_descriptions_text() -> None:
    description = decoded(encode_status(StatusReply(TWO_COLOURS, 0, 20, "v"), 769))["description"]
    assert description == {"text": f"{S}6Asleep.\n{S}fJoin to {S}f{S}lwake it"}
    parsed = JavaStatusResponse.build(decoded(encode_status(StatusReply(TWO_COLOURS, 0, 20, "v"), 769)), 0).motd
    assert parsed.to_plain() == "Asleep.\nJoin to wake it", "not twice"
    assert parsed.to_html().count("wake it") == 1


@pytest.mark.parametrize("protocol", [-1, 0, 47, 734])
def test_a_client_without_other_colours_gets_the_nearest(protocol: int) -> None:
    status = decoded(encode_status(StatusReply(parse("&7zZz &#fefe50Asleep"), 0, 20, "v"), protocol))
    assert status["description"] == {"text": f"{S}7zZz {S}eAsleep"}


@pytest.mark.parametrize("protocol", [735, 777, 0x40000000 + 400])
def test_a_client_with_other_colours_gets_them(protocol: int) -> None:
    status = decoded(encode_status(StatusReply(parse("&7zZz &#fefe50Asleep"), 0, 20, "v"), protocol))
    assert status["description"] == {"text": f"{S}7zZz ", "extra": [{"text": "Asleep", "color": "#fefe50"}]}


def test_the_real_protocol_number_does_not_decide_about_colours() -> None:
    reply = StatusReply(parse("&#fefe50Asleep"), 0, 20, "v", protocol=769)
    assert decoded(encode_status(reply, 47))["description"] == {"text": f"{S}eAsleep"}
    assert decoded(encode_status(reply, 769))["description"] == {"text": "Asleep", "color": "#fefe50"}


BIG = "x" * 20000
WIDE = "\u20ac" * 20000
"""As many UTF-16 units."""
LARGEST_ICON = "x" * 29358
"""As long as the icon of a file of 22000 bytes."""


@pytest.mark.parametrize(
    ("reply", "keys", "sample"),
    [
        (StatusReply("a", 0, 1, "v", ["s"], favicon=BIG, extra={"k": "x"}), {"favicon", "k"}, True),
        (StatusReply("a", 0, 1, "v", ["s"], favicon=WIDE, extra={"k": "x"}), {"favicon", "k"}, True),
        (StatusReply("a", 0, 1, "v", ["s"], favicon=LARGEST_ICON, extra={"k": "x"}), {"favicon", "k"}, True),
        (StatusReply("a", 0, 1, "v", ["s" * 4000], favicon=LARGEST_ICON, extra={"k": "x"}), {"favicon", "k"}, False),
        (StatusReply("a", 0, 1, "v", ["s"], favicon=LARGEST_ICON, extra={"k": "x" * 4000}), {"k"}, False),
        (StatusReply("a", 0, 1, "v", ["s"], favicon=BIG, extra={"k": BIG}), {"k"}, False),
        (StatusReply("a", 0, 1, "v", ["s"], favicon=ICON, extra={"k": BIG + BIG}), {"favicon"}, True),
        (StatusReply("a", 0, 1, "v", ["s" * 4000], favicon=LARGEST_ICON, extra={"k": BIG + BIG}), {"favicon"}, False),
        (StatusReply("a", 0, 1, "v", [BIG, BIG], favicon=ICON, extra={"k": "x"}), {"favicon", "k"}, False),
        (StatusReply("a", 0, 1, "v", ["s"], favicon=WIDE + WIDE, extra={"k": "x"}), {"k"}, False),
        (StatusReply(BIG + BIG, 0, 1, BIG + BIG, ["s"]), set(), False),
        (StatusReply("\U0001f600" * 20000, 0, 1, "v", ["s"]), set(), False),
        (StatusReply("a", 0, 1, "v", ["s"], extra={"k": object()}), set(), True),
    ],
)
def test_too_large_parts_are_left_out_in_order(reply: StatusReply, keys: set[str], sample: bool) -> None:
    status = decoded(encode_status(reply, 47))
    assert set(status) - {"version", "players", "description"} == keys
    assert ("sample" in status["players"]) is sample
    assert status["description"]["text"][0] == str(reply.description)[0]


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_number_that_json_does_not_have_is_never_sent(number: float) -> None:
    extra = {"tps": [number], "other": 1}
    status = decoded(encode_status(StatusReply("a", 0, 1, "v", ["s"], extra=extra), 769))
    assert status.keys() == {"version", "players", "description", "other"}


def test_a_key_that_is_too_large_by_itself_costs_no_other() -> None:
    extra = {"forgeData": {"d": BIG + BIG}, "enforcesSecureChat": True}
    status = decoded(encode_status(StatusReply("a", 0, 1, "v", ["s"], favicon=ICON, extra=extra), 769))
    assert status.keys() == {"version", "players", "description", "favicon", "enforcesSecureChat"}
    assert status["players"]["sample"]


def test_a_description_too_deep_for_json_is_shown_as_text() -> None:
    hover: dict[str, object] = {}
    for _ in range(100_000):
        hover = {"x": hover}
    for key in ("hoverEvent", "nbt"):
        status = decoded(encode_status(StatusReply({"text": "deep", key: hover}, 0, 1, "v"), 47))
        assert status["description"] == {"text": "deep"}


def test_a_reply_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reply = StatusReply(parse("&6once"), 0, 1, "v", ["s"], extra={"k": ["v"]})
    first = encode_status(reply, 47)
    with monkeypatch.context() as patch:
        patch.setattr(responses, "with_text_first", lambda *_, **__: pytest.fail("encoded again"))
        assert encode_status(reply, 47) is first
        for protocol in (48, -1, -(2**31)):  # the client chooses the number
            assert decoded(encode_status(reply, protocol))["version"] == {"name": "v", "protocol": protocol}
    other = StatusReply(parse("&6twice"), 0, 1, "v", ["s"], extra={"k": ["v"]})
    assert decoded(encode_status(other, 47))["description"] == {"text": "twice", "color": "gold"}


def test_a_reply_is_found_without_a_look_at_its_parts() -> None:
    class Compared(dict[str, object]):
        def __eq__(self, other: object) -> bool:
            pytest.fail("a reply can have 60 000 parts")

        __hash__ = None  # as dict has it

    replies = [StatusReply("a", 0, 1, "v", extra=Compared(k=number)) for number in range(3)]
    for _ in range(2):
        assert [decoded(encode_status(reply, 47))["k"] for reply in replies] == [0, 1, 2]


def test_few_encoded_replies_are_kept() -> None:
    class Part(dict[str, object]):
        """Part of a reply, with weak references, which a dict does not have."""

    parts: list[weakref.ref[Part]] = []
    for number in range(200):
        part = Part(text=str(number))
        parts.append(weakref.ref(part))
        encode_status(StatusReply(part, 0, 1, "v"), number)
        LegacyConversation().status(StatusReply(part, 0, 1, "v"))
    del part
    gc.collect()
    kept = [part for part in parts if part() is not None]
    assert MOST_KEPT <= len(kept) <= 3 * MOST_KEPT


@given(st.text(), st.text(), st.integers(), st.integers(), st.lists(st.text(), max_size=4), st.integers())
def test_any_text_makes_a_status(
    description: str, version: str, online: int, maximum: int, sample: list[str], protocol: int
) -> None:
    status = decoded(encode_status(StatusReply(description, online, maximum, version, sample), protocol))
    assert status["description"] == {"text": description}
    assert status["version"] == {"name": version, "protocol": protocol}
    lines = [line for entry in sample for line in entry.split("\n")]
    assert [entry["name"] for entry in status["players"].get("sample", [])] == lines


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("no", {"text": "no"}),
        ({"text": "no", "extra": []}, {"text": "no"}),
        (["a", {"text": "b"}], ["a", {"text": "b"}]),
        (parse("&cStarting\nabout 40 s"), {"text": "", "extra": [{"text": "Starting\nabout 40 s", "color": "red"}]}),
        ("x" * 40000, {"text": "x" * 1000}),
        ({"text": "x", "value": object()}, {"text": "x"}),
    ],
)
def test_a_kick_is_read_by_quarry(reason: Any, expected: Any) -> None:
    packet = encode_kick(reason)
    assert decoded(packet) == expected
    buffer = Buffer1_7(packet).unpack_packet(Buffer1_7)
    assert buffer.unpack_varint() == 0
    assert buffer.unpack_chat().value == expected
