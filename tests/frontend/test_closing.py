"""How a connection is closed: what was sent last arrives, and no client can keep the connection open."""

from __future__ import annotations

from typing import cast

import pytest
from twisted.internet.interfaces import INegotiated
from twisted.internet.task import Clock
from zope.interface import directlyProvides

from zeroscale.frontend.closing import LINGER, ConnectionCloser
from zeroscale.frontend.connection_record import ConnectionRecord
from zeroscale.frontend.interfaces import IStreamTransport
from zeroscale.frontend.timer import Deadlines


class Transport:
    """Notes what is called."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def resumeProducing(self) -> None:
        self.calls.append("resume")

    def loseWriteConnection(self) -> None:
        self.calls.append("half-close")

    def loseConnection(self) -> None:
        self.calls.append("close")

    def abortConnection(self) -> None:
        self.calls.append("abort")


class Record:
    """Notes what is counted and logged."""

    def __init__(self) -> None:
        self.outcome: str | None = None
        self.ends: list[tuple[str, str, bool]] = []

    def end(self, outcome: str, detail: str = "", *, warn: bool = False, **fields: int) -> None:
        self.outcome = outcome
        self.ends.append((outcome, detail, warn))


class Closing:
    def __init__(self) -> None:
        self.clock = Clock()
        self.deadlines = Deadlines(self.clock)
        self.transport = Transport()
        self.record = Record()
        self.ended: list[str | None] = []
        self.closing: list[str | None] = []
        self.closer = ConnectionCloser(
            cast(IStreamTransport, self.transport),
            cast(ConnectionRecord, self.record),
            self.deadlines,
            lambda: self.ended.append(self.record.outcome),
            lambda: self.closing.append(self.record.outcome),
        )


@pytest.fixture
def closing() -> Closing:
    return Closing()


def test_the_first_outcome_counts(closing: Closing) -> None:
    closing.closer.note("full", "no descriptors left", warn=True)
    closing.closer.close_lingering("left")
    closing.closer.abort("silent", "it stopped answering")
    assert closing.record.ends == [("full", "no descriptors left", True)]
    assert closing.ended == ["full"]
    assert closing.transport.calls == ["resume", "half-close", "abort"]


def test_noting_closes_nothing(closing: Closing) -> None:
    closing.closer.note("closed")
    assert closing.transport.calls == []
    assert len(closing.deadlines) == 0


def test_lingering_reads_on_and_finishes_our_side(closing: Closing) -> None:
    closing.closer.close_lingering("kicked")
    assert closing.transport.calls == ["resume", "half-close"]


def test_a_client_that_does_not_close_is_aborted(closing: Closing) -> None:
    closing.closer.close_lingering("kicked")
    closing.clock.advance(LINGER)
    assert closing.transport.calls == ["resume", "half-close", "abort"]


def test_tls_has_no_half_close(closing: Closing) -> None:
    directlyProvides(closing.transport, INegotiated)
    closing.closer.close_lingering("kicked")
    assert closing.transport.calls == ["resume", "close"]
    closing.clock.advance(LINGER)
    assert closing.transport.calls[-1] == "abort"


def test_closing_is_bounded_too(closing: Closing) -> None:
    closing.closer.close("status")
    closing.clock.advance(LINGER)
    assert closing.transport.calls == ["close", "abort"]


def test_what_may_take_a_while_is_announced(closing: Closing) -> None:
    closing.closer.note("kicked")
    assert closing.closing == []
    closing.closer.close_lingering("kicked")
    closing.closer.close("kicked")
    assert closing.closing == ["kicked"] * 2
    closing.closer.abort("kicked")
    closing.closer.connection_lost()
    closing.closer.close_lingering("kicked")
    assert closing.closing == ["kicked"] * 2
    assert len(closing.deadlines) == 0


def test_a_second_close_begins_the_time_anew(closing: Closing) -> None:
    closing.closer.close_lingering("kicked")
    closing.clock.advance(LINGER - 1)
    closing.closer.close("left")
    closing.clock.advance(LINGER - 1)
    assert "abort" not in closing.transport.calls
    closing.clock.advance(1)
    assert closing.transport.calls[-1] == "abort"


@pytest.mark.parametrize("closed", [True, False])
def test_a_lost_connection_leaves_no_timer(closing: Closing, closed: bool) -> None:
    if closed:
        closing.closer.close("left")
    closing.closer.connection_lost()
    assert len(closing.deadlines) == 0
