"""Coming and going of a server that is no child of ours."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest
from plugins.watching import until

from zeroscale.errors import PluginError
from zeroscale.plugins.support import external_server
from zeroscale.plugins.support.external_server import ExternalServer, Poller


def told(of: ExternalServer) -> list[str]:
    said: list[str] = []
    of.on_found = lambda: said.append("found")
    of.on_paused = lambda: said.append("paused")
    return said


async def test_what_we_start_is_no_find_and_what_others_start_is_told_once() -> None:
    server = ExternalServer()
    said = told(server)
    server.begin_change()
    server.observe_running()
    server.mark_running()
    server.observe_running()
    assert said == []
    server.observe_stopped(0)
    assert await server.wait() == 0
    server.observe_running()
    server.observe_running()
    assert said == ["found"]
    assert server.running


async def test_a_start_that_fails_hides_no_later_find() -> None:
    server = ExternalServer()
    said = told(server)
    server.begin_change()
    server.abort_change()
    server.observe_running()
    assert said == ["found"]


async def test_a_pause_and_a_resume_by_others_are_told_and_ours_are_not() -> None:
    server = ExternalServer()
    said = told(server)
    server.mark_running()
    server.begin_change()
    server.observe_running(paused=True)
    server.mark_running(paused=True)
    server.observe_running(paused=True)
    assert said == []
    server.observe_running()
    server.observe_running(paused=True)
    assert said == ["found", "paused"]


async def test_one_that_is_found_frozen_is_told_to_be_both() -> None:
    server = ExternalServer()
    said = told(server)
    server.observe_running(paused=True)
    assert said == ["found", "paused"]


async def test_a_failure_is_its_reason() -> None:
    server = ExternalServer()
    server.mark_running()
    waiting = asyncio.ensure_future(server.wait())
    server.observe_stopped(failure="out of memory")
    with pytest.raises(PluginError, match="out of memory"):
        await waiting
    with pytest.raises(PluginError, match="out of memory"):
        await server.wait()


async def test_who_stops_waiting_ends_nobody_else_s_wait() -> None:
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


async def test_looks_go_on_after_one_that_fails_which_is_warned_of_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(external_server, "LONGEST_INTERVAL", 0.002)
    looks = 0

    async def look() -> None:
        nonlocal looks
        looks += 1
        if 2 <= looks < 5:
            raise PluginError("the daemon is away")
        if looks == 6:
            raise ValueError("a fault of ours")

    await looking(look, lambda: looks > 7)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO", "ERROR"]
    assert "the daemon is away" in caplog.text
    assert "can be seen again" in caplog.text


async def looking(look: Callable[[], Awaitable[None]], true: Callable[[], object]) -> None:
    looks = Poller(look, 0.001, logging.getLogger("test"))
    looks.start()
    looks.start()
    await until(true)
    await looks.close()
    await looks.close()


async def test_a_look_may_be_the_last() -> None:
    looks = 0

    async def look() -> None:
        nonlocal looks
        looks += 1
        looker.stop()

    looker = Poller(look, 0.001, logging.getLogger("test"))
    looker.start()
    await until(lambda: looks == 1)
    looker.start()
    await until(lambda: looks == 2)
    await looker.close()
