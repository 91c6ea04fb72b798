"""One container as an engine shows it: followed through its runs, its output passed on, what others do with it told.

What is to be done with it is the plugin's (`docker`): here nothing is asked for but to be shown.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any

from zeroscale.plugins.docker.container import Container
from zeroscale.plugins.docker.engine import Engine, EngineError, retry_delays
from zeroscale.plugins.docker.run import Run, reason_of
from zeroscale.status import Status

logger = logging.getLogger(__name__)

LAST_LINES = 20
"""Of the output of a container that was taken over: what a crash is explained with."""

FIRST_LINES = 1000
"""Of one that has just been started: more than any says before we read it."""

QUIET = ("exec_", "top", "attach", "resize", "archive-path", "extract-to-dir")
"""Events that change nothing of a container's state begin like this; health checks make three every few seconds."""


class FollowedContainer:
    """A container, followed once `_watch` is called.

    :ivar status: where we believe it to be.
    :ivar on_output: called with each line of its output.
    :ivar on_found: called when it runs though we did not start it, or goes on though we did not resume it.
    :ivar on_paused: called when others have paused it.
    """

    def __init__(self, name: str, engine: Engine) -> None:
        """Asks nothing yet.

        :param name: its name or id.
        :param engine: where it is.
        """
        self.status = Status.stopped
        self.on_output: Callable[[str], None] | None = None
        self.on_found: Callable[[], None] | None = None
        self.on_paused: Callable[[], None] | None = None
        self._name = name
        self._engine = engine
        self._looking = asyncio.Lock()
        self._changed = asyncio.Event()
        self._seen: Container | None = None
        self._run: Run | None = None
        self._last: Run | None = None
        self._died: dict[str, int] = {}
        self._claims = 0
        self._holds_paused = False
        self._asked_to_end = False
        self._watcher: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Lets go of the engine; the container is left as it is."""
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._engine.close()

    def _watch(self) -> None:
        if self._watcher is None:
            self._watcher = self._keep(self._engine.follow(self._happened))

    async def _happened(self, event: Mapping[str, Any] | None) -> None:
        """Looks again, where an event may be about our container."""
        if event is not None:
            action = str(event.get("Action") or event.get("status") or "")
            actor = event.get("Actor") or {}
            identity, attributes = str(actor.get("ID") or event.get("id") or ""), actor.get("Attributes") or {}
            known = self._seen is not None and self._seen.id == identity
            if action.startswith(QUIET) or not (
                known or attributes.get("name") == self._name or identity.startswith(self._name) or action == "rename"
            ):
                return
            if action in ("die", "died"):
                self._note_exit(identity, attributes)
        await self._look()

    def _note_exit(self, identity: str, attributes: Mapping[str, Any]) -> None:
        code = str(attributes.get("exitCode") or attributes.get("containerExitCode") or "")
        if not code.isdigit():
            return
        last = self._last
        if last is not None and last.key[0] == identity and last.exit_code is None:
            last.note_code(int(code))
        else:
            self._died = {identity: int(code)}

    async def _look(self, patience: float = 0.0) -> Container | None:
        """The container as it is now; one look at a time, so that an old one never takes the place of a new one."""
        async with self._looking:
            seen = await self._engine.inspect(self._name, patience=patience)
            self._take(seen)
        return seen

    async def _until(self, true: Callable[[Container | None], bool]) -> Container | None:
        """Waits until a look at it says so."""
        while not true(self._seen):
            self._changed.clear()
            await self._changed.wait()
        return self._seen

    def _take(self, seen: Container | None) -> None:
        before, self._seen = self._seen, seen
        key = seen.run if seen is not None and seen.alive else None
        run = self._run
        if run is not None and run.key != key:
            self._end(run, seen)
        if seen is not None and key is not None:
            if self._run is None:
                self._run = Run(key)
                self._died = {}
                self._run.claimed = self._claims > 0
                self._holds_paused = seen.paused
                self._read(self._run, seen)
            elif before is not None and before.paused != seen.paused and seen.paused != self._holds_paused:
                self._holds_paused = seen.paused
                self.status = Status.paused if seen.paused else Status.running
                _call(self.on_paused if seen.paused else self.on_found)
            if not self._run.claimed and not seen.paused and self._claims == 0:
                # One that others have paused sleeps as well as a stopped one, until somebody wants in.
                self._run.claimed = True
                self._asked_to_end = False
                self.status = Status.running
                _call(self.on_found)
        self._changed.set()

    def _end(self, run: Run, seen: Container | None) -> None:
        self._run, self._last = None, run
        self.status = Status.stopped
        exit_code = self._died.get(run.key[0])
        if seen is not None and seen.run == run.key and seen.exit_code is not None:
            exit_code = seen.exit_code
        run.end(exit_code, reason_of(seen) if seen is not None and seen.run == run.key else None)

    # Its output

    def _read(self, run: Run, seen: Container) -> None:
        if self.on_output is not None:
            adopted = run.claimed and self.status is not Status.starting
            asked = {"tail": str(LAST_LINES if adopted else FIRST_LINES)}
            if seen.started_second is not None:
                asked["since"] = str(seen.started_second)
            run.reader = self._keep(self._read_output(run, seen, asked))

    async def _read_output(self, run: Run, seen: Container, asked: dict[str, str]) -> None:
        """Passes its output on as long as the run lasts, and the engine keeps its output."""
        for wait in retry_delays():
            try:
                await self._engine.output(seen, self._output, **asked)
            except EngineError as error:
                logger.debug("The output of container %s cannot be read: %s", self._name, error)
                if error.lasting:
                    return
            # Its end may be told a moment later than its output ends; the next run's is not ours to read.
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await run.ended.wait()
                    return
            asked = {"tail": "0"}

    def _output(self, line: str) -> None:
        if self.on_output is not None:
            self.on_output(line)

    def _keep(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Has it run until it is done or we are; what goes wrong in it is a fault of ours, and said."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)

        def done(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            if not task.cancelled() and (error := task.exception()) is not None:
                logger.error("A fault in following a container", exc_info=error)

        task.add_done_callback(done)
        return task


def _call(function: Callable[[], None] | None) -> None:
    if function is not None:
        function()
