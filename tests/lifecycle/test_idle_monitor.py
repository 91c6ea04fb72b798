from __future__ import annotations

import logging

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from zeroscale.lifecycle.idle_monitor import IdleMonitor
from zeroscale.lifecycle.idle_policy import IdlePolicy


class MonitorHarness:
    def __init__(self, policy: IdlePolicy) -> None:
        self.clock = Clock()
        self.busy: str | None = None
        self.pending: Deferred[str | None] | None = None
        self.queries = 0
        self.stops = 0
        logger = logging.getLogger("tests.monitor")
        self.changes: list[int] = []
        self.monitor = IdleMonitor(
            "test",
            self.clock,
            policy,
            lambda: Deferred.fromCoroutine(self.query()),
            self.stop,
            logger,
            lambda: self.changes.append(self.monitor.players),
        )
        self.monitor.begin()
        self.monitor.start_timer()

    async def query(self) -> str | None:
        self.queries += 1
        if self.pending is not None:
            return await self.pending
        return self.busy

    def stop(self) -> None:
        self.stops += 1
        self.monitor.pause_timer()


@pytest.fixture
def harness() -> MonitorHarness:
    return MonitorHarness(IdlePolicy(60.0, ignore_short_sessions=True))


def test_the_server_may_stop_after_the_idle_time(harness: MonitorHarness) -> None:
    harness.clock.advance(59.0)
    assert harness.queries == 0
    harness.clock.advance(1.0)
    assert (harness.queries, harness.stops) == (1, 1)
    assert harness.clock.getDelayedCalls() == []


def test_the_idle_time_begins_when_the_last_player_leaves(harness: MonitorHarness) -> None:
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
    assert harness.stops == 1


@pytest.mark.parametrize(("silent", "stops_at"), [(True, 65.0), (False, 110.0)])
def test_a_short_session_of_a_silent_client_does_not_count(silent: bool, stops_at: float) -> None:
    harness = MonitorHarness(IdlePolicy(60.0))
    harness.clock.advance(45.0)
    session = harness.monitor.add_session()
    harness.clock.advance(5.0)
    session.end(silent=silent)
    harness.clock.advance(stops_at - 50.0 - 0.1)
    assert harness.stops == 0
    harness.clock.advance(0.2)
    assert harness.stops == 1


def test_a_player_who_joins_during_the_query_keeps_the_server_running(harness: MonitorHarness) -> None:
    harness.pending = Deferred(lambda asked: asked.errback(ValueError("an error of the connector's own")))
    harness.clock.advance(60.0)
    assert harness.queries == 1
    harness.monitor.add_session()
    harness.clock.advance(1000.0)
    assert harness.stops == 0


def test_a_busy_server_is_asked_again_and_warned_about_once(
    harness: MonitorHarness, caplog: pytest.LogCaptureFixture
) -> None:
    harness.busy = "2 on it"
    harness.clock.pump([60.0] * 4)
    assert (harness.queries, harness.stops) == (4, 0)
    assert [record.getMessage() for record in caplog.records] == ["test is not stopped: 2 on it"]
    harness.busy = None
    harness.clock.advance(60.0)
    assert harness.stops == 1


def test_a_failed_query_counts_as_busy(harness: MonitorHarness, caplog: pytest.LogCaptureFixture) -> None:
    harness.pending = Deferred()
    harness.clock.advance(60.0)
    harness.pending.errback(ValueError("a bug"))
    assert harness.stops == 0
    assert "a bug" in caplog.text
    harness.pending = None
    harness.clock.advance(60.0)
    assert harness.stops == 1


def test_sessions_of_an_earlier_run_do_not_count(harness: MonitorHarness) -> None:
    old = harness.monitor.add_session()
    harness.monitor.reset()
    harness.monitor.begin()
    harness.monitor.start_timer()
    harness.monitor.add_session()
    old.end()
    assert harness.monitor.players == 1


def test_the_log_has_the_time_without_players(harness: MonitorHarness, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    session = harness.monitor.add_session()
    harness.clock.advance(50.0)
    session.end()
    harness.clock.advance(60.0)
    assert "No clients online for 60 seconds" in caplog.text
