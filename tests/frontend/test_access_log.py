"""The access log: one line per connection, the rest summed up."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from zeroscale.frontend.access_log import LINES, MOST_PEERS, OTHERS, WINDOW, AccessLog
from zeroscale.frontend.datagram_wakes import REFUSED
from zeroscale.protocols.conversation import KICKED
from zeroscale.protocols.tcp import PAGE, UNAVAILABLE
from zeroscale.relay import Outcome
from zeroscale.relay.datagram_session import SessionEnd

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def access_log(clock: Clock, caplog: pytest.LogCaptureFixture) -> AccessLog:
    caplog.set_level(logging.INFO)
    return AccessLog(clock)


def test_each_connection_gets_a_line(access_log: AccessLog, caplog: pytest.LogCaptureFixture) -> None:
    access_log.log("203.0.113.7", "left", "100 % of it")
    access_log.log("203.0.113.7", "full", "a line", logging.WARNING)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "100 % of it"),
        ("WARNING", "a line"),
    ]


def test_the_fields_of_a_line_are_logged(access_log: AccessLog, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(LINES + 2):
        access_log.log("203.0.113.7", "left", "a line", fields={"server": "survival", "seconds": 1.5})
    clock.advance(WINDOW)
    first, *_, summed = (vars(record) for record in caplog.records)
    assert (first["server"], first["seconds"]) == ("survival", 1.5)
    assert (summed["peer"], summed["connections"]) == ("203.0.113.7", 2)


def test_connections_beyond_the_limit_are_summed_up(
    access_log: AccessLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(LINES + 5):
        assert access_log.accepts("203.0.113.7") == (number < LINES)
        access_log.log("203.0.113.7", "left" if number % 2 else "refused", f"line {number}")
    access_log.log("203.0.113.8", "left", "another's")
    assert caplog.messages == [*(f"line {number}" for number in range(LINES)), "another's"]
    clock.advance(WINDOW)
    assert caplog.messages[LINES + 1 :] == ["203.0.113.7: 5 more connections within a second: 3 refused, 2 left"]
    assert access_log.accepts("203.0.113.7")
    access_log.log("203.0.113.7", "left", "the next second")
    assert caplog.messages[-1] == "the next second"
    clock.advance(WINDOW)
    assert caplog.messages[-1] == "the next second"


def test_an_even_flow_is_bounded_too(access_log: AccessLog, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(5000):
        access_log.log("203.0.113.7", "left", "line")
        clock.advance(0.01)
    seconds = 50
    assert len(caplog.messages) <= (LINES + 1) * (seconds + 1)


def test_no_timer_runs_without_connections(access_log: AccessLog, clock: Clock) -> None:
    assert clock.getDelayedCalls() == []
    access_log.log("203.0.113.7", "left", "line")
    clock.advance(WINDOW)
    assert clock.getDelayedCalls() == []


def test_peers_beyond_the_limit_are_counted_together(
    access_log: AccessLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(MOST_PEERS + 100):
        access_log.log(f"peer {number}", "left", "line")
    assert len(caplog.messages) == MOST_PEERS + LINES
    clock.advance(WINDOW)
    assert caplog.messages[-1] == f"{OTHERS}: {100 - LINES} more connections within a second: {100 - LINES} left"


def test_docs_list_every_outcome() -> None:
    source = "".join(
        (ROOT / "zeroscale" / "frontend" / name).read_text() for name in ("connection.py", "join.py", "answers.py")
    )
    endings = r'(?:Kicked|Aborted|Relayed|_abort_and_cancel|send_kick|abort|note|close|close_lingering)\("([a-z-]+)"'
    outcomes = {*re.findall(endings, source), *(each.value for each in Outcome), "left", "ping"}
    outcomes |= {KICKED, PAGE, UNAVAILABLE, REFUSED, *(each.value for each in SessionEnd)}
    assert len(outcomes) > 15
    _, _, section = (ROOT / "docs" / "logging.md").read_text().partition("## A connection's end")
    rows = re.findall(r"^\| (`[^|]*) \|", section, re.MULTILINE)
    assert set(re.findall(r"`([a-z-]+)`", " ".join(rows))) == outcomes
