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
    lines: list[str] = []
    buffer.subscribe(lines.append)
    buffer.add("x" * (LONGEST_LINE + 1))
    assert buffer.lines() == tuple(lines) == ("x" * LONGEST_LINE,)


def test_a_subscriber_gets_new_lines_until_it_unsubscribes() -> None:
    buffer = OutputBuffer()
    buffer.add("before")
    one: list[str] = []
    other: list[str] = []
    unsubscribe = buffer.subscribe(one.append)
    buffer.subscribe(other.append)
    buffer.add("first")
    unsubscribe()
    unsubscribe()
    buffer.add("second")
    assert (one, other) == (["first"], ["first", "second"])


def test_a_subscriber_may_unsubscribe_while_it_is_called() -> None:
    buffer = OutputBuffer()
    lines: list[str] = []

    def once(line: str) -> None:
        lines.append(line)
        unsubscribe()

    unsubscribe = buffer.subscribe(once)
    buffer.add("first")
    buffer.add("second")
    assert lines == ["first"]


def test_a_subscriber_that_raises_does_not_disturb_the_others(caplog: pytest.LogCaptureFixture) -> None:
    buffer = OutputBuffer()
    lines: list[str] = []

    def raises(line: str) -> None:
        raise ValueError("a subscriber's own")

    buffer.subscribe(raises)
    buffer.subscribe(lines.append)
    buffer.add("a line")
    assert lines == ["a line"]
    assert "a subscriber's own" in caplog.text
