"""An engine's connection: its address, its errors, its restarts."""

from __future__ import annotations

import asyncio
import errno
import itertools
import logging
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiodocker import DockerError
from plugins.docker.containers import Gate
from plugins.docker.fake_engine import FILTERED, FakeEngine
from plugins.process_fixture import until

from zeroscale.errors import PluginError
from zeroscale.plugins.docker import engine as docker_engine
from zeroscale.plugins.docker.engine import Engine, EngineError, engine_url, retry_delays


@asynccontextmanager
async def engines(directory: Path) -> AsyncIterator[tuple[FakeEngine, Gate, Engine]]:
    fake = FakeEngine(directory / "engine.sock")
    gate = Gate(directory / "gate.sock", fake.path)
    await fake.begin()
    await gate.open()
    engine = Engine(f"unix://{gate.path}")
    try:
        yield fake, gate, engine
    finally:
        await engine.close()
        await gate.shut()
        await fake.clear()


@pytest.mark.parametrize(
    ("given", "environment", "url"),
    [
        ("unix:///run/x.sock", {"DOCKER_HOST": "tcp://other:2375"}, "unix:///run/x.sock"),
        ("/run/x.sock", {}, "unix:///run/x.sock"),
        (None, {"DOCKER_HOST": "tcp://other:2375"}, "tcp://other:2375"),
    ],
)
def test_where_it_is(given: str | None, environment: dict[str, str], url: str) -> None:
    assert engine_url(given, environment) == url


def test_by_default_it_is_the_first_usual_socket_that_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    there: set[str] = set()
    monkeypatch.setattr(Path, "is_socket", lambda path: str(path) in there)
    environment = {"XDG_RUNTIME_DIR": "/run/user/1000"}
    assert engine_url(None, environment) == "unix:///var/run/docker.sock"
    there.add("/run/user/1000/podman/podman.sock")
    assert engine_url(None, environment) == "unix:///run/user/1000/podman/podman.sock"
    there.add("/run/podman/podman.sock")
    assert engine_url(None, environment) == "unix:///run/podman/podman.sock"


@pytest.mark.parametrize("wrong", ["ssh://root@host", "docker.sock", "npipe:////./pipe/x"])
def test_an_invalid_address_is_refused(wrong: str) -> None:
    with pytest.raises(PluginError, match=r"unix:///var/run/docker\.sock"):
        engine_url(wrong, {})


def test_delays_grow_up_to_a_bound() -> None:
    first = list(itertools.islice(retry_delays(), 12))
    assert first[:3] == [0.1, 0.2, 0.4]
    assert first[-1] == docker_engine.LONGEST_DELAY


def refusal_for_permission() -> DockerError:
    error = DockerError(900, "Cannot connect to Docker Engine via unix:///x [Permission denied]")
    error.__context__ = PermissionError(13, "Permission denied")
    return error


@pytest.mark.parametrize(
    ("error", "expected", "status", "permanent"),
    [
        (refusal_for_permission(), "permission denied.*usermod", None, True),
        (DockerError(900, "Cannot connect"), "cannot be reached", None, False),
        (DockerError(503, "busy"), "busy", None, False),
        (DockerError(409, "two\nlines"), "two lines", 409, True),
        (DockerError(500, ""), "status 500", 500, True),
        (DockerError(403, "not for you"), r"^GET /x was refused by unix:///x\.sock: not for you$", 403, True),
        (
            DockerError(403, FILTERED),
            "GET /x was refused by .*: 403 Forbidden Request forbidden by administ",
            403,
            True,
        ),
        (DockerError(401, ""), "GET /x was refused by .*: status 401", 401, True),
        (TimeoutError(), "does not answer in time", None, False),
        (ConnectionResetError(), "cannot be reached", None, False),
        (aiohttp.ClientPayloadError("half"), "cannot be reached", None, False),
        (ValueError("no JSON"), "cannot be reached", None, False),
    ],
)
def test_an_error_is_one_line(error: Exception, expected: str, status: int | None, permanent: bool) -> None:
    engine_error = Engine("unix:///x.sock").to_engine_error(error, "GET /x")
    assert engine_error is not None
    assert engine_error.status == status
    assert engine_error.permanent is permanent
    message = str(engine_error)
    assert "unix:///x.sock" in message
    assert "\n" not in message
    with pytest.raises(EngineError, match=expected):
        raise engine_error


def test_a_fault_of_ours_is_not_translated() -> None:
    assert Engine("unix:///x.sock").to_engine_error(TypeError("no"), "GET /x") is None


async def test_an_engine_that_comes_back_in_time_is_waited_for(tmp_path: Path) -> None:
    async with engines(tmp_path) as (fake, gate, engine):
        fake.create("mc")
        await gate.shut()
        asking = asyncio.ensure_future(engine.inspect("mc", retry_time=60))
        with pytest.raises(EngineError, match="cannot be reached"):
            await engine.inspect("mc")
        await gate.open()
        found = await asking
        assert found is not None


async def test_a_container_that_does_not_exist_is_none(tmp_path: Path) -> None:
    async with engines(tmp_path) as (_, _, engine):
        assert await engine.inspect("mc") is None


async def test_a_server_that_is_not_an_engine_is_reported(tmp_path: Path) -> None:
    async with engines(tmp_path) as (fake, _, engine):
        fake.create("mc").id = ""
        with pytest.raises(EngineError, match="not a container engine"):
            await engine.inspect("mc")


async def test_events_are_watched_through_restarts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    seen: list[Mapping[str, Any] | None] = []

    async def on_event(event: Mapping[str, Any] | None) -> None:
        seen.append(event)

    async with engines(tmp_path) as (fake, gate, engine):
        following = asyncio.ensure_future(engine.watch(on_event))
        try:
            await until(lambda: seen)
            container = fake.create("mc")
            await until(lambda: len(seen) > 1)
            assert seen[0] is None
            assert seen[1] is not None
            assert seen[1]["Action"] == "create"
            await gate.shut()
            await until(lambda: "trying again" in caplog.text)
            fake.run(container)
            before = len(seen)
            await gate.open()
            await until(lambda: len(seen) > before)
            assert seen[before] is None, "what may have been missed has to be looked for"
            assert "can be reached again" in caplog.text
            assert caplog.text.count("trying again") == 1
        finally:
            following.cancel()
            await asyncio.wait([following])


@pytest.mark.parametrize("dates", [True, False])
async def test_events_are_watched_though_info_is_refused(tmp_path: Path, dates: bool) -> None:
    seen: list[Mapping[str, Any] | None] = []

    async def on_event(event: Mapping[str, Any] | None) -> None:
        seen.append(event)

    async with engines(tmp_path) as (fake, _, engine):
        fake.refuses = {"/info"}
        fake.dates = dates
        following = asyncio.ensure_future(engine.watch(on_event))
        await until(lambda: fake.is_watched)
        fake.create("mc")
        await until(lambda: len(seen) == 2)
        assert "GET /info" not in fake.requests
        following.cancel()
        await asyncio.wait([following])


async def test_an_event_between_the_reading_of_the_state_and_the_watch_is_not_missed(tmp_path: Path) -> None:
    seen: list[str] = []

    async with engines(tmp_path) as (fake, _, engine):

        async def on_event(event: Mapping[str, Any] | None) -> None:
            seen.append("state" if event is None else event["Action"])
            if event is None:
                fake.create("mc")

        following = asyncio.ensure_future(engine.watch(on_event))
        await until(lambda: len(seen) == 2)
        assert seen == ["state", "create"]
        following.cancel()
        await asyncio.wait([following])


@pytest.mark.parametrize("path", ["/version", "/events"])
async def test_a_request_of_the_watch_that_is_refused_is_named(
    tmp_path: Path, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    polls: list[None] = []

    async def on_event(event: Mapping[str, Any] | None) -> None:
        polls.append(None)

    async with engines(tmp_path) as (fake, _, engine):
        fake.refuses = {path}
        following = asyncio.ensure_future(engine.watch(on_event))
        await until(lambda: "trying again" in caplog.text)
        assert f"GET {path} was refused by {engine.url}: 403 Forbidden Request forbidden by administ" in caplog.text
        if path == "/events":
            await until(lambda: len(polls) > 1)  # so the state is read again and again
        following.cancel()
        await asyncio.wait([following])


async def test_a_request_that_is_refused_is_named(tmp_path: Path) -> None:
    async with engines(tmp_path) as (fake, _, engine):
        fake.refuses = {"/version", "/containers/mc/json"}
        with pytest.raises(EngineError, match=r"^GET /version was refused by"):
            await engine.inspect("mc")
        fake.refuses = {"/containers/mc/json"}
        with pytest.raises(EngineError, match=r"^GET /containers/mc/json was refused by"):
            await engine.inspect("mc")


async def test_a_callback_that_fails_is_called_again(tmp_path: Path) -> None:
    polls: list[None] = []

    async def on_event(event: Mapping[str, Any] | None) -> None:
        polls.append(None)
        if len(polls) < 3:
            raise EngineError("away for a moment")

    async with engines(tmp_path) as (_, _, engine):
        following = asyncio.ensure_future(engine.watch(on_event))
        await until(lambda: len(polls) == 3)
        following.cancel()
        await asyncio.wait([following])


async def test_a_connection_that_was_closed_is_not_made_anew(tmp_path: Path) -> None:
    async with engines(tmp_path) as (_, _, engine):
        await engine.close()
        with pytest.raises(EngineError, match="closed"):
            await engine.inspect("mc")


async def test_a_slow_answer_is_given_up(tmp_path: Path) -> None:
    async with engines(tmp_path) as (_, gate, engine):
        gate.hold()

        async def ask(client: Any) -> None:
            await client.version()

        with pytest.raises(EngineError, match="in time"):
            await engine.request("GET /version", ask, limit=0.01)


def test_a_socket_of_ours_passes_the_check(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        Engine(f"unix://{tmp_path / 's'}").check()


async def test_an_engine_whose_name_cannot_be_looked_up_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Any:
        raise BlockingIOError(errno.EAGAIN, "no more threads are allowed")  # as zeroscale's executor does

    engine = Engine("tcp://docker.internal:2375")
    monkeypatch.setattr(asyncio.BaseEventLoop, "run_in_executor", refuse)
    for _ in range(2):
        with pytest.raises(EngineError, match=r"tcp://docker\.internal:2375 cannot be reached"):
            await engine.inspect("x")
    await engine.close()
