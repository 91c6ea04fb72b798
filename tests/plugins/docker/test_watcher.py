"""A container that is only watched; test_server.py starts and stops it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from plugins.docker.fake_engine import FakeEngine
from plugins.process_fixture import until

from zeroscale.plugins.docker.engine import Engine
from zeroscale.plugins.docker.watcher import LAST_LINES, WatchedContainer
from zeroscale.plugins.support.claim import Claim
from zeroscale.plugins.testing import RecordedOutput
from zeroscale.status import Status


class Seen:
    """Records what was reported of a container, in order."""

    def __init__(self, engine: FakeEngine) -> None:
        self.container = WatchedContainer("mc", Engine(engine.url), Claim(engine.path.parent))
        self.calls: list[str] = []
        self.output = RecordedOutput()
        self.container.on_output = self.output
        self.container.on_found = lambda: self.calls.append("found")
        self.container.on_paused = lambda: self.calls.append("paused")
        self.container._begin_watch()


@asynccontextmanager
async def following(directory: Path, *, runs: bool = False) -> AsyncIterator[tuple[FakeEngine, Seen]]:
    engine = FakeEngine(directory / "engine.sock")
    await engine.begin()
    container = engine.create("mc")
    if runs:
        engine.run(container)
    seen = Seen(engine)
    try:
        await until(lambda: engine.is_watched)
        yield engine, seen
    finally:
        await seen.container.close()
        await engine.clear()


async def test_one_that_runs_already_is_found(tmp_path: Path) -> None:
    async with following(tmp_path, runs=True) as (_, seen):
        await until(lambda: seen.calls)
        assert (seen.calls, seen.container.status) == (["found"], Status.running)


async def test_each_run_is_reported_once(tmp_path: Path) -> None:
    async with following(tmp_path) as (engine, seen):
        container = engine.containers["mc"]
        for number in (1, 2):
            engine.run(container)
            await until(lambda number=number: len(seen.calls) == number)  # type: ignore[misc]
            engine.end(container, 0)
            await until(lambda: seen.container.status is Status.stopped)
        assert seen.calls == ["found", "found"]


async def test_events_of_other_containers_are_ignored(tmp_path: Path) -> None:
    async with following(tmp_path) as (engine, seen):
        looked = engine.requests.count("GET /containers/mc/json")
        engine.run(engine.create("other"))
        engine.run(engine.containers["mc"])
        await until(lambda: seen.calls)
        engine.say(engine.containers["mc"], "heard")
        await seen.output.line_with("heard")
        assert engine.requests.count("GET /containers/mc/json") <= looked + 2  # since the second: create, start


async def test_events_of_a_health_check_are_ignored(tmp_path: Path) -> None:
    async with following(tmp_path, runs=True) as (engine, seen):
        await until(lambda: seen.calls)
        looked = len(engine.requests)
        event = {"Action": "exec_create: /health", "Actor": {"ID": engine.containers["mc"].id}}
        await seen.container._on_event(event)
        assert len(engine.requests) == looked


async def test_of_one_that_ran_for_long_only_the_end_of_its_output_is_read(tmp_path: Path) -> None:
    async with following(tmp_path) as (engine, seen):
        container = engine.containers["mc"]
        seen.container._starts = 1  # as while it is being taken over
        engine.run(container)
        for number in range(100):
            engine.say(container, f"line {number}")
        await seen.output.line_with("line 99")
        assert len(seen.output.lines) <= LAST_LINES + 1
        seen.container._starts = 0
