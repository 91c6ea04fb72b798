"""A server in an existing container: `zeroscale docker 25565 25575 -a container=mc -a protocol=minecraft`.

The engine is Docker, or podman by its compatible socket. The container is started, stopped and paused, and watched by
the engine's events, so that changes made by others are seen at once; it is never created, removed or changed.

No data is lost by a stop: the container gets its own stop signal, and is killed only if its operator has set a stop
time-out (`stop_grace_period`); otherwise it has all the time it needs. An engine that cannot be reached is tried
again, and its server is never taken for stopped.
"""

from __future__ import annotations

import asyncio
import logging
import re
import signal as signals
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from aiodocker import Docker

from zeroscale.errors import PluginError
from zeroscale.plugins.docker import engine as docker_engine
from zeroscale.plugins.docker.console import execute, write_stdin
from zeroscale.plugins.docker.container import Container, parse_usage
from zeroscale.plugins.docker.engine import Engine, EngineError, retry_delays
from zeroscale.plugins.docker.run import ContainerRun, end_reason
from zeroscale.plugins.docker.watcher import WatchedContainer
from zeroscale.plugins.support import arguments
from zeroscale.plugins.support.claim import Claim
from zeroscale.plugins.support.json_object import JsonObject, text_at
from zeroscale.plugins.support.stop_note import StopNote
from zeroscale.process.record import StopProgress
from zeroscale.status import Status

logger = logging.getLogger("zeroscale.plugin.docker")

UNLIMITED_STOP_TIMEOUT = 366 * 86400
"""Seconds: a year. Docker takes -1 for "no limit", podman does not."""


class Server(WatchedContainer):
    """One container.

    :ivar protocol: what its clients speak.
    :ivar ready_line: a regular expression of the line of output by which it is ready; None: there is no such line.
    """

    remote = True

    def __init__(
        self,
        container: str,
        *,
        server_port: int,
        state_directory: str | Path,
        base_url: str | None = None,
        protocol: str | None = None,
        network: str | None = None,
        health: str | bool = True,
        console: str | None = None,
        ready_line: str | None = None,
    ) -> None:
        """Make no request yet.

        :param container: its name or id.
        :param server_port: where its server listens: the published port, or with `network` the one inside.
        :param state_directory: this server's own directory.
        :param base_url: the engine's address; None: from DOCKER_HOST, else the usual socket.
        :param protocol: `minecraft` or `http`, if its clients speak that.
        :param network: connect to its address in this network; None: to the configured server address.
        :param health: whether a start waits until its HEALTHCHECK succeeds, if it has one.
        :param console: a command inside it that passes a line to its console, such as `rcon-cli` or
            `mc-send-to-console`; None: its stdin.
        :param ready_line: a regular expression of the line of output by which it is ready.
        :raises PluginError: a value is not valid.
        """
        with arguments.collect_mistakes() as mistakes:
            if not container:
                mistakes.add("no container: give its name, as in -a container=mc")
            self._waits_for_health = mistakes.read(arguments.yes_or_no, "health", health)
            self._console = mistakes.read(arguments.words, "console", console) if console is not None else None
            self.protocol = mistakes.read(arguments.protocol, protocol)
            mistakes.read(arguments.regular_expression, "ready_line", ready_line)
        self.ready_line = ready_line or (arguments.MINECRAFT_READY if self.protocol == "minecraft" else None)
        self._port = server_port
        self._network = network
        self._start_requested = False
        self._stop_note = StopNote(Path(state_directory))
        self._asked_before: ContainerRun | None = None  # this run was asked to stop, not by this zeroscale
        super().__init__(container, Engine(base_url), Claim(Path(state_directory)))

    @property
    def controls(self) -> Mapping[str, bool]:
        """The container; of a long id, which may be written in full or not, the part that engines show."""
        name = self._name.lstrip("/")
        identity = re.fullmatch("([0-9a-f]{12})[0-9a-f]{0,52}", name)
        return {f"container {identity[1] if identity else name} at {self._engine.canonical_url}": True}

    @property
    def server_address(self) -> tuple[str, int] | None:
        """Where the running server is reached; None: at the configured server address.

        :raises PluginError: it is not in the configured network.
        """
        if self._network is None or self._container is None:
            return None
        return self._container.address(self._network), self._port

    def fake_status(self) -> bytes:
        """Return nothing: clients are held."""
        return b""

    # The plugin's methods

    def check(self) -> None:
        """Check that we may use the engine, without a request.

        :raises PluginError: we may not.
        """
        self._engine.check()

    async def adopt(self) -> bool | Status:
        """Take over the container if it runs; if it is paused, resume it.

        :returns: whether it runs; `Status.stopping`: it does, but it is being stopped.
        :raises PluginError: the engine cannot be reached, or refuses.
        """
        self._starts += 1
        try:
            self._begin_watch()
            await self._refresh(retry_time=docker_engine.RETRY_TIME)
            self._claim.check(f"container {self._name}")
            container = self._container
            if self._run is None or container is None:
                self._stop_note.remove()
                return False
            self._run.reported = True
            progress = self._stop_note.find(_run_text(container))
            self._stop_requested = container.stopping or progress is not None
            self._asked_before = self._run if container.stopping or progress is StopProgress.sent else None
            if self._stop_requested:
                self.status = Status.stopping
                return self.status
            if container.paused:
                await self.resume()
            return self._run is not None
        finally:
            self._starts -= 1

    async def start(self) -> None:
        """Start it; return once it runs and, if it has a HEALTHCHECK, is healthy.

        :raises PluginError: it cannot be started.
        """
        self._starts += 1
        self._stop_requested = False
        self.status = Status.starting
        try:
            self._begin_watch()
            await self._start()
        except BaseException:
            self.status = Status.stopped
            raise
        finally:
            self._starts -= 1

    async def stop(self) -> None:
        """Stop it, and wait until this run of it has ended, also while the engine cannot be reached.

        A container that we have neither seen running nor started is not waited for: if it runs, it will be found.

        :raises PluginError: the engine refuses.
        """
        self._stop_requested = True
        with ExitStack() as note:
            await self._stop_until_ended(note)
        if self._run is None:
            self.status = Status.stopped

    async def close(self) -> None:
        """Close the connection to the engine, and leave the container as it is."""
        self._stop_note.leave()
        await super().close()

    async def pause(self) -> None:
        """Pause it.

        :raises PluginError: the engine cannot be reached, or refuses.
        """
        await self._set_paused(True)
        self.status = Status.paused

    async def resume(self) -> None:
        """Resume it.

        :raises PluginError: the engine cannot be reached, or refuses.
        """
        await self._set_paused(False)
        self.status = Status.running

    async def wait(self) -> int | None:
        """Wait until it has ended.

        :returns: its exit code; None where unknown.
        :raises PluginError: it ended by itself, and the engine reports a reason.
        """
        run = self._run or self._last_run
        if run is None:
            return None
        await run.ended.wait()
        await run.drain()
        if run.reason is not None and not self._stop_requested:
            raise PluginError(run.reason)
        return run.exit_code

    async def usage(self) -> tuple[float, int] | None:
        """Return the CPU seconds of this run, and the bytes of memory.

        :raises PluginError: the engine could not be reached, or refused.
        """

        async def read(client: Docker) -> Sequence[JsonObject]:
            found: Sequence[JsonObject] = await client.containers.container(self._name).stats(stream=False)
            return found

        stats = await self._engine.request(f"GET /containers/{self._name}/stats", read)
        return parse_usage(stats[0]) if stats else None

    def signal(self, number: int) -> None:
        """Have the engine send a signal to its first process."""
        self._stop_requested = True
        name = signals.Signals(number).name

        async def kill() -> None:
            try:
                await self._request("kill", lambda client: client.containers.container(self._name).kill(signal=name))
            except EngineError as error:
                logger.error("%s could not be sent to container %s: %s", name, self._name, error)

        self._run_task(kill())

    async def send(self, line: str) -> None:
        """Send a line to its console.

        :raises PluginError: it has no console, or the line could not be sent.
        """
        if self._console is not None:
            for answer in await execute(self._engine, self._name, [*self._console, line]):
                self._report_line(answer)
        elif self._container is not None and self._container.stdin:
            await write_stdin(self._engine, self._name, line)
        else:
            raise PluginError(
                f"container {self._name} has no console: create it with stdin_open: true, or give this plugin "
                "console=COMMAND, a command inside it that takes a line, such as rcon-cli"
            )

    # Implementation

    async def _request(self, action: str, operation: Callable[[Docker], Awaitable[object]]) -> None:
        name = f"POST /containers/{self._name}/{action}"
        await self._engine.request(name, operation, retry_time=docker_engine.RETRY_TIME)

    async def _set_paused(self, wanted: bool) -> None:
        self._paused_by_us = wanted
        container = await self._refresh(retry_time=docker_engine.RETRY_TIME)
        if container is not None and container.paused == wanted:
            return
        try:
            if wanted:
                await self._request("pause", lambda client: client.containers.container(self._name).pause())
            else:
                await self._request("unpause", lambda client: client.containers.container(self._name).unpause())
        except EngineError:
            container = await self._refresh(retry_time=docker_engine.RETRY_TIME)
            if container is None or not container.alive or container.paused != wanted:
                raise  # else somebody was faster, or the answer to our first request was lost
        else:
            await self._refresh(retry_time=docker_engine.RETRY_TIME)

    async def _start(self) -> None:
        container = await self._refresh(retry_time=docker_engine.RETRY_TIME)
        self._claim.check(f"container {self._name}")
        if container is None:
            raise PluginError(
                f"there is no container {self._name!r} at {self._engine.url}: create it first, as with "
                "docker compose create"
            )
        self._paused_by_us = False
        if not container.alive:
            self._start_requested = True  # it may run even if the engine goes away before it answers
            await self._request("start", lambda client: client.containers.container(self._name).start())
            container = await self._refresh(retry_time=docker_engine.RETRY_TIME)
            self._start_requested = False
        elif container.paused:
            await self.resume()
        container = await self._wait_until(lambda now: now is None or not now.restarting)
        run = self._run
        if run is None:  # it ended before we saw it running
            run = self._last_run = ContainerRun(container.run_id if container is not None else ("", ""))
            run.end(container.exit_code if container is not None else None, end_reason(container))
            return
        run.reported = True
        self.status = Status.running
        if self._network is not None and container is not None:
            container.address(self._network)  # raises if there is none
        if self._waits_for_health and container is not None and container.health is not None:
            logger.debug("Waiting until container %s is healthy", self._name)
            await self._wait_until(lambda now: now is None or self._run is not run or now.health in (None, "healthy"))

    async def _stop_until_ended(self, note: ExitStack) -> None:
        """Stop it.

        :param note: keeps the note of the stop.
        """
        warned = noted = False
        stopped = self._run
        for delay in retry_delays():
            try:
                container = await self._refresh()
                if container is None or not (container.alive or container.restarting):
                    return
                run = self._run
                stopped = stopped or run
                if run is not None and run is not stopped:
                    return  # others have started it since, and it may be in use
                self.status = Status.stopping
                asked = run is not None and run is self._asked_before
                if run is not None and not noted:
                    progress = StopProgress.sent if asked else StopProgress.requested
                    note.enter_context(self._stop_note.kept(_run_text(container), progress))
                    noted = True
                if container.paused:
                    await self.resume()
                if run is not None and asked:
                    await run.ended.wait()
                else:
                    await self._stop(container)
                await self._refresh()
                if self._run is None or self._run is not run:
                    return
            except EngineError as error:
                if error.permanent and error.status != 404:
                    raise
                if self._run is None and not self._start_requested:
                    return
                if not warned:
                    logger.warning("Container %s cannot be stopped yet, trying again: %s", self._name, error)
                warned = True
            await asyncio.sleep(delay)

    async def _on_event(self, event: JsonObject | None) -> None:
        known = self._container is not None and text_at(event, "Actor", "ID") == self._container.id
        if known and text_at(event, "Action") == "kill":
            self._stop_note.mark_sent()  # Docker's first event of a stop: its signal has been sent
        await super()._on_event(event)

    async def _stop(self, container: Container) -> None:
        """Request the stop, and wait for the answer or the end of the run, whichever comes first."""
        timeout = UNLIMITED_STOP_TIMEOUT if container.stop_timeout is None else None

        async def stop() -> None:
            await self._engine.request(
                f"POST /containers/{self._name}/stop",
                lambda client: client.containers.container(container.id).stop(t=timeout),
                limit=None,
            )

        stopping = asyncio.ensure_future(stop())
        ended = asyncio.ensure_future(self._run.ended.wait() if self._run is not None else asyncio.Event().wait())
        try:
            await asyncio.wait([stopping, ended], return_when=asyncio.FIRST_COMPLETED)
            if stopping.done():
                stopping.result()
        finally:
            stopping.cancel()
            ended.cancel()
            await asyncio.wait([stopping, ended])


def _run_text(container: Container) -> str:
    """Return what identifies the container's current run in the note of a stop."""
    return " ".join(container.run_id)
