"""The last lines of a server: bounded, and followed until one leaves."""

from __future__ import annotations

import pytest

from zeroscale.lifecycle.output_buffer import LINES_KEPT, LONGEST_LINE, OutputBuffer


def test_the_last_lines_are_kept() -> None:
    scrollback = OutputBuffer()
    for number in range(LINES_KEPT + 2):
        scrollback.add(f"line {number}")
    assert len(scrollback.lines()) == LINES_KEPT
    assert (scrollback.lines()[0], scrollback.lines()[-1]) == ("line 2", f"line {LINES_KEPT + 1}")


def test_a_line_has_a_bound() -> None:
    scrollback = OutputBuffer()
    followed: list[str] = []
    scrollback.subscribe(followed.append)
    scrollback.add("x" * (LONGEST_LINE + 1))
    assert scrollback.lines() == tuple(followed) == ("x" * LONGEST_LINE,)


def test_who_follows_gets_new_lines_until_he_leaves() -> None:
    scrollback = OutputBuffer()
    scrollback.add("before")
    one: list[str] = []
    other: list[str] = []
    leave = scrollback.subscribe(one.append)
    scrollback.subscribe(other.append)
    scrollback.add("first")
    leave()
    leave()
    scrollback.add("second")
    assert (one, other) == (["first"], ["first", "second"])


def test_who_leaves_while_a_line_is_told_is_not_told_it_twice() -> None:
    scrollback = OutputBuffer()
    told: list[str] = []

    def once(line: str) -> None:
        told.append(line)
        leave()

    leave = scrollback.subscribe(once)
    scrollback.add("first")
    scrollback.add("second")
    assert told == ["first"]


def test_one_who_raises_costs_the_others_nothing(caplog: pytest.LogCaptureFixture) -> None:
    scrollback = OutputBuffer()
    followed: list[str] = []

    def raises(line: str) -> None:
        raise ValueError("a reader's own")

    scrollback.subscribe(raises)
    scrollback.subscribe(followed.append)
    scrollback.add("a line")
    assert followed == ["a line"]
    assert "a reader's own" in caplog.text
