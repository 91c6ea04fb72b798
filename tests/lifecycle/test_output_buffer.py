"""The last lines of a server: bounded, and followed until one leaves."""

from __future__ import annotations

import pytest

from zeroscale.lifecycle.output_buffer import LINES_KEPT, LONGEST_LINE, OutputBuffer


def test_the_last_lines_are_kept() -> None:
    buffer = OutputBuffer()
    for number in range(LINES_KEPT + 2):
        buffer.add(f"line {number}")
    assert len(buffer.lines()) == LINES_KEPT
    assert (buffer.lines()[0], buffer.lines()[-1]) == ("line 2", f"line {LINES_KEPT + 1}")


def test_a_line_has_a_bound() -> None:
    buffer = OutputBuffer()
    followed: list[str] = []
    buffer.subscribe(followed.append)
    buffer.add("x" * (LONGEST_LINE + 1))
    assert buffer.lines() == tuple(followed) == ("x" * LONGEST_LINE,)


def test_who_follows_gets_new_lines_until_he_leaves() -> None:
    buffer = OutputBuffer()
    buffer.add("before")
    one: list[str] = []
    other: list[str] = []
    leave = buffer.subscribe(one.append)
    buffer.subscribe(other.append)
    buffer.add("first")
    leave()
    leave()
    buffer.add("second")
    assert (one, other) == (["first"], ["first", "second"])


def test_who_leaves_while_a_line_is_told_is_not_told_it_twice() -> None:
    buffer = OutputBuffer()
    told: list[str] = []

    def once(line: str) -> None:
        told.append(line)
        leave()

    leave = buffer.subscribe(once)
    buffer.add("first")
    buffer.add("second")
    assert told == ["first"]


def test_one_who_raises_costs_the_others_nothing(caplog: pytest.LogCaptureFixture) -> None:
    buffer = OutputBuffer()
    followed: list[str] = []

    def raises(line: str) -> None:
        raise ValueError("a reader's own")

    buffer.subscribe(raises)
    buffer.subscribe(followed.append)
    buffer.add("a line")
    assert followed == ["a line"]
    assert "a reader's own" in caplog.text
