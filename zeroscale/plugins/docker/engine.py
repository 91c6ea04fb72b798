"""A connection to a container engine, Docker's or podman's compatible socket: asked with a time limit, followed
through its restarts, its errors as one line each.

Knows no plugin: `docker` and `docker_discovery` say what is asked and what an event means.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
from aiodocker import Docker, DockerError

from zeroscale.backoff import Backoff
from zeroscale.errors import PluginError
from zeroscale.plugins.docker.container import Container, container_of, seconds_since_1970
from zeroscale.plugins.docker.log_stream import Lines, read_frame

logger = logging.getLogger(__name__)

T = TypeVar("T")

SCHEMES = ("unix://", "tcp://", "http://", "https://")

ANSWER_WITHIN = 30.0
"""Seconds for one answer: an engine on a busy machine has been seen to take ten."""

CONNECT_WITHIN = 10.0
"""Seconds for a connection."""

PATIENCE = 15.0
"""Seconds in which an engine that is being restarted is back: a player can wait so long, and a start then fails."""

FIRST_DELAY = 0.1
LONGEST_DELAY = 30.0
"""Seconds between two attempts to reach the engine; doubled each time. An engine that is away for an hour costs two
attempts a minute, and one that is back is seen after half a minute."""

SILENCE = 300.0
"""Seconds without an event after which we look ourselves: a connection to another machine may be dead and not show."""

NOT_REACHED = 900
"""What aiodocker calls a connection that could not be made; a status that HTTP does not have."""

GATEWAY_ERRORS = (502, 503, 504)
"""Statuses of what stands before an engine that is away."""


class EngineError(PluginError):
    """An engine could not be asked, or refused.

    :ivar status: the HTTP status of its refusal; None: it could not be asked.
    :ivar lasting: it makes no sense to ask again.
    """

    def __init__(self, message: str, status: int | None = None, *, lasting: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.lasting = lasting or status is not None


def engine_url(base_url: str | None, environment: Mapping[str, str]) -> str:
    """Where the engine listens: as given, by DOCKER_HOST, else the first usual socket that is there.

    :raises PluginError: it is no URL of an engine.
    """
    url = base_url or environment.get("DOCKER_HOST") or ""
    if url.startswith("/"):
        url = f"unix://{url}"
    if url and not url.startswith(SCHEMES):
        raise PluginError(f"base_url={url!r} is no engine's address: unix:///var/run/docker.sock, tcp://HOST:2376")
    return url or next((f"unix://{path}" for path in _usual_sockets(environment) if path.is_socket()), _USUAL)


_USUAL = "unix:///var/run/docker.sock"


def _usual_sockets(environment: Mapping[str, str]) -> Iterator[Path]:
    yield Path("/var/run/docker.sock")
    yield Path("/run/podman/podman.sock")
    runtime = environment.get("XDG_RUNTIME_DIR")
    if runtime:
        yield Path(runtime) / "docker.sock"
        yield Path(runtime) / "podman" / "podman.sock"


class Engine:
    """One connection to an engine, made when it is first needed.

    :ivar where: its address.
    """

    def __init__(self, base_url: str | None = None) -> None:
        """Connects to nothing.

        :param base_url: its address; None: by DOCKER_HOST, else the usual socket.
        :raises PluginError: it is none.
        """
        self.where = engine_url(base_url, os.environ)
        self._client: Docker | None = None
        self._closed = False

    def check(self) -> None:
        """Whether its socket may be used by us, as far as that is seen without asking; it need not be there yet.

        :raises EngineError: it may not.
        """
        path = Path(self.where.removeprefix("unix://"))
        if self.where.startswith("unix://") and path.exists() and not os.access(path, os.R_OK | os.W_OK):
            raise self._forbidden()

    @property
    def client(self) -> Docker:
        """The client, for requests whose answer is a stream. Only where a loop runs.

        :raises EngineError: it is closed, or its certificates cannot be read.
        """
        if self._closed:
            raise EngineError(f"the connection to {self.where} is closed", lasting=True)
        if self._client is None:
            limits = aiohttp.ClientTimeout(total=ANSWER_WITHIN, sock_connect=CONNECT_WITHIN)
            try:
                self._client = Docker(url=self.where, timeout=limits)
            except (OSError, ValueError) as error:
                raise EngineError(f"{self.where}: {error}", lasting=True) from error
        return self._client

    async def ask(
        self, request: Callable[[Docker], Awaitable[T]], *, patience: float = 0.0, within: float | None = ANSWER_WITHIN
    ) -> T:
        """Asks something, and asks again while the engine is away.

        :param request: makes the request; more than once, where there is patience.
        :param patience: how many seconds to go on asking.
        :param within: seconds for one answer; None: as long as it takes.
        :raises EngineError: it could not be asked, or it refused.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + patience
        for wait in retry_delays():
            try:
                async with asyncio.timeout(within):
                    return await request(self.client)
            except Exception as error:
                told = self.explained(error)
                if told is None:
                    raise
                if told.lasting or loop.time() + wait > end:
                    raise told from error
            await asyncio.sleep(wait)
        raise AssertionError("there is always one more wait")

    async def inspect(self, name: str, *, patience: float = 0.0) -> Container | None:
        """A container as it is now; None: there is none.

        :raises EngineError: the engine could not be asked.
        """
        inspection = await self.inspection(name, patience=patience)
        try:
            return None if inspection is None else container_of(inspection)
        except ValueError as error:
            raise EngineError(f"{self.where} is no container engine: {error}") from error

    async def inspection(self, name: str, *, patience: float = 0.0) -> Mapping[str, Any] | None:
        """What the engine says of a container; None: there is none.

        :raises EngineError: the engine could not be asked.
        """

        async def show(client: Docker) -> Mapping[str, Any]:
            return await client.containers.container(name).show()

        try:
            return await self.ask(show, patience=patience)
        except EngineError as error:
            if error.status == 404:
                return None
            raise

    async def follow(self, look: Callable[[Mapping[str, Any] | None], Awaitable[None]]) -> None:
        """Follows what happens to containers, through the engine's restarts. Does not return.

        :param look: called with each event of a container; with None when any of them may have been missed, as at
            the beginning. Fails with `EngineError` where it could not ask.
        """
        loop = asyncio.get_running_loop()
        away = False
        delays = retry_delays()
        while True:
            began = loop.time()
            try:
                now = seconds_since_1970(str((await self.ask(_info)).get("SystemTime")))
                await look(None)
                if away:
                    logger.info("%s can be reached again", self.where)
                away = False
                await self._listen(now, look)
            except EngineError as error:
                if not away:
                    logger.warning("%s; trying again, at least every %.0f s", error, LONGEST_DELAY)
                away = True
            if loop.time() - began >= LONGEST_DELAY:
                delays.reset()
            await asyncio.sleep(next(delays))

    async def output(self, container: Container, take: Callable[[str], None], **asked: str) -> None:
        """Passes on the lines of a container's output, until that ends or the connection does.

        :param take: called with each line.
        :param asked: what to ask for, in the API's words: `since`, `tail`.
        :raises EngineError: it cannot be read.
        """
        asked = {"stdout": "1", "stderr": "1", "follow": "1", **asked}
        lines = Lines(take)
        try:
            async with self._stream(f"containers/{container.id}/logs", asked, None) as content:
                while piece := await (content.readany() if container.terminal else read_frame(content)):
                    lines.feed(piece)
        except Exception as error:
            told = self.explained(error)
            if told is None:
                raise
            raise told from error
        finally:
            lines.end()

    async def close(self) -> None:
        """Lets go of the connection, for good."""
        self._closed = True
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    def explained(self, error: Exception) -> EngineError | None:
        """What went wrong with a request, for its operator; None: nothing that an engine or a network does."""
        if isinstance(error, EngineError):
            return error
        if isinstance(error, DockerError) and error.status != NOT_REACHED:
            status = None if error.status in GATEWAY_ERRORS else error.status
            said = " ".join(str(error.message).split())[:300]
            return EngineError(f"{self.where} says: {said or f'status {error.status}'}", status)
        if not isinstance(error, DockerError | aiohttp.ClientError | OSError | ValueError | KeyError):
            return None
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, PermissionError):
            inner = getattr(cause, "os_error", None) or cause.__cause__ or cause.__context__
            cause = inner if inner is not cause else None
        if cause is not None:
            return self._forbidden()
        if isinstance(error, TimeoutError):
            return EngineError(f"the container engine at {self.where} does not answer in time")
        return EngineError(f"the container engine at {self.where} cannot be reached")

    def _forbidden(self) -> EngineError:
        return EngineError(
            f"permission denied: this user may not use the container engine at {self.where}; "
            "add it to the group that owns the socket (usermod -aG docker USER), and log in anew",
            lasting=True,
        )

    @asynccontextmanager
    async def _stream(
        self, path: str, asked: Mapping[str, str], silence: float | None
    ) -> AsyncGenerator[aiohttp.StreamReader, None]:
        """An answer without an end. aiodocker has such streams, but closes none that is left before its end."""
        client = self.client
        version = "" if client.api_version == "auto" else f"/{client.api_version}"
        limits = aiohttp.ClientTimeout(sock_connect=CONNECT_WITHIN, sock_read=silence)
        async with client.session.get(f"{client.docker_host}{version}/{path}", params=asked, timeout=limits) as answer:
            if answer.status >= 400:
                raise DockerError(answer.status, (await answer.text())[:300])
            yield answer.content

    async def _listen(self, since: int | None, look: Callable[[Mapping[str, Any] | None], Awaitable[None]]) -> None:
        """The events from that second on, as long as the connection lasts."""
        asked = {"filters": json.dumps({"type": ["container"]})} | ({} if since is None else {"since": str(since)})
        try:
            async with self._stream("events", asked, SILENCE) as lines:
                async for line in lines:
                    await look(json.loads(line))
        except aiohttp.SocketTimeoutError:
            logger.debug("%s has not told of anything for %.0f s; looking", self.where, SILENCE)
        except Exception as error:
            told = self.explained(error)
            if told is None:
                raise
            raise told from error


async def _info(client: Docker) -> Mapping[str, Any]:
    info: Mapping[str, Any] = await client.system.info()
    return info


def retry_delays() -> Backoff:
    """Return the delays between attempts to reach an engine."""
    return Backoff(FIRST_DELAY, LONGEST_DELAY)
