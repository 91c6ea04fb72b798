"""Split answers of the Source query protocol: three forms, any order, and bounds."""

from __future__ import annotations

import random
import struct
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from zeroscale.errors import ProtocolError
from zeroscale.protocols.source_parts import (
    LARGEST_ANSWER,
    LARGEST_PACKET,
    SINGLE,
    SPLIT,
    SplitAnswer,
    SplitForm,
    form_of,
    split,
)

TWO_PLAYERS = b"\x44\x02\0Ada\0\x03\0\0\0\0\0\x80?\x01Bob\xff\0\xfe\xff\xff\xff\0\0\0@"
RULES = b"\x45\x02\0a\x001\0b\x002\0"


@pytest.mark.parametrize(
    ("protocol", "app_id", "form"),
    [
        (17, 730, SplitForm.source),
        (17, 240, SplitForm.source),
        (7, 240, SplitForm.without_size),
        (7, 2400, SplitForm.source),
        (48, 70, SplitForm.goldsrc),
    ],
)
def test_the_form_is_that_of_the_game(protocol: int, app_id: int, form: SplitForm) -> None:
    assert form_of(protocol, app_id) is form


@given(st.binary(max_size=9000), st.sampled_from(SplitForm), st.randoms())
@example(b"x" * 30000, SplitForm.goldsrc, random.Random(1))
@example(b"x" * 60000, SplitForm.source, random.Random(1))
def test_what_is_split_is_put_together_in_any_order(data: bytes, form: SplitForm, order: random.Random) -> None:
    raw = b"\x45" + data
    datagrams = list(split(raw, form))
    assert max(map(len, datagrams)) <= LARGEST_PACKET
    if len(datagrams) == 1:
        assert datagrams == [SINGLE + raw]
        return
    order.shuffle(datagrams)
    answer = SplitAnswer()
    assert [answer.add(each) for each in [datagrams[0], *datagrams]] == [None] * len(datagrams) + [raw]


@given(st.lists(st.binary(max_size=40).map(lambda data: SPLIT + data), max_size=20))
def test_any_parts_raise_nothing_else(datagrams: list[bytes]) -> None:
    answer = SplitAnswer()
    for datagram in datagrams:
        try:
            answer.add(datagram)
        except ProtocolError:
            continue


@pytest.mark.parametrize("datagram", [b"", SPLIT, SPLIT + bytes(5), SINGLE + bytes(20)])
def test_what_is_no_part(datagram: bytes) -> None:
    with pytest.raises(ProtocolError):
        SplitAnswer().add(datagram)


def test_a_split_answer_without_its_inner_header() -> None:
    answer = SplitAnswer()
    parts = [TWO_PLAYERS[:10], TWO_PLAYERS[10:]]
    datagrams = [SPLIT + struct.pack("<IBBH", 7, 2, number, 10) + part for number, part in enumerate(parts)]
    assert [answer.add(each) for each in datagrams] == [None, TWO_PLAYERS]


def test_another_answer_takes_the_place_of_an_incomplete_one() -> None:
    answer = SplitAnswer()
    first = [SPLIT + struct.pack("<IBBH", 1, 2, number, 99) + b"x" * 20 for number in range(2)]
    second = [
        SPLIT + struct.pack("<IBBH", 2, 2, number, 99) + part
        for number, part in enumerate((SINGLE + RULES[:5], RULES[5:]))
    ]
    assert [answer.add(each) for each in (first[0], second[0], second[1])] == [None, None, RULES]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (b"\x01\x00", b"\x01\x00"),
        (b"\x02\x00\x0a\x00" + RULES[:5], b"\x02\x00\x0a\x00" + RULES[5:]),
        (b"\x02\x00\x0a\x00" + RULES[:5], b"\x02\x05\x0a\x00" + RULES[5:]),
        (b"\x02\x00\x0a\x00" + b"\x41" + RULES[1:5], b"\x02\x01\x0a\x00" + RULES[5:]),
    ],
    ids=["short", "one number twice", "a number too high", "no answer"],
)
def test_parts_that_make_no_answer(first: bytes, second: bytes) -> None:
    answer = SplitAnswer()
    assert [answer.add(SPLIT + b"\x01\x00\x00\x00" + each) for each in (first, second)] == [None, None]


def test_compressed_answers_are_refused() -> None:
    with pytest.raises(ProtocolError, match="compressed"):
        SplitAnswer().add(SPLIT + struct.pack("<IBBHII", 1 << 31, 2, 0, 1248, 100, 0) + b"BZh9")


def test_split_answers_are_bounded() -> None:
    for size in (1, 1200, 60000):
        answer = SplitAnswer()
        kept = 0
        with pytest.raises(ProtocolError, match="more than"):
            for number in range(255):
                kept += size
                answer.add(SPLIT + struct.pack("<IBBH", 1, 255, number, size) + b"\x00" * size)
        assert kept <= LARGEST_ANSWER + size


def test_a_flood_of_parts_takes_little_time() -> None:
    answer = SplitAnswer()
    begin = time.process_time()
    for number in range(2000):
        try:
            answer.add(SPLIT + struct.pack("<IBBH", 1, 255, number % 255, number) + bytes(900))
        except ProtocolError:
            continue
    assert time.process_time() - begin < 2
