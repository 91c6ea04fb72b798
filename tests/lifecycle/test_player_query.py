"""What a server is asked before it is stopped."""

from __future__ import annotations

import logging

import pytest
from lifecycle.harness import Scene

from zeroscale.errors import BackendError
from zeroscale.lifecycle.player_query import CACHE_EVERY
from zeroscale.status import ProbeResult, Status


def test_players_who_came_another_way_keep_it_up() -> None:
    scene = Scene(idle=60.0).running()
    scene.probe.answer = ProbeResult({}, 2)
    scene.clock.advance(60.0)
    assert scene.status() is Status.running
    scene.probe.answer = ProbeResult({}, 0)
    scene.clock.advance(60.0)
    assert scene.status() is Status.stopping


@pytest.mark.parametrize(("by_plugin", "by_status"), [(2, 0), (0, 2), (None, 2), (2, None), (2, 2)])
def test_where_two_can_tell_who_is_on_the_larger_number_counts(by_plugin: int | None, by_status: int | None) -> None:
    scene = Scene(idle=60.0).running()
    scene.plugin.online = by_plugin
    scene.probe.answer = ProbeResult({}, by_status)
    scene.clock.advance(60.0)
    assert scene.status() is Status.running
    scene.plugin.online = 0
    scene.probe.answer = ProbeResult({}, 0)
    scene.clock.advance(60.0)
    assert scene.status() is Status.stopping


def test_a_server_that_does_not_answer_is_busy_and_that_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene(idle=60.0).running()
    scene.probe.answer = BackendError("no answer")
    with caplog.at_level(logging.WARNING):
        scene.clock.pump([60.0] * 5)
    assert scene.status() is Status.running
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert [vars(record)["server"] for record in caplog.records] == ["test"]


def test_a_plugin_that_knows_who_is_on_is_asked_instead() -> None:
    scene = Scene(idle=60.0, asks=False).running()
    scene.plugin.online = 1
    scene.clock.advance(60.0)
    assert scene.status() is Status.running


def test_how_it_looks_is_kept_now_and_then() -> None:
    scene = Scene(idle=60.0).running()
    scene.probe.answer = ProbeResult({"description": "busy"}, 1)
    assert len(scene.mirror.stored) == 1
    scene.clock.pump([60.0] * 2)
    assert len(scene.mirror.stored) == 1
    scene.clock.pump([60.0] * 4)
    assert scene.clock.seconds() >= 2 * CACHE_EVERY
    assert scene.mirror.stored[1:] == [{"description": "busy"}] * 2
