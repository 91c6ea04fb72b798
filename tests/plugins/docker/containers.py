"""A container for the contract tests, with an engine that can be made unreachable, slow or strict.

The plugin reaches the engine through a gate, the tests directly. The engine may be a real one or `fake_engine`.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from aiodocker import Docker, DockerError
from aiohttp import UnixConnector
from plugins.process_fixture import POLL_INTERVAL

from zeroscale.plugins.docker.server import Server
from zeroscale.plugins.testing import ServerUnderTest

SCRIPT = (
    "hold=; asked=; trap 'hold=1; echo holding' USR1; trap 'hold=' USR2; trap 'asked=1; echo asked' TERM; "
    'echo ready; echo >/run/ready; while [ -z "$asked" ] || [ -n "$hold" ]; do busybox sleep 0.02; done'
)
"""The command of a container: it exits with 0 on SIGTERM, but after a SIGUSR1 not before a SIGUSR2."""

CONFIG: dict[str, Any] = {
    "Image": "base:1",
    "Cmd": ["/bin/sh", "-c", SCRIPT],
    "HostConfig": {"NetworkMode": "host", "Tmpfs": {"/run": ""}},
}
"""The container's configuration."""

HEALTH: dict[str, Any] = {"Test": ["CMD", "/bin/busybox", "test", "-e", "/run/ready"], "Interval": 100_000_000}
"""A HEALTHCHECK for it. Each check costs the engine as much as a start."""

NEVER = "0001-01-01T00:00:00Z"
"""An engine's time for "never"."""

REFUSAL = b'{"message":"authorization denied by plugin: start is not allowed"}'
"""Docker's answer, with status 403, where an authorization plugin refuses a request."""


class Gate:
    """A Unix socket before another one.

    :ivar asked: set when it was sent something that it does not pass on.
    """

    def __init__(self, path: Path, behind: Path) -> None:
        self.path = path
        self.asked = asyncio.Event()
        self._behind = behind
        self._passes = asyncio.Event()
        self._passes.set()
        self._strict = False
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Start listening, and forward everything."""
        self._passes.set()
        if self._server is None:
            self._server = await asyncio.start_unix_server(self._serve, self.path)

    async def shut(self) -> None:
        """Close every connection, and accept no new ones."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for writer in self._writers:
            writer.transport.abort()
        self.path.unlink(missing_ok=True)
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def hold(self) -> None:
        """Keep what it receives until it is opened."""
        self._passes.clear()

    def forbid(self) -> None:
        """Refuse every request."""
        self._strict = True

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            if self._strict:
                await self._refuse(reader, writer)
            else:
                await self._pass_on(reader, writer)
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            back_reader, back_writer = await asyncio.open_unix_connection(self._behind)
            self._writers.add(back_writer)
            ways = (self._pump(reader, back_writer, gated=True), self._pump(back_reader, writer, gated=False))
            ends = [asyncio.ensure_future(way) for way in ways]
            try:
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for end in ends:
                    end.cancel()
                await asyncio.wait(ends)
                self._writers.discard(back_writer)
                back_writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, gated: bool) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                if gated and not self._passes.is_set():
                    self.asked.set()
                    await self._passes.wait()
                writer.write(data)
                await writer.drain()

    async def _refuse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        with suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(head % len(REFUSAL) + REFUSAL)
            await writer.drain()


class ContainerSubject(ServerUnderTest):
    """One container.

    :param directory: for the gate's socket, and the plugin's files.
    :param engine: the engine's socket.
    :param name: the container's.
    """

    def __init__(self, directory: Path, engine: Path, name: str = "subject") -> None:
        self.gate = Gate(directory / "gate.sock", engine)
        self.name = name
        self.state_directory = directory
        self._engine = engine
        self._docker: Docker | None = None

    @property
    def docker(self) -> Docker:
        """A client of the engine that bypasses the gate."""
        if self._docker is None:
            # No connection of ours outlives its answer: the suite looks what plugins leave behind on the loop.
            self._connector = UnixConnector(str(self._engine), force_close=True)
            self._docker = Docker(url="unix://localhost", connector=self._connector)
        return self._docker

    @property
    def _container(self) -> Any:
        return self.docker.containers.container(self.name)

    async def set_up(self) -> None:
        await self.gate.open()
        await self.docker.containers.create(CONFIG, name=self.name)

    async def tear_down(self) -> None:
        with suppress(DockerError):
            await self._container.delete(force=True)
        if self._docker is not None:
            await self._docker.close()
            await self._connector.close()
        await self.gate.shut()

    def make_plugin(self) -> Server:
        return self.server()

    def server(self, **arguments: Any) -> Server:
        """Make the plugin with these arguments."""
        says_ready = partial(self._says, "ready")

        class Patient(Server):
            """Waits until the container's trap is set: a signal that arrives before is lost."""

            async def start(self) -> None:
                await super().start()
                if self._run is not None:
                    await says_ready()

        values = {"base_url": f"unix://{self.gate.path}", "state_directory": self.state_directory, **arguments}
        return Patient(self.name, server_port=25575, **values)

    async def state(self) -> dict[str, Any]:
        """Return the container's state from the engine; empty where it does not exist."""
        try:
            found: dict[str, Any] = (await self._container.show())["State"]
        except DockerError:
            return {}
        return found

    async def is_running(self) -> bool:
        return bool((await self.state()).get("Running"))

    async def is_paused(self) -> bool:
        return bool((await self.state()).get("Paused"))

    async def start(self) -> None:
        await self._container.start()
        await self._says("ready")

    async def stop(self) -> None:
        await self._container.stop(t=60)

    async def crash(self) -> None:
        waiting = asyncio.ensure_future(self._container.wait())
        await self._container.kill()
        await waiting

    async def block_stop(self) -> None:
        await self._says("ready")
        await self._container.kill(signal="SIGUSR1")
        await self._says("holding")

    async def stop_requested(self) -> None:
        await self._says("asked")

    async def unblock_stop(self) -> None:
        await self._container.kill(signal="SIGUSR2")

    async def pause(self) -> None:
        await self._container.pause()

    async def resume(self) -> None:
        await self._container.unpause()

    async def remove(self) -> None:
        await self._container.delete(force=True)

    async def forbid(self) -> None:
        self.gate.forbid()

    async def break_api(self) -> None:
        await self.gate.shut()

    async def stall_api(self) -> None:
        self.gate.hold()

    async def restore_api(self) -> None:
        await self.gate.open()

    async def api_requested(self) -> None:
        await self.gate.asked.wait()

    async def _says(self, line: str) -> None:
        """Wait for a line of output of its latest run."""
        ended = (await self.state()).get("FinishedAt", NEVER)
        since = {} if ended == NEVER else {"since": _seconds(ended)}
        while True:
            message = await self.output(**since)
            if line in message:
                return
            assert await self.is_running(), f"it ended without saying {line!r}, but {message!r}"
            await asyncio.sleep(5 * POLL_INTERVAL)

    async def output(self, **since: str) -> str:
        """Return its output so far."""
        # aiodocker closes no stream that is left before its end, so none is followed.
        return "".join(await self._container.log(stdout=True, stderr=True, **since))


def _seconds(moment: str) -> str:
    """Convert an engine's time to its API's format: seconds since 1970, with nine decimals."""
    whole, _, fraction = moment.rstrip("Z").partition(".")
    return f"{datetime.fromisoformat(whole + '+00:00').timestamp():.0f}.{fraction or 0}"
