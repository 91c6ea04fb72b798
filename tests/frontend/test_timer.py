"""A timer calls once, for its last start."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from zeroscale.frontend.timer import Timer


class Started:
    def __init__(self) -> None:
        self.clock = Clock()
        self.timer = Timer(self.clock)
        self.calls: list[str] = []
        self.timer.start(2.0, self.calls.append, "first")


@pytest.fixture
def started() -> Started:
    return Started()


def test_it_calls_in_time(started: Started) -> None:
    started.clock.advance(1.9)
    assert started.calls == []
    started.clock.advance(0.1)
    assert started.calls == ["first"]


def test_a_start_replaces_the_one_before(started: Started) -> None:
    started.clock.advance(1.0)
    started.timer.start(2.0, started.calls.append, "second")
    started.clock.advance(10)
    assert started.calls == ["second"]


def test_cancelled_it_calls_nothing(started: Started) -> None:
    started.timer.cancel()
    started.timer.cancel()
    started.clock.advance(10)
    assert started.calls == []


def test_it_may_be_started_from_its_own_call(started: Started) -> None:
    started.clock.advance(2.0)
    started.timer.start(1.0, started.calls.append, "again")
    started.clock.advance(1.0)
    assert started.calls == ["first", "again"]
