"""Refusals by an engine; a console that works is tested with a real engine in tests/peers/test_docker.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from plugins.docker.fake_engine import FakeEngine

from zeroscale.plugins.docker.console import execute, write_stdin
from zeroscale.plugins.docker.engine import Engine, EngineError


async def test_what_an_engine_refuses_is_one_line(tmp_path: Path) -> None:
    fake = FakeEngine(tmp_path / "engine.sock")
    await fake.begin()
    engine = Engine(fake.url)
    try:
        with pytest.raises(EngineError, match=r"says: .*404"):
            await execute(engine, "mc", ["rcon-cli", "list"])
        with pytest.raises(EngineError, match="No such container: mc"):
            await write_stdin(engine, "mc", "list")
    finally:
        await engine.close()
        await fake.clear()
