"""A container's output, split into frames and lines."""

from __future__ import annotations

import asyncio

import pytest

from zeroscale.plugins.docker.log_stream import LONGEST_LINE, LineSplitter, read_frame


def lines_of(*pieces: bytes) -> list[str]:
    message: list[str] = []
    lines = LineSplitter(message.append)
    for piece in pieces:
        lines.feed(piece)
    lines.end()
    return message


@pytest.mark.parametrize("size", [1, 3, 100])
def test_lines_do_not_depend_on_the_pieces(size: int) -> None:
    whole = b"one\r\ntwo\n\nthree \xe2\x82\xac\nand"
    assert lines_of(*(whole[at : at + size] for at in range(0, len(whole), size))) == [
        "one",
        "two",
        "",
        "three €",
        "and",
    ]


def test_a_line_without_an_end_is_cut_and_not_kept() -> None:
    message = lines_of(*[b"x" * 5000] * 10, b"\nnext\n")
    assert [len(line) for line in message] == [LONGEST_LINE, 4]


def reader(data: bytes) -> asyncio.StreamReader:
    stream = asyncio.StreamReader()
    stream.feed_data(data)
    stream.feed_eof()
    return stream


async def test_frames_are_taken_apart_and_a_broken_one_is_the_end() -> None:
    stream = reader(
        b"\x01\0\0\0\0\0\0\x02hi" + b"\x02\0\0\0\0\0\0\0" + b"\x02\0\0\0\0\0\0\x03err" + b"\x01\0\0\0\0\0\0\x09cut"
    )
    assert [await read_frame(stream) for _ in range(3)] == [b"hi", b"err", b""]


async def test_a_frame_that_cannot_be_one_is_refused() -> None:
    with pytest.raises(ValueError, match="bytes"):
        await read_frame(reader(b"\x01\0\0\0\xff\xff\xff\xff"))
