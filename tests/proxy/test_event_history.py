"""The history of a running proxy, from events to answers."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_twisted
from harness import client, proxy_config, run, running_reactor, stub_config, until
from ports import free_ports
from stub_server import Server as StubServer
from twisted.internet import task
from twisted.internet.defer import CancelledError, Deferred, succeed

from zeroscale.config.model import HistoryConfig, LogConfig
from zeroscale.errors import ControlError
from zeroscale.history.queries import read_history, read_stats
from zeroscale.history.values import FILE, HistoryEntry, HistoryPage, HistoryStats
from zeroscale.proxy.service import ProxyService

DAY = 86400.0


class World:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.listen, self.port = free_ports(2)
        self.proxy: ProxyService | None = None

    async def start(self, *, server: dict[str, Any] | None = None, **values: Any) -> ProxyService:
        one = stub_config("one", self.listen, self.port, self.directory, **(server or {}))
        self.proxy = ProxyService(proxy_config(self.directory, one, **values), running_reactor())
        await self.proxy.start()
        return self.proxy

    async def visit(self) -> None:
        """Wake the server, and leave again."""
        context = client(self.listen)
        reader, _ = await run(context.__aenter__())
        assert await run(reader.readline()) == b"one\n"
        await run(context.__aexit__(None, None, None))
        assert self.proxy is not None
        server = self.proxy.servers["one"]
        await until(lambda: not server.report().players)

    async def stop(self) -> None:
        assert self.proxy is not None
        proxy, self.proxy = self.proxy, None
        await proxy.stop()

    @property
    def server_directory(self) -> Path:
        return self.directory / "state" / "one"

    def on_disk(self) -> list[HistoryEntry]:
        return list(read_history([("one", self.server_directory)], 0, 1000).entries)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    if world.proxy is not None:
        pytest_twisted.blockon(world.proxy.stop())
    assert StubServer.running == set()


async def entries(proxy: ProxyService) -> list[HistoryEntry]:
    body = await proxy.history(["one"], DAY, 1000)
    return list(msgspec.json.decode(body, type=HistoryPage).entries)


async def stats(proxy: ProxyService) -> HistoryStats:
    [found] = msgspec.json.decode(await proxy.history_stats(["one"], DAY), type=list[HistoryStats])
    return found


def thread_names() -> list[str]:
    return [thread.name for thread in threading.enumerate()]


def history_threads() -> int:
    return thread_names().count("zeroscale-history")


@pytest_twisted.ensureDeferred
async def test_a_visit_and_a_stop(world: World) -> None:
    proxy = await world.start()
    assert history_threads() == 0
    assert not (world.server_directory / FILE).exists()
    await world.visit()
    woken, session = await entries(proxy)
    assert (woken.event, woken.cause, woken.address) == ("woken", "connection", "127.0.0.1")
    assert woken.seconds is not None
    assert (session.event, session.to_client, session.open) == ("session", len(b"one\n"), False)
    proxy.servers["one"].sleep(now=True)
    await until(lambda: proxy.servers["one"].is_down)
    *_, stopped = await entries(proxy)
    assert (stopped.event, stopped.cause) == ("stopped", "operator")
    found = await stats(proxy)
    assert (found.wakes, found.starts, found.sessions) == (1, 1, 1)
    assert found.asleep > 0
    assert found.awake > 0
    await world.stop()
    assert history_threads() == 0
    assert [each.event for each in world.on_disk()] == ["woken", "session", "stopped"]


@pytest_twisted.ensureDeferred
async def test_what_was_measured_so_far_counts_while_the_server_runs(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zeroscale.proxy.usage_sampler.INTERVAL", 0.05)
    proxy = await world.start()
    asked: list[float] = []

    def usage_now() -> Deferred[tuple[float, int]]:
        asked.append(1.0)
        return succeed((sum(asked), 4096))

    monkeypatch.setattr(proxy.servers["one"].lifecycle, "usage", usage_now)
    await world.visit()
    before = len(asked)
    await until(lambda: len(asked) > before + 2)
    usage = (await stats(proxy)).usage
    assert usage is not None and usage.memory == 4096 and usage.cpu > 0


@pytest_twisted.ensureDeferred
async def test_the_reactor_goes_on_while_the_end_waits_for_the_disk(world: World) -> None:
    began = time.time()
    proxy = await world.start()
    await world.visit()
    assert world.proxy is not None
    await entries(world.proxy)  # the file is there
    with closing(sqlite3.connect(world.server_directory / FILE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")

        def unlock_at_the_end() -> None:
            if "zeroscale-call" in thread_names() and other.in_transaction:
                with pytest.raises(ControlError, match="zeroscale exits"):
                    proxy.history(["one"], DAY, 10)
                other.rollback()

        timer = task.LoopingCall(unlock_at_the_end)
        timer.clock = running_reactor()
        timer.start(0.05)
        await world.stop()
        timer.stop()
        assert not other.in_transaction
    assert [each.event for each in world.on_disk()] == ["woken", "session", "stopped"]
    [found] = read_stats([("one", world.server_directory)], began - 1, time.time() + 1)
    assert found.asleep + found.awake <= time.time() - began, "no time is counted twice"


@pytest_twisted.ensureDeferred
async def test_a_server_that_sleeps_all_the_time_has_a_history_too(world: World) -> None:
    began = time.time()
    await world.start()
    await world.stop()
    assert history_threads() == 0
    [found] = read_stats([("one", world.server_directory)], began - 1, time.time() + 1)
    assert 0 < found.asleep <= time.time() - began + 0.1
    assert found.awake == 0


@pytest_twisted.ensureDeferred
async def test_a_player_on_at_the_end_of_zeroscale(world: World) -> None:
    await world.start()
    context = client(world.listen)
    reader, _ = await run(context.__aenter__())
    assert await run(reader.readline()) == b"one\n"
    await world.stop()
    await run(context.__aexit__(None, None, None))
    assert {each.event for each in world.on_disk()} == {"woken", "session", "stopped"}
    [session] = [each for each in world.on_disk() if each.event == "session"]
    assert not session.open


@pytest_twisted.ensureDeferred
async def test_a_server_that_is_removed_and_added_again(world: World, tmp_path: Path) -> None:
    listen, port = free_ports(2)
    one = stub_config("one", world.listen, world.port, tmp_path)
    two = stub_config("two", listen, port, tmp_path)
    both, only_two = proxy_config(tmp_path, one, two), proxy_config(tmp_path, two)
    configs = [only_two, both]
    world.proxy = ProxyService(both, running_reactor(), lambda: configs.pop(0), tmp_path / "zeroscale.toml")
    await world.proxy.start()
    await world.visit()
    await world.proxy.reload()
    await until(lambda: world.proxy is not None and "one" not in world.proxy.servers)
    await until(lambda: [each.event for each in world.on_disk()] == ["woken", "session", "stopped"])
    assert [each.cause for each in world.on_disk() if each.event == "stopped"] == ["removed"]
    [at_removal] = read_stats([("one", world.server_directory)], 0, 1e10)
    added_at = time.time()
    await world.proxy.reload()
    await world.visit()
    found = await stats(world.proxy)
    assert (found.wakes, found.sessions) == (2, 2)
    assert found.asleep - at_removal.asleep < time.time() - added_at + 0.1, "the time in between does not count"


@pytest_twisted.ensureDeferred
async def test_no_history(world: World) -> None:
    proxy = await world.start(history=HistoryConfig(enabled=False))
    await world.visit()
    with pytest.raises(ControlError, match=r"history\.enabled"):
        await proxy.history(["one"], DAY, 10)
    await world.stop()
    assert not (world.server_directory / FILE).exists()


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    ("history", "log", "kept"), [(None, True, True), (None, False, False), (False, True, False), (True, False, True)]
)
async def test_addresses(world: World, history: bool | None, log: bool, kept: bool) -> None:
    proxy = await world.start(history=HistoryConfig(addresses=history), log=LogConfig(addresses=log))
    await world.visit()
    assert [bool(each.address) for each in await entries(proxy)] == [kept, kept]
    await world.stop()
    assert (b"127.0.0.1" in (world.server_directory / FILE).read_bytes()) == kept


@pytest_twisted.ensureDeferred
async def test_a_proxy_that_could_not_start_writes_nothing(world: World, tmp_path: Path) -> None:
    await world.start()
    second = ProxyService(
        proxy_config(tmp_path, stub_config("one", free_ports(1)[0], world.port, tmp_path)), running_reactor()
    )
    with pytest.raises(Exception, match="another"):
        await second.start()
    await second.stop()
    assert not (world.server_directory / FILE).exists()


@pytest_twisted.ensureDeferred
async def test_a_client_that_leaves_before_the_answer(world: World) -> None:
    proxy = await world.start()
    answer = proxy.history(["one"], DAY, 10)
    failed = answer.addErrback(lambda failure: failure.trap(CancelledError))
    answer.cancel()
    assert await failed is CancelledError
    assert await entries(proxy) == []


@pytest_twisted.ensureDeferred
async def test_a_history_that_cannot_be_read(world: World) -> None:
    proxy = await world.start()
    (world.server_directory / FILE).symlink_to("elsewhere")
    assert await entries(proxy) == [], "it is set aside, since the asleep time was written before"
    assert (world.server_directory / f"{FILE}.damaged").is_symlink()


@pytest_twisted.ensureDeferred
async def test_a_python_without_sqlite(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = await world.start()
    monkeypatch.setitem(sys.modules, "zeroscale.history.queries", None)
    with pytest.raises(ControlError, match="no sqlite3"):
        await proxy.history(["one"], DAY, 10)


def test_what_a_sleeping_proxy_does_not_import(tmp_path: Path) -> None:
    script = """
import sys
import zeroscale.proxy.service
print([name for name in ("sqlite3", "zeroscale.history", "zeroscale.proxy.event_history") if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path, env=os.environ
    )
    assert done.stdout == "[]\n"
