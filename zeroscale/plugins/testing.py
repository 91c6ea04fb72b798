"""Contract tests for plugins: one suite for what all plugins have in common. Needs pytest (extra `plugin-test`).

To use it, write a `ServerUnderTest`, which controls the real server without the plugin, and a test class that inherits
from the classes here that apply, with a fixture `subject`:

    class TestContract(PluginTests, WaitableTests, AdoptableTests, RemovableTests):
        @pytest.fixture
        def subject(self, tmp_path: Path) -> ServerUnderTest:
            return MyServer(tmp_path)

and import `pytest_pyfunc_call` from here into conftest.py, which runs these tests in an event loop.

| class | for a plugin | methods of the `ServerUnderTest` it needs besides `make_plugin`, `is_running`, `start` |
|---|---|---|
| `PluginTests` | any | `block_stop`, `stop_requested`, `unblock_stop` |
| `WaitableTests` | that has `wait()` | `stop`, `crash` |
| `AdoptableTests` | that has `adopt()` | those of `PluginTests`; `has_runs` |
| `ReportsStartsTests` | that has `on_found` | `stop` |
| `PausableTests` | that has `pause()` and `resume()` | `is_paused` |
| `ReportsPausesTests` | that has `on_paused` | `pause`, `resume` |
| `RemovableTests` | with a server that can be removed | `remove` |
| `PermissionTests` | that may lack permission to start it | `forbid`, `permission_hint` |
| `ApiTests` | that uses the API of a daemon or cluster | `break_api`, `stall_api`, `restore_api`, `api_requested` |

`PluginTests` fails if the plugin has an ability and the test class leaves out its tests. The tests call the plugin in
the order in which zeroscale does. They wait for events, never for a fixed time, with `TIMEOUT` for each test.

Never imported by zeroscale itself.
"""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec import Struct

from zeroscale.errors import PluginError
from zeroscale.plugins.api import (
    Adoptable,
    Closable,
    HasFakeStatus,
    Pausable,
    Plugin,
    ReportsOutput,
    ReportsPauses,
    ReportsStarts,
    Waitable,
)
from zeroscale.plugins.loader import contract_mistakes
from zeroscale.status import Status

TIMEOUT = 60.0
"""Seconds for a test, and again for its end."""

INTERVAL = 0.01
"""Seconds between two checks of something that has no event."""

CLEAN_EXIT_CODES = frozenset({None, 0, 129, 130, 143})

LONGEST_MESSAGE = 500
"""Characters of an error message, which becomes one line of a log."""


class ServerUnderTest:
    """One server, controlled without the plugin.

    :cvar reports_crashes: whether the plugin can distinguish a crash from a clean end.
    :cvar has_runs: whether the plugin can distinguish one run of the server from the next; if not, a server that was
        started since an interrupted stop may be taken for the one that was being stopped.
    :cvar permission_hint: a regular expression that matches the error message for a missing permission.
    """

    reports_crashes = True
    has_runs = True
    permission_hint = "permission|denied|not allowed"

    async def set_up(self) -> None:
        """Create what the server needs, without starting it. Called before each test, in its event loop."""

    async def tear_down(self) -> None:
        """End everything. Called after each test, in its event loop."""

    def make_plugin(self) -> Plugin:
        """Construct a plugin for this server. A second one stands for the next zeroscale process."""
        raise NotImplementedError

    async def is_running(self) -> bool:
        """Return whether the server runs, paused or not."""
        raise NotImplementedError

    async def start(self) -> None:
        """Start the server as its operator would; return when it runs."""
        raise NotImplementedError

    async def stop(self) -> None:
        """Stop the server cleanly as its operator would; return when it is gone."""
        raise NotImplementedError

    async def crash(self) -> None:
        """Make the server crash; return when it is gone."""
        raise NotImplementedError

    async def block_stop(self) -> None:
        """Make the server delay its stop until `unblock_stop`."""
        raise NotImplementedError

    async def stop_requested(self) -> None:
        """Wait until the server delays a stop."""
        raise NotImplementedError

    async def unblock_stop(self) -> None:
        """End `block_stop`; the server stops if it was asked to."""
        raise NotImplementedError

    async def is_paused(self) -> bool:
        """Return whether the server is frozen."""
        raise NotImplementedError

    async def pause(self) -> None:
        """Freeze the server as its operator would."""
        raise NotImplementedError

    async def resume(self) -> None:
        """Let the frozen server continue as its operator would."""
        raise NotImplementedError

    async def remove(self) -> None:
        """End the server and remove what it is started from, such as its program, unit or container."""
        raise NotImplementedError

    async def forbid(self) -> None:
        """Take away the permission to start the server."""
        raise NotImplementedError

    async def break_api(self) -> None:
        """Make the daemon or cluster unreachable and break its connections. The server runs on."""
        raise NotImplementedError

    async def stall_api(self) -> None:
        """Make the daemon or cluster accept requests and not answer them until `restore_api`."""
        raise NotImplementedError

    async def restore_api(self) -> None:
        """End `break_api` or `stall_api`; requests received in between are answered."""
        raise NotImplementedError

    async def api_requested(self) -> None:
        """Wait until there is a request that is not answered."""
        raise NotImplementedError


class RecordedOutput:
    """Records lines of output; an instance is the callback for `on_output`.

    :ivar lines: all lines so far.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._expected: list[tuple[str, asyncio.Future[str]]] = []

    def __call__(self, line: str) -> None:
        """Record a line."""
        self.lines.append(line)
        for text, future in self._expected:
            if text in line and not future.done():
                future.set_result(line)

    async def line_with(self, text: str) -> str:
        """Return the first line that contains `text`; wait for it if necessary."""
        for line in self.lines:
            if text in line:
                return line
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._expected.append((text, future))
        try:
            return await asyncio.wait_for(future, TIMEOUT)
        except TimeoutError:
            raise AssertionError(f"no line with {text!r} in {self.lines}") from None


class ServerExit(Struct, frozen=True):
    """How `wait()` ended.

    :ivar code: the exit code it returned; 128 plus the number of a signal.
    :ivar reason: the message of the exception it raised.
    """

    code: int | None = None
    reason: str | None = None

    @property
    def is_clean(self) -> bool:
        """Whether zeroscale takes this for a clean end and not for a crash."""
        return self.reason is None and self.code in CLEAN_EXIT_CODES


class PluginDriver:
    """Calls one plugin as zeroscale does.

    :ivar plugin: the plugin.
    :ivar output: the lines that it has passed to `on_output`.
    :ivar found: set when it has called `on_found`.
    :ivar paused: set when it has called `on_paused`.
    :ivar exit: the future result of `wait()`, while the server runs; None: the plugin has no `wait()`.
    """

    def __init__(self, plugin: Plugin) -> None:
        self.plugin: Any = plugin  # tests use what only their own plugin has
        self.output = RecordedOutput()
        self.found = asyncio.Event()
        self.paused = asyncio.Event()
        self.exit: asyncio.Future[ServerExit] | None = None
        if isinstance(plugin, ReportsOutput):
            plugin.on_output = self.output
        if isinstance(plugin, ReportsStarts):
            plugin.on_found = self.found.set
        if isinstance(plugin, ReportsPauses):
            plugin.on_paused = self.paused.set

    async def adopt(self) -> bool | Status:
        """Let the plugin take over a running server.

        :returns: whether there was one; `Status.stopping`: there is, and it is stopping.
        """
        found = isinstance(self.plugin, Adoptable) and await self.plugin.adopt()
        if found:
            self._wait_for_exit()
        return found if found is Status.stopping else bool(found)

    async def start(self) -> None:
        """Let the plugin take over a running server, or else start it."""
        if not await self.adopt():
            await self.plugin.start()
            self._wait_for_exit()

    async def stop(self) -> None:
        """Let the plugin stop its server; return when it is gone."""
        await self.plugin.stop()
        if self.exit is not None:
            await self.exit

    async def pause(self) -> None:
        """Let the plugin freeze its server."""
        await self.plugin.pause()

    async def resume(self) -> None:
        """Let the plugin resume its server."""
        await self.plugin.resume()

    async def close(self) -> None:
        """Close the plugin and leave its server as it is."""
        if self.exit is not None:
            self.exit.cancel()
        if isinstance(self.plugin, Closable):
            await self.plugin.close()

    def _wait_for_exit(self) -> None:
        if isinstance(self.plugin, Waitable):
            self.exit = asyncio.ensure_future(_exit_of(self.plugin))


@asynccontextmanager
async def driving(subject: ServerUnderTest) -> AsyncIterator[PluginDriver]:
    """Construct a plugin and drive it; at the end close it and wait until it has left no task behind."""
    before = asyncio.all_tasks()
    driver = PluginDriver(subject.make_plugin())
    try:
        yield driver
    finally:
        await driver.close()
    while asyncio.all_tasks() - before:  # noqa: ASYNC110 # cancelled tasks end only after more turns of the loop
        await asyncio.sleep(INTERVAL)


async def kill_while_stopping(subject: ServerUnderTest) -> None:
    """Start the server, and end the plugin in the middle of a stop, which the server delays."""
    driver = PluginDriver(subject.make_plugin())
    try:
        await driver.start()
        await subject.block_stop()
        stopping = asyncio.ensure_future(driver.plugin.stop())
        await subject.stop_requested()
        stopping.cancel()
        await asyncio.wait([stopping])
    finally:
        await driver.close()


async def error_of(work: Awaitable[object]) -> str:
    """Await something that must raise `PluginError`; return its message after checking that it is fit for a log."""
    with pytest.raises(PluginError) as raised:
        await work
    return _checked(str(raised.value))


async def becomes(question: Callable[[], Awaitable[bool]], wanted: bool) -> None:
    """Ask until the answer is `wanted`, such as for a signal that has not yet reached all processes of a server."""
    while await question() is not wanted:  # noqa: ASYNC110 # there is no event for it
        await asyncio.sleep(INTERVAL)


async def run_with(subject: ServerUnderTest, test: Coroutine[object, object, None]) -> None:
    """Await a test between `set_up` and `tear_down`."""
    try:
        async with asyncio.timeout(TIMEOUT):
            await subject.set_up()
            await test
    finally:
        test.close()
        async with asyncio.timeout(TIMEOUT):
            await subject.tear_down()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run each async test that has the fixture `subject` in an event loop of its own."""
    subject = pyfuncitem.funcargs.get("subject")
    if not isinstance(subject, ServerUnderTest) or not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    arguments = {name: value for name, value in pyfuncitem.funcargs.items() if name in names}
    asyncio.run(run_with(subject, pyfuncitem.obj(**arguments)))
    return True


class PluginTests:
    """For every plugin."""

    @pytest.fixture
    def subject(self) -> ServerUnderTest:
        """Return the server under test."""
        raise NotImplementedError("a test class of this suite needs a fixture `subject`")

    async def test_it_fits_the_contract(self, subject: ServerUnderTest) -> None:
        async with driving(subject) as driver:
            assert contract_mistakes(type(driver.plugin)) == []

    async def test_every_ability_is_tested(self, subject: ServerUnderTest) -> None:
        async with driving(subject) as driver:
            assert isinstance(driver.plugin, Waitable) == isinstance(self, WaitableTests)
            assert isinstance(driver.plugin, Adoptable) == isinstance(self, AdoptableTests)
            assert isinstance(driver.plugin, Pausable) == isinstance(self, PausableTests)
            assert isinstance(driver.plugin, ReportsStarts) == isinstance(self, ReportsStartsTests)
            assert isinstance(driver.plugin, ReportsPauses) == isinstance(self, ReportsPausesTests)

    async def test_it_starts_and_stops_and_starts_again(self, subject: ServerUnderTest) -> None:
        async with driving(subject) as driver:
            assert not await driver.adopt()
            for _ in range(2):
                assert not await subject.is_running()
                await driver.start()
                assert await subject.is_running()
                await driver.stop()
                assert not await subject.is_running()
                assert driver.exit is None or (await driver.exit).is_clean

    async def test_stopping_a_stopped_server_does_nothing(self, subject: ServerUnderTest) -> None:
        async with driving(subject) as driver:
            assert not await driver.adopt()
            await driver.stop()
            await driver.start()
            assert await subject.is_running()
            await driver.stop()

    async def test_stop_waits_for_a_slow_server(self, subject: ServerUnderTest) -> None:
        async with driving(subject) as driver:
            await driver.start()
            await subject.block_stop()
            stopping = asyncio.ensure_future(driver.stop())
            await subject.stop_requested()
            assert await subject.is_running()
            assert not stopping.done()
            await subject.unblock_stop()
            await stopping
            assert not await subject.is_running()

    async def test_the_fake_status_is_bytes_or_none(self, subject: ServerUnderTest) -> None:
        async with driving(subject) as driver:
            if isinstance(driver.plugin, HasFakeStatus):
                assert isinstance(driver.plugin.fake_status(), bytes | None)


class WaitableTests:
    """For a plugin that notices the end of its server."""

    async def test_a_crash_is_noticed(self, subject: ServerUnderTest) -> None:
        async with driving(subject) as driver:
            await driver.start()
            await subject.crash()
            assert driver.exit is not None
            server_exit = await driver.exit
            assert server_exit.is_clean != subject.reports_crashes, server_exit
            if server_exit.reason is not None:
                _checked(server_exit.reason)
            await driver.start()
            assert await subject.is_running()
            await driver.stop()

    async def test_a_stop_by_the_operator_is_not_a_crash(self, subject: ServerUnderTest) -> None:
        async with driving(subject) as driver:
            await driver.start()
            await subject.stop()
            assert driver.exit is not None
            assert (await driver.exit).is_clean
            await driver.start()
            assert await subject.is_running()
            await driver.stop()


class AdoptableTests:
    """For a plugin that takes over a running server."""

    async def test_a_server_started_by_the_operator_is_adopted(self, subject: ServerUnderTest) -> None:
        await subject.start()
        async with driving(subject) as driver:
            assert await driver.adopt()
            assert await driver.adopt(), "a second call must give the same answer"
            assert await subject.is_running()
            await driver.stop()
            assert not await subject.is_running()
            assert driver.exit is None or (await driver.exit).is_clean

    async def test_the_next_zeroscale_adopts_the_server(self, subject: ServerUnderTest) -> None:
        async with driving(subject) as first:
            await first.start()
        assert await subject.is_running(), "closing the plugin must not end the server"
        async with driving(subject) as second:
            assert await second.adopt()
            await second.stop()
            assert not await subject.is_running()

    async def test_the_next_zeroscale_continues_a_stop(self, subject: ServerUnderTest) -> None:
        await kill_while_stopping(subject)
        async with driving(subject) as second:
            assert await second.adopt() is Status.stopping, "players would be connected to a server that is to end"
            stopping = asyncio.ensure_future(second.stop())
            await subject.stop_requested()
            assert await subject.is_running()
            assert not stopping.done()
            await subject.unblock_stop()
            await stopping
            assert not await subject.is_running()
            assert second.exit is None or (await second.exit).is_clean
            await second.start()
            assert await subject.is_running()
        async with driving(subject) as third:
            assert await third.adopt() is True, "the stop was of an earlier run"
            await third.stop()
            assert not await subject.is_running()

    async def test_a_server_started_by_the_operator_since_is_not_stopped(self, subject: ServerUnderTest) -> None:
        if not subject.has_runs:
            return
        await kill_while_stopping(subject)
        await subject.unblock_stop()
        await becomes(subject.is_running, False)
        await subject.start()
        async with driving(subject) as second:
            assert await second.adopt() is True
            await second.stop()

    async def test_adopting_a_paused_server_resumes_it(self, subject: ServerUnderTest) -> None:
        if not isinstance(self, PausableTests):
            return
        async with driving(subject) as first:
            await first.start()
            await first.pause()
        await becomes(subject.is_paused, True)
        async with driving(subject) as second:
            assert await second.adopt()
            await becomes(subject.is_paused, False)
            await second.stop()


class ReportsStartsTests:
    """For a plugin that notices when its server is started by others."""

    async def test_a_start_by_the_operator_is_reported(self, subject: ServerUnderTest) -> None:
        async with driving(subject) as driver:
            assert not await driver.adopt()
            await subject.start()
            await driver.found.wait()
            assert await driver.adopt()
            await driver.stop()
            assert not await subject.is_running()

    async def test_only_starts_by_others_are_reported(self, subject: ServerUnderTest) -> None:
        async with driving(subject) as driver:
            await driver.start()
            await driver.stop()
            assert not driver.found.is_set(), "the plugin has started it itself"
            await subject.start()
            await driver.found.wait()
            await subject.stop()

    async def test_a_start_by_the_operator_just_before_leads_to_one_server(self, subject: ServerUnderTest) -> None:
        async with driving(subject) as driver:
            assert not await driver.adopt()
            await subject.start()
            await driver.start()
            await driver.stop()
            assert not await subject.is_running()


class PausableTests:
    """For a plugin that freezes and resumes its server."""

    async def test_it_is_paused_and_resumed(self, subject: ServerUnderTest) -> None:
        async with driving(subject) as driver:
            await driver.start()
            for _ in range(2):
                await driver.pause()
                await becomes(subject.is_paused, True)
                assert await subject.is_running()
                assert driver.exit is None or not driver.exit.done(), "a paused server has not ended"
                await driver.resume()
                await becomes(subject.is_paused, False)
            await driver.stop()
            assert not await subject.is_running()

    async def test_a_crash_while_paused_is_noticed(self, subject: ServerUnderTest) -> None:
        if not isinstance(self, WaitableTests):
            return
        async with driving(subject) as driver:
            await driver.start()
            await driver.pause()
            await subject.crash()
            assert driver.exit is not None
            assert (await driver.exit).is_clean != subject.reports_crashes


class ReportsPausesTests:
    """For a plugin that notices when its server is frozen or resumed by others."""

    async def test_pause_and_resume_by_the_operator_are_reported(self, subject: ServerUnderTest) -> None:
        async with driving(subject) as driver:
            await driver.start()
            await driver.pause()
            await driver.resume()
            assert not driver.paused.is_set(), "the plugin has paused it itself"
            assert not driver.found.is_set()
            await subject.pause()
            await driver.paused.wait()
            assert not driver.found.is_set()
            await subject.resume()
            await driver.found.wait()
            assert driver.exit is None or not driver.exit.done()
            await driver.stop()


class RemovableTests:
    """For a plugin with a server that can be removed."""

    async def test_a_removed_server_cannot_be_started(self, subject: ServerUnderTest) -> None:
        await subject.remove()
        async with driving(subject) as driver:
            await error_of(driver.start())
            assert not await subject.is_running()

    async def test_removing_the_running_server_is_noticed(self, subject: ServerUnderTest) -> None:
        if not isinstance(self, WaitableTests):
            return
        async with driving(subject) as driver:
            await driver.start()
            await subject.remove()
            assert driver.exit is not None
            await driver.exit
            await error_of(driver.start())


class PermissionTests:
    """For a plugin that may lack the permission to start its server."""

    async def test_the_error_names_the_missing_permission(self, subject: ServerUnderTest) -> None:
        await subject.forbid()
        async with driving(subject) as driver:
            message = await error_of(driver.start())
            assert re.search(subject.permission_hint, message), message
            assert not await subject.is_running()


class ApiTests:
    """For a plugin that uses the API of a daemon or cluster, which may be unreachable or slow."""

    async def test_start_fails_while_the_api_is_unreachable(self, subject: ServerUnderTest) -> None:
        async with driving(subject) as driver:
            await subject.break_api()
            await error_of(driver.start())
            await subject.restore_api()
            assert not await subject.is_running()
            await driver.start()
            assert await subject.is_running()
            await driver.stop()
            assert not await subject.is_running()

    async def test_an_unreachable_api_does_not_mean_that_the_server_has_ended(self, subject: ServerUnderTest) -> None:
        async with driving(subject) as driver:
            await driver.start()
            await subject.break_api()
            # The plugin may let stop() fail, or let it wait for the API.
            stopping = asyncio.ensure_future(driver.plugin.stop())
            await asyncio.wait([stopping], timeout=INTERVAL)
            assert await subject.is_running()
            assert driver.exit is None or not driver.exit.done()
            await subject.restore_api()
            try:
                await stopping
            except PluginError as error:
                _checked(str(error))
                await driver.stop()
            assert not await subject.is_running()
            assert driver.exit is None or (await driver.exit).is_clean

    async def test_a_crash_is_noticed_after_the_api_was_unreachable(self, subject: ServerUnderTest) -> None:
        if not isinstance(self, WaitableTests):
            return
        async with driving(subject) as driver:
            await driver.start()
            await subject.break_api()
            await subject.restore_api()
            await subject.crash()
            assert driver.exit is not None
            assert (await driver.exit).is_clean != subject.reports_crashes

    async def test_a_slow_api_does_not_block_the_event_loop(self, subject: ServerUnderTest) -> None:
        async with driving(subject) as driver:
            await subject.stall_api()
            starting = asyncio.ensure_future(driver.start())
            await subject.api_requested()  # never returns if the plugin blocks the loop
            assert not starting.done()
            await subject.restore_api()
            await starting
            assert await subject.is_running()
            await driver.stop()


async def _exit_of(plugin: Waitable) -> ServerExit:
    try:
        code = await plugin.wait()
    except PluginError as error:
        return ServerExit(reason=str(error))
    return ServerExit(128 - code if code is not None and code < 0 else code)


def _checked(message: str) -> str:
    assert "\n" not in message
    assert len(message) <= LONGEST_MESSAGE, message
    return message
