"""Which plugin a lifecycle has."""

from __future__ import annotations

import logging

import pytest
from lifecycle.harness import LifecycleHarness
from twisted.internet.defer import Deferred

from zeroscale.errors import PluginError
from zeroscale.status import Status


def test_a_plugin_is_closed_when_a_new_one_takes_its_place_and_hears_nothing_more_from() -> None:
    harness = LifecycleHarness()
    harness.plugin.start_fails = PluginError("no")
    harness.lifecycle.wake("a player")
    harness.lifecycle.wake("another player")
    first, second = harness.plugins
    assert first.calls[-1] == "close"
    assert "close" not in second.calls
    harness.become_ready()
    first.report_paused()
    assert harness.status() is Status.running
    second.report_paused()
    assert harness.status() is Status.paused


def test_a_sleeping_server_is_another_at_once_and_a_running_one_once_it_has_stopped() -> None:
    harness = LifecycleHarness()
    first = harness.plugin
    second = harness.replace()
    assert harness.replaced == [second]
    assert first.calls[-1] == "close"
    harness.running()
    assert "start" in second.calls
    third = harness.replace()
    assert harness.replaced == [second]
    second.exit(0)
    assert harness.replaced == [second, third]
    harness.running()
    assert "start" in third.calls


def test_another_plugin_knows_nothing_of_what_the_former_one_saw_restarted() -> None:
    harness = LifecycleHarness().running()
    former = harness.plugin
    harness.replace()
    former.report_found()
    former.exit(0)
    assert harness.status() is Status.stopped
    assert "adopt" in harness.plugin.calls


def test_who_wants_in_while_another_plugin_looks_round_waits_for_that_look() -> None:
    harness = LifecycleHarness()
    adopting: Deferred[None] = Deferred()
    plugin = harness.replace_with(adopting=adopting, adoptable=True)
    harness.lifecycle.wake("a player")
    assert plugin.calls == ["adopt"]
    adopting.callback(None)
    assert plugin.calls == ["adopt"]
    harness.become_ready()
    assert harness.status() is Status.running
    assert harness.start_history.starts == []


def test_a_plugin_that_is_replaced_while_it_looks_round_finds_nothing_any_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    harness = LifecycleHarness()
    adopting: Deferred[None] = Deferred()
    harness.replace_with(adopting=adopting, adoptable=True)
    harness.replace()
    assert harness.status() is Status.stopped
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
