"""Servers that need others: real lifecycles on one fake clock, with fake plugins."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lifecycle.harness import OPERATOR, PLAYER, FakePlugin, LifecycleHarness
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from zeroscale.config.needs import MOST_IN_A_ROW
from zeroscale.errors import PluginError
from zeroscale.events import Cause, CauseKind, Failed, ServerEvent, Stopping, Woken
from zeroscale.lifecycle.idle_monitor import PlayerSession
from zeroscale.lifecycle.lifecycle import ServerLifecycle
from zeroscale.proxy.needs import FIRST_RETRY, HEALTHY_AFTER, NeedsGraph
from zeroscale.reports import AwakeKind, AwakeReason
from zeroscale.status import ProbeResult, Status

IDLE = 60.0
RESTART = Cause(CauseKind.restart, detail="scheduled restart (0 5 * * *)")


class Server:
    """One server; implements `needs.Member`."""

    def __init__(self, world: World, name: str, needs: Sequence[str], values: dict[str, Any]) -> None:
        self.name = name
        self.needed_names: Sequence[str] = needs
        self.harness = LifecycleHarness(name=name, clock=world.clock, idle=IDLE, **values)
        self.on_exit_leave = False
        self.locked_by: str | None = None

    @property
    def lifecycle(self) -> ServerLifecycle:
        return self.harness.lifecycle

    @property
    def is_down(self) -> bool:
        return self.status() in (Status.stopped, Status.failed)

    @property
    def is_left_at_exit(self) -> bool:
        return self.on_exit_leave and self.lifecycle.can_be_left

    @property
    def lockout_source(self) -> str | None:
        return self.locked_by

    def status(self) -> Status:
        return self.lifecycle.view.status

    @property
    def awake(self) -> list[str]:
        return [reason.text for reason in self.lifecycle.awake_reasons]

    @property
    def was_asked_to_stop(self) -> bool:
        return "stop" in self.harness.plugin.calls

    def warn_players(self, seconds: float, restart: bool) -> Deferred[object]:
        raise NotImplementedError

    def ready(self) -> None:
        self.harness.become_ready()

    def exit(self, code: int = 0) -> None:
        self.harness.plugin.exit(code)


class World:
    """Servers on one clock; `needs` gives each its needs by name.

    :ivar log: the events of all servers, as `name event`, with the detail of their cause.
    """

    def __init__(self, needs: dict[str, Sequence[str]], **values: Any) -> None:
        self.clock = Clock()
        self.log: list[str] = []
        self.events: list[ServerEvent] = []
        self.servers = {name: Server(self, name, others, values) for name, others in needs.items()}
        self.drained: list[Server] = []
        self.graph = NeedsGraph(self.clock, lambda: self.servers, lambda: self.drained)
        for server in self.servers.values():
            self.connect(server)
        self.graph.update()
        self.turn()

    def connect(self, server: Server) -> None:
        server.harness.needs = self.graph.of(server)
        server.lifecycle.add_observer(lambda _: self.graph.status_changed(server))
        server.lifecycle.add_event_observer(self.note)

    def __getitem__(self, name: str) -> Server:
        return self.servers[name]

    def note(self, event: ServerEvent) -> None:
        self.events.append(event)
        cause = getattr(event, "cause", None)
        detail = getattr(event, "detail", "") if cause is None else cause.detail or cause.kind.value
        self.log.append(f"{event.server} {event.event} {detail}".strip())

    def turn(self) -> None:
        """Let the reactor turn."""
        self.clock.advance(0.0)

    def is_up(self, *names: str) -> None:
        """Start servers, each with what it needs."""
        for name in names:
            self[name].lifecycle.wake(PLAYER)
            self.settle()
            assert self[name].status() is Status.running

    def settle(self) -> None:
        """Let all servers that start become ready."""
        for _ in range(len(self.servers)):
            for server in self.servers.values():
                if server.status() is Status.starting and server.lifecycle.uses_others:
                    server.ready()
            self.turn()

    def statuses(self) -> dict[str, str]:
        return {name: server.status().value for name, server in self.servers.items()}


@pytest.fixture
def world() -> Iterator[World]:
    yield World({"app": ["db"], "db": []})


def chain() -> World:
    return World({"app": ["api"], "api": ["db"], "db": []})


def test_what_is_needed_is_started_first_and_the_player_waits_for_both(world: World) -> None:
    app, db = world["app"], world["db"]
    app.lifecycle.wake(PLAYER)
    outcome = app.harness.wait_to_join()
    assert world.statuses() == {"app": "starting", "db": "starting"}
    assert app.harness.plugin.calls == ["adopt"]  # when zeroscale started
    assert "start" in db.harness.plugin.calls
    assert (app.awake, db.awake) == (["starting for a client; it waits for db"], ["starting: needed by app"])
    db.ready()
    assert "start" in app.harness.plugin.calls and outcome == []
    assert app.awake == ["starting for a client"]
    app.ready()
    assert len(outcome) == 1 and not isinstance(outcome[0], str)
    assert [event.cause for event in world.events if isinstance(event, Woken)] == [
        PLAYER,
        Cause(CauseKind.dependency, detail="needed by app"),
    ]


def test_several_start_together_and_a_chain_in_its_order() -> None:
    world = World({"app": ["api", "cache"], "api": ["db"], "cache": ["db"], "db": []})
    world["app"].lifecycle.wake(PLAYER)
    assert set(world.statuses().values()) == {"starting"}
    assert [name for name, server in world.servers.items() if server.lifecycle.uses_others] == ["db"]
    world["db"].ready()
    assert [name for name, server in world.servers.items() if "start" in server.harness.plugin.calls] == [
        "api",
        "cache",
        "db",
    ]
    world["cache"].ready()
    assert "start" not in world["app"].harness.plugin.calls
    world["api"].ready()
    world["app"].ready()
    assert set(world.statuses().values()) == {"running"}
    assert world["db"].awake == ["needed by api, cache"]


def test_the_longest_chain_that_a_file_may_have() -> None:
    names = [f"s{place}" for place in range(MOST_IN_A_ROW)]
    world = World({name: names[place + 1 : place + 2] for place, name in enumerate(names)})
    world.is_up("s0")
    assert set(world.statuses().values()) == {"running"}
    closed = close(world)
    for name in names:
        world[name].exit()
        world.turn()
    assert closed == names


def test_the_estimate_is_for_all_that_has_to_start() -> None:
    world = World({"app": ["api", "cache"], "api": ["db"], "cache": [], "db": []})
    for name, seconds in (("app", 10.0), ("api", 20.0), ("cache", 5.0), ("db", 40.0)):
        world[name].harness.start_history.estimate = seconds
        world[name].lifecycle.look_again()
    assert world["app"].lifecycle.view.estimate == 70.0
    world["db"].lifecycle.wake(PLAYER)
    world.turn()
    world.clock.advance(15.0)
    assert world["app"].lifecycle.view.estimate == 55.0
    app = world["app"]
    app.lifecycle.wake(PLAYER)
    began = app.lifecycle.view.since
    assert app.lifecycle.view.estimate == 55.0
    world.clock.advance(30.0)  # 5 s longer than estimated
    assert app.lifecycle.view.estimate == 55.0
    world["db"].ready()
    world["cache"].ready()
    world.clock.advance(20.0)
    world["api"].ready()
    assert (app.lifecycle.view.since, app.lifecycle.view.estimate) == (began, 60.0)
    world.clock.advance(9.0)
    app.ready()
    assert app.harness.start_history.starts == [9.0]
    assert app.lifecycle.last_start == 9.0


def test_an_estimate_is_not_known_while_one_of_what_is_needed_is_not() -> None:
    world = chain()
    world["app"].harness.start_history.estimate = world["db"].harness.start_history.estimate = 10.0
    for server in world.servers.values():
        server.lifecycle.look_again()
    assert world["app"].lifecycle.view.estimate is None
    world.is_up("api")
    assert world["app"].lifecycle.view.estimate == 10.0


def test_each_has_its_own_start_time_out(world: World) -> None:
    app, db = world["app"], world["db"]
    app.lifecycle.wake(PLAYER)
    world.clock.advance(299.0)
    db.ready()
    world.clock.advance(299.0)
    assert app.status() is Status.starting
    world.clock.advance(1.0)
    assert app.status() is Status.stopping


def test_a_start_fails_with_the_reason_of_what_it_needs() -> None:
    world = chain()
    app, api, db = world["app"], world["api"], world["db"]
    app.lifecycle.wake(PLAYER)
    outcome = app.harness.wait_to_join()
    operator: list[str] = []
    app.lifecycle.start_for_operator(OPERATOR).addErrback(lambda failure: operator.append(failure.getErrorMessage()))
    db.harness.plugin.write_line("no space left on the disk")
    db.exit(1)
    assert set(world.statuses().values()) == {"failed"}
    chained = "api, which it needs, is not available: db, which it needs, is not available: "
    assert outcome == [chained + "it ended while it started"]
    (text,) = operator
    assert text.startswith(chained + "it ended while it started") and "no space left" in text
    assert [event.server for event in world.events if isinstance(event, Failed)] == ["db", "api", "app"]
    assert [server.harness.start_history.crashes for server in (app, api, db)] == [0, 0, 1]
    assert app.harness.plugin.calls == ["adopt"]
    world.clock.advance(2.0)
    world.is_up("app")


def test_not_every_visitor_causes_another_try_where_what_is_needed_is_not_available() -> None:
    world = World({"app": ["gone"]})
    for _ in range(1000):
        world["app"].lifecycle.wake(PLAYER)
        world.clock.advance(0.1)
    assert [event.retry_in for event in world.events if isinstance(event, Failed)] == [2.0, 4.0, 8.0, 16.0, 32.0, 60.0]
    world.servers["gone"] = gone = Server(world, "gone", (), {})
    world.connect(gone)
    world.graph.update()
    world.clock.advance(60.0)
    world.is_up("app")


def test_a_start_fails_when_what_it_needs_does_not_become_ready(world: World) -> None:
    world["app"].lifecycle.wake(PLAYER)
    outcome = world["app"].harness.wait_to_join()
    world.clock.advance(300.0)
    assert outcome == ["db, which it needs, is not available: it was not ready within 300 s"]
    assert world.statuses() == {"app": "failed", "db": "stopping"}
    world["db"].exit()
    world.turn()
    assert world.statuses() == {"app": "failed", "db": "failed"}
    assert world.clock.getDelayedCalls() == []


def test_a_server_that_is_not_there(world: World) -> None:
    world["app"].needed_names = ["db", "cache"]
    world.graph.update()
    world["app"].lifecycle.wake(PLAYER)
    assert world["app"].lifecycle.view.reason == "cache, which it needs, is not configured"
    assert world["app"].harness.start_history.crashes == 0


def test_one_that_crashes_before_another_is_ready_is_waited_for_again() -> None:
    world = World({"app": ["db", "cache"], "db": [], "cache": []})
    app, db, cache = (world[name] for name in ("app", "db", "cache"))
    app.lifecycle.wake(PLAYER)
    db.ready()
    db.exit(1)
    world.turn()
    assert world.statuses() == {"app": "starting", "db": "failed", "cache": "starting"}
    cache.ready()
    assert db.status() is Status.starting
    assert app.harness.plugin.calls == ["adopt"]
    db.ready()
    assert "start" in app.harness.plugin.calls


def test_a_stop_while_it_waits_touches_no_server(world: World) -> None:
    app, db = world["app"], world["db"]
    app.lifecycle.wake(PLAYER)
    app.lifecycle.sleep(OPERATOR)
    assert app.status() is Status.stopped
    assert app.harness.plugin.calls == ["adopt"]
    assert world.log[-2:] == ["app stopping operator", "app stopped operator"]
    db.ready()
    assert db.status() is Status.running
    world.turn()
    world.clock.advance(IDLE)
    assert db.status() is Status.stopping


# While it runs


def test_it_sleeps_after_what_needs_it_where_both_are_put_to_sleep(world: World) -> None:
    world.is_up("app")
    app, db = world["app"], world["db"]
    needs = world.graph.of(db)
    before = needs.are_dependents_put_to_sleep
    app.lifecycle.sleep_when_empty(OPERATOR)
    assert (before, needs.are_dependents_put_to_sleep) == (False, True)
    db.lifecycle.sleep_once_not_needed(OPERATOR)
    world.turn()
    assert world.statuses() == {"app": "stopping", "db": "running"}
    app.exit()
    world.turn()
    assert world.log[-2:] == ["app stopped operator", "db stopping operator"]


def test_a_server_that_is_not_put_to_sleep_after_all_keeps_what_it_needs(world: World) -> None:
    world.is_up("app")
    app, db = world["app"], world["db"]
    app.lifecycle.sleep_when_empty(OPERATOR)
    db.lifecycle.sleep_once_not_needed(OPERATOR)
    app.lifecycle.wake(PLAYER)
    app.exit()
    world.settle()
    assert world.statuses() == {"app": "running", "db": "running"}
    app.lifecycle.sleep(OPERATOR)
    app.exit()
    world.turn()
    assert db.awake == ["idle time, 1 min left"]


def test_a_busy_server_keeps_what_it_needs_though_both_were_put_to_sleep(world: World) -> None:
    world.is_up("app")
    app, db = world["app"], world["db"]
    asked: Deferred[str | None] = Deferred()
    app.harness.busy = lambda: asked
    app.lifecycle.sleep_when_empty(OPERATOR)
    db.lifecycle.sleep_once_not_needed(OPERATOR)
    asked.callback("its backup runs")
    world.turn()
    app.lifecycle.sleep(OPERATOR)
    app.exit()
    world.turn()
    assert db.awake == ["idle time, 1 min left"]


def test_it_is_kept_running_while_it_is_needed_and_then_for_its_idle_time(world: World) -> None:
    app, db = world["app"], world["db"]
    world.is_up("app")
    player = app.harness.join()
    asked = db.harness.probe.asked
    world.clock.advance(1000.0)
    assert world.statuses() == {"app": "running", "db": "running"}
    assert db.harness.probe.asked == asked
    assert db.lifecycle.awake_reasons == (AwakeReason(AwakeKind.needed, "needed by app"),)
    assert (db.lifecycle.needed_by, db.lifecycle.idle_check_at) == (["app"], None)
    assert world.clock.getDelayedCalls() == []  # no timer runs for it
    player.end()
    world.clock.advance(IDLE)
    assert app.status() is Status.stopping
    world.clock.advance(100.0)
    assert db.status() is Status.running
    app.exit()
    world.turn()
    assert db.awake == ["idle time, 1 min left"]
    world.clock.advance(IDLE - 1.0)
    assert db.status() is Status.running
    world.clock.advance(1.0)
    assert db.status() is Status.stopping
    assert world.log[-1] == "db stopping no connections for 1 min"


def test_its_own_players_keep_it_running_as_well(world: World) -> None:
    app, db = world["app"], world["db"]
    world.is_up("app")
    own = db.harness.join()
    app.lifecycle.sleep(OPERATOR)
    app.exit()
    world.turn()
    world.clock.advance(1000.0)
    assert db.awake == ["a connection"]
    own.end()
    world.clock.advance(IDLE)
    assert db.status() is Status.stopping


@pytest.mark.parametrize("answers", [False, True])
def test_a_query_for_players_ends_when_it_is_needed(world: World, answers: bool) -> None:
    app, db = world["app"], world["db"]
    world.is_up("db")
    asked: Deferred[str | None] = Deferred()
    db.harness.busy = lambda: asked
    world.clock.advance(IDLE)
    app.lifecycle.wake(PLAYER)
    if answers:
        asked.callback(None)
    world.turn()
    asked_before = db.harness.probe.asked
    db.lifecycle.sleep_when_empty(OPERATOR)
    world.clock.advance(IDLE)
    assert (db.status(), db.harness.probe.asked) == (Status.running, asked_before)


def test_a_needed_server_that_has_crashed_is_started_again(world: World) -> None:
    app, db = world["app"], world["db"]
    world.is_up("app")
    app.harness.join()
    for delay in (1.0, 10.0):
        db.exit(1)
        world.turn()
        assert world.statuses() == {"app": "running", "db": "failed"}
        world.clock.advance(delay - 0.5)
        assert db.status() is Status.failed
        world.clock.advance(0.5)
        assert db.status() is Status.starting
        assert world.log[-1] == "db woken needed by app"
        world.settle()
    db.exit(1)  # the third in a row
    world.turn()
    world.clock.advance(10000.0)
    assert db.status() is Status.failed
    assert world.clock.getDelayedCalls() == []
    db.lifecycle.allow_retry()
    world.turn()
    assert db.status() is Status.starting
    assert app.harness.plugin.calls.count("start") == 1


def test_the_delays_begin_anew_after_a_long_run(world: World) -> None:
    app, db = world["app"], world["db"]
    world.is_up("app")
    app.harness.join()
    for _ in range(3):
        world.clock.advance(HEALTHY_AFTER)
        db.exit(1)
        world.turn()
        world.clock.advance(FIRST_RETRY)
        world.settle()
        assert db.status() is Status.running


def test_the_delays_grow_where_a_start_cannot_be_tried(world: World) -> None:
    world.is_up("app")
    world["app"].harness.join()
    db = world["db"]
    world.clock.advance(HEALTHY_AFTER)
    db.harness.start_obstacle = "its disk is gone"
    db.exit(1)
    world.turn()
    tries = []
    for _ in range(400):
        before = db.harness.plugin
        world.clock.advance(1.0)
        tries += [world.clock.seconds()] if db.harness.plugin is not before else []
    assert [round(later - earlier) for earlier, later in pairwise(tries)] == [
        2, 4, 8, 16, 32, 60, 60, 60, 60, 60
    ]  # fmt: skip
    db.harness.start_obstacle = None
    world.clock.advance(60.0)
    assert db.status() is Status.starting


def test_one_that_has_crashed_is_not_started_again_once_nothing_needs_it(world: World) -> None:
    world.is_up("app")
    world["db"].exit(1)
    world.turn()
    world["app"].lifecycle.sleep(OPERATOR)
    world["app"].exit()
    world.turn()
    world.clock.advance(1000.0)
    assert world.statuses() == {"app": "stopped", "db": "failed"}


def test_one_that_ends_by_itself_is_started_again_with_the_next_that_needs_it(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    app, db = world["app"], world["db"]
    world.is_up("app")
    db.exit(0)
    world.turn()
    world.clock.advance(59.0)
    assert world.statuses() == {"app": "running", "db": "stopped"}
    assert "stopped though needed by app; it is started again with the next one that needs it" in caplog.text
    app.exit(1)
    world.turn()
    assert db.status() is Status.stopped
    world.is_up("app")
    assert db.status() is Status.running
    db.harness.current.report_paused()
    world.turn()
    assert db.status() is Status.paused
    db.lifecycle.wake(OPERATOR)
    db.ready()
    db.exit(1)
    db.lifecycle.allow_retry()
    world.turn()
    assert db.status() is Status.starting


def test_an_adopted_server_gets_what_it_needs(world: World) -> None:
    app, db = world["app"], world["db"]
    app.harness.plugin.adoptable = True
    app.harness.plugin.report_found()
    assert (app.status(), app.lifecycle.uses_others) == (Status.starting, True)
    world.turn()
    assert db.status() is Status.starting
    assert world.log == ["db woken needed by app"]


def test_a_paused_server_needs_what_it_needed() -> None:
    world = World({"app": ["db"], "db": []}, pause_when_idle=True)
    app, db = world["app"], world["db"]
    world.is_up("app")
    world.clock.advance(IDLE)
    assert app.status() is Status.paused
    world.clock.advance(1000.0)
    assert (db.status(), db.awake) == (Status.running, ["needed by app"])
    db.lifecycle.sleep(OPERATOR)
    assert app.harness.plugin.calls[-2:] == ["resume", "stop"] and not db.was_asked_to_stop
    app.exit()
    world.turn()
    assert db.was_asked_to_stop


def paused_without_its_need() -> World:
    world = World({"app": ["db"], "db": []}, pause_when_idle=True)
    world.is_up("app")
    world.clock.advance(IDLE)
    world["db"].exit(1)
    world.turn()
    world.clock.advance(100.0)
    assert world.statuses() == {"app": "paused", "db": "failed"}
    world["app"].lifecycle.wake(PLAYER)
    assert world.statuses() == {"app": "starting", "db": "starting"}
    assert "resume" not in world["app"].harness.plugin.calls
    return world


def test_a_paused_server_is_resumed_once_what_it_needs_runs_again() -> None:
    world = paused_without_its_need()
    world["db"].ready()
    assert world["app"].harness.plugin.calls[-1] == "resume"
    world["app"].ready()
    assert set(world.statuses().values()) == {"running"}


@pytest.mark.parametrize("way", ["fails", "stopped", "ends"])
def test_a_paused_server_that_waits_for_what_it_needs_is_stopped(way: str) -> None:
    world = paused_without_its_need()
    app = world["app"]
    if way == "fails":
        world["db"].exit(1)
    elif way == "stopped":
        app.lifecycle.sleep(OPERATOR)
    else:
        close(world, app=False)
    assert app.status() is Status.stopping
    assert app.harness.plugin.calls[-2:] == ["resume", "stop"]
    app.exit()
    assert app.status() is (Status.failed if way == "fails" else Status.stopped)
    assert app.harness.start_history.crashes == 0


def test_a_paused_server_that_waits_may_be_left_as_it_is() -> None:
    world = paused_without_its_need()
    close(world, app=True)
    assert world["app"].harness.plugin.calls[-2:] == ["pause", "close"]


def test_a_paused_server_that_is_needed_is_resumed_first() -> None:
    world = World({"app": ["db"], "db": []}, pause_when_idle=True)
    app, db = world["app"], world["db"]
    world.is_up("db")
    world.clock.advance(IDLE)
    assert db.status() is Status.paused
    app.lifecycle.wake(PLAYER)
    assert (db.status(), db.harness.plugin.calls[-1]) == (Status.starting, "resume")
    assert app.harness.plugin.calls == ["adopt"]
    db.ready()
    assert "start" in app.harness.plugin.calls


# A lockout of what is needed


def test_a_lockout_of_what_is_needed_locks_out_what_needs_it() -> None:
    world = chain()
    app, db = world["app"], world["db"]
    db.harness.lockout = "closed for repairs"
    db.locked_by = "locked out by max"
    world.clock.advance(1.0)
    assert app.lifecycle.view.lockout == "closed for repairs"
    assert app.harness.needs is not None
    app.lifecycle.wake(PLAYER)
    assert app.harness.wait_to_join() == ["closed for repairs"]
    assert set(world.statuses().values()) == {"stopped"}


def test_a_lockout_of_a_server_that_runs_locks_out_nothing_else(world: World) -> None:
    world.is_up("db")
    world["db"].harness.lockout = "closed for repairs"
    world.clock.advance(1.0)
    assert world["app"].lifecycle.view.lockout is None
    world.is_up("app")


def test_a_server_that_runs_is_not_locked_out_with_what_it_needs(world: World) -> None:
    world.is_up("app")
    world["db"].harness.lockout = "closed for repairs"
    world["db"].exit(1)
    world.turn()
    world.clock.advance(30.0)
    assert world["app"].lifecycle.view.lockout is None
    assert world.statuses() == {"app": "running", "db": "failed"}


def test_an_operator_starts_all_in_spite_of_lockouts_and_failures() -> None:
    world = chain()
    app, api, db = world["app"], world["api"], world["db"]
    api.harness.start_fails = PluginError("broken")
    for _ in range(3):
        api.lifecycle.wake(PLAYER)
        world.settle()
        world.clock.advance(20.0)
    assert (api.status(), api.lifecycle.view.retry_at) == (Status.failed, None)
    db.lifecycle.sleep(OPERATOR)
    db.exit()
    db.harness.lockout = "closed for repairs"
    api.harness.start_fails = None
    app.lifecycle.wake(PLAYER)
    assert app.status() is Status.stopped
    app.lifecycle.start_for_operator(OPERATOR)
    assert set(world.statuses().values()) == {"starting"}
    world.settle()
    assert set(world.statuses().values()) == {"running"}
    assert world.graph.forced == set()


# Stops


def test_an_operator_stops_what_needs_it_first(world: World) -> None:
    app, db = world["app"], world["db"]
    world.is_up("app")
    db.lifecycle.sleep(OPERATOR)
    assert world.statuses() == {"app": "stopping", "db": "stopping"}
    assert [app.was_asked_to_stop, db.was_asked_to_stop] == [True, False]
    world.clock.advance(149.0)  # its own time to stop begins with its turn
    assert db.harness.plugin.signals == []
    app.exit()
    world.turn()
    assert db.was_asked_to_stop
    world.clock.advance(149.0)
    assert db.harness.plugin.signals == []
    db.exit()
    world.turn()
    assert world.statuses() == {"app": "stopped", "db": "stopped"}
    stops = [(event.server, event.cause.kind) for event in world.events if isinstance(event, Stopping)]
    assert stops == [("db", CauseKind.operator), ("app", CauseKind.dependency)]
    assert "app stopping db, which it needs, stops: stopped by operator max" in world.log


def test_a_player_who_joins_in_the_meantime_starts_both_again(world: World) -> None:
    app, db = world["app"], world["db"]
    world.is_up("app")
    db.lifecycle.sleep(OPERATOR)
    app.lifecycle.wake(PLAYER)
    outcome = app.harness.wait_to_join()
    app.exit()
    world.turn()
    assert world.statuses() == {"app": "starting", "db": "stopping"}
    assert app.harness.plugin.calls.count("start") == 1
    db.exit()
    world.settle()
    assert world.statuses() == {"app": "running", "db": "running"}
    assert len(outcome) == 1


def test_one_that_waits_for_another_need_is_stopped_as_well() -> None:
    world = World({"app": ["db", "cache"], "db": [], "cache": []})
    world["app"].lifecycle.wake(PLAYER)
    outcome = world["app"].harness.wait_to_join()
    world["db"].ready()
    world["db"].lifecycle.sleep(OPERATOR)
    assert world.statuses() == {"app": "stopped", "db": "stopping", "cache": "starting"}
    assert world["db"].was_asked_to_stop
    assert outcome == ["a server that it needs is stopped"]


def test_a_restart_restarts_what_needs_it(world: World) -> None:
    app, db = world["app"], world["db"]
    world.is_up("app")
    db.lifecycle.restart(RESTART)
    assert app.was_asked_to_stop and not db.was_asked_to_stop
    app.exit()
    world.turn()
    db.exit()
    world.settle()
    assert world.statuses() == {"app": "running", "db": "running"}
    assert [server.harness.plugin.calls.count("start") for server in (app, db)] == [2, 2]


def test_a_start_that_waits_for_another_one_waits_for_a_restart_too() -> None:
    world = World({"app": ["db", "cache"], "db": [], "cache": []})
    app, db, cache = (world[name] for name in ("app", "db", "cache"))
    app.lifecycle.wake(PLAYER)
    db.ready()
    db.lifecycle.restart(RESTART)
    assert world.statuses() == {"app": "starting", "db": "stopping", "cache": "starting"}
    cache.ready()
    db.exit()
    assert app.harness.plugin.calls == ["adopt"]
    db.ready()
    assert "start" in app.harness.plugin.calls


def test_a_server_that_crashes_during_the_stop_of_what_needs_it(world: World) -> None:
    app, db = world["app"], world["db"]
    world.is_up("app")
    db.lifecycle.sleep(OPERATOR)
    db.exit(1)
    world.turn()
    assert (db.status(), app.status()) == (Status.stopped, Status.stopping)
    app.exit()
    world.turn()
    world.clock.advance(1000.0)
    assert world.statuses() == {"app": "stopped", "db": "stopped"}


def test_who_uses_a_server_directly_or_not() -> None:
    world = World({"app": ["api"], "api": ["db"], "web": ["db"], "db": []})
    world.is_up("app")
    assert [member.name for member in world.graph.of(world["db"]).users()] == ["api", "app"]
    world["app"].lifecycle.sleep(OPERATOR)
    assert [member.name for member in world.graph.of(world["db"]).users()] == ["api", "app"]
    world["app"].exit()
    assert [member.name for member in world.graph.of(world["db"]).users()] == ["api"]


# The end of zeroscale


def close(world: World, **leave: bool) -> list[str]:
    """Close all servers as the manager does; return what gets the names of those that are closed."""
    closed: list[str] = []
    for name in world.graph.dependents_first():
        done = world[name].lifecycle.close(leave=leave.get(name, False))
        done.addCallback(partial(_closed, world, closed, name))
    return closed


def _closed(world: World, closed: list[str], name: str, _: None) -> None:
    closed.append(name)
    world.graph.look()


def test_all_are_stopped_in_the_reverse_order() -> None:
    world = World({"app": ["api", "db"], "api": ["db"], "db": []})
    world.is_up("app")
    closed = close(world)
    assert [server.was_asked_to_stop for server in world.servers.values()] == [True, False, False]
    assert set(world.statuses().values()) == {"stopping"}
    for name in world.servers:
        assert world[name].was_asked_to_stop
        world[name].exit()
        world.turn()
    assert closed == ["app", "api", "db"]
    causes = {event.cause.kind for event in world.events if isinstance(event, Stopping)}
    assert causes == {CauseKind.shutdown}
    assert world.clock.getDelayedCalls() == []


def test_a_second_signal_is_kept_until_it_is_its_turn(world: World) -> None:
    app, db = world["app"], world["db"]
    world.is_up("app")
    close(world)
    for server in (app, db):
        server.lifecycle.skip_to_sigterm()
    world.clock.advance(0.0)
    assert (app.harness.plugin.signals, db.harness.plugin.signals) == ([15], [])
    app.exit(143)
    world.turn()
    world.clock.advance(0.0)
    assert db.was_asked_to_stop and db.harness.plugin.signals == [15]


def test_a_start_that_waits_ends_with_zeroscale(world: World) -> None:
    app = world["app"]
    app.lifecycle.wake(PLAYER)
    closed = close(world, app=True, db=True)
    assert app.status() is Status.stopped
    assert app.harness.plugin.calls == ["adopt", "close"]
    assert closed == ["app", "db"]
    assert world.log[-1] == "app stopped shutdown"


def test_a_server_that_is_given_up_at_the_end_holds_up_nothing() -> None:
    world = World({"app": ["db"], "db": []})
    app, db = world["app"], world["db"]
    app.harness.plugin.is_remote = True
    app.harness.plugin.can_signal = False
    world.is_up("app")
    close(world)
    world.clock.advance(150.0)
    assert app.status() is Status.stopping  # for ever: its API does not answer
    world.turn()
    assert db.was_asked_to_stop


def test_what_is_left_running_needs_what_is_left_running() -> None:
    world = chain()
    for name, left in (("app", True), ("api", True), ("db", True)):
        world[name].on_exit_leave = left
    needs = world.graph.of(world["app"])
    assert needs.stopped_at_exit() == []
    world["db"].harness.plugin.can_adopt = False
    assert needs.stopped_at_exit() == ["db"]
    world["api"].on_exit_leave = False
    assert needs.stopped_at_exit() == ["api", "db"]


# Other servers, by a reload


def test_a_need_that_is_added_is_started_and_one_that_is_removed_may_idle(world: World) -> None:
    app, db = world["app"], world["db"]
    app.needed_names = []
    world.graph.update()
    world.is_up("app")
    app.harness.join()
    assert db.status() is Status.stopped
    app.needed_names = ["db"]
    world.graph.update()
    world.turn()
    world.settle()
    world.clock.advance(1000.0)
    assert db.status() is Status.running
    app.needed_names = []
    world.graph.update()
    world.clock.advance(IDLE - 1.0)
    assert db.status() is Status.running
    world.clock.advance(1.0)
    assert db.status() is Status.stopping


def test_a_removed_server_keeps_what_it_needs_until_it_has_stopped(world: World) -> None:
    app, db = world["app"], world["db"]
    world.is_up("app")
    player = app.harness.join()
    world.drained.append(world.servers.pop("app"))
    app.lifecycle.retire()
    world.graph.update()
    world.clock.advance(1000.0)
    assert db.awake == ["needed by app"]
    player.end()
    world.clock.advance(0.0)
    app.exit()
    world.turn()
    assert db.awake == ["idle time, 1 min left"]


def test_a_server_that_was_removed_is_not_needed_any_more(world: World) -> None:
    app, db = world["app"], world["db"]
    world.is_up("app")
    world.drained.append(world.servers.pop("db"))
    db.lifecycle.retire()
    world.graph.update()
    world.clock.advance(0.0)
    assert (app.status(), db.status()) == (Status.running, Status.stopping)
    assert db.was_asked_to_stop
    db.exit()
    world.turn()
    world.clock.advance(1000.0)
    assert app.status() is not Status.failed


# Any servers and events

NAMES = "abcdef"


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, Sequence[str]]:
    """Return servers, each of which needs some of those after it."""
    names = NAMES[: draw(st.integers(2, len(NAMES)))]
    return {
        name: draw(st.lists(st.sampled_from(names[place + 1 :]), unique=True, max_size=3)) if name != names[-1] else []
        for place, name in enumerate(names)
    }


class WatchedPlugin(FakePlugin):
    """Tells its test of each start and stop."""

    on_call: Callable[[LifecycleHarness, str], None]

    def start(self) -> Deferred[None]:
        type(self).on_call(self.harness, "start")
        return super().start()

    def stop(self) -> Deferred[None]:
        type(self).on_call(self.harness, "stop")
        return super().stop()


class Story:
    """Random events of a world.

    :ivar broken: what should have held, and did not.
    """

    def __init__(self, needs: dict[str, Sequence[str]]) -> None:
        class Plugin(WatchedPlugin):
            on_call = staticmethod(self.called)

        self.world = World(needs, plugin_type=Plugin, max_crashes=1000, pause_when_idle=len(needs) % 2 == 0)
        self.needs = needs
        self.sessions: list[PlayerSession] = []
        self.broken: list[str] = []
        self.stops: dict[str, CauseKind] = {}
        for server in self.world.servers.values():
            server.lifecycle.add_event_observer(self.noted)

    def called(self, harness: LifecycleHarness, call: str) -> None:
        server = self.world[harness.lifecycle.name]
        if call == "start":
            statuses = {name: self.world[name].status() for name in server.needed_names}
            if set(statuses.values()) - {Status.running}:
                self.broken.append(f"{server.name} starts with {statuses}")
        elif self.stops[server.name] is CauseKind.start_failed:
            pass  # as after a crash: others may run without it
        elif users := [each.name for each in self.dependents(server) if each.lifecycle.uses_others]:
            self.broken.append(f"{server.name} is stopped though used by {users}")

    def noted(self, event: ServerEvent) -> None:
        if not isinstance(event, Stopping):
            return
        self.stops[event.server] = event.cause.kind
        users = [each.name for each in self.dependents(self.world[event.server]) if not each.is_down]
        if event.cause.kind is CauseKind.idle and users:
            self.broken.append(f"{event.server} is idle though needed by {users}")

    def dependents(self, server: Server) -> list[Server]:
        return [each for each in self.world.servers.values() if server.name in each.needed_names]

    def does(self, action: str, name: str) -> None:
        server, lifecycle = self.world[name], self.world[name].lifecycle
        plugin = server.harness.current
        match action:
            case "wake":
                lifecycle.wake(PLAYER)
            case "operator":
                lifecycle.start_for_operator(OPERATOR).addErrback(lambda _: None)
            case "ready" if server.status() is Status.starting and lifecycle.uses_others:
                if not (ran := server.harness.readinesses[-1].ran).called:
                    ran.callback(ProbeResult({"description": "real"}, 0))
            case "found" if server.is_down:
                plugin.adoptable = True
                plugin.report_found()
                plugin.adoptable = False
            case "exit" | "crash" if plugin.alive:
                plugin.exit(0 if action == "exit" else 1)
            case "sleep":
                lifecycle.sleep(OPERATOR)
            case "restart":
                lifecycle.restart(RESTART)
            case "lock":
                server.harness.lockout = "locked"
            case "unlock":
                server.harness.lockout = None
            case "join":
                lifecycle.wake(PLAYER)
                lifecycle.admit().addCallbacks(self.sessions.append, lambda _: None)
            case "leave" if self.sessions:
                self.sessions.pop().end()
            case "reload":
                server.needed_names = () if server.needed_names else self.needs[name]
                self.world.graph.update()
            case "time":
                self.world.clock.advance(IDLE / 2)
        self.world.turn()

    def ends(self) -> None:
        """All stop at zeroscale's end, whatever they were doing."""
        closed = close(self.world)
        for _ in range(2 * len(self.world.servers)):
            for server in self.world.servers.values():
                if server.status() is Status.stopping and server.was_asked_to_stop:
                    server.harness.current.exit()
            self.world.turn()
        assert sorted(closed) == sorted(self.world.servers), self.world.statuses()
        assert all(server.is_down for server in self.world.servers.values())
        self.world.graph.close()
        assert self.world.clock.getDelayedCalls() == []


ACTIONS = (
    *("wake", "operator", "ready", "ready", "ready", "found", "exit", "crash"),
    *("sleep", "restart", "lock", "unlock", "join", "leave", "reload", "time", "time"),
)


@settings(max_examples=150, deadline=None)
@given(graphs(), st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 5)), max_size=40))
def test_the_order_holds_for_any_servers_and_events(
    needs: dict[str, Sequence[str]], events: list[tuple[str, int]]
) -> None:
    story = Story(needs)
    names = list(needs)
    for action, place in events:
        story.does(action, names[place % len(names)])
    story.ends()
    assert story.broken == []
