from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.task import Clock

from zeroscale.lifecycle.state_task import StateTask


class Owner:
    """A state task, and what it has called."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.calls: list[object] = []
        self.task = StateTask(self.clock, lambda: self.calls.append("timed out"))

    def deadline(self) -> float | None:
        return self.task.deadline

    def run(self, call: Deferred[int]) -> None:
        self.task.run(call, self.calls.append, lambda failure: self.calls.append(failure.getErrorMessage()))


@pytest.fixture
def owner() -> Owner:
    return Owner()


def test_the_result_of_a_call_is_passed_on(owner: Owner) -> None:
    call: Deferred[int] = Deferred()
    owner.run(call)
    assert owner.calls == []
    call.callback(7)
    owner.run(succeed(8))
    assert owner.calls == [7, 8]


def test_the_failure_of_a_call_is_passed_on(owner: Owner) -> None:
    call: Deferred[int] = Deferred()
    owner.run(call)
    call.errback(ValueError("no"))
    assert owner.calls == ["no"]


def test_a_cancelled_call_is_not_heard_of_whatever_error_it_ends_with(owner: Owner) -> None:
    call: Deferred[int] = Deferred(lambda it: it.errback(ConnectingCancelledError(None)))
    owner.run(call)
    owner.task.cancel()
    assert call.called
    assert owner.calls == []


def test_a_call_that_something_else_has_cancelled_is_no_failure(owner: Owner) -> None:
    call: Deferred[int] = Deferred()
    owner.run(call)
    call.errback(CancelledError())
    assert owner.calls == []


def test_only_the_last_call_counts(owner: Owner) -> None:
    first: Deferred[int] = Deferred()
    owner.run(first)
    owner.run(succeed(2))
    first.callback(1)
    assert owner.calls == [2]


def test_a_callback_may_cancel_its_own_call(owner: Owner) -> None:
    owner.task.run(succeed(1), lambda _: owner.task.cancel(), lambda _: None)
    owner.run(succeed(2))
    assert owner.calls == [2]


def test_the_timer_runs_out_once(owner: Owner) -> None:
    owner.task.set_timer(10.0)
    assert owner.deadline() == 10.0
    owner.clock.advance(10.0)
    owner.clock.advance(10.0)
    assert owner.calls == ["timed out"]
    assert owner.deadline() is None


def test_a_timer_is_set_anew_or_stopped(owner: Owner) -> None:
    owner.task.set_timer(10.0)
    owner.task.set_timer(20.0)
    owner.clock.advance(15.0)
    owner.task.set_timer(None)
    owner.clock.advance(15.0)
    assert owner.calls == []
    assert owner.clock.getDelayedCalls() == []


def test_a_timer_is_extended_and_never_shortened(owner: Owner) -> None:
    owner.task.extend_timer(5.0)
    assert owner.deadline() is None
    owner.task.set_timer(10.0)
    owner.clock.advance(5.0)
    owner.task.extend_timer(8.0)
    assert owner.deadline() == 10.0
    owner.task.extend_timer(12.0)
    owner.clock.advance(6.9)
    assert owner.calls == []
    owner.clock.advance(0.2)
    assert owner.calls == ["timed out"]


def test_cancel_stops_the_timer_too(owner: Owner) -> None:
    owner.task.set_timer(10.0)
    owner.task.cancel()
    assert owner.clock.getDelayedCalls() == []
