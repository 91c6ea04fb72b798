"""What every plugin does alike, whatever it starts: one suite, driven through the bridge as the core drives it.

To have a plugin pass it: write a `Subject`, which is the server and hands that reach it past the plugin, and a test
class of those classes here that fit it, with a fixture `subject`:

    class TestBehaviour(Lives, Waits, Adopts, Finds, Pauses, Vanishes, IsForbidden, HasAnApi):
        @pytest.fixture
        def subject(self, state: Path) -> Subject:
            return Container(state)

| class | for a plugin | what of the subject it needs, besides `make`, `runs` and `start_behind_its_back` |
|---|---|---|
| `Lives` | every one | `hold_stop`, `stop_is_asked`, `let_stop` |
| `Waits` | with `wait()` | `kill_behind_its_back`, `stop_behind_its_back` |
| `Adopts` | with `adopt()` | |
| `Finds` | with `on_found` | `stop_behind_its_back` |
| `Pauses` | with `pause()` and `resume()` | `is_paused` |
| `FindsPauses` | with `on_paused` | `pause_behind_its_back`, `resume_behind_its_back` |
| `Vanishes` | whose server can cease to be | `remove` |
| `IsForbidden` | that may be refused what it asks for | `forbid`, `forbidden_hint` |
| `HasAnApi` | that talks to a daemon or a cluster | `break_api`, `slow_api`, `mend_api`, `api_is_asked` |

What a plugin can (as `PluginAdapter` sees it) and its test class leaves out is a failure of `Lives`. `begin` and
`clear` run before and after each test, on the tests' own loop. No test here waits for a time: all of them wait for
what happens, with the deadline of the wing's conftest.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest
from plugins.watching import GLANCE, Output
from twisted.internet.defer import Deferred

from zeroscale.errors import PluginError
from zeroscale.lifecycle.exit_codes import is_clean
from zeroscale.lifecycle.plugin_adapter import PluginAdapter

T = TypeVar("T")

LONGEST_MESSAGE = 500
"""Characters of what a plugin says to its operator: one line of a log."""


class Subject:
    """One server, and hands that reach it past the plugin.

    :cvar tells_crashes: the plugin can know a crash from a clean end; else it only sees that its server is gone.
    :cvar forbidden_hint: a regular expression of what a refusal names: whom or what to ask for the right.
    """

    tells_crashes = True
    forbidden_hint = "permission|denied|not allowed"

    async def begin(self) -> None:
        """Makes what the server needs. It does not run yet."""

    async def clear(self) -> None:
        """Ends all of it, whatever it takes."""

    def make(self) -> Any:
        """A plugin for this server, as `plugins.construct` would make it; each call is that of one more zeroscale."""
        raise NotImplementedError

    async def runs(self) -> bool:
        """Whether the server runs now, paused or not; asked without the plugin."""
        raise NotImplementedError

    async def start_behind_its_back(self) -> None:
        """Starts it as another would: its operator, or an earlier zeroscale. Returns when it runs."""
        raise NotImplementedError

    async def stop_behind_its_back(self) -> None:
        """Stops it cleanly, as its operator would. Returns when it is gone."""
        raise NotImplementedError

    async def kill_behind_its_back(self) -> None:
        """Makes it crash. Returns when it is gone."""
        raise NotImplementedError

    async def hold_stop(self) -> None:
        """From now on the server takes its time to stop, until `let_stop`."""
        raise NotImplementedError

    async def stop_is_asked(self) -> None:
        """Waits until a stop has been asked for that is held."""
        raise NotImplementedError

    async def let_stop(self) -> None:
        """Ends `hold_stop`."""
        raise NotImplementedError

    async def is_paused(self) -> bool:
        """Whether it is frozen now."""
        raise NotImplementedError

    async def pause_behind_its_back(self) -> None:
        """Freezes it as its operator would."""
        raise NotImplementedError

    async def resume_behind_its_back(self) -> None:
        """Lets it go on as its operator would."""
        raise NotImplementedError

    async def remove(self) -> None:
        """Ends the server, and takes away what it is started from: the program, the unit, the container."""
        raise NotImplementedError

    async def forbid(self) -> None:
        """From now on the plugin may not start it."""
        raise NotImplementedError

    async def break_api(self) -> None:
        """The daemon or cluster cannot be reached any more, and connections to it are lost. The server runs on."""
        raise NotImplementedError

    async def slow_api(self) -> None:
        """It takes requests, and does not answer them before `mend_api`."""
        raise NotImplementedError

    async def mend_api(self) -> None:
        """It can be reached again, and answers, also what it has been asked meanwhile."""
        raise NotImplementedError

    async def api_is_asked(self) -> None:
        """Waits until it has been asked something that it does not answer."""
        raise NotImplementedError


@dataclass(frozen=True)
class End:
    """How `wait()` ended.

    :ivar code: what it returned.
    :ivar reason: what it raised.
    """

    code: int | None = None
    reason: str | None = None

    @property
    def is_clean(self) -> bool:
        """Whether the lifecycle takes it for the end of a server that ended well."""
        return self.reason is None and is_clean(self.code)


class Core:
    """Drives one plugin as the lifecycle does.

    :ivar plugin: the plugin.
    :ivar bridged: the same, as the lifecycle sees it.
    :ivar output: what it has passed on of its server's output.
    :ivar found: set when the plugin has said that its server runs.
    :ivar paused: set when the plugin has said that others have frozen it.
    """

    def __init__(self, subject: Subject) -> None:
        self.plugin = subject.make()
        self.bridged = PluginAdapter(self.plugin)
        self.output = Output()
        self.bridged.on_output(self.output)
        self.found = asyncio.Event()
        self.paused = asyncio.Event()
        self.bridged.on_found(self.found.set)
        self.bridged.on_paused(self.paused.set)
        self.end: asyncio.Future[End] | None = None

    async def adopt(self) -> bool:
        """Takes over what runs already."""
        adopted = await future(self.bridged.adopt())
        if adopted:
            self._await_end()
        return adopted

    async def start(self) -> None:
        """Takes over what runs already, else starts it."""
        if not await self.adopt():
            await future(self.bridged.start())
            self._await_end()

    async def stop(self) -> None:
        """Stops it; it is gone then."""
        await future(self.bridged.stop())
        if self.end is not None:
            await self.end

    async def pause(self) -> None:
        """Freezes it."""
        await future(self.bridged.pause())

    async def resume(self) -> None:
        """Lets it go on."""
        await future(self.bridged.resume())

    async def close(self) -> None:
        """Lets go of the plugin."""
        if self.end is not None:
            self.end.cancel()
        await future(self.bridged.close())

    def _await_end(self) -> None:
        if self.bridged.can_wait:
            self.end = asyncio.ensure_future(_end(self.bridged))


@asynccontextmanager
async def core(subject: Subject) -> AsyncIterator[Core]:
    """A plugin driven as the core does, and in the end let go of: nothing of it is left on the loop."""
    before = asyncio.all_tasks()
    driven = Core(subject)
    try:
        yield driven
    finally:
        await driven.close()
    while asyncio.all_tasks() - before:  # noqa: ASYNC110 # what is cancelled has a few more turns of the loop
        await asyncio.sleep(GLANCE)


async def refused(work: Awaitable[object]) -> str:
    """Awaits what must fail with `PluginError`; returns what it says, which is one line that was meant to be read."""
    with pytest.raises(PluginError) as raised:
        await work
    return _told(str(raised.value))


class Lives:
    """It starts, and stops."""

    @pytest.fixture
    def subject(self) -> Subject:
        """The server under test."""
        raise NotImplementedError("every test class of this suite has a fixture `subject`")

    async def test_all_that_it_can_is_tested(self, subject: Subject) -> None:
        async with core(subject) as driven:
            can = driven.bridged
            assert can.can_wait == isinstance(self, Waits)
            assert can.can_adopt == isinstance(self, Adopts)
            assert can.can_pause == isinstance(self, Pauses)
            assert hasattr(driven.plugin, "on_found") == isinstance(self, Finds)
            assert hasattr(driven.plugin, "on_paused") == isinstance(self, FindsPauses)

    async def test_it_starts_and_stops_and_starts_again(self, subject: Subject) -> None:
        async with core(subject) as driven:
            assert not await driven.adopt()
            for _ in range(2):
                assert not await subject.runs()
                await driven.start()
                assert await subject.runs()
                await driven.stop()
                assert not await subject.runs()
                assert driven.end is None or (await driven.end).is_clean

    async def test_a_stop_of_what_does_not_run_does_no_harm(self, subject: Subject) -> None:
        async with core(subject) as driven:
            assert not await driven.adopt()
            await driven.stop()
            await driven.start()
            assert await subject.runs()
            await driven.stop()

    async def test_a_slow_stop_is_waited_for(self, subject: Subject) -> None:
        async with core(subject) as driven:
            await driven.start()
            await subject.hold_stop()
            stopping = asyncio.ensure_future(driven.stop())
            await subject.stop_is_asked()
            assert await subject.runs()
            assert not stopping.done()
            await subject.let_stop()
            await stopping
            assert not await subject.runs()

    async def test_what_a_client_is_sent_is_bytes_or_nothing(self, subject: Subject) -> None:
        async with core(subject) as driven:
            assert isinstance(driven.bridged.fake_status(), bytes | None)


class Waits:
    """It notices that its server has ended."""

    async def test_a_crash_is_seen(self, subject: Subject) -> None:
        async with core(subject) as driven:
            await driven.start()
            await subject.kill_behind_its_back()
            assert driven.end is not None
            end = await driven.end
            assert end.is_clean != subject.tells_crashes, end
            if end.reason is not None:
                _told(end.reason)
            await driven.start()
            assert await subject.runs()
            await driven.stop()

    async def test_a_stop_by_someone_else_is_no_crash(self, subject: Subject) -> None:
        async with core(subject) as driven:
            await driven.start()
            await subject.stop_behind_its_back()
            assert driven.end is not None
            assert (await driven.end).is_clean
            await driven.start()
            assert await subject.runs()
            await driven.stop()


class Adopts:
    """It takes over a server that runs already."""

    async def test_what_someone_else_started_is_taken_over(self, subject: Subject) -> None:
        await subject.start_behind_its_back()
        async with core(subject) as driven:
            assert await driven.adopt()
            assert await driven.adopt(), "asked twice it says the same"
            assert await subject.runs()
            await driven.stop()
            assert not await subject.runs()
            assert driven.end is None or (await driven.end).is_clean

    async def test_the_next_zeroscale_takes_it_over(self, subject: Subject) -> None:
        async with core(subject) as first:
            await first.start()
        assert await subject.runs(), "whom it belongs to has no part in its life"
        async with core(subject) as second:
            assert await second.adopt()
            await second.stop()
            assert not await subject.runs()

    async def test_one_that_was_left_paused_goes_on(self, subject: Subject) -> None:
        if not isinstance(self, Pauses):
            return
        async with core(subject) as first:
            await first.start()
            await first.pause()
        await becomes(subject.is_paused, True)
        async with core(subject) as second:
            assert await second.adopt()
            await becomes(subject.is_paused, False)
            await second.stop()


class Finds:
    """It tells when someone else has started its server."""

    async def test_a_start_by_someone_else_is_told(self, subject: Subject) -> None:
        async with core(subject) as driven:
            assert not await driven.adopt()
            await subject.start_behind_its_back()
            await driven.found.wait()
            assert await driven.adopt()
            await driven.stop()
            assert not await subject.runs()

    async def test_also_after_a_run_of_ours(self, subject: Subject) -> None:
        async with core(subject) as driven:
            await driven.start()
            await driven.stop()
            assert not driven.found.is_set(), "what it started itself is no find"
            await subject.start_behind_its_back()
            await driven.found.wait()
            await subject.stop_behind_its_back()

    async def test_a_start_just_before_ours_makes_no_second_server(self, subject: Subject) -> None:
        async with core(subject) as driven:
            assert not await driven.adopt()
            await subject.start_behind_its_back()
            await driven.start()
            await driven.stop()
            assert not await subject.runs()


class Pauses:
    """It freezes its server, and lets it go on."""

    async def test_it_is_paused_and_goes_on(self, subject: Subject) -> None:
        async with core(subject) as driven:
            await driven.start()
            for _ in range(2):
                await driven.pause()
                await becomes(subject.is_paused, True)
                assert await subject.runs()
                assert driven.end is None or not driven.end.done(), "a paused server has not ended"
                await driven.resume()
                await becomes(subject.is_paused, False)
            await driven.stop()
            assert not await subject.runs()

    async def test_a_paused_one_that_is_killed_is_missed(self, subject: Subject) -> None:
        if not isinstance(self, Waits):
            return
        async with core(subject) as driven:
            await driven.start()
            await driven.pause()
            await subject.kill_behind_its_back()
            assert driven.end is not None
            assert (await driven.end).is_clean != subject.tells_crashes


class FindsPauses:
    """It tells when someone else has frozen its server, or let it go on."""

    async def test_a_pause_and_a_resume_by_someone_else_are_told(self, subject: Subject) -> None:
        async with core(subject) as driven:
            await driven.start()
            await driven.pause()
            await driven.resume()
            assert not driven.paused.is_set(), "what it does itself is no find"
            assert not driven.found.is_set()
            await subject.pause_behind_its_back()
            await driven.paused.wait()
            assert not driven.found.is_set()
            await subject.resume_behind_its_back()
            await driven.found.wait()
            assert driven.end is None or not driven.end.done()
            await driven.stop()


class Vanishes:
    """Its server can cease to be."""

    async def test_what_is_not_there_cannot_be_started(self, subject: Subject) -> None:
        await subject.remove()
        async with core(subject) as driven:
            await refused(driven.start())
            assert not await subject.runs()

    async def test_what_vanishes_while_it_runs_is_missed(self, subject: Subject) -> None:
        if not isinstance(self, Waits):
            return
        async with core(subject) as driven:
            await driven.start()
            await subject.remove()
            assert driven.end is not None
            await driven.end
            await refused(driven.start())


class IsForbidden:
    """It may be refused what it asks for."""

    async def test_who_may_not_start_it_learns_what_is_missing(self, subject: Subject) -> None:
        await subject.forbid()
        async with core(subject) as driven:
            said = await refused(driven.start())
            assert re.search(subject.forbidden_hint, said), said
            assert not await subject.runs()


class HasAnApi:
    """It talks to a daemon or a cluster, which may be away, or slow."""

    async def test_nothing_is_started_while_it_is_away_and_all_is_well_once_it_is_back(self, subject: Subject) -> None:
        async with core(subject) as driven:
            await subject.break_api()
            await refused(driven.start())
            await subject.mend_api()
            assert not await subject.runs()
            await driven.start()
            assert await subject.runs()
            await driven.stop()
            assert not await subject.runs()

    async def test_an_api_that_is_away_is_no_server_that_is_gone(self, subject: Subject) -> None:
        async with core(subject) as driven:
            await driven.start()
            await subject.break_api()
            # Whether the stop fails or waits for the daemon is the plugin's choice.
            stopping = asyncio.ensure_future(future(driven.bridged.stop()))
            await asyncio.wait([stopping], timeout=GLANCE)
            assert await subject.runs()
            assert driven.end is None or not driven.end.done()
            await subject.mend_api()
            try:
                await stopping
            except PluginError as error:
                _told(str(error))
                await driven.stop()
            assert not await subject.runs()
            assert driven.end is None or (await driven.end).is_clean

    async def test_a_crash_is_seen_also_after_the_api_was_away(self, subject: Subject) -> None:
        if not isinstance(self, Waits):
            return
        async with core(subject) as driven:
            await driven.start()
            await subject.break_api()
            await subject.mend_api()
            await subject.kill_behind_its_back()
            assert driven.end is not None
            assert (await driven.end).is_clean != subject.tells_crashes

    async def test_a_slow_api_is_waited_for_and_stops_nobody_else(self, subject: Subject) -> None:
        async with core(subject) as driven:
            await subject.slow_api()
            starting = asyncio.ensure_future(driven.start())
            await subject.api_is_asked()  # a plugin that blocks the loop meanwhile hangs here
            assert not starting.done()
            await subject.mend_api()
            await starting
            assert await subject.runs()
            await driven.stop()


async def becomes(question: Callable[[], Awaitable[bool]], wanted: bool) -> None:
    """Asks until the answer is this: a signal takes its moment to reach all of a server's processes."""
    while await question() is not wanted:  # noqa: ASYNC110 # of other processes there are no events
        await asyncio.sleep(GLANCE)


def future(deferred: Deferred[T]) -> asyncio.Future[T]:
    """What asyncio can await."""
    return deferred.asFuture(asyncio.get_running_loop())


async def _end(bridged: PluginAdapter) -> End:
    try:
        return End(code=await future(bridged.wait()))
    except PluginError as error:
        return End(reason=str(error))


def _told(message: str) -> str:
    assert "\n" not in message
    assert len(message) <= LONGEST_MESSAGE, message
    assert "() raised " not in message, f"not meant to be read by an operator: {message}"
    return message
