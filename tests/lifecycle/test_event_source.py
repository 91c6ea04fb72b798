"""The events of a whole lifecycle: which come, in which order, with which causes."""

from __future__ import annotations

import pytest
from lifecycle.harness import OPERATOR, PLAYER, LifecycleHarness
from twisted.internet.defer import Deferred

from zeroscale.errors import PluginError
from zeroscale.events import (
    Cause,
    CauseKind,
    Failed,
    GivenUp,
    Joined,
    Left,
    Ready,
    Refused,
    ServerEvent,
    Stopped,
    Stopping,
    Woken,
)
from zeroscale.lifecycle.lifecycle import ServerLifecycle
from zeroscale.status import ClientInfo

START_OF_TIME = 1_700_000_000.0
IDLE = Cause(CauseKind.idle, detail="no connections for 1 min")


class Observed:
    """A lifecycle whose events are recorded."""

    def __init__(self, harness: LifecycleHarness) -> None:
        self.harness = harness
        self.events: list[ServerEvent] = []
        harness.lifecycle.add_event_observer(self.events.append)

    @property
    def lifecycle(self) -> ServerLifecycle:
        return self.harness.lifecycle

    @property
    def names(self) -> list[str]:
        return [each.event for each in self.events]


@pytest.fixture
def observed() -> Observed:
    return Observed(LifecycleHarness())


def stamp(at: float) -> dict[str, object]:
    return {"server": "test", "at": START_OF_TIME + at}


def test_a_wake_and_a_sleep(observed: Observed) -> None:
    harness = observed.harness
    observed.lifecycle.wake(PLAYER)
    [joining] = [harness.wait_to_join()]
    harness.clock.advance(34.0)
    harness.become_ready()
    harness.clock.advance(10.0)
    [session] = joining
    assert not isinstance(session, str)
    session.moved = lambda: (10, 20)
    session.end()
    harness.clock.advance(60.0)
    harness.clock.advance(2.0)
    harness.plugin.exit(0)
    assert observed.events == [
        Woken(**stamp(0), cause=PLAYER),  # type: ignore[arg-type]
        Ready(**stamp(34), seconds=34.0, waiting=1),  # type: ignore[arg-type]
        Joined(**stamp(34), client=ClientInfo(), players=1),  # type: ignore[arg-type]
        Left(**stamp(44), client=ClientInfo(), players=0, seconds=10.0, to_server=10, to_client=20),  # type: ignore[arg-type]
        Stopping(**stamp(104), cause=IDLE),  # type: ignore[arg-type]
        Stopped(**stamp(106), cause=IDLE, seconds=2.0),  # type: ignore[arg-type]
    ]


def test_an_operators_wake_and_stop(observed: Observed) -> None:
    observed.lifecycle.start_for_operator(OPERATOR)
    observed.harness.become_ready()
    observed.lifecycle.sleep(OPERATOR)
    observed.harness.plugin.exit(0)
    assert observed.names == ["woken", "ready", "stopping", "stopped"]
    assert [each.cause for each in observed.events if isinstance(each, Woken | Stopping | Stopped)] == [OPERATOR] * 3


def test_a_schedule(observed: Observed) -> None:
    schedule = Cause(CauseKind.schedule, detail="schedule Mon-Fri 16:00-22:00")
    observed.lifecycle.wake(schedule)
    observed.harness.become_ready()
    observed.lifecycle.sleep_when_empty(schedule)
    observed.harness.plugin.exit(0)
    assert [each.cause for each in observed.events if isinstance(each, Woken | Stopping | Stopped)] == [schedule] * 3


def test_a_stop_of_an_empty_server_that_has_players_after_all_keeps_no_cause(observed: Observed) -> None:
    observed.harness.running()
    observed.harness.probe.slow = True
    observed.lifecycle.sleep_when_empty(OPERATOR)
    observed.harness.join().end()
    observed.harness.probe.slow = False
    observed.harness.clock.advance(60.0)
    assert isinstance(observed.events[-1], Stopping) and observed.events[-1].cause == IDLE


def test_a_crash(observed: Observed) -> None:
    observed.harness.running()
    observed.harness.join()
    observed.harness.plugin.exit(1)
    assert observed.names == ["woken", "ready", "joined", "left", "failed"]
    failed = observed.events[-1]
    assert isinstance(failed, Failed)
    assert (failed.during, failed.reason, failed.retry_in) == ("run", "it ended while it ran", 0.0)
    assert failed.detail == "it ended while it ran (exit code 1: an error)"


def test_failures_to_start_until_it_is_given_up(observed: Observed) -> None:
    observed.harness.start_fails = PluginError("eula.txt: eula=false must be eula=true")
    for _ in range(3):
        observed.harness.clock.advance(600.0)
        observed.lifecycle.wake(PLAYER)
    assert observed.names == ["woken", "failed"] * 3 + ["given_up"]
    *_, failed, given_up = observed.events
    assert isinstance(failed, Failed) and isinstance(given_up, GivenUp)
    assert (failed.during, failed.detail, failed.retry_in) == ("start", "eula.txt: eula=false must be eula=true", None)
    assert given_up.crashes == 3


def test_a_server_that_does_not_become_ready(observed: Observed) -> None:
    observed.lifecycle.wake(PLAYER)
    observed.harness.clock.advance(300.0)
    observed.harness.plugin.exit(0)
    assert observed.names == ["woken", "stopping", "failed"]
    stopping, failed = observed.events[1:]
    assert isinstance(stopping, Stopping) and isinstance(failed, Failed)
    assert stopping.cause == Cause(CauseKind.start_failed, detail="it was not ready within 300 s")
    assert failed.during == "start"


def test_a_server_that_cannot_be_stopped(observed: Observed) -> None:
    observed.harness.can_wait = False
    observed.harness.replace()
    observed.harness.running()
    observed.lifecycle.sleep(OPERATOR)
    stopping = observed.harness.plugin.stopping
    assert stopping is not None
    stopping.errback(PluginError("no permission"))
    failed = observed.events[-1]
    assert isinstance(failed, Failed) and failed.during == "stop"


def test_a_server_that_exits_by_itself(observed: Observed) -> None:
    observed.harness.running()
    observed.harness.plugin.exit(0)
    stopped = observed.events[-1]
    assert isinstance(stopped, Stopped)
    assert (stopped.cause, stopped.seconds) == (Cause(CauseKind.exited, detail="exit code 0"), 0.0)


def test_a_player_who_waits_for_the_end_of_a_stop_is_the_cause_of_the_next_start(observed: Observed) -> None:
    observed.harness.running()
    observed.lifecycle.sleep(OPERATOR)
    observed.lifecycle.wake(PLAYER)
    observed.harness.plugin.exit(0)
    woken = observed.events[-1]
    assert isinstance(woken, Woken) and woken.cause == PLAYER


def test_a_pause_and_what_follows() -> None:
    observed = Observed(LifecycleHarness(pause_when_idle=True, pause_stop_after=600.0))
    observed.harness.running()
    observed.harness.clock.advance(60.0)
    observed.lifecycle.wake(PLAYER)
    observed.harness.become_ready()
    observed.harness.clock.advance(60.0)
    observed.harness.clock.advance(600.0)
    observed.harness.plugin.exit(0)
    assert observed.names == ["woken", "ready", "stopping", "woken", "ready", "stopping", "stopping", "stopped"]
    pausing, resuming, _, _, stopping, stopped = observed.events[2:]
    assert isinstance(pausing, Stopping) and pausing.pause and pausing.cause == IDLE
    assert isinstance(resuming, Woken) and resuming.resumed and resuming.cause == PLAYER
    assert isinstance(stopping, Stopping) and isinstance(stopped, Stopped) and not stopping.pause
    assert stopping.cause == stopped.cause == Cause(CauseKind.idle, detail="paused for 10 min")


def test_a_server_that_is_found_running_was_not_woken() -> None:
    harness = LifecycleHarness(opened=False)
    observed = Observed(harness)
    harness.plugin.adoptable = True
    Deferred.fromCoroutine(harness.lifecycle.open())
    harness.become_ready()
    [ready] = observed.events
    assert isinstance(ready, Ready) and ready.found


def test_the_end_of_zeroscale_and_the_removal_of_the_server() -> None:
    for kind in (CauseKind.shutdown, CauseKind.removed):
        observed = Observed(LifecycleHarness())
        observed.harness.running()
        _ = observed.lifecycle.close() if kind is CauseKind.shutdown else observed.lifecycle.retire()
        observed.harness.clock.advance(0.0)
        observed.harness.plugin.exit(0)
        assert [each.cause for each in observed.events if isinstance(each, Stopping | Stopped)] == [Cause(kind)] * 2


def test_a_refused_login(observed: Observed) -> None:
    mallory = ClientInfo("Mallory", "203.0.113.9:1")
    observed.lifecycle.refused(mallory, "not_whitelisted")
    assert observed.events == [Refused(**stamp(0), client=mallory, reason="not_whitelisted")]  # type: ignore[arg-type]


def test_an_observer_that_raises_disturbs_no_other(observed: Observed, caplog: pytest.LogCaptureFixture) -> None:
    harness = LifecycleHarness()
    seen: list[ServerEvent] = []

    def broken(event: ServerEvent) -> None:
        raise RuntimeError("broken observer")

    harness.lifecycle.add_event_observer(broken)
    harness.lifecycle.add_event_observer(seen.append)
    harness.running()
    assert [each.event for each in seen] == ["woken", "ready"]
    assert "broken observer" in caplog.text


def test_one_that_needs_no_clients_does_not_make_their_events_be_made() -> None:
    harness = LifecycleHarness()
    events: list[ServerEvent] = []
    harness.lifecycle.add_event_observer(events.append, clients=False)
    harness.running()
    harness.lifecycle.refused(ClientInfo("Eve"), "banned")
    harness.join().end()
    assert [each.event for each in events] == ["woken", "ready"]
