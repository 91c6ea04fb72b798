"""What a schedule does to a server: a real lifecycle on a fake clock."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from harness import stub_config
from hypothesis import given, settings
from hypothesis import strategies as st
from lifecycle.harness import EPOCH, OPERATOR, PLAYER, LifecycleHarness
from msgspec.structs import replace

from zeroscale.errors import PluginError
from zeroscale.events import Cause, CauseKind, ServerEvent, Stopping, Woken
from zeroscale.lifecycle.idle_monitor import PlayerSession
from zeroscale.lifecycle.idle_policy import IdlePolicy
from zeroscale.proxy.server_schedule import LOOK_EVERY, TRY_AGAIN, ServerSchedule
from zeroscale.proxy.stop_planner import StopPlanner
from zeroscale.schedule.timeline import Phase, Timeline, Wish
from zeroscale.schedule.windows import parse_window
from zeroscale.status import ClientInfo, PlayerSign, Status

MINUTE = 60.0
HOUR = 3600.0
UP = (Status.starting, Status.running)


class Note:
    """What is kept on disk."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.slept_at: float | None = None
        self.stop_at: float | None = None
        self.stop_by = ""

    def note_stop(self, at: float | None, operator: str = "") -> None:
        self.stop_at = at

    def note_sleep(self) -> None:
        self.slept_at = self.now()

    def note_wake(self) -> None:
        self.slept_at = None


class World:
    """One server with a schedule, in Berlin; a Monday at 9 o'clock unless told otherwise.

    :param idle: seconds without players until the server stops.
    """

    def __init__(self, at: str = "2026-11-30 09:00", *, idle: float = 15 * MINUTE, **values: Any) -> None:
        self.values = {"timezone": "Europe/Berlin", **values}
        self.harness = LifecycleHarness(idle=idle, pause_when_idle=bool(values.pop("pauses", False)))
        self.values.pop("pauses", None)
        self.zone = ZoneInfo(self.values["timezone"])
        moment = datetime.fromisoformat(at).replace(tzinfo=self.zone).timestamp()
        self.offset = moment - EPOCH
        self.events: list[ServerEvent] = []
        self.note = Note(self.now)
        self.lifecycle = self.harness.lifecycle
        self.lifecycle.add_event_observer(self.events.append)
        self.planner = StopPlanner(
            self.config(**self.values),
            self.lifecycle,
            self.harness.clock,
            self.now,
            self.note,
            lambda seconds, restart: f"{seconds:.0f} s",
            self.lifecycle.look_again,
        )
        self.schedule = self.make()
        self.harness.schedule_reason = self.reason
        self.harness.schedule_lockout = self.text

    def make(self) -> ServerSchedule:
        return ServerSchedule(
            self.config(**self.values),
            self.lifecycle,
            self.harness.clock,
            self.now,
            self.note,
            self.planner,
            lambda: self.harness.keep_awake_reason,
        )

    def config(self, **values: Any) -> Any:
        return stub_config("test", 25565, 25566, Path("/"), **values)

    def now(self) -> float:
        return EPOCH + self.offset + self.harness.clock.seconds()

    def reason(self) -> str | None:
        return self.schedule.keep_awake_reason()

    def text(self) -> str | None:
        asleep = self.schedule.asleep_until()
        return None if asleep is None else f"until {asleep[0]}"

    def started(self) -> World:
        self.schedule.start()
        self.advance(0)
        return self

    def advance(self, seconds: float) -> None:
        """Let time go by; a server that starts is ready after less than a second, and one that stops has stopped."""
        clock = self.harness.clock
        end = clock.seconds() + seconds
        while True:
            self.settle()
            calls = [call.getTime() for call in clock.getDelayedCalls()]
            due = min([each for each in calls if each <= end], default=None)
            if due is None:
                clock.advance(end - clock.seconds())
                self.settle()
                return
            clock.advance(max(0.0, due - clock.seconds()))

    def settle(self) -> None:
        if self.harness.status() is Status.starting and self.harness.readinesses:
            ready = self.harness.readinesses[-1].ran
            if not ready.called:
                self.harness.become_ready()
        if self.harness.status() is Status.stopping:
            self.harness.current.exit()

    def until(self, text: str) -> None:
        """Let time go by until the clock shows a time."""
        moment = datetime.fromisoformat(text).replace(tzinfo=self.zone).timestamp()
        assert moment >= self.now()
        self.advance(moment - self.now())

    def join(self) -> PlayerSession:
        self.lifecycle.wake(PLAYER)
        joined: list[PlayerSession] = []
        self.lifecycle.admit().addCallback(joined.append)
        self.settle()
        return joined[0]

    def causes(self, kind: type[Woken] | type[Stopping]) -> Sequence[tuple[str, str]]:
        return [(each.cause.kind.value, each.cause.detail) for each in self.events if isinstance(each, kind)]

    def phase(self, at: float | None = None) -> Phase:
        """Return what is wanted now, or at another moment."""
        values = self.values
        windows = [[parse_window(each) for each in values.get(key, ())] for key in ("keep_awake", "keep_asleep")]
        return Timeline(windows[0], windows[1], self.zone).phase_at(self.now() if at is None else at)

    def was_put_to_sleep(self) -> bool:
        """Return whether it was put to sleep in this window, or in one to come: the clock was set back."""
        at = self.note.slept_at
        return at is not None and (at > self.now() or self.phase(at).wish_ends == self.phase().wish_ends)

    def timers(self) -> Sequence[object]:
        """Return the schedule's timers."""
        calls = self.harness.clock.getDelayedCalls()
        called: list[Any] = [getattr(call, "func", None) for call in calls]  # a DelayedCall's
        return [each for each in called if getattr(each, "__self__", None) is self.schedule]

    def warnings(self) -> Sequence[str]:
        """Return what the players were told."""
        return [call.removeprefix("send ") for call in self.harness.current.calls if call.startswith("send ")]

    def status(self) -> Status:
        return self.harness.status()


WORKDAYS = ("Mon-Fri 16:00-22:00",)
NAME = "schedule Mon-Fri 16:00-22:00"


# Kept awake


def test_it_is_woken_when_the_window_begins_and_stopped_when_it_ends() -> None:
    world = World(keep_awake=WORKDAYS).started()
    world.until("2026-11-30 15:59:59")
    assert (world.status(), world.schedule.keep_awake_reason()) == (Status.stopped, None)
    world.until("2026-11-30 16:00")
    assert (world.status(), world.schedule.keep_awake_reason()) == (Status.running, NAME)
    world.until("2026-11-30 21:59:59")
    assert world.status() is Status.running
    world.until("2026-11-30 22:00")
    assert (world.status(), world.schedule.keep_awake_reason()) == (Status.stopped, None)
    assert world.causes(Woken) == [("schedule", NAME)]
    assert [kind for kind, _ in world.causes(Stopping)] == ["idle"]
    assert world.harness.stats.snapshot(0.0).wakes == {"schedule": 1}


def test_the_idle_time_of_a_player_who_left_before_the_end_counts() -> None:
    world = World(keep_awake=WORKDAYS).started()
    world.until("2026-11-30 21:40")
    session = world.join()
    world.until("2026-11-30 21:50")
    session.end()
    world.until("2026-11-30 22:04:59")
    assert world.status() is Status.running
    world.until("2026-11-30 22:05")
    assert world.status() is Status.stopped


def test_it_is_not_warned_that_it_is_not_stopped(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    World(keep_awake=WORKDAYS).started().until("2026-11-30 21:00")
    assert "is not stopped" not in caplog.text
    assert f"test: kept awake by {NAME} until 22:00" in caplog.text


def test_zeroscale_starts_within_the_window() -> None:
    assert World("2026-11-30 18:00", keep_awake=WORKDAYS).started().status() is Status.running


def test_a_server_that_is_stopping_when_the_window_begins_is_started_again() -> None:
    world = World(keep_awake=WORKDAYS).started()
    world.until("2026-11-30 15:59")
    world.join().end()
    world.lifecycle.sleep(OPERATOR)
    assert world.status() is Status.stopping
    world.harness.clock.advance(MINUTE)
    assert world.status() is Status.stopping
    world.advance(1)
    assert world.status() is Status.running


def test_a_paused_server_is_resumed() -> None:
    world = World(keep_awake=WORKDAYS, pauses=True).started()
    world.until("2026-11-30 15:00")
    world.join().end()
    world.until("2026-11-30 15:59")
    assert world.status() is Status.paused
    world.until("2026-11-30 16:00")
    assert world.status() is Status.running


@pytest.mark.parametrize("way", ["operator", "a server that it needs", "in the game", "paused by another program"])
def test_one_that_was_put_to_sleep_stays_down_until_the_next_window(way: str) -> None:
    world = World(keep_awake=("Mon-Fri 16:00-22:00", "Tue 10:00-12:00")).started()
    world.until("2026-11-30 17:00")
    if way == "operator":
        world.lifecycle.sleep(OPERATOR)
    elif way == "a server that it needs":
        world.lifecycle.sleep(Cause(CauseKind.dependency, detail="db, which it needs, stops"))
    elif way == "in the game":
        world.harness.current.exit()
    else:
        world.harness.current.report_paused()
    world.until("2026-11-30 21:59")
    assert world.status() in (Status.stopped, Status.paused)
    world.until("2026-12-01 09:59")
    assert world.status() in (Status.stopped, Status.paused)
    world.until("2026-12-01 10:00")
    assert world.status() is Status.running


def test_that_it_was_put_to_sleep_is_remembered_by_the_next_zeroscale() -> None:
    world = World(keep_awake=WORKDAYS).started()
    world.until("2026-11-30 17:00")
    world.lifecycle.sleep(OPERATOR)
    world.advance(0)
    world.schedule.stop()
    world.schedule = world.make()
    world.schedule.start()
    world.until("2026-11-30 21:59")
    assert world.status() is Status.stopped
    world.until("2026-12-01 16:00")
    assert world.status() is Status.running


def test_a_player_who_joins_wakes_it_and_it_is_kept_awake_again() -> None:
    world = World(keep_awake=WORKDAYS).started()
    world.until("2026-11-30 17:00")
    world.lifecycle.sleep(OPERATOR)
    world.until("2026-11-30 18:00")
    world.join().end()
    world.until("2026-11-30 21:00")
    assert (world.status(), world.note.slept_at) == (Status.running, None)


def test_an_asleep_window_between_ends_that_it_was_put_to_sleep() -> None:
    world = World(keep_awake=WORKDAYS, keep_asleep=["daily 18:00-19:00"]).started()
    world.until("2026-11-30 17:00")
    world.lifecycle.sleep(OPERATOR)
    world.until("2026-11-30 18:59")
    assert world.status() is Status.stopped
    world.until("2026-11-30 19:00")
    assert world.status() is Status.running


def test_one_that_is_stopped_for_another_reason_is_started_again() -> None:
    world = World(keep_awake=WORKDAYS).started()
    world.until("2026-11-30 17:00")
    world.lifecycle.sleep(Cause(CauseKind.idle))
    world.advance(1)
    assert (world.status(), len(world.causes(Woken))) == (Status.running, 2)


def test_a_clock_that_was_set_back_does_not_leave_it_down() -> None:
    world = World(keep_awake=WORKDAYS).started()
    world.until("2026-11-30 20:00")
    world.lifecycle.sleep(OPERATOR)
    world.offset -= 30 * MINUTE
    world.advance(LOOK_EVERY)
    assert world.status() is Status.stopped, "it was put to sleep a while ago"
    world.offset -= 2 * HOUR
    world.advance(LOOK_EVERY)
    assert world.status() is Status.running, "when it was put to sleep is not known any more"


def test_a_crashed_server_is_started_again() -> None:
    world = World(keep_awake=WORKDAYS).started()
    world.until("2026-11-30 17:00")
    world.harness.current.exit(1)
    world.advance(TRY_AGAIN - 1)
    assert world.status() is Status.failed
    world.advance(1)
    assert world.status() is Status.running


def test_a_start_that_fails_is_not_tried_all_the_time() -> None:
    world = World(keep_awake=WORKDAYS)
    world.harness.start_obstacle = "the port is taken"
    world.started()
    world.until("2026-11-30 16:00")
    world.advance(10 * MINUTE)
    assert world.status() is Status.failed
    assert len(world.causes(Woken)) == 11
    world.harness.start_obstacle = None
    world.advance(MINUTE)
    assert world.status() is Status.running


def test_one_that_has_failed_too_often_is_left_to_the_operator() -> None:
    world = World(keep_awake=WORKDAYS)
    world.harness.start_fails = PluginError("no luck")
    world.started()
    world.until("2026-11-30 19:00")
    assert len(world.causes(Woken)) == 3
    world.harness.start_fails = None
    world.lifecycle.allow_retry()
    world.schedule.look()
    world.advance(0)
    assert world.status() is Status.running


def test_one_that_ends_at_each_start_is_left_down() -> None:
    world = World(keep_awake=WORKDAYS).started()
    world.until("2026-11-30 15:59")
    world.harness.slow_start = True
    world.harness.clock.advance(MINUTE)
    assert world.status() is Status.starting
    world.harness.current.exit(0)
    world.until("2026-11-30 19:00")
    assert len(world.causes(Woken)) <= 3


def test_a_lockout_beats_it_and_its_end_is_noticed() -> None:
    world = World(keep_awake=WORKDAYS).started()
    world.harness.lockout = "Maintenance."
    world.until("2026-11-30 17:00")
    assert (world.status(), world.causes(Woken)) == (Status.stopped, [])
    world.harness.lockout = None
    world.advance(LOOK_EVERY)
    assert world.status() is Status.running


# Kept asleep

NIGHT = ("daily 01:00-07:00",)
NIGHT_NAME = "schedule daily 01:00-07:00"


def test_a_client_that_may_not_be_a_player_is_not_stopped_under() -> None:
    world = World("2026-11-30 00:59", keep_asleep=NIGHT).started()
    idle = IdlePolicy(15 * MINUTE, player_sign=PlayerSign.server_bytes)
    world.lifecycle.apply_policy(replace(world.harness.policy, idle=idle))
    session = world.join()
    world.until("2026-11-30 01:00")
    assert world.status() is Status.running
    session.end()
    world.advance(0)
    assert world.status() is Status.stopped


def test_a_view_from_just_before_does_not_outlast_the_beginning() -> None:
    world = World("2026-11-30 00:59", keep_asleep=NIGHT).started()
    world.advance(59.5)
    assert world.lifecycle.view.lockout is None
    world.advance(0.5)
    assert world.lifecycle.view.lockout == "until 07:00"


def test_no_player_wakes_it_and_who_waits_is_told_until_when() -> None:
    world = World("2026-11-30 00:30", keep_asleep=NIGHT).started()
    world.until("2026-11-30 01:00")
    world.lifecycle.wake(PLAYER)
    assert (world.status(), world.lifecycle.view.lockout) == (Status.stopped, "until 07:00")
    assert world.schedule.asleep_until() == ("07:00", f"the {NIGHT_NAME} keeps it asleep until 07:00")
    world.until("2026-11-30 06:59:59")
    world.lifecycle.wake(PLAYER)
    assert world.status() is Status.stopped
    world.until("2026-11-30 07:00")
    assert (world.lifecycle.view.lockout, world.schedule.asleep_until()) == (None, None)
    world.lifecycle.wake(PLAYER)
    assert world.status() is Status.starting


@pytest.mark.parametrize(
    ("windows", "until"),
    [
        (["Mon 08:00-22:00"], "22:00"),
        (["Mon 08:00-24:00", "Tue 00:00-08:30"], "08:30"),
        (["Mon 08:00-24:00", "Tue 00:00-24:00", "Wed 00:00-08:30"], "2026-12-02 08:30"),
        (["daily 00:00-24:00"], ""),
    ],
)
def test_the_end_is_shown_with_a_day_if_it_is_not_the_next_such_time(windows: list[str], until: str) -> None:
    asleep = World(keep_asleep=windows).schedule.asleep_until()
    assert asleep is not None and asleep[0] == until
    assert asleep[1].endswith(f"until {until}" if until else "keeps it asleep")


def test_a_server_without_players_stops_when_the_window_begins() -> None:
    world = World("2026-11-30 00:59", keep_asleep=NIGHT).started()
    world.join().end()
    world.until("2026-11-30 01:00")
    assert world.status() is Status.stopped
    assert world.causes(Stopping) == [("schedule", NIGHT_NAME)]


def test_a_server_with_players_stops_when_they_have_left() -> None:
    world = World("2026-11-30 00:30", keep_asleep=NIGHT).started()
    session = world.join()
    world.until("2026-11-30 03:00")
    assert (world.status(), world.lifecycle.view.lockout) == (Status.running, "until 07:00")
    session.end()
    world.advance(0)
    assert world.status() is Status.stopped
    assert world.causes(Stopping) == [("schedule", NIGHT_NAME)]


def test_players_who_did_not_come_through_the_proxy_are_asked_for_each_minute() -> None:
    world = World("2026-11-30 00:59", keep_asleep=NIGHT).started()
    world.join().end()
    world.harness.current.online = 2
    world.until("2026-11-30 02:00")
    assert world.status() is Status.running
    world.harness.current.online = 0
    world.advance(TRY_AGAIN)
    assert world.status() is Status.stopped


def test_a_server_that_is_starting_is_stopped_once_it_is_ready() -> None:
    world = World("2026-11-30 00:59", keep_asleep=NIGHT).started()
    world.lifecycle.wake(PLAYER)
    world.harness.clock.advance(MINUTE)
    assert world.status() is Status.starting
    world.advance(TRY_AGAIN)
    assert world.status() is Status.stopped


def test_a_player_who_waits_when_the_window_begins_is_let_in() -> None:
    world = World("2026-11-30 00:59", keep_asleep=NIGHT).started()
    world.lifecycle.wake(PLAYER)
    joined: list[PlayerSession] = []
    world.lifecycle.admit().addCallback(joined.append)
    world.harness.clock.advance(MINUTE)
    world.until("2026-11-30 02:00")
    assert (len(joined), world.status()) == (1, Status.running)


def test_at_once_stops_it_with_its_players_who_are_warned_before() -> None:
    world = World("2026-11-30 00:33", keep_asleep=NIGHT, keep_asleep_at_once=True).started()
    world.join()
    world.until("2026-11-30 00:49")
    assert (world.warnings(), world.planner.planned) == ([], ())
    world.until("2026-11-30 00:59:59")
    assert (world.warnings(), world.status()) == (["600 s", "300 s", "60 s"], Status.running)
    world.advance(1)
    assert world.status() is Status.stopped
    assert world.causes(Stopping) == [("schedule", NIGHT_NAME)]
    assert world.planner.planned == []


def test_a_stop_at_once_is_not_earlier_when_its_players_leave() -> None:
    world = World("2026-11-30 00:30", keep_awake=["00:00-01:00"], keep_asleep=NIGHT, keep_asleep_at_once=True).started()
    session = world.join()
    world.until("2026-11-30 00:51")
    session.end()
    world.until("2026-11-30 00:59:59")
    assert (world.status(), world.warnings()) == (Status.running, ["600 s"])
    world.advance(1)
    assert (world.status(), len(world.causes(Woken))) == (Status.stopped, 1)


def test_a_server_that_is_started_soon_before_it_is_to_stop_at_once_is_warned() -> None:
    world = World("2026-11-30 00:30", keep_asleep=NIGHT, keep_asleep_at_once=True).started()
    world.until("2026-11-30 00:57")
    world.join()
    world.until("2026-11-30 01:00")
    assert (world.status(), world.warnings()) == (Status.stopped, ["180 s", "60 s"])


def test_a_time_that_nobody_was_warned_of_begins_with_warnings() -> None:
    world = World("2026-11-30 00:30", keep_asleep_at_once=True).started()
    world.join()
    world.until("2026-11-30 02:00")
    world.schedule.configure(world.config(keep_asleep=NIGHT, keep_asleep_at_once=True, timezone="Europe/Berlin"))
    world.until("2026-11-30 02:09:59")
    assert (world.status(), world.warnings()) == (Status.running, ["600 s", "300 s", "60 s"])
    world.until("2026-11-30 02:10")
    assert world.status() is Status.stopped


def test_warnings_end_with_the_time_that_they_are_for() -> None:
    world = World("2026-11-30 00:59", keep_asleep=["01:00-01:05"], keep_asleep_at_once=True)
    world.join()
    world.until("2026-11-30 01:00")
    world.started()
    world.until("2026-11-30 01:30")
    assert (world.status(), world.warnings()) == (Status.running, ["600 s"])


def test_a_schedule_that_ends_takes_back_a_stop_at_once() -> None:
    world = World("2026-11-30 00:55", keep_asleep=NIGHT, keep_asleep_at_once=True).started()
    world.join()
    world.until("2026-11-30 00:57")
    assert len(world.planner.planned) == 1
    world.schedule.stop()
    assert world.planner.planned == []


def test_a_reload_takes_back_a_stop_at_once() -> None:
    world = World("2026-11-30 00:30", keep_asleep=NIGHT, keep_asleep_at_once=True).started()
    world.join()
    world.until("2026-11-30 00:55")
    assert len(world.planner.planned) == 1
    world.schedule.configure(world.config(keep_asleep=NIGHT, timezone="Europe/Berlin"))
    world.until("2026-11-30 02:00")
    assert (world.status(), world.planner.planned) == (Status.running, [])


def test_what_is_asleep_when_a_stop_at_once_is_due_has_none_planned() -> None:
    world = World("2026-11-30 00:30", keep_asleep=NIGHT, keep_asleep_at_once=True).started()
    world.join()
    world.until("2026-11-30 00:55")
    world.lifecycle.sleep(OPERATOR)
    world.until("2026-11-30 02:00")
    assert (world.status(), world.planner.planned) == (Status.stopped, [])


@pytest.mark.parametrize("since", ["00:30", "00:55"])
def test_what_its_operator_keeps_awake_is_not_stopped_and_that_ends(since: str) -> None:
    world = World("2026-11-30 00:30", keep_asleep=NIGHT, keep_asleep_at_once=True).started()
    world.join()
    world.until(f"2026-11-30 {since}")
    world.harness.keep_awake_reason = "a backup"
    world.until("2026-11-30 03:00")
    assert (world.status(), world.planner.planned) == (Status.running, [] if since == "00:55" else ())
    world.harness.keep_awake_reason = None
    world.advance(TRY_AGAIN + 10 * MINUTE)
    assert world.status() is Status.stopped


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("before", ["down", "stopped", "ended", "crashed"])
def test_what_an_operator_starts_in_spite_of_it_is_stopped_when_idle(at_once: bool, before: str) -> None:
    world = World("2026-11-30 00:30", keep_asleep=NIGHT, keep_asleep_at_once=at_once).started()
    if before != "down":
        world.harness.keep_awake_reason = "a backup"
        world.join()
    world.until("2026-11-30 02:00")
    if before == "stopped":
        world.lifecycle.sleep(OPERATOR)
    elif before != "down":
        world.harness.current.exit(0 if before == "ended" else 1)
    world.settle()
    world.harness.keep_awake_reason = None
    ready: list[object] = []
    world.lifecycle.start_for_operator(OPERATOR).addCallback(ready.append)
    world.advance(14 * MINUTE)
    assert (world.status(), ready) == (Status.running, [None])
    world.advance(MINUTE)
    assert world.status() is Status.stopped


def test_a_paused_server_stays_paused() -> None:
    world = World("2026-11-30 00:30", keep_asleep=NIGHT, pauses=True).started()
    world.join().end()
    world.until("2026-11-30 02:00")
    assert world.status() is Status.paused


def test_a_server_that_is_found_running_is_stopped() -> None:
    world = World("2026-11-30 02:00", keep_asleep=NIGHT)
    world.lifecycle.start_for_operator(OPERATOR)
    world.settle()
    assert world.status() is Status.running
    world.started()
    assert world.status() is Status.stopped


def test_it_beats_keep_awake_which_follows_it() -> None:
    world = World("2026-11-30 00:30", keep_awake=["daily 00:00-24:00"], keep_asleep=NIGHT).started()
    assert world.status() is Status.running
    world.until("2026-11-30 01:00")
    assert (world.status(), world.schedule.keep_awake_reason()) == (Status.stopped, None)
    world.until("2026-11-30 06:59")
    assert world.status() is Status.stopped
    world.until("2026-11-30 07:00")
    assert world.status() is Status.running


# Time and configuration


def test_a_clock_that_is_set_is_noticed_within_ten_minutes_and_in_answers_at_once() -> None:
    world = World("2026-11-30 09:00", keep_awake=WORKDAYS, keep_asleep=NIGHT).started()
    world.offset += 8 * HOUR
    assert world.schedule.keep_awake_reason() == NAME
    world.advance(LOOK_EVERY)
    assert world.status() is Status.running
    world.offset -= 15 * HOUR  # 2 o'clock
    assert world.schedule.asleep_until() is not None
    world.advance(LOOK_EVERY)
    assert world.status() is Status.stopped
    world.offset += 38 * HOUR
    world.advance(LOOK_EVERY)
    assert world.status() is Status.running


def test_a_clock_that_goes_slower_than_the_timer_wakes_nothing_too_early() -> None:
    world = World("2026-11-30 15:55", keep_awake=WORKDAYS).started()
    world.advance(4 * MINUTE)
    world.offset -= 2.0
    world.harness.clock.advance(MINUTE)
    assert world.status() is Status.stopped
    world.harness.clock.advance(2.0)
    assert world.status() is Status.starting


def test_a_reload_changes_the_times_in_the_reactors_next_turn() -> None:
    world = World("2026-11-30 09:00", keep_awake=WORKDAYS).started()
    world.schedule.configure(world.config(keep_awake=["Mon 08:00-10:00"], timezone="Europe/Berlin"))
    assert (world.status(), world.schedule.keep_awake_reason()) == (Status.stopped, "schedule Mon 08:00-10:00")
    world.advance(0)
    assert world.status() is Status.running
    world.advance(20 * MINUTE)
    world.schedule.configure(world.config(keep_awake=["Mon 08:00-10:00"], timezone="America/New_York"))
    world.advance(0)
    assert world.status() is Status.stopped
    world.schedule.configure(world.config())
    world.advance(24 * HOUR)
    assert world.status() is Status.stopped


def test_nothing_is_left_when_it_ends_and_it_can_begin_again() -> None:
    world = World(keep_awake=WORKDAYS).started()
    world.schedule.stop()
    assert world.harness.clock.getDelayedCalls() == []
    world.schedule.look()
    world.schedule.configure(world.config(keep_awake=["Mon 08:00-10:00"]))
    assert world.harness.clock.getDelayedCalls() == []
    world.schedule.start()
    world.advance(0)
    assert world.status() is Status.running


def test_one_timer_runs_and_it_looks_at_most_every_ten_minutes() -> None:
    world = World(keep_awake=WORKDAYS).started()
    [timer] = world.harness.clock.getDelayedCalls()
    assert timer.getTime() == LOOK_EVERY


CHANGES = [
    ("Europe/Berlin", "2026-03-28"),
    ("Europe/Berlin", "2026-10-24"),
    ("America/New_York", "2026-03-07"),
    ("America/New_York", "2026-10-31"),
    ("Australia/Lord_Howe", "2026-04-04"),
    ("Australia/Lord_Howe", "2026-10-03"),
    ("Pacific/Apia", "2011-12-29"),
]


@pytest.mark.parametrize(("zone", "day"), CHANGES)
@pytest.mark.parametrize(
    ("awake", "asleep"),
    [
        (["Sat-Sun 22:00-02:30", "daily 10:00-12:00"], ["daily 01:30-02:15"]),
        (["daily 02:00-03:00"], ["daily 03:00-04:00"]),
    ],
)
def test_each_minute_of_days_when_clocks_are_changed(zone: str, day: str, awake: list[str], asleep: list[str]) -> None:
    """The windows are compared with a model in schedule/test_timeline.py, the server with the windows here."""
    world = World(f"{day} 00:00", keep_awake=awake, keep_asleep=asleep, timezone=zone, idle=0.0).started()
    timeline = Timeline([parse_window(each) for each in awake], [parse_window(each) for each in asleep], world.zone)
    end = world.now() + timedelta(days=2).total_seconds()
    phase = timeline.phase_at(world.now())
    while world.now() < end:
        if not phase.holds_at(world.now()):
            phase = timeline.phase_at(world.now())
        wish = phase.wish
        assert (world.status() is Status.running) == (wish is Wish.awake), world.schedule.keep_awake_reason()
        assert (world.lifecycle.view.lockout is not None) == (wish is Wish.asleep)
        world.advance(MINUTE)
    kinds = {kind for kind, _ in world.causes(Woken)}
    assert kinds <= {CauseKind.schedule.value}


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("advance"), st.sampled_from([1.0, 30.0, 600.0, 1800.0, 7200.0])),
        st.tuples(
            st.sampled_from(["join", "leave", "sleep", "force", "exit", "crash", "lock", "unlock", "keep", "let"])
        ),
        st.tuples(st.just("set clock"), st.sampled_from([-90000.0, -3000.0, -5.0, 5.0, 3000.0, 90000.0])),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(STEPS, st.booleans())
def test_whatever_happens_it_is_as_wanted_in_the_end(steps: list[tuple[Any, ...]], at_once: bool) -> None:
    world = World(
        "2026-11-30 00:30",
        keep_awake=["daily 06:00-14:00", "daily 16:00-22:00"],
        keep_asleep=["daily 01:00-05:00", "daily 12:00-13:00"],
        keep_asleep_at_once=at_once,
    ).started()
    sessions: list[PlayerSession] = []
    for name, *values in steps:
        take_step(world, sessions, name, *values)
        assert len(world.timers()) == 1
    for session in sessions:
        session.end()
    world.harness.lockout = world.harness.keep_awake_reason = None
    world.lifecycle.allow_retry()
    # A time in which nothing changes begins half an hour later at the latest.
    world.advance(HOUR)
    while world.phase().ends is None or world.phase().ends - world.now() < HOUR:  # type: ignore[operator]
        world.advance(10 * MINUTE)
    wish, put_to_sleep = world.phase().wish, world.was_put_to_sleep()
    world.advance(HOUR - 1)
    assert world.phase().wish is wish
    if wish is Wish.awake:
        assert world.status() is Status.running or put_to_sleep
    else:
        assert world.status() is Status.stopped
    assert (world.lifecycle.view.lockout is not None) == (wish is Wish.asleep)


def take_step(world: World, sessions: list[PlayerSession], name: str, *values: Any) -> None:
    match name:
        case "advance":
            world.advance(values[0])
        case "set clock":
            world.offset += values[0]
        case "join":
            world.lifecycle.wake(PLAYER)
            world.lifecycle.admit().addCallbacks(sessions.append, lambda _: None)
        case "leave" if sessions:
            sessions.pop().end()
        case "sleep":
            world.lifecycle.sleep(OPERATOR)
        case "force":
            world.lifecycle.start_for_operator(OPERATOR).addErrback(lambda _: None)
        case "exit" | "crash" if world.harness.current.alive:
            world.harness.current.exit(0 if name == "exit" else 1)
        case "lock" | "unlock":
            world.harness.lockout = "Maintenance." if name == "lock" else None
        case "keep" | "let":
            world.harness.keep_awake_reason = "a backup" if name == "keep" else None
    world.settle()


def test_the_story_of_a_window_and_a_restart_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    world = World("2026-11-30 15:00", keep_awake=WORKDAYS, restart="0 18 * * *", stop_warnings=(600.0, 60.0)).started()
    world.until("2026-11-30 17:30")
    world.lifecycle.admit(ClientInfo("Ada", "203.0.113.7:51234"))
    world.until("2026-11-30 22:00")
    assert [f"{each.levelname}:{each.getMessage()}" for each in caplog.records] == [
        "INFO:test: kept awake by schedule Mon-Fri 16:00-22:00 until 22:00",
        "INFO:test: starting: schedule Mon-Fri 16:00-22:00",
        "INFO:test: ready after 0.0 s",
        "INFO:test: Ada joined (1 player)",
        "INFO:test: it restarts in 10 min",
        "INFO:test: it restarts in 1 min",
        "INFO:test: stopping: scheduled restart (0 18 * * *)",
        "INFO:test: Ada left after 30 min (0 players)",
        "INFO:test: stopped after 0.0 s",
        "INFO:test: starting: scheduled restart (0 18 * * *)",
        "INFO:test: ready after 0.0 s",
        "INFO:test: stopping: no connections for 4 h",
        "INFO:test: stopped after 0.0 s",
    ]
