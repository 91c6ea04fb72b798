"""A timer calls once, for its last start."""

from __future__ import annotations

import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock

from zeroscale.frontend.timer import MOST_CANCELLED, Deadlines, Timer


class Started:
    def __init__(self) -> None:
        self.clock = Clock()
        self.timer = Timer(Deadlines(self.clock))
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


def test_many_timers_share_one_call_and_each_calls_in_its_time() -> None:
    clock = Clock()
    deadlines = Deadlines(clock)
    calls: list[str] = []
    timers = {name: Timer(deadlines) for name in ("late", "early", "cancelled", "same")}
    for name, seconds in (("late", 3.0), ("early", 1.0), ("cancelled", 2.0), ("same", 1.0)):
        timers[name].start(seconds, calls.append, name)
    timers["cancelled"].cancel()
    assert len(deadlines) == 3
    assert len(clock.getDelayedCalls()) == 1
    clock.advance(1.0)
    assert calls == ["early", "same"]
    clock.pump([1.0, 1.0])
    assert calls == ["early", "same", "late"]
    assert len(deadlines) == 0


def test_without_timers_the_clock_is_left_alone() -> None:
    clock = Clock()
    deadlines = Deadlines(clock)
    timer = Timer(deadlines)
    timer.start(1.0, lambda: None)
    timer.cancel()
    clock.advance(1.0)
    assert clock.getDelayedCalls() == []
    timer.start(1.0, lambda: None)
    clock.advance(1.0)
    assert clock.getDelayedCalls() == []


def test_a_call_that_fails_does_not_keep_the_others_from_theirs() -> None:
    clock = Clock()
    deadlines = Deadlines(clock)
    calls: list[str] = []
    for function in (lambda: 1 / 0, lambda: calls.append("called")):
        Timer(deadlines).start(1.0, function)
    with pytest.raises(ZeroDivisionError):
        clock.advance(1.0)
    clock.advance(0)
    assert calls == ["called"]


@given(steps=st.lists(st.tuples(st.integers(0, 9), st.floats(0.5, 50) | st.none(), st.floats(0, 5)), max_size=60))
def test_timers_are_as_delayed_calls_of_their_own(steps: list[tuple[int, float | None, float]]) -> None:
    ours, model = Clock(), Clock()
    deadlines = Deadlines(ours)
    timers = [Timer(deadlines) for _ in range(10)]
    calls: dict[int, IDelayedCall] = {}
    called: tuple[list[int], list[int]] = ([], [])
    for number, seconds, pause in [*steps, (0, None, 100.0)]:
        timers[number].cancel()
        if number in calls and calls[number].active():
            calls[number].cancel()
        if seconds is not None:
            timers[number].start(seconds, called[0].append, number)
            calls[number] = model.callLater(seconds, called[1].append, number)
        for clock in (ours, model):
            clock.advance(pause)
        assert called[0] == called[1]
        assert len(deadlines) == len(model.getDelayedCalls())


def test_cancelled_timers_are_not_kept() -> None:
    class Called:
        def __call__(self) -> None: ...

    deadlines = Deadlines(Clock())
    timer, called = Timer(deadlines), Called()
    reference = weakref.ref(called)
    for _ in range(3 * MOST_CANCELLED):
        timer.start(60.0, called)
    timer.cancel()
    del called
    assert reference() is None
    assert len(deadlines) == 0


def test_it_may_be_started_from_its_own_call(started: Started) -> None:
    started.clock.advance(2.0)
    started.timer.start(1.0, started.calls.append, "again")
    started.clock.advance(1.0)
    assert started.calls == ["first", "again"]
