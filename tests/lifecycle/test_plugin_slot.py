"""When a lifecycle replaces its plugin."""

from __future__ import annotations

import logging

import pytest
from lifecycle.harness import PLAYER, LifecycleHarness
from msgspec.structs import replace
from twisted.internet.defer import Deferred

from zeroscale.errors import PluginError
from zeroscale.lifecycle.plugin_slot import PluginSlot
from zeroscale.status import Status


def test_a_replaced_plugin_is_closed_and_its_reports_are_ignored() -> None:
    harness = LifecycleHarness()
    harness.start_fails = PluginError("no")
    harness.lifecycle.wake(PLAYER)
    harness.start_fails = None
    harness.lifecycle.wake(PLAYER)
    first, second = harness.plugins
    assert first.calls[-1] == "close"
    assert "close" not in second.calls
    harness.become_ready()
    first.report_paused()
    assert harness.status() is Status.running
    second.report_paused()
    assert harness.status() is Status.paused


def test_the_plugin_of_a_stopped_server_is_swapped_at_once_and_that_of_a_running_one_after_its_stop() -> None:
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


def test_after_a_swap_a_restart_seen_by_the_former_plugin_is_ignored() -> None:
    harness = LifecycleHarness().running()
    former = harness.plugin
    harness.replace()
    former.report_found()
    former.exit(0)
    assert harness.status() is Status.stopped
    assert "adopt" in harness.plugin.calls


def test_a_start_waits_for_the_adoption_of_the_new_plugin() -> None:
    harness = LifecycleHarness()
    adopting: Deferred[None] = Deferred()
    plugin = harness.replace_with(adopting=adopting, adoptable=True)
    harness.lifecycle.wake(PLAYER)
    assert plugin.calls == ["adopt"]
    adopting.callback(None)
    assert plugin.calls == ["adopt"]
    harness.become_ready()
    assert harness.status() is Status.running
    assert harness.start_history.starts == []


def test_the_adoption_of_a_plugin_that_is_swapped_meanwhile_is_ignored(
    caplog: pytest.LogCaptureFixture,
) -> None:
    harness = LifecycleHarness()
    adopting: Deferred[None] = Deferred()
    harness.replace_with(adopting=adopting, adoptable=True)
    harness.replace()
    assert harness.status() is Status.stopped
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_swap_is_reported_before_those_who_wait_for_it_are_called() -> None:
    harness = LifecycleHarness()
    seen: list[str] = []
    slot = PluginSlot(
        harness.dependencies, harness.dependencies.logger, no_report, no_report, lambda: seen.append("replaced")
    )
    assert not slot.swap_pending()
    assert seen == []
    other = replace(harness.dependencies, plugin=harness.construct())
    slot.schedule_swap(other, lambda: seen.append("swapped"))
    assert slot.swap_pending()
    assert (seen, slot.dependencies) == (["replaced", "swapped"], other)


def no_report() -> None:
    raise AssertionError
