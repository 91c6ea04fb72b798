"""Discovery of labelled containers, with a fake engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from plugins.docker.containers import Gate
from plugins.docker.fake_engine import FakeContainer, FakeEngine
from plugins.process_fixture import until

from zeroscale.plugins.docker import engine as docker_engine
from zeroscale.plugins.docker.discovery import Discovery

Updates = list[Mapping[str, Mapping[str, Any]]]


@pytest.fixture(autouse=True)
def _impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker_engine, "FIRST_DELAY", 0.01)


def create(engine: FakeEngine, name: str, **labels: str) -> FakeContainer:
    keys = {f"zeroscale.{key}": text for key, text in labels.items()}
    return engine.create(name, {"Labels": keys}, networks={"games": "172.20.0.2"})


@asynccontextmanager
async def discovering(directory: Path) -> AsyncIterator[tuple[FakeEngine, Gate, Updates]]:
    engine = FakeEngine(directory / "engine.sock")
    gate = Gate(directory / "gate.sock", engine.path)
    await engine.begin()
    await gate.open()
    create(engine, "mc", host="mc.example.org")
    create(engine, "web")
    updates: Updates = []
    task = asyncio.ensure_future(Discovery(updates.append, base_url=f"unix://{gate.path}").run())
    try:
        await until(lambda: updates and engine.is_watched)
        yield engine, gate, updates
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        await gate.shut()
        await engine.clear()


async def test_labelled_containers_and_their_changes_are_reported(tmp_path: Path) -> None:
    async with discovering(tmp_path) as (engine, gate, updates):
        assert list(updates[0]) == ["mc"]
        assert updates[0]["mc"]["plugin_arguments"]["base_url"] == f"unix://{gate.path}"
        two = create(engine, "two", listen="25570")
        await until(lambda: len(updates) == 2)
        assert updates[1]["two"]["listen"] == ["25570"]
        engine.remove(two)
        await until(lambda: len(updates) == 3)
        assert list(updates[2]) == ["mc"]
        engine.remove(engine.containers["mc"])
        await until(lambda: len(updates) == 4)
        assert updates[3] == {}


async def test_events_that_change_no_table_are_not_reported(tmp_path: Path) -> None:
    async with discovering(tmp_path) as (engine, _, updates):
        engine.run(engine.containers["mc"])
        engine.end(engine.containers["mc"], 0)
        create(engine, "other")
        create(engine, "two", host="two.example.org")
        await until(lambda: len(updates) > 1)
        assert [list(each) for each in updates] == [["mc"], ["mc", "two"]]


async def test_an_engine_that_is_away_removes_no_server(tmp_path: Path) -> None:
    async with discovering(tmp_path) as (engine, gate, updates):
        await gate.shut()
        await gate.open()
        create(engine, "two", host="two.example.org")
        await until(lambda: len(updates) > 1)
        assert [list(each) for each in updates] == [["mc"], ["mc", "two"]]


async def test_a_mistake_is_warned_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with discovering(tmp_path) as (engine, _, updates):
        create(engine, "wrong", host="wrong.example.org", plugin="command")
        create(engine, "two", host="two.example.org")
        await until(lambda: len(updates) > 1 and "two" in updates[-1])
        assert caplog.text.count("container wrong: zeroscale.plugin may not be set here") == 1
        assert updates[-1]["wrong"]["plugin"] == "docker"


@pytest.mark.parametrize(
    ("base_url", "host"),
    [("unix:///run/x.sock", "127.0.0.1"), ("tcp://engine.example.org:2375", "engine.example.org")],
)
def test_ports_are_published_where_the_engine_is(base_url: str, host: str) -> None:
    assert Discovery(print, base_url=base_url)._host() == host
