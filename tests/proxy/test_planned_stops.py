"""Planned stops: when a server is stopped or restarted, and what its players are told before."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import pytest
from lifecycle.harness import LifecycleHarness
from msgspec.structs import replace
from twisted.internet.defer import Deferred, fail, succeed

from zeroscale.errors import PluginError
from zeroscale.events import Cause, CauseKind, ServerEvent, Stopping, Woken
from zeroscale.proxy.planned_stops import LATEST, PlannedStop, PlannedStops, StopOptions
from zeroscale.status import PlayerSign, ProbeResult, Status

START = datetime(2026, 6, 1, 4, 0, tzinfo=UTC).timestamp()
"""When the clock of a test begins: 04:00."""

AT_FIVE = 3600.0
OPERATOR = Cause(CauseKind.operator, operator="max")
SCHEDULE = Cause(CauseKind.schedule, detail="schedule daily 05:00-06:00")
WARNINGS = (600.0, 300.0, 60.0)


class Harness(LifecycleHarness):
    """A lifecycle and its planned stops.

    :ivar said: what players were told, and when.
    :ivar skew: seconds by which the wall clock was set, or the machine has slept.
    """

    def __init__(
        self, *, restart: str | None = None, before: tuple[float, ...] = WARNINGS, running: bool = True
    ) -> None:
        super().__init__(idle=1e6)
        self.said: list[tuple[float, str]] = []
        self.console_works = True
        self.changes = 0
        self.skew = 0.0
        self.happened: list[ServerEvent] = []
        self.lifecycle.add_event_observer(self.happened.append)
        if running:
            self.running()
        self.options = StopOptions(before, restart, UTC)
        self.stops = PlannedStops(self.lifecycle, self.clock, self.now, self.options, self.warn, self.changed)

    def now(self) -> float:
        return START + self.clock.seconds() + self.skew

    def changed(self) -> None:
        self.changes += 1

    def warn(self, seconds: float, restart: bool) -> Deferred[object]:
        if not self.console_works:
            return fail(PluginError("this server has no console"))
        self.said.append((self.clock.seconds(), f"{'restart' if restart else 'stop'} in {seconds:g}"))
        return succeed(None)

    def pass_time(self, seconds: float) -> None:
        """Let time pass in small steps, as timers set others."""
        end = self.clock.seconds() + seconds
        self.clock.advance(0)
        while (left := end - self.clock.seconds()) > 0:
            self.clock.advance(min(left, 1.0))

    def plan(self, seconds: float) -> None:
        self.stops.plan(PlannedStop(self.now() + seconds, OPERATOR, "put to sleep"))

    @property
    def times(self) -> list[float]:
        """When stops are planned."""
        return [stop.at for stop in self.stops.all]

    @property
    def causes(self) -> list[Cause]:
        return [event.cause for event in self.happened if isinstance(event, Stopping)]


def test_players_are_warned_of_an_operators_stop_and_then_it_comes() -> None:
    harness = Harness()
    harness.join()
    harness.plan(1800.0)
    assert harness.stops.all == [PlannedStop(START + 1800.0, OPERATOR, "put to sleep")]
    harness.pass_time(1799.0)
    assert harness.said == [(1200.0, "stop in 600"), (1500.0, "stop in 300"), (1740.0, "stop in 60")]
    assert harness.status() is Status.running
    harness.pass_time(1.0)
    assert (harness.status(), harness.causes) == (Status.stopping, [OPERATOR])
    assert harness.stops.planned(CauseKind.operator) is None
    harness.plugin.exit()
    assert harness.status() is Status.stopped


def test_a_stop_that_is_soon_is_announced_at_once() -> None:
    harness = Harness()
    harness.join()
    harness.plan(180.0)
    harness.pass_time(1.0)
    assert harness.said == [(0.0, "stop in 180")]


def test_one_that_was_known_before_the_server_became_ready_is_warned_of_at_its_times() -> None:
    harness = Harness(running=False)
    harness.plan(600.0)
    harness.pass_time(200.0)
    harness.running()
    harness.join()
    harness.pass_time(101.0)
    assert harness.said == [(300.0, "stop in 300")]


def test_the_log_says_when_it_stops(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "zeroscale.server")
    harness = Harness(restart="10 4 * * *")
    harness.join()
    harness.pass_time(540.0)
    lines = [record.getMessage() for record in caplog.records if record.name == "zeroscale.server"]
    assert lines == [f"test: it restarts in {minutes} min" for minutes in (10, 5, 1)]


def test_an_empty_server_is_stopped_at_its_time_and_not_told() -> None:
    harness = Harness()
    harness.plan(1800.0)
    harness.pass_time(1799.0)
    assert (harness.status(), harness.said) == (Status.running, [])
    harness.pass_time(1.0)
    assert harness.status() is Status.stopping


def test_once_all_players_who_were_warned_have_left_it_stops_at_once() -> None:
    harness = Harness()
    first, second = harness.join(), harness.join()
    harness.plan(1800.0)
    harness.pass_time(1000.0)
    first.end()
    second.end()
    harness.pass_time(1.0)
    assert harness.status() is Status.running, "nobody was warned yet: it is there until then"
    first, second = harness.join(), harness.join()
    harness.pass_time(300.0)
    first.end()
    assert (harness.status(), len(harness.said)) == (Status.running, 1)
    second.end()
    assert (harness.status(), harness.causes) == (Status.stopping, [OPERATOR])


def test_players_that_did_not_join_through_the_proxy_are_warned_and_count() -> None:
    harness = Harness()
    harness.probe.answer = ProbeResult({}, 2)
    harness.plan(600.0)
    harness.pass_time(1.0)
    harness.join().end()
    harness.pass_time(300.0)
    assert [text for _, text in harness.said] == ["stop in 600", "stop in 300"]
    assert harness.status() is Status.running
    harness.probe.answer = ProbeResult({}, 0)
    harness.join().end()
    assert harness.status() is Status.stopping, "the last one who was seen has left, and the server says it is empty"


def test_a_warning_names_the_time_that_is_left_when_the_server_has_answered_late() -> None:
    harness = Harness(before=(60.0,))
    harness.plan(60.0)
    harness.probe.slow = True
    harness.pass_time(20.0)
    harness.probe.questions[-1].callback(ProbeResult({}, 1))
    assert harness.said == [(20.0, "stop in 40")]


def test_a_server_is_asked_one_question_however_many_leave() -> None:
    harness = Harness()
    session = harness.join()
    harness.plan(600.0)
    harness.pass_time(1.0)
    harness.probe.slow = True
    asked = harness.probe.asked
    session.end()
    for _ in range(5):
        harness.join().end()
    assert harness.probe.asked == asked + 1
    harness.probe.questions[-1].callback(ProbeResult({}, 0))
    assert harness.status() is Status.stopping


def test_one_who_joins_while_the_server_is_asked_keeps_it() -> None:
    harness = Harness()
    session = harness.join()
    harness.plan(600.0)
    harness.pass_time(1.0)
    harness.probe.slow = True
    session.end()
    harness.join()
    harness.probe.questions[-1].callback(ProbeResult({}, 0))
    assert harness.status() is Status.running


def test_a_stop_that_is_put_off_while_the_server_is_asked_does_not_come() -> None:
    harness = Harness()
    session = harness.join()
    harness.plan(600.0)
    harness.pass_time(1.0)
    harness.probe.slow = True
    session.end()
    harness.plan(3600.0)
    harness.probe.questions[-1].callback(ProbeResult({}, 0))
    assert harness.status() is Status.running


def test_one_whose_first_byte_has_just_come_counts() -> None:
    harness = Harness()
    idle = replace(harness.policy.idle, player_sign=PlayerSign.client_bytes)
    harness.lifecycle.apply_policy(replace(harness.policy, idle=idle, ask_players=False))
    session = harness.join()
    assert harness.lifecycle.view.players == 0
    session.moved = lambda: (1, 1)
    harness.stops.stop_with_warnings(SCHEDULE, "asleep until 6")
    assert harness.status() is Status.running


def test_one_who_joins_during_the_countdown_is_sent_the_next_warning() -> None:
    harness = Harness()
    harness.plan(600.0)
    harness.pass_time(200.0)
    assert harness.said == []
    harness.join()
    harness.pass_time(101.0)
    assert harness.said == [(300.0, "stop in 300")]


def test_a_stop_that_is_planned_again_takes_the_place_of_the_first() -> None:
    harness = Harness()
    harness.join()
    harness.plan(600.0)
    harness.pass_time(400.0)
    harness.plan(1800.0)
    harness.pass_time(1799.0)
    assert harness.status() is Status.running
    assert [at for at, _ in harness.said] == [0.0, 300.0, 1600.0, 1900.0, 2140.0]
    harness.pass_time(1.0)
    assert harness.status() is Status.stopping


def test_players_who_were_warned_of_another_stop_only_may_leave() -> None:
    harness = Harness()
    session = harness.join()
    harness.plan(600.0)
    harness.pass_time(1.0)
    harness.plan(3600.0)
    session.end()
    harness.pass_time(1.0)
    assert harness.status() is Status.running


def test_the_same_stop_is_not_announced_again() -> None:
    harness = Harness()
    harness.join()
    for _ in range(2):
        harness.stops.plan(PlannedStop(START + 600.0, OPERATOR, "put to sleep"))
        harness.pass_time(1.0)
    assert (len(harness.said), harness.changes) == (1, 1)


def test_a_stop_that_is_cancelled_does_not_come() -> None:
    harness = Harness()
    harness.join()
    harness.plan(600.0)
    harness.pass_time(1.0)
    assert harness.stops.planned(CauseKind.operator) is not None
    assert harness.stops.cancel(CauseKind.operator)
    assert not harness.stops.cancel(CauseKind.operator)
    harness.pass_time(700.0)
    assert harness.status() is Status.running
    assert harness.stops.planned(CauseKind.operator) is None
    assert [text for _, text in harness.said] == ["stop in 600"]


def test_of_a_console_that_does_not_work_there_is_one_warning_for_each_stop(caplog: pytest.LogCaptureFixture) -> None:
    harness = Harness()
    harness.console_works = False
    harness.join()
    harness.plan(600.0)
    harness.pass_time(600.0)
    assert harness.status() is Status.stopping
    assert caplog.text.count("the players cannot be warned of its stop: this server has no console") == 1


# By a schedule


def test_a_schedule_stops_it_after_all_warnings() -> None:
    harness = Harness()
    harness.join()
    harness.stops.stop_with_warnings(SCHEDULE, "asleep until 6")
    harness.pass_time(100.0)
    harness.stops.stop_with_warnings(SCHEDULE, "asleep until 6")
    harness.pass_time(499.0)
    assert harness.said == [(0.0, "stop in 600"), (300.0, "stop in 300"), (540.0, "stop in 60")]
    assert harness.status() is Status.running
    harness.pass_time(1.0)
    assert (harness.status(), harness.causes) == (Status.stopping, [SCHEDULE])


def test_a_schedule_stops_an_empty_server_at_once() -> None:
    harness = Harness()
    harness.stops.stop_with_warnings(SCHEDULE, "asleep until 6")
    assert (harness.status(), harness.causes, harness.said) == (Status.stopping, [SCHEDULE], [])


def test_without_warnings_a_schedule_stops_it_at_once() -> None:
    harness = Harness(before=())
    harness.join()
    harness.stops.stop_with_warnings(SCHEDULE, "asleep until 6")
    harness.pass_time(1.0)
    assert (harness.status(), harness.said) == (Status.stopping, [])


def test_a_schedule_does_not_plan_a_stop_of_a_server_that_does_not_run() -> None:
    harness = Harness(running=False)
    harness.stops.stop_with_warnings(SCHEDULE, "asleep until 6")
    assert harness.stops.all == []


def test_players_who_wait_for_a_server_that_a_schedule_stops_read_why() -> None:
    harness = Harness(running=False)
    player = harness.wait_to_join()
    harness.lifecycle.wake(Cause(CauseKind.login))
    harness.stops.stop_with_warnings(SCHEDULE, "asleep until 6")
    assert player == ["asleep until 6"]


# Restarts


def test_a_server_is_restarted_and_its_players_are_warned_before() -> None:
    harness = Harness(restart="0 5 * * *")
    harness.join()
    assert harness.times == [START + AT_FIVE]
    harness.pass_time(AT_FIVE - 1)
    assert harness.said == [
        (AT_FIVE - 600.0, "restart in 600"),
        (AT_FIVE - 300.0, "restart in 300"),
        (AT_FIVE - 60.0, "restart in 60"),
    ]
    harness.pass_time(1.0)
    assert harness.status() is Status.stopping
    waiting = harness.wait_to_join()
    harness.plugin.exit()
    assert harness.status() is Status.starting
    harness.become_ready()
    assert len(waiting) == 1 and not isinstance(waiting[0], str)
    restart = Cause(CauseKind.restart, detail="scheduled restart (0 5 * * *)")
    assert harness.causes == [restart]
    assert [event.cause for event in harness.happened if isinstance(event, Woken)][1:] == [restart]
    assert harness.times == [START + AT_FIVE + 86400]


def test_an_empty_server_is_restarted_at_its_time() -> None:
    harness = Harness(restart="0 5 * * *")
    harness.pass_time(AT_FIVE - 1)
    assert (harness.status(), harness.said) == (Status.running, [])
    harness.pass_time(1.0)
    harness.plugin.exit()
    assert harness.status() is Status.starting


@pytest.mark.parametrize("state", [Status.stopped, Status.starting, Status.paused, Status.failed])
def test_a_server_that_does_not_run_is_not_restarted(state: Status) -> None:
    harness = Harness(restart="0 5 * * *", running=False)
    harness.lifecycle.apply_policy(
        replace(
            harness.policy,
            pause_when_idle=True,
            idle=replace(harness.policy.idle, idle_shutdown=60.0),
            start_timeout=1e6,
        )
    )
    harness.in_state(state)
    calls = len(harness.plugin.calls)
    harness.pass_time(AT_FIVE + 1)
    assert (harness.status(), len(harness.plugin.calls)) == (state, calls)
    assert harness.stops.all == []


def test_no_timer_runs_while_the_server_does_not() -> None:
    harness = Harness(restart="0 5 * * *", running=False)
    harness.plan(600.0)
    assert harness.clock.getDelayedCalls() == []
    harness.running()
    harness.lifecycle.sleep(OPERATOR)
    harness.plugin.exit()
    assert harness.clock.getDelayedCalls() == []


def test_a_locked_server_is_stopped_and_not_started_again() -> None:
    harness = Harness(restart="0 5 * * *")
    harness.lockout = "Later."
    harness.pass_time(AT_FIVE)
    assert harness.status() is Status.stopping
    harness.plugin.exit()
    assert harness.status() is Status.stopped


def test_a_lockout_that_begins_during_the_stop_keeps_it_down() -> None:
    harness = Harness(restart="0 5 * * *")
    harness.pass_time(AT_FIVE)
    harness.lockout = "Later."
    harness.plugin.exit()
    assert harness.status() is Status.stopped


def test_a_start_that_fails_after_a_restart_is_an_ordinary_failure() -> None:
    harness = Harness(restart="0 5 * * *")
    harness.pass_time(AT_FIVE)
    harness.start_fails = PluginError("no disk")
    harness.plugin.exit()
    assert (harness.status(), harness.times) == (Status.failed, [])


def test_a_restart_is_missed_by_a_machine_that_sleeps() -> None:
    harness = Harness(restart="0 5 * * *")
    harness.pass_time(1800.0)
    harness.skew = 1800.0 + LATEST
    harness.pass_time(60.0)
    assert harness.status() is Status.running
    assert harness.times == [START + AT_FIVE + 86400]
    harness.skew = 0.0  # the clock was wrong, and is set back
    harness.pass_time(AT_FIVE)
    assert harness.status() is Status.running, "it is not made up for, nor done twice"


def test_a_clock_that_is_set_shortly_before_changes_when_it_comes() -> None:
    harness = Harness(restart="0 5 * * *")
    harness.pass_time(1800.0)
    harness.skew = 1700.0
    harness.pass_time(99.0)
    assert harness.status() is Status.running
    harness.pass_time(1.0)
    assert harness.status() is Status.stopping


def test_the_next_restart_can_be_cancelled() -> None:
    harness = Harness(restart="0 5 * * *")
    harness.pass_time(AT_FIVE - 30)
    assert harness.stops.cancel(CauseKind.restart)
    harness.lifecycle.sleep(OPERATOR)
    harness.plugin.exit()
    harness.running()
    harness.pass_time(60.0)
    assert harness.status() is Status.running
    assert harness.times == [START + AT_FIVE + 86400]


def test_the_stop_that_comes_first_counts() -> None:
    harness = Harness(restart="0 5 * * *")
    harness.join()
    harness.plan(AT_FIVE - 120)
    harness.pass_time(AT_FIVE - 120)
    assert harness.causes == [OPERATOR]
    assert harness.said[-1] == (AT_FIVE - 180, "stop in 60")
    harness.plugin.exit()
    harness.pass_time(200.0)
    assert harness.status() is Status.stopped


def test_an_operators_stop_also_stops_a_server_that_starts_or_is_paused() -> None:
    harness = Harness(running=False)
    harness.plan(600.0)
    harness.pass_time(590.0)
    harness.lifecycle.wake(Cause(CauseKind.login))
    harness.pass_time(10.0)
    assert (harness.status(), harness.said) == (Status.stopping, [])


def test_of_a_stop_and_a_restart_at_the_same_time_the_stop_counts() -> None:
    harness = Harness(restart="0 5 * * *")
    harness.plan(AT_FIVE)
    harness.pass_time(AT_FIVE)
    harness.plugin.exit()
    assert (harness.causes, harness.status()) == ([OPERATOR], Status.stopped)


def test_a_stop_that_comes_while_the_server_restarts_keeps_it_down() -> None:
    harness = Harness(restart="0 5 * * *")
    harness.join()
    harness.plan(AT_FIVE + 5.0)
    harness.pass_time(AT_FIVE + 1.0)
    assert harness.status() is Status.stopping
    harness.pass_time(4.0)
    harness.plugin.exit()
    assert harness.status() is Status.stopped
    assert harness.stops.all == []


def test_one_who_leaves_at_a_restart_does_not_bring_a_later_stop_forward() -> None:
    harness = Harness()
    session = harness.join()
    harness.plan(600.0)
    harness.pass_time(1.0)
    assert harness.said == [(0.0, "stop in 600")]
    harness.lifecycle.restart(Cause(CauseKind.restart))
    session.end()
    harness.plugin.exit()
    harness.become_ready()
    harness.join().end()
    harness.pass_time(1.0)
    assert (harness.status(), harness.times) == (Status.running, [START + 600.0])


def test_players_are_not_warned_while_the_server_stops_anyway() -> None:
    harness = Harness()
    harness.join()
    harness.plan(100.0)
    harness.pass_time(10.0)
    harness.said.clear()
    harness.lifecycle.restart(OPERATOR)
    harness.pass_time(40.0)
    assert (harness.status(), harness.said) == (Status.stopping, [])


def test_a_stop_that_is_due_when_the_server_becomes_ready_is_not_lost() -> None:
    harness = Harness(running=False)
    harness.lifecycle.wake(OPERATOR)
    harness.plan(2.0)
    harness.skew = 2.5  # the reactor is late
    harness.become_ready()
    harness.pass_time(1.0)
    assert harness.causes == [OPERATOR]


def test_one_whose_time_is_over_is_not_planned_any_more() -> None:
    harness = Harness(running=False)
    harness.plan(600.0)
    harness.pass_time(599.0)
    assert len(harness.stops.all) == 1
    harness.pass_time(1.0)
    assert harness.stops.all == []
    assert harness.stops.planned(CauseKind.operator) is None
    assert not harness.stops.cancel(CauseKind.operator)


def test_the_log_names_a_stop_that_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    harness = Harness()
    harness.plan(600.0)
    harness.skew = 3600.0
    harness.pass_time(60.0)
    [line] = [line for line in caplog.messages if "left out" in line]
    assert line == "test: stop left out, which was due 50 min ago: stopped by operator max"


def test_one_that_is_over_before_the_server_wakes_is_left_out() -> None:
    harness = Harness(running=False)
    harness.plan(600.0)
    harness.pass_time(601.0)
    harness.running()
    harness.pass_time(100.0)
    assert (harness.status(), harness.times) == (Status.running, [])


def test_another_configuration_takes_effect_at_once() -> None:
    harness = Harness()
    harness.join()
    harness.stops.use_options(replace(harness.options, restart="30 4 * * *", before=(10.0,)))
    harness.pass_time(1800.0)
    assert harness.said == [(1790.0, "restart in 10")]
    assert harness.status() is Status.stopping


def test_the_same_configuration_leaves_a_countdown_as_it_is() -> None:
    harness = Harness(restart="0 5 * * *")
    session = harness.join()
    harness.pass_time(AT_FIVE - 599)
    harness.stops.use_options(replace(harness.options))
    session.end()
    assert harness.status() is Status.stopping, "it was warned"


def test_closed_it_stops_nothing() -> None:
    harness = Harness(restart="0 5 * * *")
    harness.plan(600.0)
    harness.stops.close()
    harness.pass_time(AT_FIVE + 1)
    assert harness.status() is Status.running


def test_changes_are_announced() -> None:
    harness = Harness()
    harness.plan(600.0)
    harness.plan(900.0)
    harness.stops.cancel(CauseKind.operator)
    harness.stops.cancel(CauseKind.operator)
    assert harness.changes == 3
