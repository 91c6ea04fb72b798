"""Keeping up with labelled containers, on an engine in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from plugins.docker.containers import Gate
from plugins.docker.fake_engine import FakeContainer, FakeEngine
from plugins.watching import until

from zeroscale.plugins.docker import engine as docker_engine
from zeroscale.plugins.docker.discovery import Discovery

Told = list[Mapping[str, Mapping[str, Any]]]


@pytest.fixture(autouse=True)
def _impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker_engine, "FIRST_DELAY", 0.01)


def create(engine: FakeEngine, name: str, **labels: str) -> FakeContainer:
    keys = {f"zeroscale.{key}": text for key, text in labels.items()}
    return engine.create(name, {"Labels": keys}, networks={"games": "172.20.0.2"})


@asynccontextmanager
async def discovering(directory: Path) -> AsyncIterator[tuple[FakeEngine, Gate, Told]]:
    engine = FakeEngine(directory / "engine.sock")
    gate = Gate(directory / "gate.sock", engine.path)
    await engine.begin()
    await gate.open()
    create(engine, "mc", host="mc.example.org")
    create(engine, "web")
    told: Told = []
    task = asyncio.ensure_future(Discovery(told.append, base_url=f"unix://{gate.path}").run())
    try:
        await until(lambda: told and engine.is_followed)
        yield engine, gate, told
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        await gate.shut()
        await engine.clear()


async def test_what_is_labelled_is_told_and_what_changes_then(tmp_path: Path) -> None:
    async with discovering(tmp_path) as (engine, gate, told):
        assert list(told[0]) == ["mc"]
        assert told[0]["mc"]["plugin_arguments"]["base_url"] == f"unix://{gate.path}"
        two = create(engine, "two", listen="25570")
        await until(lambda: len(told) == 2)
        assert told[1]["two"]["listen"] == ["25570"]
        engine.remove(two)
        await until(lambda: len(told) == 3)
        assert list(told[2]) == ["mc"]
        engine.remove(engine.containers["mc"])
        await until(lambda: len(told) == 4)
        assert told[3] == {}


async def test_what_changes_no_table_is_not_told(tmp_path: Path) -> None:
    async with discovering(tmp_path) as (engine, _, told):
        engine.run(engine.containers["mc"])
        engine.end(engine.containers["mc"], 0)
        create(engine, "other")
        create(engine, "two", host="two.example.org")
        await until(lambda: len(told) > 1)
        assert [list(each) for each in told] == [["mc"], ["mc", "two"]]


async def test_an_engine_that_is_away_takes_no_server_away(tmp_path: Path) -> None:
    async with discovering(tmp_path) as (engine, gate, told):
        await gate.shut()
        await gate.open()
        create(engine, "two", host="two.example.org")
        await until(lambda: len(told) > 1)
        assert [list(each) for each in told] == [["mc"], ["mc", "two"]]


async def test_a_mistake_is_warned_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with discovering(tmp_path) as (engine, _, told):
        create(engine, "wrong", host="wrong.example.org", plugin="command")
        create(engine, "two", host="two.example.org")
        await until(lambda: len(told) > 1 and "two" in told[-1])
        assert caplog.text.count("container wrong: zeroscale.plugin may not be set here") == 1
        assert told[-1]["wrong"]["plugin"] == "docker"


@pytest.mark.parametrize(
    ("base_url", "host"),
    [("unix:///run/x.sock", "127.0.0.1"), ("tcp://engine.example.org:2375", "engine.example.org")],
)
def test_ports_are_published_where_the_engine_is(base_url: str, host: str) -> None:
    assert Discovery(print, base_url=base_url)._host() == host
