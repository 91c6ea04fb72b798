"""A pytest plugin for tests of plain asyncio code: an `async def` test runs on the reactor's own event loop."""

from __future__ import annotations

import asyncio
import inspect
from pathlib import Path

import pytest
import pytest_twisted
from plugins.process_fixture import DEADLINE, ProcessFixture, kill_servers
from twisted.internet.defer import Deferred

from zeroscale.plugins.testing import ServerUnderTest
from zeroscale.process import child


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Make a server's own directory."""
    directory = tmp_path / "state"
    directory.mkdir()
    return directory


@pytest.fixture
def process_fixture(state: Path) -> ProcessFixture:
    """Make a fixture for server processes."""
    return ProcessFixture(state)


@pytest.fixture(autouse=True)
def _short_read_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read a running server's output more often than every second."""
    monkeypatch.setattr(child, "RUNNING_INTERVAL", 0.02)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an asyncio test, with a deadline, and clean up its process fixture or subject."""
    test = pyfuncitem.obj
    if not inspect.iscoroutinefunction(test):
        return None
    wanted = inspect.signature(test).parameters
    arguments = {name: value for name, value in pyfuncitem.funcargs.items() if name in wanted}
    process_fixture, subject = pyfuncitem.funcargs.get("process_fixture"), pyfuncitem.funcargs.get("subject")

    async def run() -> None:
        try:
            async with asyncio.timeout(DEADLINE):
                if isinstance(subject, ServerUnderTest):
                    await subject.set_up()
                await test(**arguments)
        finally:
            async with asyncio.timeout(DEADLINE):
                await kill_servers()
                if isinstance(process_fixture, ProcessFixture):
                    await process_fixture.clear()
                if isinstance(subject, ServerUnderTest):
                    await subject.tear_down()

    finished: Deferred[None] = Deferred()

    def begin() -> None:
        Deferred.fromFuture(asyncio.get_running_loop().create_task(run())).chainDeferred(finished)

    from twisted.internet import reactor  # not before pytest has installed the right one

    reactor.callLater(0, begin)
    pytest_twisted.blockon(finished)
    return True
