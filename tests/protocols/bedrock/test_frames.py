"""Frames and acknowledgements of a RakNet connection."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocols.bedrock.joins import acknowledge, fragment, reliable, sent, unreliable

from zeroscale.errors import ProtocolError
from zeroscale.protocols.bedrock.frames import (
    ACK,
    MOST_OF_A_RANGE,
    MOST_RANGES,
    NACK,
    RELIABLE_ORDERED,
    UNRELIABLE,
    Fragment,
    acknowledgement,
    frame,
    numbers_in,
    read_datagram,
)


@pytest.mark.parametrize("reliability", range(8))
def test_frames_of_every_reliability(reliability: int) -> None:
    extra = {0: 0, 1: 7, 2: 3, 3: 7, 4: 10, 5: 0, 6: 3, 7: 7}[reliability]
    encoded = bytes((reliability << 5,)) + struct.pack(">H", 24) + bytes(extra) + b"abc"
    assert read_datagram(sent(0x010203, encoded, encoded)) == (0x010203, [(b"abc", None)] * 2)


def test_a_frame_in_bits_and_a_fragment() -> None:
    encoded = b"\x00" + struct.pack(">H", 9) + b"ab"
    found = read_datagram(sent(7, encoded, fragment(b"xyz", 300, 299, 65535)))
    assert found == (7, [(b"ab", None), (b"xyz", Fragment(300, 65535, 299))])


def test_frames_are_encoded_as_clients_do() -> None:
    assert frame(UNRELIABLE, b"abc") == unreliable(b"abc")
    assert frame(RELIABLE_ORDERED, b"abc", 0x010203) == reliable(b"abc", 0x010203)
    assert acknowledgement(ACK, 5, 5) == acknowledge(5)
    assert acknowledgement(NACK, 2, 3) == b"\xa0\x00\x01\x00\x02\x00\x00\x03\x00\x00"


def test_the_numbers_of_an_acknowledgement() -> None:
    assert numbers_in(acknowledge(70000)) == [70000]
    assert numbers_in(b"\xc0\x00\x02\x01\x09\x00\x00\x00\x03\x00\x00\x05\x00\x00") == [9, 3, 4, 5]
    assert numbers_in(b"\xc0\x00\x01\x00\x05\x00\x00\x03\x00\x00") == []


def test_an_acknowledgement_of_everything_is_bounded() -> None:
    everything = b"\xc0\xff\xff" + b"\x00\x00\x00\x00\xff\xff\xff" * 210
    assert len(numbers_in(everything)) == MOST_RANGES * (MOST_OF_A_RANGE + 1)


@pytest.mark.parametrize("encoded", [reliable(b"abc"), unreliable(b"abc"), fragment(b"abc", 2, 1)])
def test_frames_truncated_at_every_byte(encoded: bytes) -> None:
    for size in range(1, len(encoded)):
        with pytest.raises(ProtocolError):
            read_datagram(sent(0, encoded[:size]))
    for size in range(4):
        with pytest.raises(ProtocolError):
            read_datagram(sent(0)[:size])


def test_acknowledgements_truncated_at_every_byte() -> None:
    whole = b"\xc0\x00\x02\x01\x09\x00\x00\x00\x03\x00\x00\x05\x00\x00"
    for size in range(len(whole)):
        with pytest.raises(ProtocolError):
            numbers_in(whole[:size])


@given(st.binary(max_size=100))
def test_any_datagram_raises_nothing_else(data: bytes) -> None:
    for read in (read_datagram, numbers_in):
        try:
            read(data)
        except ProtocolError:
            continue
