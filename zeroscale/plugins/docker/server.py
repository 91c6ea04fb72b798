"""A server in a container that exists already: `zeroscale docker 25565 25575 -a container=mc -a protocol=minecraft`.

Of Docker, or of podman's compatible socket. The container is started, stopped, paused and followed by the engine's
events, so that what others do with it is seen at once; it is never created, removed or changed.

Nothing is lost by a stop: the container gets its own stop signal, and is killed only where its operator gave it a stop
time-out of its own (`stop_grace_period`); otherwise it has all the time it needs. An engine that cannot be reached is
asked again and again, and never taken for a server that has stopped.
"""

from __future__ import annotations

import asyncio
import logging
import re
import signal as signals
from collections.abc import Callable
from typing import Any

from aiodocker import Docker

from zeroscale.errors import PluginError
from zeroscale.plugins.docker import engine as docker_engine
from zeroscale.plugins.docker.console import execute, type_line
from zeroscale.plugins.docker.container import Container
from zeroscale.plugins.docker.engine import Engine, EngineError, retry_delays
from zeroscale.plugins.docker.run import Run, reason_of
from zeroscale.plugins.docker.watcher import FollowedContainer
from zeroscale.plugins.support import arguments
from zeroscale.status import Status

logger = logging.getLogger("zeroscale.plugins.docker")

AS_LONG_AS_IT_TAKES = 366 * 86400
"""Seconds of grace: a year. Docker knows -1 for this, podman does not."""

MINECRAFT_READY = r"CommandResult \([0-9.,]+s\)!"


class Server(FollowedContainer):
    """One container.

    :ivar protocol: what its clients speak.
    :ivar ready_line: a regular expression of the line of output that says it is ready; None: none does.
    """

    remote = True

    def __init__(
        self,
        container: str,
        *,
        server_port: int,
        base_url: str | None = None,
        protocol: str | None = None,
        network: str | None = None,
        health: str | bool = True,
        console: str | None = None,
        ready_line: str | None = None,
    ) -> None:
        """Asks nothing yet.

        :param container: its name or id.
        :param server_port: where its server listens; as published, or inside where `network` is given.
        :param base_url: the engine's address; None: by DOCKER_HOST, else the usual socket.
        :param protocol: `minecraft`, where its clients speak that.
        :param network: connect to its address in this network; None: to where zeroscale was told.
        :param health: whether a start waits for its HEALTHCHECK, where it has one.
        :param console: a command inside it that passes a line on to its console, as `rcon-cli` or
            `mc-send-to-console`; None: its stdin.
        :param ready_line: a regular expression of the line of output that says it is ready.
        :raises PluginError: one of the values cannot be understood.
        """
        if not container:
            raise PluginError("no container: give its name, as in -a container=mc")
        self._waits_for_health = arguments.yes_or_no("health", health)
        self._console = arguments.words("console", console) if console is not None else None
        self.protocol = arguments.protocol(protocol)
        if ready_line is not None:
            try:
                re.compile(ready_line)
            except re.error as error:
                raise PluginError(f"ready_line={ready_line!r} is no regular expression: {error}") from None
        self.ready_line = ready_line or (MINECRAFT_READY if self.protocol else None)
        self._port = server_port
        self._network = network
        self._may_run = False
        super().__init__(container, Engine(base_url))

    @property
    def server_address(self) -> tuple[str, int] | None:
        """Where the running server is reached; None: where zeroscale was told.

        :raises PluginError: it is not in the network that was named.
        """
        if self._network is None or self._seen is None:
            return None
        return self._seen.address(self._network), self._port

    def fake_status(self) -> bytes:
        """Nothing: a client is held."""
        return b""

    # What the core asks for

    def check(self) -> None:
        """Whether the engine may be used by us, as far as that is seen without asking it.

        :raises PluginError: it may not.
        """
        self._engine.check()

    async def adopt(self) -> bool:
        """Takes the container over where it runs already; where it is paused, it goes on.

        :raises PluginError: the engine cannot be reached, or does not let us.
        """
        self._claims += 1
        try:
            self._watch()
            await self._look(patience=docker_engine.PATIENCE)
            if self._run is None:
                return False
            self._run.claimed = True
            self._asked_to_end = False
            if self._seen is not None and self._seen.paused:
                await self.resume()
            return self._run is not None
        finally:
            self._claims -= 1

    async def start(self) -> None:
        """Starts it; returns once it runs, and is healthy where it has a HEALTHCHECK.

        :raises PluginError: it cannot be started.
        """
        self._claims += 1
        self._asked_to_end = False
        self.status = Status.starting
        try:
            self._watch()
            await self._start()
        except BaseException:
            self.status = Status.stopped
            raise
        finally:
            self._claims -= 1

    async def stop(self) -> None:
        """Asks it to stop, and waits until it is gone, however long the engine is away meanwhile.

        One that nobody has seen run, nor asked to, is not waited for: it is left as it is, and found if it runs.

        :raises PluginError: the engine does not let us.
        """
        self._asked_to_end = True
        told = False
        for wait in retry_delays():
            try:
                seen = await self._look()
                if seen is None or not (seen.alive or seen.restarting):
                    break
                self.status = Status.stopping
                run = self._run
                if seen.paused:
                    await self.resume()
                await self._stop(seen)
                await self._look()
                if self._run is None or self._run is not run:
                    break
            except EngineError as error:
                if error.lasting and error.status != 404:
                    raise
                if self._run is None and not self._may_run:
                    break
                if not told:
                    logger.warning("Container %s cannot be stopped yet, and is asked again: %s", self._name, error)
                told = True
            await asyncio.sleep(wait)
        self.status = Status.stopped

    async def pause(self) -> None:
        """Freezes it.

        :raises PluginError: the engine cannot be reached, or does not let us.
        """
        self._holds_paused = True
        seen = await self._look(patience=docker_engine.PATIENCE)
        if seen is None or not seen.paused:
            await self._ask(lambda client: client.containers.container(self._name).pause())
            await self._look(patience=docker_engine.PATIENCE)
        self.status = Status.paused

    async def resume(self) -> None:
        """Lets it go on.

        :raises PluginError: the engine cannot be reached, or does not let us.
        """
        self._holds_paused = False
        seen = await self._look(patience=docker_engine.PATIENCE)
        if seen is None or seen.paused:
            await self._ask(lambda client: client.containers.container(self._name).unpause())
            await self._look(patience=docker_engine.PATIENCE)
        self.status = Status.running

    async def wait(self) -> int | None:
        """Waits until it has ended; returns its exit code, where that is known.

        :raises PluginError: it ended by itself, and this says why better than the code.
        """
        run = self._run or self._last
        if run is None:
            return None
        await run.ended.wait()
        await run.last_words()
        if run.reason is not None and not self._asked_to_end:
            raise PluginError(run.reason)
        return run.exit_code

    def signal(self, number: int) -> None:
        """Has the engine send a signal to its first process."""
        self._asked_to_end = True
        name = signals.Signals(number).name

        async def kill() -> None:
            try:
                await self._ask(lambda client: client.containers.container(self._name).kill(signal=name))
            except EngineError as error:
                logger.error("%s could not be sent to container %s: %s", name, self._name, error)

        self._keep(kill())

    async def send(self, line: str) -> None:
        """Types a line on its console.

        :raises PluginError: it has none, or it did not take it.
        """
        if self._console is not None:
            for said in await execute(self._engine, self._name, [*self._console, line]):
                self._output(said)
        elif self._seen is not None and self._seen.stdin:
            await type_line(self._engine, self._name, line)
        else:
            raise PluginError(
                f"container {self._name} has no console: give it stdin_open: true, or this plugin console=COMMAND, "
                "a command inside it that takes a line, as rcon-cli"
            )

    # How

    async def _ask(self, request: Callable[[Docker], Any]) -> Any:
        return await self._engine.ask(request, patience=docker_engine.PATIENCE)

    async def _start(self) -> None:
        seen = await self._look(patience=docker_engine.PATIENCE)
        if seen is None:
            raise PluginError(
                f"there is no container {self._name!r} at {self._engine.where}: create it first, as with "
                "docker compose create"
            )
        self._holds_paused = False
        if not seen.alive:
            self._may_run = True  # even if the engine goes away before it has said so
            await self._ask(lambda client: client.containers.container(self._name).start())
            seen = await self._look(patience=docker_engine.PATIENCE)
            self._may_run = False
        elif seen.paused:
            await self.resume()
        seen = await self._until(lambda now: now is None or not now.restarting)
        run = self._run
        if run is None:  # it has ended before we saw it run
            run = self._last = Run(seen.run if seen is not None else ("", ""))
            run.end(seen.exit_code if seen is not None else None, reason_of(seen))
            return
        run.claimed = True
        self.status = Status.running
        if self._network is not None and seen is not None:
            seen.address(self._network)  # or says why there is none
        if self._waits_for_health and seen is not None and seen.health is not None:
            logger.debug("Waiting until container %s is healthy", self._name)
            await self._until(lambda now: now is None or self._run is not run or now.health in (None, "healthy"))

    async def _stop(self, seen: Container) -> None:
        """Asks for the stop, and waits for whichever comes first: the answer, or the end of the run."""
        grace = AS_LONG_AS_IT_TAKES if seen.grace is None else None

        async def stop() -> None:
            await self._engine.ask(lambda client: client.containers.container(seen.id).stop(t=grace), within=None)

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
