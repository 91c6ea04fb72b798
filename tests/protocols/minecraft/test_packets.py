"""Frames and fields: bounded, and nothing but ProtocolError comes out."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from quarry.types.buffer import Buffer1_7

from zeroscale.errors import ProtocolError
from zeroscale.protocols.minecraft import packets


def test_importing_the_protocols_installs_no_reactor() -> None:
    program = (
        "import sys, pkgutil, importlib, zeroscale.protocols as p\n"
        "for m in pkgutil.walk_packages(p.__path__, 'zeroscale.protocols.'): importlib.import_module(m.name)\n"
        "assert 'twisted.internet.reactor' not in sys.modules\n"
        "assert 'quarry' not in sys.modules\n"
        "from zeroscale.protocols.minecraft import packets\n"
        "packets.preload()\n"
        "assert 'quarry.types.buffer' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@pytest.mark.parametrize("start", [0, 3])
def test_a_frame_is_cut_out_where_it_begins(start: int) -> None:
    data = b"\x00" * start + b"\x02ab\x01c"
    assert packets.take_frame(data, start, 10) == (b"ab", start + 3)


def test_a_frame_is_not_there_before_its_last_byte() -> None:
    frame = packets.frame(0x00, bytes(200))
    assert [packets.take_frame(frame[:end], 0, 300) for end in range(len(frame))] == [None] * len(frame)
    assert packets.take_frame(frame, 0, 300) == (b"\x00" + bytes(200), len(frame))


def test_a_length_may_be_padded_to_three_bytes() -> None:  # Velocity writes such
    assert packets.take_frame(b"\x82\x80\x00ab", 0, 10) == (b"ab", 5)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"\x00", "empty"),
        (b"\x80\x80\x00", "empty"),
        (b"\xff\xff\xff", "3 bytes"),
        (b"\xff\xff\xff\xff\x0f", "3 bytes"),
        (b"\x0b", "11 bytes where at most 10"),
    ],
)
def test_a_bad_length_is_refused_before_the_body_has_come(data: bytes, error: str) -> None:
    with pytest.raises(ProtocolError, match=error):
        packets.take_frame(data, 0, 10)


def test_fields_are_read_as_quarry_packs_them() -> None:
    body = (
        Buffer1_7.pack_varint(-1)
        + Buffer1_7.pack_string("h\u00e9llo \U0001f600")
        + Buffer1_7.pack("HqB", 65535, -5, 1)
        + Buffer1_7.pack_byte_array(b"key")
        + bytes(range(16))
        + b"rest"
    )
    fields = packets.Fields(body)
    assert fields.varint() == -1
    assert fields.string(8) == "h\u00e9llo \U0001f600"
    assert (fields.unsigned_short(), fields.long(), fields.boolean()) == (65535, -5, True)
    assert fields.byte_array(3) == b"key"
    assert fields.uuid() == bytes(range(16)).hex()
    assert len(fields) == 4
    with pytest.raises(ProtocolError, match="4 bytes too many in a test"):
        fields.finish("a test")
    assert fields.rest() == b"rest"
    fields.finish("a test")


READS: dict[str, Callable[[packets.Fields], object]] = {
    "varint": packets.Fields.varint,
    "string": lambda fields: fields.string(8),
    "byte_array": lambda fields: fields.byte_array(8),
    "unsigned_short": packets.Fields.unsigned_short,
    "long": packets.Fields.long,
    "boolean": packets.Fields.boolean,
    "uuid": packets.Fields.uuid,
}


@pytest.mark.parametrize("read", READS.values(), ids=READS.keys())
def test_a_field_that_is_cut_off_is_a_protocol_error(read: Callable[[packets.Fields], object]) -> None:
    with pytest.raises(ProtocolError):
        read(packets.Fields(b""))


@pytest.mark.parametrize(
    "body",
    [
        b"\xff\xff\xff\xff\x0f" + b"x" * 40,  # length -1: quarry would go backwards
        b"\x09" + b"x" * 9,  # nine characters where eight are allowed
        b"\x19" + b"x" * 25,  # more bytes than eight characters can have
        b"\x05x",  # cut off
    ],
)
def test_a_bad_string_is_a_protocol_error(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        packets.Fields(body).string(8)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("名前".encode(), "名前"),
        (b"a\xff\xfeb", "a\ufffd\ufffdb"),
        (b"a\xed\xa0\xbdb\xff", "a\ufffdb\ufffd"),
        (b"\xed\xa0\xbd\xed\xb8\x80", "\ufffd\ufffd"),
        ("\U0001f600".encode(), "\U0001f600"),
    ],
)
def test_a_string_is_read_as_java_reads_it(raw: bytes, text: str) -> None:
    assert packets.Fields(bytes([len(raw)]) + raw).string(8) == text


@pytest.mark.parametrize("body", [b"\x80" * 10 + b"\x00", b"\xff" * 5, b"\x80\x80\x80\x80\x80\x00"])
def test_an_overlong_varint_is_a_protocol_error(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        packets.Fields(body).varint()


def test_a_boolean_is_0_or_1() -> None:
    with pytest.raises(ProtocolError, match="2"):
        packets.Fields(b"\x02").boolean()


@given(st.binary(max_size=64), st.lists(st.sampled_from(sorted(READS)), max_size=6))
def test_any_body_raises_only_protocol_errors(body: bytes, names: list[str]) -> None:
    fields = packets.Fields(body)
    try:
        for name in names:
            READS[name](fields)
    except ProtocolError:
        pass
    assert 0 <= len(fields) <= len(body)


@given(st.binary(max_size=40), st.integers(0, 8), st.integers(1, 30))
def test_a_frame_never_reaches_beyond_its_data_or_its_bound(data: bytes, start: int, bound: int) -> None:
    try:
        cut = packets.take_frame(data, start, bound)
    except ProtocolError:
        return
    if cut is not None:
        body, end = cut
        assert 0 < len(body) <= bound
        assert data[start:end].endswith(body)
        assert end - start <= len(body) + packets.LONGEST_PREFIX


@given(st.text())
def test_encoded_strings_can_be_read(text: str) -> None:
    assert packets.Fields(packets.string(text)).string(packets.utf16_length(text)) == text


def test_a_long_string_of_wide_characters_is_packed() -> None:  # quarry stops at 32767 bytes
    text = "\u20ac" * 32767
    assert packets.Fields(packets.string(text)).string(32767) == text


def test_a_lone_surrogate_is_replaced() -> None:
    assert packets.string("a\ud83d") == b"\x02a?"
    assert packets.utf16_length("a\ud83d\U0001f600") == 4
