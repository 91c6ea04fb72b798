"""Which plugin a lifecycle has."""

from __future__ import annotations

import logging

import pytest
from lifecycle.harness import Scene
from twisted.internet.defer import Deferred

from zeroscale.errors import PluginError
from zeroscale.status import Status


def test_a_plugin_is_closed_when_a_new_one_takes_its_place_and_hears_nothing_more_from() -> None:
    scene = Scene()
    scene.plugin.start_fails = PluginError("no")
    scene.life.wake("somebody")
    scene.life.wake("somebody else")
    first, second = scene.plugins
    assert first.calls[-1] == "close"
    assert "close" not in second.calls
    scene.become_ready()
    first.paused()
    assert scene.status() is Status.running
    second.paused()
    assert scene.status() is Status.paused


def test_a_sleeping_server_is_another_at_once_and_a_running_one_once_it_has_stopped() -> None:
    scene = Scene()
    first = scene.plugin
    second = scene.replace()
    assert scene.replaced == [second]
    assert first.calls[-1] == "close"
    scene.running()
    assert "start" in second.calls
    third = scene.replace()
    assert scene.replaced == [second]
    second.end(0)
    assert scene.replaced == [second, third]
    scene.running()
    assert "start" in third.calls


def test_another_plugin_knows_nothing_of_what_the_former_one_saw_restarted() -> None:
    scene = Scene().running()
    former = scene.plugin
    scene.replace()
    former.found()
    former.end(0)
    assert scene.status() is Status.stopped
    assert "adopt" in scene.plugin.calls


def test_who_wants_in_while_another_plugin_looks_round_waits_for_that_look() -> None:
    scene = Scene()
    looking: Deferred[None] = Deferred()
    plugin = scene.replace_with(looking=looking, adoptable=True)
    scene.life.wake("somebody")
    assert plugin.calls == ["adopt"]
    looking.callback(None)
    assert plugin.calls == ["adopt"]
    scene.become_ready()
    assert scene.status() is Status.running
    assert scene.records.starts == []


def test_a_plugin_that_is_replaced_while_it_looks_round_finds_nothing_any_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    scene = Scene()
    looking: Deferred[None] = Deferred()
    scene.replace_with(looking=looking, adoptable=True)
    scene.replace()
    assert scene.status() is Status.stopped
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
