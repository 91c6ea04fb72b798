"""What the protocols over UDP share: challenges, and reading a datagram."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroscale.errors import ProtocolError
from zeroscale.protocols.datagrams import CHALLENGE_LIFETIME, Challenges, DatagramReader, cut_text

KEY = b"k" * 16


@given(now=st.floats(0, 1e9), size=st.integers(2, 32))
def test_a_challenge_is_accepted_for_a_while(now: float, size: int) -> None:
    challenges = Challenges(KEY, b"test")
    made = challenges.make("192.0.2.1", now, size)
    assert len(made) == size
    assert challenges.accepts(made, "192.0.2.1", now)
    assert challenges.accepts(made, "192.0.2.1", now + CHALLENGE_LIFETIME)
    assert not challenges.accepts(made, "192.0.2.1", now + 2 * CHALLENGE_LIFETIME)


def test_a_challenge_is_of_one_address_one_purpose_and_one_key() -> None:
    made = Challenges(KEY, b"test").make("192.0.2.1", 7.0, 4)
    assert not Challenges(KEY, b"test").accepts(made, "192.0.2.2", 7.0)
    assert not Challenges(KEY, b"other").accepts(made, "192.0.2.1", 7.0)
    assert not Challenges(b"K" * 16, b"test").accepts(made, "192.0.2.1", 7.0)


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        Challenges(b"short", b"test")


def test_fields_are_read_in_order() -> None:
    reader = DatagramReader(b"\x01\x02\x00abc\x00de", "a test")
    assert reader.byte() == 1
    assert reader.unpack(struct.Struct("<H")) == (2,)
    assert reader.until(b"\x00") == b"abc"
    assert len(reader) == 2
    assert reader.rest() == b"de"
    assert reader.rest() == b""


@pytest.mark.parametrize(
    "read",
    [
        DatagramReader.byte,
        lambda reader: reader.take(1),
        lambda reader: reader.unpack(struct.Struct("<H")),
        lambda reader: reader.until(b"\x00"),
    ],
)
def test_a_field_that_does_not_fit(read: Callable[[DatagramReader], object]) -> None:
    reader = DatagramReader(b"ab", "a test")
    reader.take(2)
    with pytest.raises(ProtocolError, match="a test that ends"):
        read(reader)


@pytest.mark.parametrize(
    ("text", "longest", "encoding", "encoded"),
    [
        ("two\nlines\0and  more", 50, "utf-8", b"two lines and more"),
        ("täglich", 2, "utf-8", b"t"),
        ("täglich", 3, "utf-8", "tä".encode()),
        ("☾ §a", 9, "latin-1", b"? \xa7a"),
        ("\ud800x", 9, "utf-8", b"?x"),
    ],
)
def test_texts_are_cut_between_characters(text: str, longest: int, encoding: str, encoded: bytes) -> None:
    assert cut_text(text, longest, encoding) == encoded
