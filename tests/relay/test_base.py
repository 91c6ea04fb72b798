"""The Deferred of a pair's end, and how transports are closed after it."""

from __future__ import annotations

from typing import cast

import pytest
from twisted.internet.interfaces import ITCPTransport, ITransport
from zope.interface import directlyProvides

from zeroscale.relay.base import Counters, Outcome, Report, ReportDeferred, close

REPORT = Report(1, 2, Outcome.aborted)


class Transport:
    """Notes how it is closed."""

    def __init__(self) -> None:
        self.called = ""
        directlyProvides(self, ITCPTransport)

    def loseConnection(self) -> None:
        self.called += "loseConnection"

    def abortConnection(self) -> None:
        self.called += "abortConnection"


def test_cancelling_asks_for_the_end_and_does_not_fire() -> None:
    asked: list[str] = []
    ending = ReportDeferred(lambda: asked.append("abort"), lambda: (0, 0))
    reports: list[Report] = []
    ending.addCallback(reports.append)
    ending.cancel()
    ending.cancel()
    assert asked == ["abort", "abort"]
    assert reports == []
    ending.callback(REPORT)
    assert reports == [REPORT]


def test_cancelling_after_the_end_does_nothing() -> None:
    asked: list[str] = []
    ending = ReportDeferred(lambda: asked.append("abort"), lambda: (0, 0))
    ending.callback(REPORT)
    ending.cancel()
    assert asked == []


@pytest.mark.parametrize("outcome", Outcome)
def test_only_an_orderly_end_closes_in_order(outcome: Outcome) -> None:
    transport = Transport()
    close(cast(ITransport, transport), outcome)
    assert transport.called == ("loseConnection" if outcome is Outcome.closed else "abortConnection")


def test_values_are_values() -> None:
    assert Counters(1, 2, 3, 4) == Counters(1, 2, 3, 4)
    assert [outcome.value for outcome in Outcome] == [
        "closed",
        "client-reset",
        "backend-reset",
        "timed-out",
        "aborted",
    ]
