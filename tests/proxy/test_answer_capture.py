"""When a server is asked for what it will answer while it sleeps."""

from __future__ import annotations

from twisted.internet.task import Clock

from zeroscale.proxy.answer_capture import TIMES, AnswerCapture
from zeroscale.status import ServerSnapshot, Status


def view(status: Status) -> ServerSnapshot:
    return ServerSnapshot(name="game", status=status, since=0.0)


def test_it_is_asked_some_times_after_it_is_ready_and_then_no_more() -> None:
    clock, asked = Clock(), list[float]()
    capture = AnswerCapture(clock, lambda: asked.append(clock.seconds()))
    capture.status_changed(view(Status.starting))
    clock.advance(100.0)
    capture.status_changed(view(Status.running))
    for _ in range(1000):
        clock.advance(0.5)
    assert asked == [100.0 + seconds for seconds in TIMES]
    assert not clock.getDelayedCalls()


def test_it_is_not_asked_once_it_stops() -> None:
    clock, asked = Clock(), list[float]()
    capture = AnswerCapture(clock, lambda: asked.append(clock.seconds()))
    capture.status_changed(view(Status.running))
    clock.advance(TIMES[0])
    capture.status_changed(view(Status.stopping))
    capture.status_changed(view(Status.stopped))
    assert not clock.getDelayedCalls()
    capture.status_changed(view(Status.running))
    clock.advance(TIMES[0])
    assert asked == [TIMES[0], 2 * TIMES[0]]
