"""Watch one container: its state, its output, and changes made by other programs.

It only reads; starting, stopping and the like are the plugin's (`server`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress

from zeroscale.plugins.docker.container import Container
from zeroscale.plugins.docker.engine import Engine, EngineError, retry_delays
from zeroscale.plugins.docker.run import ContainerRun, end_reason
from zeroscale.plugins.support.claim import Claim
from zeroscale.plugins.support.json_object import JsonObject, object_at, text_at
from zeroscale.status import Status

logger = logging.getLogger("zeroscale.plugin.docker")

LAST_LINES = 20
"""Lines read of the past output of a container that was adopted: enough to explain a crash."""

FIRST_LINES = 1000
"""Lines read of the past output of one that has just been started: more than any writes before we read."""

IGNORED_EVENTS = ("exec_", "top", "attach", "resize", "archive-path", "extract-to-dir")
"""How events begin that change nothing of a container's state; health checks cause three every few seconds."""


class WatchedContainer:
    """A container, watched once `_begin_watch` is called.

    :ivar status: the state as seen by this plugin.
    :ivar on_output: called with each line of its output.
    :ivar on_found: called when it runs though we did not start it, or was resumed though not by us.
    :ivar on_paused: called when others have paused it.
    """

    def __init__(self, name: str, engine: Engine, claim: Claim) -> None:
        """Make no request yet.

        :param name: its name or id.
        :param engine: where it is.
        :param claim: takes its id; while another server has that, the container is taken for missing.
        """
        self.status = Status.stopped
        self.on_output: Callable[[str], None] | None = None
        self.on_found: Callable[[], None] | None = None
        self.on_paused: Callable[[], None] | None = None
        self._name = name
        self._engine = engine
        self._claim = claim
        self._refresh_lock = asyncio.Lock()
        self._changed = asyncio.Event()
        self._container: Container | None = None
        self._run: ContainerRun | None = None
        self._last_run: ContainerRun | None = None
        self._exit_codes: dict[str, int] = {}
        self._starts = 0  # calls of start() and adopt() under way, which report the run themselves
        self._paused_by_us = False
        self._stop_requested = False
        self._watcher: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Close the connection to the engine, and leave the container as it is."""
        self._claim.release()
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._engine.close()

    def _begin_watch(self) -> None:
        if self._watcher is None:
            self._watcher = self._run_task(self._engine.watch(self._on_event))

    async def _on_event(self, event: JsonObject | None) -> None:
        """Read the state again if an event may concern our container."""
        if event is not None:
            action = text_at(event, "Action") or text_at(event, "status")
            identity = text_at(event, "Actor", "ID") or text_at(event, "id")
            attributes = object_at(event, "Actor", "Attributes")
            known = self._container is not None and self._container.id == identity
            if action.startswith(IGNORED_EVENTS) or not (
                known or attributes.get("name") == self._name or identity.startswith(self._name) or action == "rename"
            ):
                return
            if action in ("die", "died"):
                self._note_exit_code(identity, attributes)
        await self._refresh()

    def _note_exit_code(self, identity: str, attributes: JsonObject) -> None:
        code = str(attributes.get("exitCode") or attributes.get("containerExitCode") or "")
        if not code.isdigit():
            return
        last = self._last_run
        if last is not None and last.run_id[0] == identity and last.exit_code is None:
            last.set_exit_code(int(code))
        else:
            self._exit_codes = {identity: int(code)}

    async def _refresh(self, retry_time: float = 0.0) -> Container | None:
        """Read the container's state; one read at a time, so that an older state never replaces a newer one."""
        async with self._refresh_lock:
            container = await self._engine.inspect(self._name, retry_time=retry_time)
            if container is not None and not self._claim.take(container.id):
                container = None
            self._update(container)
        return container

    async def _wait_until(self, condition: Callable[[Container | None], bool]) -> Container | None:
        """Wait until the last state that was read fulfils a condition."""
        while not condition(self._container):
            self._changed.clear()
            await self._changed.wait()
        return self._container

    def _update(self, container: Container | None) -> None:
        before, self._container = self._container, container
        run_id = container.run_id if container is not None and container.alive else None
        run = self._run
        if run is not None and run.run_id != run_id:
            self._end_run(run, container)
        if container is not None and run_id is not None:
            if self._run is None:
                self._run = ContainerRun(run_id)
                self._exit_codes = {}
                self._run.reported = self._starts > 0
                self._paused_by_us = container.paused
                self._begin_output(self._run, container)
            elif before is not None and before.paused != container.paused and container.paused != self._paused_by_us:
                self._paused_by_us = container.paused
                self.status = Status.paused if container.paused else Status.running
                _call(self.on_paused if container.paused else self.on_found)
            if not self._run.reported and not container.paused and self._starts == 0:
                # A container that others have paused is not reported: like a stopped one, it sleeps until it is woken.
                self._run.reported = True
                self._stop_requested = False
                self.status = Status.running
                _call(self.on_found)
        self._changed.set()

    def _end_run(self, run: ContainerRun, container: Container | None) -> None:
        self._run, self._last_run = None, run
        self.status = Status.stopped
        exit_code = self._exit_codes.get(run.run_id[0])
        same_run = container is not None and container.run_id == run.run_id
        if container is not None and same_run and container.exit_code is not None:
            exit_code = container.exit_code
        run.end(exit_code, end_reason(container) if same_run else None)

    # Output

    def _begin_output(self, run: ContainerRun, container: Container) -> None:
        if self.on_output is not None:
            adopted = run.reported and self.status is not Status.starting
            query = {"tail": str(LAST_LINES if adopted else FIRST_LINES)}
            if container.started_second is not None:
                query["since"] = str(container.started_second)
            run.reader = self._run_task(self._read_output(run, container, query))

    async def _read_output(self, run: ContainerRun, container: Container, query: dict[str, str]) -> None:
        """Report the container's output until the run has ended; stop if the engine keeps no output."""
        for delay in retry_delays():
            try:
                await self._engine.stream_output(container, self._report_line, **query)
            except EngineError as error:
                logger.debug("The output of container %s cannot be read: %s", self._name, error)
                if error.permanent:
                    return
            # The end of the run may be seen a moment after the end of its output. The next run has its own reader.
            with suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await run.ended.wait()
                    return
            query = {"tail": "0"}

    def _report_line(self, line: str) -> None:
        if self.on_output is not None:
            self.on_output(line)

    def _run_task(self, work: Coroutine[object, None, None]) -> asyncio.Task[None]:
        """Run a task until it is done or `close` is called; log an exception as a fault of ours."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)

        def done(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            if not task.cancelled() and (error := task.exception()) is not None:
                logger.error("A fault in watching a container", exc_info=error)

        task.add_done_callback(done)
        return task


def _call(function: Callable[[], None] | None) -> None:
    if function is not None:
        function()
