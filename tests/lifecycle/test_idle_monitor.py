from __future__ import annotations

import logging
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from zeroscale.events import Cause, CauseKind, Joined, Left, ServerEvent
from zeroscale.lifecycle.event_source import EventSource
from zeroscale.lifecycle.idle_monitor import MOST_WARNINGS, ExpectedReason, IdleMonitor, PlayerSession
from zeroscale.lifecycle.idle_policy import IdlePolicy
from zeroscale.status import ClientInfo, PlayerSign


class MonitorHarness:
    def __init__(self, policy: IdlePolicy) -> None:
        self.clock = Clock()
        self.busy: str | None = None
        self.pending: Deferred[str | None] | None = None
        self.queries = 0
        self.stops = 0
        logger = logging.getLogger("tests.monitor")
        self.changes: list[int] = []
        self.causes: list[Cause] = []
        self.errors: list[Failure] = []
        self.source = EventSource(logger, lambda: 1000.0 + self.clock.seconds(), self.errors.append)
        self.monitor = IdleMonitor(
            "test",
            self.clock,
            policy,
            lambda: Deferred.fromCoroutine(self.query()),
            self.stop,
            logger,
            self.source,
            lambda: self.changes.append(self.monitor.players),
        )
        self.monitor.begin()
        self.monitor.start_timer()

    async def query(self) -> str | None:
        self.queries += 1
        if self.pending is not None:
            return await self.pending
        return self.busy

    def stop(self, cause: Cause) -> None:
        self.stops += 1
        self.causes.append(cause)
        self.monitor.pause_timer()


@pytest.fixture
def harness() -> MonitorHarness:
    return MonitorHarness(IdlePolicy(60.0))


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
    session.moved = lambda: (0 if silent else 1, 300)
    session.end()
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
    assert [record.getMessage() for record in caplog.records] == ["not stopped: 2 on it"]
    harness.busy = None
    harness.clock.advance(60.0)
    assert harness.stops == 1


def test_a_reason_that_is_configured_is_no_warning(harness: MonitorHarness, caplog: pytest.LogCaptureFixture) -> None:
    harness.busy = ExpectedReason("schedule daily 08:00-22:00")
    harness.clock.pump([60.0] * 4)
    assert (harness.queries, harness.stops) == (4, 0)
    assert [record for record in caplog.records if record.levelname != "DEBUG"] == []


def test_each_reason_is_warned_about_once_and_a_number_in_it_is_no_other_reason(
    harness: MonitorHarness, caplog: pytest.LogCaptureFixture
) -> None:
    for busy in ("2 on it", "its answer is not understood: 'x'", "3 on it", "its answer is not understood: 'x'"):
        harness.busy = busy
        harness.clock.advance(60.0)
    assert [record.getMessage() for record in caplog.records] == [
        "not stopped: 2 on it",
        "not stopped: its answer is not understood: 'x'",
    ]


def test_the_number_of_warnings_is_bounded(harness: MonitorHarness, caplog: pytest.LogCaptureFixture) -> None:
    for letter in "abcdefghijklmnopqrstuvwxyz":
        harness.busy = f"its answer is not understood: {letter}"
        harness.clock.advance(60.0)
    assert len(caplog.records) == MOST_WARNINGS


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
    session.moved = lambda: (1, 1)
    harness.clock.advance(50.0)
    session.end()
    harness.clock.advance(60.0)
    assert "No clients online for 60 seconds" in caplog.text


STRANGER = ClientInfo("Steve", "203.0.113.7:4000", "203.0.113.7")


def minecraft(idle: float = 5.0) -> MonitorHarness:
    return MonitorHarness(IdlePolicy(idle, player_sign=PlayerSign.server_bytes))


def join(harness: MonitorHarness, to_client: int, client: ClientInfo = STRANGER) -> PlayerSession:
    session = harness.monitor.add_session(client)
    session.moved = lambda: (100, to_client)
    return session


def test_a_stranger_who_holds_logins_open_again_and_again_does_not_keep_the_server_running() -> None:
    harness = minecraft(15.0)
    for _ in range(3):
        session = join(harness, 300)
        harness.clock.pump([1.0] * 25)
        session.end()
        harness.clock.pump([1.0] * 12)
    assert harness.stops == 1


@pytest.mark.parametrize(("address", "kept"), [(STRANGER.limit_key, False), (None, True)])
def test_only_addresses_without_limits_may_use_the_time_again(address: str | None, kept: bool) -> None:
    harness = minecraft()
    for _ in range(10):
        session = join(harness, 300, ClientInfo(limit_key=address))
        harness.clock.pump([1.0] * 20)
        session.end()
    assert (harness.stops == 0) == kept


UNVISITED = IdlePolicy(15.0, minimum_unvisited=60.0, player_sign=PlayerSign.server_bytes)


def test_a_server_waits_for_its_first_client() -> None:
    harness = MonitorHarness(UNVISITED)
    harness.clock.advance(59.9)
    assert harness.stops == 0
    harness.clock.advance(0.2)
    assert harness.stops == 1


@pytest.mark.parametrize(("to_client", "stops_at"), [(0, 60.0), (258, 25.0), (4096, 25.0)])
def test_the_first_client_is_one_that_the_server_has_answered(to_client: int, stops_at: float) -> None:
    harness = MonitorHarness(UNVISITED)
    session = join(harness, to_client)
    harness.clock.advance(10.0)
    session.end()
    harness.clock.advance(stops_at - 10.1)
    assert harness.stops == 0
    harness.clock.advance(0.2)
    assert harness.stops == 1


def test_each_run_waits_for_its_first_client() -> None:
    harness = MonitorHarness(UNVISITED)
    join(harness, 5000).end()
    harness.monitor.reset()
    harness.monitor.begin()
    harness.monitor.start_timer()
    harness.clock.advance(59.9)
    assert harness.stops == 0


def test_a_connection_that_is_held_open_keeps_the_server_running_for_60_s_only() -> None:
    harness = minecraft()
    join(harness, 300)
    harness.clock.advance(59.9)
    assert (harness.stops, harness.monitor.players) == (0, 0)
    harness.clock.advance(0.2)
    assert harness.stops == 1


@pytest.mark.parametrize("first_bytes_after", [0.0, 59.0, 200.0])
def test_a_player_is_never_cut_off_and_a_short_visit_restarts_the_idle_time(first_bytes_after: float) -> None:
    harness = minecraft(300.0)
    sent = 0
    session = harness.monitor.add_session(STRANGER)
    session.moved = lambda: (100, sent)
    harness.clock.advance(first_bytes_after)
    sent = 4096
    assert (harness.monitor.players, harness.monitor.check_at) == (1, None)
    harness.clock.advance(5.0)
    session.end()
    harness.clock.advance(299.0)
    assert harness.stops == 0
    harness.clock.advance(1.0)
    assert harness.stops == 1


def test_a_player_who_is_accepted_while_the_server_is_asked_keeps_it_running() -> None:
    harness = minecraft()
    harness.pending = Deferred()
    sent = 0
    session = harness.monitor.add_session(STRANGER)
    session.moved = lambda: (100, sent)
    harness.clock.advance(60.0)
    assert harness.queries == 1
    sent = 9000
    harness.pending.callback(None)
    harness.clock.advance(1000.0)
    assert (harness.stops, harness.monitor.check_at) == (0, None)
    session.end()
    harness.pending = None
    harness.clock.advance(5.0)
    assert harness.stops == 1


def test_strangers_who_come_and_go_do_not_cancel_the_query() -> None:
    harness = minecraft()
    join(harness, 300)
    harness.pending = Deferred()
    harness.clock.advance(60.0)
    join(harness, 300).end()
    harness.pending.callback(None)
    assert (harness.queries, harness.stops) == (1, 1)


def test_nothing_wakes_up_while_a_player_is_on() -> None:
    harness = minecraft()
    join(harness, 5000)
    harness.clock.advance(60.0)
    assert harness.clock.getDelayedCalls() == []


def test_connections_that_stayed_during_a_pause_are_counted_after_it() -> None:
    harness = minecraft()
    session = join(harness, 300)
    harness.clock.advance(60.0)
    assert harness.stops == 1
    harness.monitor.begin()
    harness.monitor.start_timer()
    session.moved = lambda: (100, 5000)
    harness.clock.advance(1000.0)
    assert (harness.monitor.players, harness.stops) == (1, 1)


def test_a_monitor_that_sends_nothing_never_counts() -> None:
    harness = MonitorHarness(IdlePolicy(60.0, player_sign=PlayerSign.client_bytes))
    for _ in range(6):
        session = harness.monitor.add_session()
        harness.clock.advance(5.0)
        session.end()
        harness.clock.advance(5.0)
    assert harness.stops == 1


def test_a_connection_that_stays_silent_does_not_count_and_one_that_speaks_does() -> None:
    harness = MonitorHarness(IdlePolicy(60.0, player_sign=PlayerSign.client_bytes))
    harness.monitor.add_session()
    harness.clock.advance(59.0)
    harness.monitor.add_session().moved = lambda: (1, 0)
    harness.clock.advance(1000.0)
    assert harness.stops == 0


@given(
    st.lists(st.tuples(st.floats(0, 80), st.booleans(), st.booleans()), max_size=40),
    st.sampled_from([1.0, 5.0, 30.0, 100.0]),
)
def test_one_address_extends_the_running_time_by_60_s_at_most(
    steps: list[tuple[float, bool, bool]], idle: float
) -> None:
    harness = minecraft(idle)
    open_sessions: list[PlayerSession] = []
    harness.monitor.add_session().moved = lambda: (1, 9999)
    player = harness.monitor.sessions[0]
    visits = count()
    left_at: float | None = None
    for pause, opens, leaves in steps:
        target = harness.clock.seconds() + pause
        while harness.clock.seconds() < target and not harness.stops:
            harness.clock.advance(min(0.5, target - harness.clock.seconds()))
        if harness.stops:
            break
        if opens:
            open_sessions.append(join(harness, 300))
        elif open_sessions:
            open_sessions.pop(next(visits) % len(open_sessions)).end()
        if leaves and left_at is None:
            left_at = harness.clock.seconds()
            player.end()
    assert not (harness.stops and left_at is None), "the player was cut off"
    if left_at is not None:
        while not harness.stops:
            harness.clock.advance(0.5)
        # The idle time may have passed already when the last of the 60 s begin: so much does one address use in all.
        assert harness.clock.seconds() <= left_at + idle + 60.0 + 1.0


@pytest.mark.parametrize("sign", PlayerSign)
def test_players_who_come_and_go_do_not_set_the_timer_anew_and_the_server_stops_in_time(sign: PlayerSign) -> None:
    harness = MonitorHarness(IdlePolicy(60.0, player_sign=sign))
    timers = list(harness.clock.getDelayedCalls())
    for _ in range(50):
        session = harness.monitor.add_session(STRANGER)
        session.moved = lambda: (100, 5000)
        harness.clock.advance(1.0)
        session.end()
        assert harness.clock.getDelayedCalls() == timers
    assert harness.monitor.check_at == 110.0
    harness.clock.pump([9.0, 50.9])
    assert (harness.queries, harness.monitor.check_at) == (0, 110.0)
    harness.clock.advance(0.1)
    assert (harness.queries, harness.stops) == (1, 1)


def test_further_strangers_do_not_set_the_timer_anew() -> None:
    harness = minecraft()
    join(harness, 300)
    harness.clock.advance(5.0)
    timers = list(harness.clock.getDelayedCalls())
    for number in range(50):
        join(harness, 300, ClientInfo(limit_key=f"203.0.113.{number}")).end()
        assert harness.clock.getDelayedCalls() == timers
    assert harness.monitor.check_at == 60.0


def test_a_timer_that_is_too_late_is_set_anew() -> None:
    harness = minecraft(20.0)
    session = join(harness, 300)
    harness.clock.advance(20.0)
    assert (harness.queries, harness.monitor.check_at) == (0, 60.0)
    session.end()
    assert harness.monitor.check_at == 35.0
    harness.clock.advance(15.0)
    assert harness.stops == 1


def test_after_a_session_that_did_not_count_an_overdue_check_is_due_now(harness: MonitorHarness) -> None:
    for joined_at, left_at in ((45.0, 50.0), (64.0, 70.0)):
        harness.clock.pump([joined_at - harness.clock.seconds()])
        session = harness.monitor.add_session()
        harness.clock.pump([left_at - joined_at])
        session.end()
    assert (harness.queries, harness.monitor.check_at) == (0, 70.0)
    harness.clock.advance(0.0)
    assert harness.stops == 1


def test_players_are_counted_when_that_is_asked_for() -> None:
    harness = minecraft()
    session = join(harness, 300)
    join(harness, 300)
    session.moved = lambda: (100, 5000)
    assert harness.monitor.counted_players == 0
    harness.monitor.count_players()
    assert harness.monitor.counted_players == 1
    session.end()
    assert harness.monitor.counted_players == 0


class Watched:
    """A Minecraft server's monitor, and the events that it emits."""

    def __init__(self, sign: PlayerSign = PlayerSign.server_bytes) -> None:
        self.harness = MonitorHarness(IdlePolicy(900.0, player_sign=sign))
        self.events: list[ServerEvent] = []
        self.harness.source.add_observer(self.events.append)

    def join(self, name: str, sent: int = 0) -> PlayerSession:
        session = self.harness.monitor.add_session(ClientInfo(name, "203.0.113.7:51234"))
        session.moved = lambda: (100, sent)
        return session

    @property
    def story(self) -> list[str]:
        return [
            f"{each.event} {each.client.name} {each.players}" for each in self.events if isinstance(each, Joined | Left)
        ]


def test_a_player_has_joined_soon_after_the_server_has_sent_it_enough() -> None:
    watched = Watched()
    session = watched.join("Ada")
    watched.harness.clock.advance(5.0)
    assert watched.story == []
    session.moved = lambda: (2000, 5000)
    watched.harness.clock.advance(1.0)
    assert watched.story == ["joined Ada 1"]
    watched.harness.clock.advance(60.0)
    session.end()
    assert watched.story == ["joined Ada 1", "left Ada 0"]
    left = watched.events[-1]
    assert isinstance(left, Left)
    assert (left.server, left.at, left.seconds) == ("test", 1066.0, 66.0)
    assert (left.to_server, left.to_client) == (2000, 5000)


def test_a_client_that_the_server_kicks_at_once_has_neither_joined_nor_left() -> None:
    watched = Watched()
    session = watched.join("Mallory", 300)
    watched.harness.clock.advance(0.5)
    session.end()
    watched.harness.clock.advance(5.0)
    assert watched.events == []


def test_a_player_that_leaves_within_the_first_second_has_joined_and_left() -> None:
    watched = Watched()
    watched.join("Ada", 5000).end()
    assert watched.story == ["joined Ada 1", "left Ada 0"]


def test_players_that_count_at_the_same_time_are_numbered() -> None:
    watched = Watched()
    watched.join("Ada", 5000)
    watched.join("Bob", 5000)
    watched.harness.clock.advance(1.0)
    assert watched.story == ["joined Ada 1", "joined Bob 2"]


def test_the_players_of_a_server_that_has_exited_have_left() -> None:
    watched = Watched()
    ada = watched.join("Ada", 5000)
    watched.join("Bob", 5000)
    watched.join("Mallory", 100)
    watched.harness.clock.advance(1.0)
    watched.harness.monitor.reset()
    assert watched.story == ["joined Ada 1", "joined Bob 2", "left Ada 1", "left Bob 0"]
    ada.end()
    assert len(watched.events) == 4
    assert watched.harness.clock.getDelayedCalls() == []


def test_a_connection_without_names_has_joined_at_once() -> None:
    watched = Watched(PlayerSign.connection)
    session = watched.join("")
    assert watched.story == ["joined  1"]
    session.end()
    assert watched.story == ["joined  1", "left  0"]


def test_an_observer_that_counts_the_players_gets_each_event_once() -> None:
    watched = Watched()
    watched.harness.source.add_observer(lambda event: watched.harness.monitor.count_players())
    watched.join("Ada", 5000)
    watched.join("Bob", 5000)
    watched.harness.clock.advance(1.0)
    assert watched.story == ["joined Ada 1", "joined Bob 2"]


def test_connections_that_never_count_are_looked_at_seldom() -> None:
    watched = Watched()
    looks: list[float] = []
    session = watched.join("Mallory")

    def moved() -> tuple[int, int]:
        looks.append(watched.harness.clock.seconds())
        return 100, 100

    session.moved = moved
    watched.harness.clock.pump([1.0] * 660)
    assert 55 <= len([at for at in looks if at <= 60]) <= 65
    assert 5 <= len([at for at in looks if at > 60]) <= 15
    watched.join("Ada", 5000)
    watched.harness.clock.advance(1.0)
    assert watched.story == ["joined Ada 1"]


def test_without_an_observer_no_timer_looks_for_players(harness: MonitorHarness) -> None:
    monitor = MonitorHarness(IdlePolicy(60.0, player_sign=PlayerSign.server_bytes))
    timers = len(monitor.clock.getDelayedCalls())
    monitor.monitor.add_session()
    assert len(monitor.clock.getDelayedCalls()) == timers


def test_the_cause_of_an_idle_stop(harness: MonitorHarness) -> None:
    harness.clock.advance(60.0)
    assert harness.causes == [Cause(CauseKind.idle, detail="no connections for 1 min")]
    minecraft = MonitorHarness(IdlePolicy(900.0, player_sign=PlayerSign.server_bytes))
    minecraft.clock.advance(900.0)
    assert minecraft.causes == [Cause(CauseKind.idle, detail="no players for 15 min")]


def test_a_stop_that_is_asked_for_has_its_own_cause(harness: MonitorHarness) -> None:
    cause = Cause(CauseKind.operator, operator="max")
    harness.busy = "2 players"
    harness.monitor.ask_now(cause)
    assert harness.causes == []
    harness.busy = None
    harness.monitor.ask_now(cause)
    assert harness.causes == [cause]
