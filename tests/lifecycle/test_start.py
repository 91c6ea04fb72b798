"""How a server comes up, as its lifecycle does it."""

from __future__ import annotations

from functools import partial

import pytest
from lifecycle.harness import Scene
from twisted.internet.defer import Deferred

from zeroscale.errors import PluginError
from zeroscale.lifecycle.idle_monitor import PlayerSession
from zeroscale.status import Status


def _note(order: list[int], number: int, _: object) -> None:
    order.append(number)


# StartAttempt


def test_a_wake_starts_it_and_its_first_answer_makes_it_running() -> None:
    scene = Scene()
    scene.life.wake("somebody")
    assert scene.status() is Status.starting
    assert scene.plugin.calls == ["adopt", "adopt", "start"]
    scene.clock.advance(12.5)
    scene.become_ready()
    assert scene.status() is Status.running
    assert scene.records.starts == [12.5]
    assert scene.mirror.stored == [{"description": "real"}]


def test_ten_who_want_in_start_it_once_and_all_come_in_in_their_order() -> None:
    scene = Scene()
    order: list[int] = []
    for number in range(10):
        scene.life.wake(str(number))
        scene.life.admit().addCallback(partial(_note, order, number))
    assert scene.life.view.waiting == 10
    assert scene.plugin.calls.count("start") == 1
    scene.become_ready()
    assert order == list(range(10))
    assert scene.life.view.players == 10


def test_who_stops_waiting_does_not_cut_the_start_short() -> None:
    scene = Scene()
    scene.life.wake("somebody")
    waiting = scene.life.admit()
    waiting.addErrback(lambda failure: None)
    waiting.cancel()
    assert scene.life.view.waiting == 0
    scene.become_ready()
    assert scene.status() is Status.running
    assert scene.life.view.players == 0


def test_a_start_that_fails_is_told_at_once_and_the_next_login_gets_a_new_plugin() -> None:
    scene = Scene()
    scene.plugin.start_fails = PluginError("no server.jar in /srv")
    scene.life.wake("somebody")
    assert scene.status() is Status.failed
    assert scene.life.view.detail == "no server.jar in /srv"
    assert scene.life.view.retry_at == 0.0
    scene.life.wake("somebody else")
    assert len(scene.plugins) == 2
    assert scene.status() is Status.starting


def test_players_who_wait_are_told_at_once_when_it_ends_before_it_is_ready() -> None:
    scene = Scene()
    scene.life.wake("somebody")
    said = scene.waiter()
    scene.plugin.take_line("java.lang.OutOfMemoryError")
    scene.plugin.end(1)
    assert said == ["it ended while it started"]
    detail = scene.life.view.detail
    assert detail is not None
    assert "exit code 1" in detail
    assert "OutOfMemoryError" in detail


def test_an_end_before_ready_is_a_failure_even_with_exit_code_0() -> None:
    scene = Scene()
    scene.life.wake("somebody")
    scene.plugin.end(0)
    assert scene.status() is Status.failed


def test_a_plugin_that_knows_better_says_why_it_ended() -> None:
    scene = Scene()
    scene.life.wake("somebody")
    assert scene.plugin.waiting is not None
    scene.plugin.waiting.errback(PluginError("say eula=true in /srv/eula.txt"))
    assert scene.status() is Status.failed
    assert "eula=true" in str(scene.life.view.detail)


def test_a_start_that_takes_too_long_is_stopped_and_called_failed_only_when_it_is_gone() -> None:
    scene = Scene(start_timeout=300.0)
    scene.life.wake("somebody")
    said = scene.waiter()
    scene.clock.advance(300.0)
    assert scene.status() is Status.stopping
    assert said == ["it was not ready within 300 s"]
    assert scene.plugin.calls[-1] == "stop"
    scene.plugin.end(143)
    assert scene.status() is Status.failed
    assert scene.life.view.reason == "it was not ready within 300 s"


def test_output_while_starting_puts_the_deadline_off_but_not_for_ever() -> None:
    scene = Scene(start_timeout=100.0)
    scene.life.wake("somebody")
    for _ in range(5):
        scene.clock.advance(75.0)
        scene.plugin.take_line("loading")
        assert scene.status() is Status.starting
    scene.clock.advance(25.0)
    assert scene.status() is Status.stopping


def test_its_ready_line_hurries_the_next_question() -> None:
    scene = Scene()
    scene.life.wake("somebody")
    scene.plugin.take_line("Starting net.minecraft.server.Main")
    assert scene.readinesses[-1].hurried == 0
    scene.plugin.take_line("Done (3.2s)!")
    assert scene.readinesses[-1].hurried == 1


@pytest.mark.parametrize("obstacle", ["the world is open elsewhere", None])
def test_it_is_not_started_where_another_copy_may_be_running(obstacle: str | None) -> None:
    scene = Scene()
    scene.obstacle = obstacle
    scene.probe.accepts = obstacle is None
    scene.life.wake("somebody")
    assert scene.status() is Status.failed
    assert "start" not in scene.plugin.calls
    assert (obstacle or "already answers") in str(scene.life.view.detail)


def test_what_was_not_even_started_has_not_crashed() -> None:
    scene = Scene(max_crashes=2)
    scene.obstacle = "the world is open elsewhere"
    for _ in range(5):
        scene.life.wake("somebody")
        assert scene.status() is Status.failed
        assert scene.life.view.retry_at == 0.0
    assert scene.records.crashes == 0
    scene.obstacle = None
    scene.running()


def test_an_api_that_is_away_is_no_server_that_crashes() -> None:
    scene = Scene(max_crashes=2)
    scene.look_fails = PluginError("the API does not answer")
    for _ in range(5):
        scene.life.wake("somebody")
        assert scene.life.view.detail == "the API does not answer"
        assert scene.life.view.retry_at == 0.0
    assert scene.records.crashes == 0
    scene.look_fails = None
    scene.running()


def test_what_takes_connections_in_front_of_a_server_does_not_keep_it_from_being_started() -> None:
    scene = Scene()
    scene.plugin.is_load_balanced = True
    scene.probe.accepts = True
    scene.running()
    assert "start" in scene.plugin.calls


# Adopting


def test_a_server_of_an_earlier_proxy_is_taken_over_and_counts_like_ours() -> None:
    scene = Scene(opened=False)
    scene.plugin.adoptable = True
    Deferred.fromCoroutine(scene.life.open())
    assert scene.status() is Status.starting
    assert scene.readinesses[-1].linelessly == 1
    scene.become_ready()
    assert scene.status() is Status.running
    assert "start" not in scene.plugin.calls
    assert scene.records.starts == []
    scene.clock.advance(60.0)
    assert scene.status() is Status.stopping
    scene.plugin.end(None)
    assert scene.status() is Status.stopped


def test_who_wants_in_before_we_have_looked_round_is_not_forgotten() -> None:
    scene = Scene(opened=False)
    scene.life.wake("an early one")
    said = scene.waiter()
    assert scene.plugin.calls == []
    Deferred.fromCoroutine(scene.life.open())
    assert scene.status() is Status.starting
    scene.become_ready()
    assert len(said) == 1


def test_an_adopted_servers_unknowable_exit_is_an_ordinary_end() -> None:
    scene = Scene(opened=False)
    scene.plugin.adoptable = True
    Deferred.fromCoroutine(scene.life.open())
    scene.become_ready()
    scene.plugin.end(None)
    assert scene.status() is Status.stopped


def test_who_waits_for_an_adopted_server_that_was_just_stopping_gets_a_fresh_one() -> None:
    scene = Scene(opened=False)
    scene.plugin.adoptable = True
    Deferred.fromCoroutine(scene.life.open())
    said = scene.waiter()
    scene.plugin.adoptable = False
    scene.plugin.end(None)
    assert scene.status() is Status.starting
    assert scene.plugin.calls[-1] == "start"
    assert scene.records.crashes == 0
    scene.become_ready()
    assert isinstance(said[0], PlayerSession)
