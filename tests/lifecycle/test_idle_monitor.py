from __future__ import annotations

import logging

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from zeroscale.lifecycle.idle_monitor import IdleMonitor
from zeroscale.lifecycle.idle_policy import IdlePolicy


class Scene:
    def __init__(self, policy: IdlePolicy) -> None:
        self.clock = Clock()
        self.busy: str | None = None
        self.pending: Deferred[str | None] | None = None
        self.asked = 0
        self.slept = 0
        logger = logging.getLogger("tests.monitor")
        self.changes: list[int] = []
        self.monitor = IdleMonitor(
            "test",
            self.clock,
            policy,
            lambda: Deferred.fromCoroutine(self.question()),
            self.sleep,
            logger,
            lambda: self.changes.append(self.monitor.players),
        )
        self.monitor.begin()
        self.monitor.start_timer()

    async def question(self) -> str | None:
        self.asked += 1
        if self.pending is not None:
            return await self.pending
        return self.busy

    def sleep(self) -> None:
        self.slept += 1
        self.monitor.pause_timer()


@pytest.fixture
def harness() -> Scene:
    return Scene(IdlePolicy(60.0, ignore_short_sessions=True))


def test_it_may_sleep_once_nobody_came(harness: Scene) -> None:
    harness.clock.advance(59.0)
    assert harness.asked == 0
    harness.clock.advance(1.0)
    assert (harness.asked, harness.slept) == (1, 1)
    assert harness.clock.getDelayedCalls() == []


def test_who_is_there_keeps_it_up_and_the_last_to_leave_begins_the_wait(harness: Scene) -> None:
    first, second = harness.monitor.add_session(), harness.monitor.add_session()
    harness.clock.advance(1000.0)
    first.end()
    harness.clock.advance(1000.0)
    assert harness.monitor.players == 1
    second.end()
    second.end()
    assert harness.monitor.players == 0
    assert harness.changes == [1, 2, 1, 0]
    harness.clock.advance(60.0)
    assert harness.slept == 1


@pytest.mark.parametrize(("silent", "sleeps_at"), [(True, 65.0), (False, 110.0)])
def test_who_never_said_a_word_was_nobody(silent: bool, sleeps_at: float) -> None:
    harness = Scene(IdlePolicy(60.0))
    harness.clock.advance(45.0)
    session = harness.monitor.add_session()
    harness.clock.advance(5.0)
    session.end(silent=silent)
    harness.clock.advance(sleeps_at - 50.0 - 0.1)
    assert harness.slept == 0
    harness.clock.advance(0.2)
    assert harness.slept == 1


def test_who_joins_while_it_is_asked_is_safe_whatever_the_answer_will_be(harness: Scene) -> None:
    harness.pending = Deferred(lambda asked: asked.errback(ValueError("an error of the connector's own")))
    harness.clock.advance(60.0)
    assert harness.asked == 1
    harness.monitor.add_session()
    harness.clock.advance(1000.0)
    assert harness.slept == 0


def test_a_busy_server_is_asked_again_and_warned_about_once(harness: Scene, caplog: pytest.LogCaptureFixture) -> None:
    harness.busy = "2 on it"
    harness.clock.pump([60.0] * 4)
    assert (harness.asked, harness.slept) == (4, 0)
    assert [record.getMessage() for record in caplog.records] == ["test is not stopped: 2 on it"]
    harness.busy = None
    harness.clock.advance(60.0)
    assert harness.slept == 1


def test_a_question_that_goes_wrong_counts_as_busy(harness: Scene, caplog: pytest.LogCaptureFixture) -> None:
    harness.pending = Deferred()
    harness.clock.advance(60.0)
    harness.pending.errback(ValueError("a bug"))
    assert harness.slept == 0
    assert "a bug" in caplog.text
    harness.pending = None
    harness.clock.advance(60.0)
    assert harness.slept == 1


def test_visits_of_a_server_that_is_gone_do_not_count_for_the_next(harness: Scene) -> None:
    old = harness.monitor.add_session()
    harness.monitor.reset()
    harness.monitor.begin()
    harness.monitor.start_timer()
    harness.monitor.add_session()
    old.end()
    assert harness.monitor.players == 1


def test_the_log_says_how_long_nobody_has_been_there(harness: Scene, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    session = harness.monitor.add_session()
    harness.clock.advance(50.0)
    session.end()
    harness.clock.advance(60.0)
    assert "No clients online for 60 seconds" in caplog.text
