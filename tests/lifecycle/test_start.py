"""How a lifecycle starts a server."""

from __future__ import annotations

import signal
from functools import partial

import pytest
from lifecycle.harness import OPERATOR, PLAYER, LifecycleHarness
from msgspec.structs import replace
from twisted.internet.defer import Deferred

from zeroscale.errors import PluginError, StartRefused
from zeroscale.lifecycle.idle_monitor import PlayerSession
from zeroscale.status import Status


def _note(order: list[int], number: int, _: object) -> None:
    order.append(number)


# Starting


def test_a_wake_starts_the_server_and_its_first_answer_makes_it_running() -> None:
    harness = LifecycleHarness()
    harness.lifecycle.wake(PLAYER)
    assert harness.status() is Status.starting
    assert harness.plugin.calls == ["adopt", "adopt", "start"]
    harness.clock.advance(12.5)
    harness.become_ready()
    assert harness.status() is Status.running
    assert harness.start_history.starts == [12.5]
    assert harness.status_cache.stored == [{"description": "real"}]


def test_ten_players_start_the_server_once_and_are_admitted_in_their_order() -> None:
    harness = LifecycleHarness()
    order: list[int] = []
    for number in range(10):
        harness.lifecycle.wake(PLAYER)
        harness.lifecycle.admit().addCallback(partial(_note, order, number))
    assert harness.lifecycle.view.waiting == 10
    assert harness.plugin.calls.count("start") == 1
    harness.become_ready()
    assert order == list(range(10))
    assert harness.lifecycle.view.players == 10


def test_a_player_who_stops_waiting_does_not_cancel_the_start() -> None:
    harness = LifecycleHarness()
    harness.lifecycle.wake(PLAYER)
    waiting = harness.lifecycle.admit()
    waiting.addErrback(lambda failure: None)
    waiting.cancel()
    assert harness.lifecycle.view.waiting == 0
    harness.become_ready()
    assert harness.status() is Status.running
    assert harness.lifecycle.view.players == 0


def test_a_stop_while_it_is_looked_for_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a call of asyncio that has just ended, the search has a result though it is cancelled."""
    harness = LifecycleHarness()
    monkeypatch.setattr(harness.plugin, "adopt", lambda: Deferred(lambda search: search.callback(None)))
    harness.lifecycle.wake(PLAYER)
    assert harness.status() is Status.starting
    harness.lifecycle.close()
    assert "start" not in harness.plugin.calls
    assert "stop" in harness.plugin.calls


def test_after_a_failed_start_the_next_login_starts_with_a_new_plugin() -> None:
    harness = LifecycleHarness()
    harness.start_fails = PluginError("no server.jar in /srv")
    harness.lifecycle.wake(PLAYER)
    assert harness.status() is Status.failed
    assert harness.lifecycle.view.detail == "no server.jar in /srv"
    assert harness.lifecycle.view.retry_at == 0.0
    harness.start_fails = None
    harness.lifecycle.wake(PLAYER)
    assert len(harness.plugins) == 2
    assert harness.status() is Status.starting


def test_waiting_players_are_rejected_when_the_server_exits_before_it_is_ready() -> None:
    harness = LifecycleHarness()
    harness.lifecycle.wake(PLAYER)
    outcome = harness.wait_to_join()
    harness.plugin.write_line("java.lang.OutOfMemoryError")
    harness.plugin.exit(1)
    assert outcome == ["it ended while it started"]
    detail = harness.lifecycle.view.detail
    assert detail is not None
    assert "exit code 1" in detail
    assert "OutOfMemoryError" in detail


def test_an_exit_before_ready_is_a_failure_even_with_exit_code_0() -> None:
    harness = LifecycleHarness()
    harness.lifecycle.wake(PLAYER)
    harness.plugin.exit(0)
    assert harness.status() is Status.failed


def test_a_plugin_may_give_the_reason_of_the_exit_itself() -> None:
    harness = LifecycleHarness()
    harness.lifecycle.wake(PLAYER)
    assert harness.plugin.waiting is not None
    harness.plugin.waiting.errback(PluginError("say eula=true in /srv/eula.txt"))
    assert harness.status() is Status.failed
    assert "eula=true" in str(harness.lifecycle.view.detail)


def test_the_operator_reads_the_last_output_of_a_start_that_takes_too_long() -> None:
    harness = LifecycleHarness(start_timeout=300.0)
    reasons: list[str] = []
    harness.lifecycle.start_for_operator(OPERATOR).addErrback(lambda failure: reasons.append(failure.getErrorMessage()))
    harness.plugin.write_line("Loading libraries, please wait...")
    harness.clock.advance(600.0)
    [reason] = reasons
    assert reason.startswith("it was not ready within ")
    assert reason.endswith("; its last output: Loading libraries, please wait...")


def test_a_start_that_takes_too_long_is_stopped_and_has_failed_once_the_process_is_gone() -> None:
    harness = LifecycleHarness(start_timeout=300.0)
    harness.lifecycle.wake(PLAYER)
    outcome = harness.wait_to_join()
    harness.clock.advance(300.0)
    assert harness.status() is Status.stopping
    assert outcome == ["it was not ready within 300 s"]
    assert harness.plugin.calls[-1] == "stop"
    harness.plugin.exit(143)
    assert harness.status() is Status.failed
    assert harness.lifecycle.view.reason == "it was not ready within 300 s"


def test_output_while_starting_extends_the_deadline_but_not_for_ever() -> None:
    harness = LifecycleHarness(start_timeout=100.0)
    harness.lifecycle.wake(PLAYER)
    for _ in range(5):
        harness.clock.advance(75.0)
        harness.plugin.write_line("loading")
        assert harness.status() is Status.starting
    harness.clock.advance(25.0)
    assert harness.status() is Status.stopping


def test_the_ready_line_is_passed_to_the_readiness_wait() -> None:
    harness = LifecycleHarness()
    harness.lifecycle.wake(PLAYER)
    assert harness.readinesses[-1].expecting == 0
    harness.plugin.write_line("Starting net.minecraft.server.Main")
    assert (harness.readinesses[-1].expecting, harness.readinesses[-1].hurried) == (1, 0)
    harness.plugin.write_line("Done (3.2s)!")
    assert (harness.readinesses[-1].expecting, harness.readinesses[-1].hurried) == (1, 1)


def test_output_of_a_server_without_a_ready_line_does_not_announce_one() -> None:
    harness = LifecycleHarness()
    harness.lifecycle.apply_policy(replace(harness.policy, ready_line=None))
    harness.lifecycle.wake(PLAYER)
    harness.plugin.write_line("Starting")
    assert (harness.readinesses[-1].expecting, harness.readinesses[-1].hurried) == (0, 0)


@pytest.mark.parametrize("obstacle", ["the world is open elsewhere", None])
def test_the_server_is_not_started_where_another_copy_may_run(obstacle: str | None) -> None:
    harness = LifecycleHarness()
    harness.start_obstacle = obstacle
    harness.probe.accepts = obstacle is None
    harness.lifecycle.wake(PLAYER)
    assert harness.status() is Status.failed
    assert "start" not in harness.plugin.calls
    assert (obstacle or "already answers") in str(harness.lifecycle.view.detail)


def test_who_answers_on_the_server_s_port_is_named() -> None:
    harness = LifecycleHarness()
    harness.listener = "process 77 (java)"
    harness.probe.accepts = True
    harness.lifecycle.wake(PLAYER)
    assert harness.lifecycle.view.detail == (
        "process 77 (java) already answers on the server's port: stop it, or give another server_port"
    )


def test_a_start_that_was_not_tried_is_no_crash() -> None:
    harness = LifecycleHarness(max_crashes=2)
    harness.start_obstacle = "the world is open elsewhere"
    for _ in range(5):
        harness.lifecycle.wake(PLAYER)
        assert harness.status() is Status.failed
        assert harness.lifecycle.view.retry_at == 0.0
    assert harness.start_history.crashes == 0
    harness.start_obstacle = None
    harness.running()


def test_a_plugin_whose_api_is_away_is_no_crash_of_the_server() -> None:
    harness = LifecycleHarness(max_crashes=2)
    harness.adopt_fails = PluginError("the API does not answer")
    for _ in range(5):
        harness.lifecycle.wake(PLAYER)
        assert harness.lifecycle.view.detail == "the API does not answer"
        assert harness.lifecycle.view.retry_at == 0.0
    assert harness.start_history.crashes == 0
    harness.adopt_fails = None
    harness.running()


def test_starts_without_a_process_left_are_no_crashes_and_wait_longer_each_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    harness = LifecycleHarness(max_crashes=2)
    harness.start_fails = StartRefused("no more processes are allowed")
    waits = []

    def starts() -> int:
        return sum(plugin.calls.count("start") for plugin in harness.plugins)

    for number in range(8):
        harness.lifecycle.wake(PLAYER)
        assert starts() == number + 1
        view = harness.lifecycle.view
        assert (view.status, view.detail) == (Status.failed, "no more processes are allowed")
        assert view.retry_at is not None
        waits.append(view.retry_at - harness.clock.seconds())
        harness.clock.advance(waits[-1] - 0.1)
        harness.lifecycle.wake(PLAYER)
        assert harness.wait_to_join() == ["it could not be started"], "who joins now is told at once"
        assert starts() == number + 1
        harness.clock.advance(0.1)
    assert waits == [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]
    assert harness.start_history.crashes == 0
    assert harness.stats.snapshot(0.0).crashes == 0
    assert [each.levelname for each in caplog.records if "no more processes" in each.message] == ["ERROR"] * 8
    harness.start_fails = None
    harness.running()
    harness.plugin.exit(0)
    harness.start_fails = StartRefused("no more processes are allowed")
    harness.lifecycle.wake(PLAYER)
    assert harness.lifecycle.view.retry_at == harness.clock.seconds() + 2.0, "it begins anew"


def test_a_server_whose_readiness_could_not_be_seen_is_not_started() -> None:
    harness = LifecycleHarness(max_crashes=2)
    harness.probe.accepts = StartRefused("game.internal cannot be looked up")
    for _ in range(3):
        harness.lifecycle.wake(PLAYER)
        assert harness.lifecycle.view.detail == "game.internal cannot be looked up"
        harness.clock.advance(60.0)
    assert all("start" not in plugin.calls for plugin in harness.plugins)
    assert harness.start_history.crashes == 0
    harness.probe.accepts = False
    harness.running()


def test_players_who_wait_for_a_start_that_is_refused_are_told() -> None:
    harness = LifecycleHarness()
    harness.slow_start = True
    harness.lifecycle.wake(PLAYER)
    outcomes = [harness.wait_to_join() for _ in range(3)]
    assert outcomes == [[], [], []]
    assert harness.plugin.starting is not None
    harness.plugin.starting.errback(StartRefused("no more processes are allowed"))
    assert harness.start_history.crashes == 0
    assert outcomes == [["it could not be started"]] * 3


def test_the_operator_need_not_wait_after_a_start_that_was_refused() -> None:
    harness = LifecycleHarness()
    harness.start_fails = StartRefused("no more processes are allowed")
    harness.lifecycle.wake(PLAYER)
    harness.start_fails = None
    harness.lifecycle.start_for_operator(OPERATOR)
    assert harness.status() is Status.starting


def test_a_load_balancer_that_takes_connections_does_not_block_the_start() -> None:
    harness = LifecycleHarness()
    harness.plugin.is_load_balanced = True
    harness.probe.accepts = True
    harness.running()
    assert "start" in harness.plugin.calls


# Adopting


def test_a_server_of_an_earlier_proxy_is_taken_over_and_stopped_when_idle() -> None:
    harness = LifecycleHarness(opened=False)
    harness.plugin.adoptable = True
    Deferred.fromCoroutine(harness.lifecycle.open())
    assert harness.status() is Status.starting
    assert harness.readinesses[-1].lineless_calls == 1
    harness.become_ready()
    assert harness.status() is Status.running
    assert "start" not in harness.plugin.calls
    assert harness.start_history.starts == []
    harness.clock.advance(60.0)
    assert harness.status() is Status.stopping
    harness.plugin.exit(None)
    assert harness.status() is Status.stopped


def test_a_player_who_joins_before_open_is_not_forgotten() -> None:
    harness = LifecycleHarness(opened=False)
    harness.lifecycle.wake(PLAYER)
    outcome = harness.wait_to_join()
    assert harness.plugin.calls == []
    Deferred.fromCoroutine(harness.lifecycle.open())
    assert harness.status() is Status.starting
    harness.become_ready()
    assert len(outcome) == 1


def test_an_adopted_servers_unknown_exit_code_is_a_clean_exit() -> None:
    harness = LifecycleHarness(opened=False)
    harness.plugin.adoptable = True
    Deferred.fromCoroutine(harness.lifecycle.open())
    harness.become_ready()
    harness.plugin.exit(None)
    assert harness.status() is Status.stopped


def test_a_server_that_was_taken_over_is_not_stopped_because_we_cannot_ask_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    harness = LifecycleHarness(opened=False, start_timeout=100.0)
    harness.plugin.adoptable = True
    Deferred.fromCoroutine(harness.lifecycle.open())
    [readiness] = harness.readinesses
    readiness.hindered, readiness.problem = True, "its name cannot be looked up"
    harness.clock.pump([100.0] * 3)
    assert harness.status() is Status.starting
    assert "test: not known whether it is ready: its name cannot be looked up" in caplog.messages
    readiness.hindered, readiness.problem = False, "it does not accept connections"
    harness.clock.advance(99.0)
    assert harness.status() is Status.starting
    harness.clock.advance(1.0)
    assert harness.status() is Status.stopping


def test_a_player_who_came_before_the_search_is_not_forgotten_where_the_server_does_not_run_after_all() -> None:
    harness = LifecycleHarness(opened=False, start_timeout=300.0)
    harness.plugin.adoptable = harness.plugin.doubtful = True
    harness.lifecycle.wake(PLAYER)
    Deferred.fromCoroutine(harness.lifecycle.open())
    harness.clock.advance(300.0)
    assert harness.plugin.calls == ["adopt", "doubt", "adopt", "start"]


@pytest.mark.parametrize("waits", [True, False])
def test_a_server_that_was_found_and_does_not_run_after_all_is_started_for_a_player_who_has_come(waits: bool) -> None:
    harness = LifecycleHarness(start_timeout=300.0)
    harness.plugin.adoptable = harness.plugin.doubtful = True
    harness.lifecycle.wake(PLAYER)
    outcome = harness.wait_to_join() if waits else []
    harness.clock.advance(299.0)
    assert "doubt" not in harness.plugin.calls
    harness.clock.advance(1.0)
    assert harness.plugin.calls[-2:] == ["adopt", "start"]
    assert "stop" not in harness.plugin.calls
    assert outcome == []
    harness.become_ready()
    assert len(outcome) == waits
    assert harness.status() is Status.running


def test_a_server_found_by_an_earlier_search_is_started_for_a_player_who_came_later() -> None:
    harness = LifecycleHarness(opened=False, start_timeout=300.0)
    harness.plugin.adoptable = harness.plugin.doubtful = True
    Deferred.fromCoroutine(harness.lifecycle.open())
    harness.clock.advance(100.0)
    harness.lifecycle.wake(PLAYER)
    harness.clock.advance(200.0)
    assert harness.plugin.calls[-1] == "start"


def test_without_a_player_a_server_that_was_found_and_does_not_run_after_all_is_stopped() -> None:
    harness = LifecycleHarness(opened=False, start_timeout=300.0)
    harness.plugin.adoptable = harness.plugin.doubtful = True
    Deferred.fromCoroutine(harness.lifecycle.open())
    harness.clock.advance(300.0)
    assert harness.status() is Status.stopped
    assert harness.plugin.calls == ["adopt", "doubt"]
    assert harness.start_history.crashes == 0
    harness.lifecycle.wake(PLAYER)
    assert harness.plugin.calls[-1] == "start"


def test_a_server_that_the_plugin_is_sure_of_is_stopped_as_any_other_that_is_never_ready() -> None:
    harness = LifecycleHarness(start_timeout=300.0)
    harness.plugin.adoptable = True
    harness.lifecycle.wake(PLAYER)
    harness.clock.advance(300.0)
    assert harness.plugin.calls[-2:] == ["doubt", "stop"]
    assert harness.status() is Status.stopping


def test_a_server_that_was_started_here_is_not_doubted() -> None:
    harness = LifecycleHarness(start_timeout=300.0)
    harness.plugin.doubtful = True
    harness.lifecycle.wake(PLAYER)
    harness.clock.advance(300.0)
    assert harness.plugin.calls == ["adopt", "adopt", "start", "stop"]


def test_players_who_wait_for_an_adopted_server_that_was_stopping_get_a_new_one() -> None:
    harness = LifecycleHarness(opened=False)
    harness.plugin.adoptable = True
    Deferred.fromCoroutine(harness.lifecycle.open())
    outcome = harness.wait_to_join()
    harness.plugin.adoptable = False
    harness.plugin.exit(None)
    assert harness.status() is Status.starting
    assert harness.plugin.calls[-1] == "start"
    assert harness.start_history.crashes == 0
    harness.become_ready()
    assert isinstance(outcome[0], PlayerSession)


def found_stopping() -> LifecycleHarness:
    """A lifecycle whose plugin has found its server stopping."""
    harness = LifecycleHarness(opened=False, stop_timeout=150.0)
    harness.plugin.adoptable = harness.plugin.found_stopping = True
    Deferred.fromCoroutine(harness.lifecycle.open())
    assert harness.status() is Status.stopping
    assert harness.plugin.calls == ["adopt", "stop"]
    return harness


def test_a_server_that_is_found_stopping_is_waited_for() -> None:
    harness = found_stopping()
    harness.plugin.adoptable = False
    harness.plugin.exit(None)
    assert harness.status() is Status.stopped
    assert "start" not in harness.plugin.calls
    assert harness.start_history.crashes == 0


def test_a_player_is_held_while_the_stop_of_an_earlier_proxy_goes_on_and_gets_a_new_server() -> None:
    harness = found_stopping()
    harness.lifecycle.wake(PLAYER)
    outcome = harness.wait_to_join()
    harness.clock.advance(149.0)
    assert outcome == []
    assert harness.plugin.signals == []
    harness.clock.advance(1.0)
    assert harness.plugin.signals == [signal.SIGTERM], "the escalation begins anew"
    harness.plugin.adoptable = False
    harness.plugin.exit(143)
    assert harness.status() is Status.starting
    assert harness.plugin.calls[-1] == "start"
    harness.become_ready()
    assert isinstance(outcome[0], PlayerSession)


def test_a_wake_before_the_stopping_server_was_found_is_kept() -> None:
    harness = LifecycleHarness(opened=False)
    harness.plugin.adoptable = harness.plugin.found_stopping = True
    harness.lifecycle.wake(PLAYER)
    Deferred.fromCoroutine(harness.lifecycle.open())
    assert harness.status() is Status.stopping
    harness.plugin.adoptable = False
    harness.plugin.exit(None)
    assert harness.status() is Status.starting


def test_a_start_that_finds_the_server_stopping_waits_for_its_end_and_starts_it_anew() -> None:
    harness = LifecycleHarness()
    harness.plugin.adoptable = harness.plugin.found_stopping = True
    harness.lifecycle.wake(PLAYER)
    assert harness.status() is Status.stopping
    assert harness.plugin.calls == ["adopt", "adopt", "stop"]
    harness.plugin.adoptable = False
    harness.plugin.exit(None)
    assert harness.status() is Status.starting
    assert harness.plugin.calls[-1] == "start"


def test_a_stopping_server_of_a_plugin_without_wait_is_gone_when_its_stop_returns() -> None:
    harness = LifecycleHarness(opened=False)
    harness.plugin.can_wait = False
    harness.plugin.adoptable = harness.plugin.found_stopping = True
    Deferred.fromCoroutine(harness.lifecycle.open())
    assert harness.status() is Status.stopping
    harness.plugin.alive = False
    harness.plugin.stop_returns()
    assert harness.status() is Status.stopped
