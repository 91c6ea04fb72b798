"""What a server is asked before it is stopped."""

from __future__ import annotations

import logging

import pytest
from lifecycle.harness import LifecycleHarness
from twisted.internet.defer import fail, succeed

from zeroscale.errors import BackendError, PluginError
from zeroscale.lifecycle.console_list import ANSWER_TIMEOUT
from zeroscale.lifecycle.player_query import CACHE_EVERY
from zeroscale.status import ProbeResult, Status


def test_players_who_are_not_relayed_keep_the_server_running() -> None:
    harness = LifecycleHarness(idle=60.0).running()
    harness.probe.answer = ProbeResult({}, 2)
    harness.clock.advance(60.0)
    assert harness.status() is Status.running
    harness.probe.answer = ProbeResult({}, 0)
    harness.clock.advance(60.0)
    assert harness.status() is Status.stopping


@pytest.mark.parametrize(("by_plugin", "by_status"), [(2, 0), (0, 2), (None, 2), (2, None), (2, 2)])
def test_players_known_to_the_plugin_or_to_the_server_count(by_plugin: int | None, by_status: int | None) -> None:
    harness = LifecycleHarness(idle=60.0).running()
    harness.plugin.online = by_plugin
    harness.probe.answer = ProbeResult({}, by_status)
    harness.clock.advance(60.0)
    assert harness.status() is Status.running
    harness.plugin.online = 0
    harness.probe.answer = ProbeResult({}, 0)
    harness.clock.advance(60.0)
    assert harness.status() is Status.stopping


def test_a_server_that_does_not_answer_is_busy_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    harness = LifecycleHarness(idle=60.0).running()
    harness.probe.answer = BackendError("no answer")
    with caplog.at_level(logging.WARNING):
        harness.clock.pump([60.0] * 5)
    assert harness.status() is Status.running
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert [vars(record)["server"] for record in caplog.records] == ["test"]


@pytest.mark.parametrize("answer", [ProbeResult(), ProbeResult({}, None)])
def test_a_status_without_a_number_of_players_is_no_reason_to_stop(
    answer: ProbeResult, caplog: pytest.LogCaptureFixture
) -> None:
    harness = LifecycleHarness(idle=60.0).running()
    harness.probe.answer = answer
    harness.clock.pump([60.0] * 6)
    assert harness.status() is Status.running
    assert "its status does not say how many are on" in caplog.text
    assert len(caplog.records) == 1


def test_a_status_that_is_turned_off_leaves_it_to_the_relayed_players() -> None:
    harness = LifecycleHarness(idle=60.0).running()
    harness.probe.answer = ProbeResult(status_disabled=True)
    harness.clock.advance(60.0)
    assert harness.status() is Status.running
    harness.clock.advance(ANSWER_TIMEOUT)
    assert harness.status() is Status.stopping
    assert harness.plugin.calls[-2:] == ["send who", "stop"]


NOT_SAYING = [BackendError("no answer"), TimeoutError("silent"), ProbeResult(), ProbeResult({"description": "x"}, None)]


@pytest.mark.parametrize("answer", NOT_SAYING)
def test_where_the_status_cannot_say_the_plugins_word_is_enough(answer: ProbeResult | BackendError) -> None:
    harness = LifecycleHarness(idle=60.0).running()
    harness.probe.answer = answer
    harness.plugin.online = 1
    harness.clock.advance(60.0)
    assert harness.status() is Status.running
    harness.plugin.online = 0
    harness.clock.advance(60.0)
    assert harness.status() is Status.stopping
    assert "send who" not in harness.plugin.calls


def test_a_player_who_has_joined_while_the_status_was_waited_for_is_counted() -> None:
    harness = LifecycleHarness(idle=60.0).running()
    harness.plugin.online = 0
    harness.probe.slow = True
    harness.clock.advance(60.0)
    harness.plugin.online = 1
    harness.probe.questions[-1].errback(TimeoutError("silent"))
    assert harness.status() is Status.running


@pytest.mark.parametrize("answer", NOT_SAYING)
def test_where_neither_status_nor_plugin_can_say_the_console_is_asked(answer: ProbeResult | BackendError) -> None:
    harness = LifecycleHarness(idle=60.0).running()
    harness.probe.answer = answer
    harness.plugin.console = lambda line: succeed("1 on")
    harness.clock.advance(60.0)
    assert harness.status() is Status.running
    harness.plugin.console = lambda line: succeed("0 on")
    harness.clock.advance(60.0)
    assert harness.status() is Status.stopping


def test_the_consoles_answer_is_found_in_the_output() -> None:
    harness = LifecycleHarness(idle=60.0).running()
    harness.probe.answer = BackendError("no answer")
    harness.clock.advance(60.0)
    harness.plugin.write_line("[log] <Steve> 3 on")
    harness.plugin.write_line("[log] 0 on")
    assert harness.status() is Status.stopping


def test_the_console_is_not_asked_while_the_status_says_how_many_are_on() -> None:
    harness = LifecycleHarness(idle=60.0).running()
    harness.clock.advance(60.0)
    assert harness.status() is Status.stopping
    assert "send who" not in harness.plugin.calls


def test_an_answer_that_is_not_understood_is_quoted_in_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    harness = LifecycleHarness(idle=60.0).running()
    harness.probe.answer = BackendError("no answer")
    harness.plugin.console = lambda line: succeed("Es ist niemand da")
    harness.clock.pump([60.0] * 5)
    assert harness.status() is Status.running
    (warning,) = caplog.records
    assert "its answer to `who` is not understood: 'Es ist niemand da'" in warning.getMessage()


def test_what_the_status_says_is_the_reason_if_the_console_does_not_answer(caplog: pytest.LogCaptureFixture) -> None:
    harness = LifecycleHarness(idle=60.0).running()
    harness.probe.answer = BackendError("no answer")
    harness.plugin.console = lambda line: fail(PluginError("no console"))
    harness.clock.advance(60.0)
    assert harness.status() is Status.running
    assert "does not say who is on (no answer)" in caplog.text


def test_a_player_who_joins_while_the_console_is_asked_ends_the_question() -> None:
    harness = LifecycleHarness(idle=60.0).running()
    harness.probe.answer = BackendError("no answer")
    harness.clock.advance(60.0)
    session = harness.join()
    session.moved = lambda: (100, 10_000)
    harness.plugin.write_line("[log] 0 on")
    assert harness.status() is Status.running


def test_a_server_that_cannot_be_asked_is_kept_running_by_the_plugins_players() -> None:
    harness = LifecycleHarness(idle=60.0, ask_players=False).running()
    harness.plugin.online = 1
    harness.clock.advance(60.0)
    assert harness.status() is Status.running


def test_the_status_is_cached_every_three_minutes() -> None:
    harness = LifecycleHarness(idle=60.0).running()
    harness.probe.answer = ProbeResult({"description": "busy"}, 1)
    assert len(harness.status_cache.stored) == 1
    harness.clock.pump([60.0] * 2)
    assert len(harness.status_cache.stored) == 1
    harness.clock.pump([60.0] * 4)
    assert harness.clock.seconds() >= 2 * CACHE_EVERY
    assert harness.status_cache.stored[1:] == [{"description": "busy"}] * 2


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (("Ada",), "3 (Ada)"),
        (("Ada", "a\nb", "x" * 50), f"3 (Ada, 'a\\nb', {'x' * 32})"),
        (tuple("ABCDEFG"), "3 (A, B, C, D, E, ...)"),
    ],
)
def test_players_are_named_where_the_server_names_them(names: tuple[str, ...], shown: str) -> None:
    harness = LifecycleHarness().running()
    harness.probe.answer = ProbeResult(None, 3, names)
    reasons: list[str | None] = []
    harness.lifecycle.unrelayed_players().addCallback(reasons.append)
    assert reasons == [f"players that zeroscale does not relay: {shown}"]
