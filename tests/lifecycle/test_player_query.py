"""What a server is asked before it is stopped."""

from __future__ import annotations

import logging

import pytest
from lifecycle.harness import LifecycleHarness

from zeroscale.errors import BackendError
from zeroscale.lifecycle.player_query import CACHE_EVERY
from zeroscale.status import ProbeResult, Status


def test_players_who_came_another_way_keep_it_up() -> None:
    harness = LifecycleHarness(idle=60.0).running()
    harness.probe.answer = ProbeResult({}, 2)
    harness.clock.advance(60.0)
    assert harness.status() is Status.running
    harness.probe.answer = ProbeResult({}, 0)
    harness.clock.advance(60.0)
    assert harness.status() is Status.stopping


@pytest.mark.parametrize(("by_plugin", "by_status"), [(2, 0), (0, 2), (None, 2), (2, None), (2, 2)])
def test_where_two_can_tell_who_is_on_the_larger_number_counts(by_plugin: int | None, by_status: int | None) -> None:
    harness = LifecycleHarness(idle=60.0).running()
    harness.plugin.online = by_plugin
    harness.probe.answer = ProbeResult({}, by_status)
    harness.clock.advance(60.0)
    assert harness.status() is Status.running
    harness.plugin.online = 0
    harness.probe.answer = ProbeResult({}, 0)
    harness.clock.advance(60.0)
    assert harness.status() is Status.stopping


def test_a_server_that_does_not_answer_is_busy_and_that_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    harness = LifecycleHarness(idle=60.0).running()
    harness.probe.answer = BackendError("no answer")
    with caplog.at_level(logging.WARNING):
        harness.clock.pump([60.0] * 5)
    assert harness.status() is Status.running
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert [vars(record)["server"] for record in caplog.records] == ["test"]


def test_a_plugin_that_knows_who_is_on_is_asked_instead() -> None:
    harness = LifecycleHarness(idle=60.0, ask_players=False).running()
    harness.plugin.online = 1
    harness.clock.advance(60.0)
    assert harness.status() is Status.running


def test_how_it_looks_is_kept_now_and_then() -> None:
    harness = LifecycleHarness(idle=60.0).running()
    harness.probe.answer = ProbeResult({"description": "busy"}, 1)
    assert len(harness.status_cache.stored) == 1
    harness.clock.pump([60.0] * 2)
    assert len(harness.status_cache.stored) == 1
    harness.clock.pump([60.0] * 4)
    assert harness.clock.seconds() >= 2 * CACHE_EVERY
    assert harness.status_cache.stored[1:] == [{"description": "busy"}] * 2
