"""Plugins are plain asyncio, and so are their tests: an `async def` test here runs on the reactor's own loop."""

from __future__ import annotations

import asyncio
import inspect
from pathlib import Path

import pytest
import pytest_twisted
from plugins.watching import DEADLINE, Bench, kill_servers
from twisted.internet.defer import Deferred

from zeroscale.plugins.testing import ServerUnderTest
from zeroscale.process import child


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A server's own directory."""
    directory = tmp_path / "state"
    directory.mkdir()
    return directory


@pytest.fixture
def bench(state: Path) -> Bench:
    """Where `ServerProcess`es are made."""
    return Bench(state)


@pytest.fixture(autouse=True)
def _quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A running server's output is looked at every second; tests have no time for that."""
    monkeypatch.setattr(child, "RUNNING_INTERVAL", 0.02)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Runs an asyncio test, with a deadline, and clears its bench, or its subject."""
    test = pyfuncitem.obj
    if not inspect.iscoroutinefunction(test):
        return None
    wanted = inspect.signature(test).parameters
    arguments = {name: value for name, value in pyfuncitem.funcargs.items() if name in wanted}
    bench, subject = pyfuncitem.funcargs.get("bench"), pyfuncitem.funcargs.get("subject")

    async def run() -> None:
        try:
            async with asyncio.timeout(DEADLINE):
                if isinstance(subject, ServerUnderTest):
                    await subject.set_up()
                await test(**arguments)
        finally:
            async with asyncio.timeout(DEADLINE):
                await kill_servers()
                if isinstance(bench, Bench):
                    await bench.clear()
                if isinstance(subject, ServerUnderTest):
                    await subject.tear_down()

    finished: Deferred[None] = Deferred()

    def begin() -> None:
        Deferred.fromFuture(asyncio.get_running_loop().create_task(run())).chainDeferred(finished)

    from twisted.internet import reactor  # not before pytest has installed the right one

    reactor.callLater(0, begin)
    pytest_twisted.blockon(finished)
    return True
