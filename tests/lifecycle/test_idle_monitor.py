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
        logger = logging.getLogger("tests.vigil")
        self.changes: list[int] = []
        self.vigil = IdleMonitor(
            "test",
            self.clock,
            policy,
            self.question,
            self.sleep,
            logger,
            lambda: self.changes.append(self.vigil.players),
        )
        self.vigil.begin()
        self.vigil.start_timer()

    async def question(self) -> str | None:
        self.asked += 1
        if self.pending is not None:
            return await self.pending
        return self.busy

    def sleep(self) -> None:
        self.slept += 1
        self.vigil.pause_timer()


@pytest.fixture
def scene() -> Scene:
    return Scene(IdlePolicy(60.0, ignore_short_sessions=True))


def test_it_may_sleep_once_nobody_came(scene: Scene) -> None:
    scene.clock.advance(59.0)
    assert scene.asked == 0
    scene.clock.advance(1.0)
    assert (scene.asked, scene.slept) == (1, 1)
    assert scene.clock.getDelayedCalls() == []


def test_who_is_there_keeps_it_up_and_the_last_to_leave_begins_the_wait(scene: Scene) -> None:
    first, second = scene.vigil.add_session(), scene.vigil.add_session()
    scene.clock.advance(1000.0)
    first.end()
    scene.clock.advance(1000.0)
    assert scene.vigil.players == 1
    second.end()
    second.end()
    assert scene.vigil.players == 0
    assert scene.changes == [1, 2, 1, 0]
    scene.clock.advance(60.0)
    assert scene.slept == 1


@pytest.mark.parametrize(("silent", "sleeps_at"), [(True, 65.0), (False, 110.0)])
def test_who_never_said_a_word_was_nobody(silent: bool, sleeps_at: float) -> None:
    scene = Scene(IdlePolicy(60.0))
    scene.clock.advance(45.0)
    visit = scene.vigil.add_session()
    scene.clock.advance(5.0)
    visit.end(silent=silent)
    scene.clock.advance(sleeps_at - 50.0 - 0.1)
    assert scene.slept == 0
    scene.clock.advance(0.2)
    assert scene.slept == 1


def test_who_joins_while_it_is_asked_is_safe_whatever_the_answer_will_be(scene: Scene) -> None:
    scene.pending = Deferred(lambda asked: asked.errback(ValueError("an error of the connector's own")))
    scene.clock.advance(60.0)
    assert scene.asked == 1
    scene.vigil.add_session()
    scene.clock.advance(1000.0)
    assert scene.slept == 0


def test_a_busy_server_is_asked_again_and_warned_about_once(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.busy = "2 on it"
    scene.clock.pump([60.0] * 4)
    assert (scene.asked, scene.slept) == (4, 0)
    assert [record.getMessage() for record in caplog.records] == ["test is not stopped: 2 on it"]
    scene.busy = None
    scene.clock.advance(60.0)
    assert scene.slept == 1


def test_a_question_that_goes_wrong_counts_as_busy(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.pending = Deferred()
    scene.clock.advance(60.0)
    scene.pending.errback(ValueError("a bug"))
    assert scene.slept == 0
    assert "a bug" in caplog.text
    scene.pending = None
    scene.clock.advance(60.0)
    assert scene.slept == 1


def test_visits_of_a_server_that_is_gone_do_not_count_for_the_next(scene: Scene) -> None:
    old = scene.vigil.add_session()
    scene.vigil.reset()
    scene.vigil.begin()
    scene.vigil.start_timer()
    scene.vigil.add_session()
    old.end()
    assert scene.vigil.players == 1


def test_the_log_says_how_long_nobody_has_been_there(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    visit = scene.vigil.add_session()
    scene.clock.advance(50.0)
    visit.end()
    scene.clock.advance(60.0)
    assert "No clients online for 60 seconds" in caplog.text
