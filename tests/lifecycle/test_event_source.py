"""The events of a whole lifecycle: which come, in which order, with which causes."""

from __future__ import annotations

import logging

import pytest
from lifecycle.harness import OPERATOR, PLAYER, LifecycleHarness
from msgspec import structs
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
from zeroscale.lifecycle.idle_monitor import PlayerSession
from zeroscale.lifecycle.idle_policy import IdlePolicy
from zeroscale.lifecycle.lifecycle import ServerLifecycle
from zeroscale.status import ClientInfo, PlayerSign

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
        Ready(**stamp(34), seconds=34.0, waiting=1, unnamed=True),  # type: ignore[arg-type]
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
    assert observed.events == [observed.lifecycle.last_refusal]


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
    harness.join().end()
    assert [each.event for each in events] == ["woken", "ready"]


# The log: the lines of each story, in whole

ADA = ClientInfo("Ada", "203.0.113.7:51234")
BOB = ClientInfo("Bob", "203.0.113.8:51235")
FIFTEEN_MINUTES = 900.0


class Story:
    """A Minecraft server's lifecycle, and the lines of its log at INFO."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        self._caplog = caplog
        self.harness = LifecycleHarness(idle=FIFTEEN_MINUTES)
        policy = IdlePolicy(FIFTEEN_MINUTES, player_sign=PlayerSign.server_bytes)
        self.harness.lifecycle.apply_policy(structs.replace(self.harness.policy, idle=policy))

    @property
    def lines(self) -> list[str]:
        return [f"{each.levelname}:{each.getMessage()}" for each in self._caplog.records]

    def login(self, client: ClientInfo) -> list[PlayerSession]:
        """Let a player join, as the frontend does; what is returned gets the session once the server is ready."""
        self.harness.lifecycle.wake(Cause(CauseKind.login, client))
        sessions: list[PlayerSession] = []

        def joined(session: PlayerSession) -> None:
            session.moved = lambda: (2000, 5000)
            sessions.append(session)

        self.harness.lifecycle.admit(client).addCallbacks(joined, lambda failure: None)
        return sessions

    def advance(self, seconds: float) -> None:
        self.harness.clock.advance(seconds)


@pytest.fixture
def story(caplog: pytest.LogCaptureFixture) -> Story:
    return Story(caplog)


def test_the_story_of_a_wake_and_a_sleep(story: Story) -> None:
    ada = story.login(ADA)
    story.advance(34.2)
    story.harness.become_ready()
    story.advance(1.0)
    story.advance(4319.0)
    ada[0].end()
    story.advance(FIFTEEN_MINUTES)
    story.advance(3.1)
    story.harness.plugin.exit(0)
    assert story.lines == [
        "INFO:test: starting: Ada (203.0.113.7) joined",
        "INFO:test: ready after 34.2 s, 1 player waiting",
        "INFO:test: Ada joined (1 player)",
        "INFO:test: Ada left after 1 h 12 min (0 players)",
        "INFO:test: stopping: no players for 15 min",
        "INFO:test: stopped after 3.1 s",
    ]


def test_the_story_of_a_join_by_two(story: Story) -> None:
    ada, bob = story.login(ADA), story.login(BOB)
    story.advance(71.0)
    story.harness.become_ready()
    story.advance(1.0)
    story.advance(59.0)
    bob[0].end()
    story.advance(60.0)
    ada[0].end()
    assert story.lines == [
        "INFO:test: starting: Ada (203.0.113.7) joined",
        "INFO:test: ready after 1 min 11 s, 2 players waiting",
        "INFO:test: Ada joined (1 player)",
        "INFO:test: Bob joined (2 players)",
        "INFO:test: Bob left after 1 min (1 player)",
        "INFO:test: Ada left after 2 min (0 players)",
    ]


def test_the_story_of_an_operators_stop(story: Story) -> None:
    story.harness.lifecycle.start_for_operator(OPERATOR)
    story.advance(12.0)
    story.harness.become_ready()
    story.login(ADA)
    story.advance(1.0)
    story.harness.lifecycle.sleep(OPERATOR)
    story.advance(2.0)
    story.harness.plugin.exit(0)
    assert story.lines == [
        "INFO:test: starting: woken by operator max",
        "INFO:test: ready after 12.0 s",
        "INFO:test: Ada joined (1 player)",
        "INFO:test: stopping: stopped by operator max",
        "INFO:test: Ada left after 3 s (0 players)",
        "INFO:test: stopped after 2.0 s",
    ]


def test_the_story_of_a_crash(story: Story) -> None:
    story.login(ADA)
    story.harness.become_ready()
    story.advance(1.0)
    story.harness.plugin.write_line("java.lang.OutOfMemoryError: Java heap space")
    story.harness.plugin.exit(1)
    assert story.lines == [
        "INFO:test: starting: Ada (203.0.113.7) joined",
        "INFO:test: ready after 0.0 s, 1 player waiting",
        "INFO:test: Ada joined (1 player)",
        "INFO:test: Ada left after 1 s (0 players)",
        "ERROR:test: crashed: it ended while it ran (exit code 1: an error); its last output: "
        "java.lang.OutOfMemoryError: Java heap space",
    ]


def test_the_story_of_failures_to_start(story: Story) -> None:
    story.harness.start_fails = PluginError("eula.txt: eula=false must be eula=true")
    for _ in range(3):
        story.login(ADA)
        story.advance(10.0)
    failed = "ERROR:test: start failed: eula.txt: eula=false must be eula=true"
    assert story.lines == [
        "INFO:test: starting: Ada (203.0.113.7) joined",
        failed,
        "INFO:test: starting: Ada (203.0.113.7) joined",
        f"{failed}; it may be started again in 10 s",
        "INFO:test: starting: Ada (203.0.113.7) joined",
        failed,
        "ERROR:test: given up after 3 failures in a row: it is not started again before zeroscalectl release or wake",
    ]


def test_the_story_of_a_start_that_takes_too_long(story: Story) -> None:
    story.login(ADA)
    story.advance(300.0)
    story.advance(2.0)
    story.harness.plugin.exit(0)
    assert story.lines == [
        "INFO:test: starting: Ada (203.0.113.7) joined",
        "WARNING:test: stopping: it was not ready within 300 s",
        "ERROR:test: start failed: it was not ready within 300 s",
    ]


def test_the_story_of_a_refused_player(story: Story) -> None:
    story.harness.lifecycle.refused(BOB, "not_whitelisted", "not on the server's whitelist")
    assert story.lines == ["INFO:test: Bob (203.0.113.8) refused: not on the server's whitelist"]


def test_the_story_of_a_schedule(story: Story) -> None:
    story.harness.lifecycle.wake(Cause(CauseKind.schedule, detail="schedule Mon-Fri 16:00-22:00"))
    story.advance(30.0)
    story.harness.become_ready()
    story.advance(600.0)
    story.harness.lifecycle.sleep_when_empty(Cause(CauseKind.schedule, detail="end of schedule Mon-Fri 16:00-22:00"))
    story.advance(1.0)
    story.harness.plugin.exit(0)
    assert story.lines == [
        "INFO:test: starting: schedule Mon-Fri 16:00-22:00",
        "INFO:test: ready after 30.0 s",
        "INFO:test: stopping: end of schedule Mon-Fri 16:00-22:00",
        "INFO:test: stopped after 1.0 s",
    ]


def test_a_line_has_the_facts_of_its_event_as_fields(story: Story, caplog: pytest.LogCaptureFixture) -> None:
    story.login(ADA)
    [woken] = caplog.records
    fields = {name: getattr(woken, name) for name in ("event", "server", "cause", "player", "peer")}
    assert fields == {
        "event": "woken",
        "server": "test",
        "cause": "login",
        "player": "Ada",
        "peer": "203.0.113.7:51234",
    }


def test_nothing_is_made_for_each_connection_where_nobody_reads_it(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made(*_: object, **__: object) -> None:
        raise AssertionError("an event was made")

    monkeypatch.setattr("zeroscale.lifecycle.idle_monitor.Joined", made)
    monkeypatch.setattr("zeroscale.lifecycle.idle_monitor.Left", made)
    caplog.set_level(logging.INFO)
    harness = LifecycleHarness().running()
    harness.join().end()  # without a name, at INFO
    caplog.set_level(logging.WARNING)
    sessions: list[PlayerSession] = []
    harness.lifecycle.admit(ADA).addCallback(sessions.append)
    sessions[0].end()
