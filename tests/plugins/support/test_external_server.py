"""Observations of a server that is not our child, and polling."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest
from plugins.process_fixture import until

from zeroscale.errors import PluginError
from zeroscale.plugins.support import external_server
from zeroscale.plugins.support.external_server import ExternalServer, Poller


def recorded_calls(of: ExternalServer) -> list[str]:
    calls: list[str] = []
    of.on_found = lambda: calls.append("found")
    of.on_paused = lambda: calls.append("paused")
    return calls


async def test_our_start_is_not_found_and_that_of_others_is_found_once() -> None:
    server = ExternalServer()
    calls = recorded_calls(server)
    server.begin_change()
    server.observe_running()
    server.mark_running()
    server.observe_running()
    assert calls == []
    server.observe_stopped(0)
    assert await server.wait() == 0
    server.observe_running()
    server.observe_running()
    assert calls == ["found"]
    assert server.running


async def test_after_a_failed_start_it_can_be_found() -> None:
    server = ExternalServer()
    calls = recorded_calls(server)
    server.begin_change()
    server.abort_change()
    server.observe_running()
    assert calls == ["found"]


async def test_a_pause_and_a_resume_by_others_are_reported_and_ours_are_not() -> None:
    server = ExternalServer()
    calls = recorded_calls(server)
    server.mark_running()
    server.begin_change()
    server.observe_running(paused=True)
    server.mark_running(paused=True)
    server.observe_running(paused=True)
    assert calls == []
    server.observe_running()
    server.observe_running(paused=True)
    assert calls == ["found", "paused"]


async def test_one_that_is_found_paused_is_reported_as_both() -> None:
    server = ExternalServer()
    calls = recorded_calls(server)
    server.observe_running(paused=True)
    assert calls == ["found", "paused"]


async def test_a_failure_is_raised_by_wait() -> None:
    server = ExternalServer()
    server.mark_running()
    waiting = asyncio.ensure_future(server.wait())
    server.observe_stopped(failure="out of memory")
    with pytest.raises(PluginError, match="out of memory"):
        await waiting
    with pytest.raises(PluginError, match="out of memory"):
        await server.wait()


async def test_a_cancelled_wait_does_not_end_other_waits() -> None:
    server = ExternalServer()
    server.mark_running()
    one, other = asyncio.ensure_future(server.wait()), asyncio.ensure_future(server.wait())
    await asyncio.sleep(0)
    one.cancel()
    server.observe_stopped(3)
    assert await other == 3


async def test_there_is_nothing_to_wait_for_before_the_first_start() -> None:
    server = ExternalServer()
    server.observe_stopped()
    assert await server.wait() is None
    server.close()


async def test_polls_go_on_after_a_failure_which_is_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(external_server, "LONGEST_INTERVAL", 0.002)
    polls = 0

    async def poll() -> None:
        nonlocal polls
        polls += 1
        if 2 <= polls < 5:
            raise PluginError("the daemon is away")
        if polls == 6:
            raise ValueError("a fault of ours")

    await poll_until(poll, lambda: polls > 7)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO", "ERROR"]
    assert "the daemon is away" in caplog.text
    assert "can be seen again" in caplog.text


async def poll_until(poll: Callable[[], Awaitable[None]], condition: Callable[[], object]) -> None:
    polls = Poller(poll, 0.001, logging.getLogger("test"))
    polls.start()
    polls.start()
    await until(condition)
    await polls.close()
    await polls.close()


async def test_a_poll_may_stop_polling() -> None:
    polls = 0

    async def poll() -> None:
        nonlocal polls
        polls += 1
        poller.stop()

    poller = Poller(poll, 0.001, logging.getLogger("test"))
    poller.start()
    await until(lambda: polls == 1)
    poller.start()
    await until(lambda: polls == 2)
    await poller.close()
