"""How connections ended: every one counted, a flood summed up."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from zeroscale.frontend.access_log import LINES, MOST_PEERS, OTHERS, WINDOW, Outcomes
from zeroscale.relay import Outcome

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def outcomes(clock: Clock, caplog: pytest.LogCaptureFixture) -> Outcomes:
    caplog.set_level(logging.INFO)
    return Outcomes(clock)


def test_each_is_told(outcomes: Outcomes, caplog: pytest.LogCaptureFixture) -> None:
    outcomes.tell("203.0.113.7", "left", "100 % of it")
    outcomes.tell("203.0.113.7", "full", "a line", logging.WARNING)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "100 % of it"),
        ("WARNING", "a line"),
    ]


def test_what_a_line_says_is_in_its_fields_too(
    outcomes: Outcomes, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(LINES + 2):
        outcomes.tell("203.0.113.7", "left", "a line", fields={"server": "survival", "seconds": 1.5})
    clock.advance(WINDOW)
    first, *_, summed = (vars(record) for record in caplog.records)
    assert (first["server"], first["seconds"]) == ("survival", 1.5)
    assert (summed["peer"], summed["connections"]) == ("203.0.113.7", 2)


def test_more_than_a_share_is_summed_up(outcomes: Outcomes, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(LINES + 5):
        assert outcomes.has_room("203.0.113.7") == (number < LINES)
        outcomes.tell("203.0.113.7", "left" if number % 2 else "refused", f"line {number}")
    outcomes.tell("203.0.113.8", "left", "another's")
    assert caplog.messages == [*(f"line {number}" for number in range(LINES)), "another's"]
    clock.advance(WINDOW)
    assert caplog.messages[LINES + 1 :] == ["203.0.113.7: 5 more connections within a second: 3 refused, 2 left"]
    assert outcomes.has_room("203.0.113.7")
    outcomes.tell("203.0.113.7", "left", "the next second")
    assert caplog.messages[-1] == "the next second"
    clock.advance(WINDOW)
    assert caplog.messages[-1] == "the next second"


def test_an_even_flow_is_bounded_too(outcomes: Outcomes, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(5000):
        outcomes.tell("203.0.113.7", "left", "line")
        clock.advance(0.01)
    seconds = 50
    assert len(caplog.messages) <= (LINES + 1) * (seconds + 1)


def test_nothing_happens_while_nobody_comes(outcomes: Outcomes, clock: Clock) -> None:
    assert clock.getDelayedCalls() == []
    outcomes.tell("203.0.113.7", "left", "line")
    clock.advance(WINDOW)
    assert clock.getDelayedCalls() == []


def test_there_is_an_end_to_peers(outcomes: Outcomes, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(MOST_PEERS + 100):
        outcomes.tell(f"peer {number}", "left", "line")
    assert len(caplog.messages) == MOST_PEERS + LINES
    clock.advance(WINDOW)
    assert caplog.messages[-1] == f"{OTHERS}: {100 - LINES} more connections within a second: {100 - LINES} left"


def test_every_word_is_told_in_the_docs() -> None:
    source = "".join((ROOT / "zeroscale" / "frontend" / name).read_text() for name in ("connection.py", "join.py"))
    endings = r'(?:Told|Dropped|Relayed|_drop|_kick|_cut_off|_close|_end)\("([a-z-]+)"'
    words = {*re.findall(endings, source), *(outcome.value for outcome in Outcome), "left", "ping"}
    assert len(words) > 15
    _, _, section = (ROOT / "docs" / "logging.md").read_text().partition("## A connection's end")
    rows = re.findall(r"^\| (`[^|]*) \|", section, re.MULTILINE)
    assert set(re.findall(r"`([a-z-]+)`", " ".join(rows))) == words
