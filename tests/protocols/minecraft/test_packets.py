"""Frames and fields: read as quarry reads them, but bounded, and nothing but ProtocolError comes out."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quarry.types.buffer import Buffer1_7, BufferUnderrun

from zeroscale.errors import ProtocolError
from zeroscale.protocols.minecraft import packets


def test_importing_the_protocols_loads_neither_reactor_nor_quarry() -> None:
    program = (
        "import sys, pkgutil, importlib, zeroscale.protocols as p\n"
        "for m in pkgutil.walk_packages(p.__path__, 'zeroscale.protocols.'): importlib.import_module(m.name)\n"
        "assert 'twisted.internet.reactor' not in sys.modules\n"
        "assert 'quarry' not in sys.modules\n"
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
        b"\xff\xff\xff\xff\x0f" + b"x" * 40,  # length -1
        b"\x80\x80\x80\x80\x08" + b"x" * 40,  # length -2**31
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


@pytest.mark.parametrize(
    ("body", "number"),
    [
        (b"\x7f", 127),
        (b"\x80\x01", 128),
        (b"\xff\xff\xff\xff\x07", 2**31 - 1),
        (b"\x80\x80\x80\x80\x08", -(2**31)),
        (b"\xff\xff\xff\xff\x0f", -1),
        (b"\x81\x80\x80\x80\x00", 1),  # padded
    ],
)
def test_a_varint_has_five_bytes_at_most(body: bytes, number: int) -> None:
    fields = packets.Fields(body + b"x")
    assert (fields.varint(), fields.rest()) == (number, b"x")
    for end in range(len(body)):
        with pytest.raises(ProtocolError, match="ends inside"):
            packets.Fields(body[:end]).varint()


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"\x80" * 10 + b"\x00", "5 bytes"),
        (b"\xff" * 5, "5 bytes"),
        (b"\x80\x80\x80\x80\x80\x00", "5 bytes"),
        (b"\xff\xff\xff\xff\x10", "32 bits"),
        (b"\xff\xff\xff\xff\x7f", "32 bits"),
    ],
)
def test_an_overlong_varint_is_a_protocol_error(body: bytes, error: str) -> None:
    with pytest.raises(ProtocolError, match=error):
        packets.Fields(body).varint()


@pytest.mark.parametrize("count", [b"\x04", b"\xff\xff\xff\xff\x0f", b"\x80\x80\x80\x80\x08"])
def test_a_byte_array_has_a_bound(count: bytes) -> None:
    assert packets.Fields(b"\x03abcd").byte_array(3) == b"abc"
    with pytest.raises(ProtocolError, match="at most 3"):
        packets.Fields(count + b"abcdefgh").byte_array(3)


@pytest.mark.parametrize("text", ["a" * 8, "\u20ac" * 8, "\U0001f600" * 4])
def test_a_string_has_a_bound_in_utf_16_units(text: str) -> None:
    assert packets.Fields(packets.string(text)).string(8) == text
    with pytest.raises(ProtocolError):
        packets.Fields(packets.string(text + "a")).string(8)


def test_a_boolean_is_0_or_1() -> None:
    with pytest.raises(ProtocolError, match="2"):
        packets.Fields(b"\x02").boolean()


def read_by_quarry(buffer: Any, name: str) -> object:
    """What `READS[name]` is to return.

    :raises ValueError: it is to raise an error.
    """
    match name:
        case "varint":
            before = len(buffer)
            number = buffer.unpack_varint()
            if before - len(buffer) > 5:
                raise ValueError
            return number
        case "string" | "byte_array":
            count = read_by_quarry(buffer, "varint")
            assert isinstance(count, int)
            if not 0 <= count <= (24 if name == "string" else 8):
                raise ValueError
            raw = buffer.read(count)
            if name == "byte_array":
                return raw
            text = re.sub(rb"\xed[\xa0-\xbf][\x80-\xbf]", "\ufffd".encode(), raw).decode("utf-8", "replace")
            if len(text.encode("utf-16-le")) > 16:
                raise ValueError
            return text
        case "unsigned_short":
            return buffer.unpack("H")
        case "long":
            return buffer.unpack("q")
        case "boolean":
            byte = buffer.unpack("B")
            if byte > 1:
                raise ValueError
            return bool(byte)
    return buffer.read(16).hex()


NOISE = st.one_of(
    st.binary(max_size=6),
    st.sampled_from(
        [b"\x80" * 5, b"\xff\xff\xff\xff\x0f", b"\xff\xff\xff\xff\x10", b"\x03\xed\xa0\xbd", b"\x02\xff\xc3"]
    ),
)
VALUES: dict[str, st.SearchStrategy[bytes]] = {
    "varint": st.integers(-(2**31), 2**31 - 1).map(Buffer1_7.pack_varint),
    "string": st.text(max_size=9).map(Buffer1_7.pack_string) | st.binary(max_size=25).map(Buffer1_7.pack_byte_array),
    "byte_array": st.binary(max_size=9).map(Buffer1_7.pack_byte_array),
    "boolean": st.binary(min_size=1, max_size=1),
}
VALUE = st.sampled_from(sorted(READS)).flatmap(
    lambda name: st.tuples(st.just(name), VALUES.get(name, st.binary(min_size=16, max_size=16)) | NOISE)
)


@settings(max_examples=500)
@given(st.lists(VALUE, max_size=8))
def test_any_body_is_read_as_quarry_reads_it(values: list[tuple[str, bytes]]) -> None:
    names, body = [name for name, _ in values], b"".join(raw for _, raw in values)
    fields, buffer = packets.Fields(body), Buffer1_7(body)
    for name in names:
        try:
            expected = read_by_quarry(buffer, name)
        except (BufferUnderrun, ValueError):
            with pytest.raises(ProtocolError):
                READS[name](fields)
            return
        assert READS[name](fields) == expected
        assert len(fields) == len(buffer)
    assert fields.rest() == buffer.read()


FRAMES = st.one_of(
    st.binary(max_size=40),
    st.lists(st.binary(min_size=1, max_size=30).map(Buffer1_7.pack_packet), max_size=3).map(b"".join),
    st.tuples(
        st.sampled_from([b"\x80\x00", b"\x82\x00", b"\x82\x80\x00", b"\x82\x80\x80\x00"]), st.binary(max_size=5)
    ).map(b"".join),
)


@settings(max_examples=500)
@given(FRAMES, st.integers(0, 4), st.integers(1, 30), st.sampled_from([bytes, bytearray]))
def test_any_frame_is_cut_out_as_by_quarry(
    data: bytes, start: int, bound: int, kind: Callable[[bytes], bytes | bytearray]
) -> None:
    prefix = data[start : start + packets.LONGEST_PREFIX]
    if all(byte >= 0x80 for byte in prefix):
        if len(prefix) == packets.LONGEST_PREFIX:
            with pytest.raises(ProtocolError):
                packets.take_frame(kind(data), start, bound)
        else:
            assert packets.take_frame(kind(data), start, bound) is None
        return
    buffer = Buffer1_7(data[start:])
    length = buffer.unpack_varint()
    if not 0 < length <= bound:
        with pytest.raises(ProtocolError):
            packets.take_frame(kind(data), start, bound)
    elif length > len(buffer):
        assert packets.take_frame(kind(data), start, bound) is None
    else:
        assert packets.take_frame(kind(data), start, bound) == (buffer.read(length), len(data) - len(buffer))


@given(st.integers(-(2**31), 2**31 - 1) | st.sampled_from([0, 127, 128, 16383, 16384, -1, 2**31 - 1, -(2**31)]))
def test_a_varint_is_packed_as_by_quarry(number: int) -> None:
    assert packets.varint(number) == Buffer1_7.pack_varint(number)


@pytest.mark.parametrize("number", [2**31, -(2**31) - 1])
def test_a_number_of_more_than_32_bits_is_no_varint(number: int) -> None:
    with pytest.raises(ValueError, match="32 bits"):
        packets.varint(number)


@given(st.integers(0, 2**31 - 1), st.lists(st.binary(max_size=100), max_size=3))
def test_a_frame_is_packed_as_by_quarry(packet_id: int, fields: list[bytes]) -> None:
    expected = Buffer1_7.pack_packet(Buffer1_7.pack_varint(packet_id) + b"".join(fields))
    assert packets.frame(packet_id, *fields) == expected


@given(st.text())
def test_encoded_strings_can_be_read(text: str) -> None:
    assert packets.Fields(packets.string(text)).string(packets.utf16_length(text)) == text


def test_a_long_string_of_wide_characters_is_packed() -> None:  # quarry stops at 32767 bytes
    text = "\u20ac" * 32767
    assert packets.Fields(packets.string(text)).string(32767) == text


def test_a_lone_surrogate_is_replaced() -> None:
    assert packets.string("a\ud83d") == b"\x02a?"
    assert packets.utf16_length("a\ud83d\U0001f600") == 4
