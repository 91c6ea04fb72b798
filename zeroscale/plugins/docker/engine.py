"""A connection to a container engine: Docker's, or podman's compatible socket.

Requests have a time limit, events are watched through the engine's restarts, and each error is one line. Which
requests are made and what an event means is defined by `server`, `watcher` and `discovery`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TypeVar

import aiohttp
from aiodocker import Docker, DockerError

from zeroscale.backoff import Backoff
from zeroscale.errors import PluginError
from zeroscale.plugins.docker.container import Container, parse_container
from zeroscale.plugins.docker.log_stream import LineSplitter, read_frame
from zeroscale.plugins.support.json_object import JsonObject

logger = logging.getLogger("zeroscale.plugin.docker")

T = TypeVar("T")

SCHEMES = ("unix://", "tcp://", "http://", "https://")

ANSWER_TIMEOUT = 30.0
"""Seconds for one answer: an engine on a busy machine has been seen to take ten."""

CONNECT_TIMEOUT = 10.0
"""Seconds for a connection."""

RETRY_TIME = 15.0
"""Seconds for which the requests of a start are repeated: a restarting engine is back by then, and a player can wait
that long."""

FIRST_DELAY = 0.1
LONGEST_DELAY = 30.0
"""Seconds between two attempts to reach the engine. An engine that is away costs two attempts a minute, and one that
is back is noticed within half a minute."""

EVENT_TIMEOUT = 300.0
"""Seconds without an event after which the state is read anyway: a connection to another machine may be dead without
an error."""

VERSION = "GET /version"
"""The first request, whatever the next ones are."""

NOT_CONNECTED = 900
"""aiodocker's status of an error for a connection that could not be made; HTTP has no such status."""

GATEWAY_ERRORS = (502, 503, 504)
"""Statuses with which a reverse proxy answers for an engine that is away."""

REFUSALS = (401, 403)
"""Statuses of a request that is not allowed, by an authorization plugin or by a proxy that filters requests."""


class EngineError(PluginError):
    """An engine could not be reached, or refused a request.

    :ivar status: the HTTP status of its refusal; None: it could not be reached.
    :ivar permanent: whether a repeated request would fail likewise.
    """

    def __init__(self, message: str, status: int | None = None, *, permanent: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.permanent = permanent or status is not None


def engine_url(base_url: str | None, environment: Mapping[str, str]) -> str:
    """Return the engine's address: as given, from DOCKER_HOST, else the first usual socket that exists.

    :raises PluginError: it is not the URL of an engine.
    """
    url = base_url or environment.get("DOCKER_HOST") or ""
    if url.startswith("/"):
        url = f"unix://{url}"
    if url and not url.startswith(SCHEMES):
        raise PluginError(
            f"base_url={url!r} is not an engine's address, such as unix:///var/run/docker.sock or tcp://HOST:2376"
        )
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

    :ivar url: its address.
    """

    def __init__(self, base_url: str | None = None) -> None:
        """Do not connect yet.

        :param base_url: its address; None: from DOCKER_HOST, else the usual socket.
        :raises PluginError: the address is not valid.
        """
        self.url = engine_url(base_url, os.environ)
        self._client: Docker | None = None
        self._closed = False

    @property
    def canonical_url(self) -> str:
        """Its address in one spelling, to compare it with others: a socket without links, a host in lower case."""
        scheme, _, rest = self.url.partition("://")
        if scheme == "unix":
            return f"unix://{os.path.realpath(rest)}"
        return f"{'http' if scheme == 'tcp' else scheme}://{rest.rstrip('/').lower()}"

    def check(self) -> None:
        """Check that we may use its socket, without a request; the socket need not exist yet.

        :raises EngineError: we may not.
        """
        path = Path(self.url.removeprefix("unix://"))
        if self.url.startswith("unix://") and path.exists() and not os.access(path, os.R_OK | os.W_OK):
            raise self._permission_denied()

    @property
    def client(self) -> Docker:
        """The client; available only where an event loop runs.

        :raises EngineError: it is closed, or its certificates cannot be read.
        """
        if self._closed:
            raise EngineError(f"the connection to {self.url} is closed", permanent=True)
        if self._client is None:
            limits = aiohttp.ClientTimeout(total=ANSWER_TIMEOUT, sock_connect=CONNECT_TIMEOUT)
            try:
                self._client = Docker(url=self.url, timeout=limits)
            except (OSError, ValueError) as error:
                raise EngineError(f"{self.url}: {error}", permanent=True) from error
        return self._client

    async def request(
        self,
        name: str,
        operation: Callable[[Docker], Awaitable[T]],
        *,
        retry_time: float = 0.0,
        limit: float | None = ANSWER_TIMEOUT,
    ) -> T:
        """Make a request; repeat it while the engine cannot be reached.

        :param name: method and path, for messages.
        :param operation: makes the request; called again for each retry.
        :param retry_time: seconds during which to retry.
        :param limit: seconds for one answer; None: no limit.
        :raises EngineError: the engine could not be reached, or refused.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + retry_time
        for delay in retry_delays():
            try:
                async with asyncio.timeout(limit):
                    return await operation(self.client)
            except Exception as error:
                # aiodocker asks for the version before its first request.
                negotiates = self._client is not None and self._client.api_version == "auto"
                engine_error = self.to_engine_error(error, VERSION if negotiates else name)
                if engine_error is None:
                    raise
                if engine_error.permanent or loop.time() + delay > end:
                    raise engine_error from error
            await asyncio.sleep(delay)
        raise AssertionError("there is always one more delay")

    async def inspect(self, name: str, *, retry_time: float = 0.0) -> Container | None:
        """Return a container's present state; None: there is no such container.

        :raises EngineError: the engine could not be reached, or refused.
        """
        inspection = await self.inspection(name, retry_time=retry_time)
        try:
            return None if inspection is None else parse_container(inspection)
        except ValueError as error:
            raise EngineError(f"{self.url} is not a container engine: {error}") from error

    async def inspection(self, name: str, *, retry_time: float = 0.0) -> JsonObject | None:
        """Return the engine's inspection of a container; None: there is no such container.

        :raises EngineError: the engine could not be reached, or refused.
        """

        async def show(client: Docker) -> JsonObject:
            return await client.containers.container(name).show()

        try:
            return await self.request(f"GET /containers/{name}/json", show, retry_time=retry_time)
        except EngineError as error:
            if error.status == 404:
                return None
            raise

    async def watch(self, on_event: Callable[[JsonObject | None], Awaitable[None]]) -> None:
        """Watch the events of containers, through the engine's restarts. Does not return.

        :param on_event: called with each event; with None when events may have been missed, as at the beginning. It
            may raise `EngineError`.
        """
        loop = asyncio.get_running_loop()
        away = False
        delays = retry_delays()
        while True:
            began = loop.time()
            try:
                now = await self.request(VERSION, _time)
                await on_event(None)
                if away:
                    logger.info("%s can be reached again", self.url)
                away = False
                await self._read_events(now, on_event)
            except EngineError as error:
                if not away:
                    logger.warning("%s; trying again, at least every %.0f s", error, LONGEST_DELAY)
                away = True
            if loop.time() - began >= LONGEST_DELAY:
                delays.reset()
            await asyncio.sleep(next(delays))

    async def stream_output(self, container: Container, on_line: Callable[[str], None], **query: str) -> None:
        """Report the lines of a container's output, until the output or the connection ends.

        :param on_line: called with each line.
        :param query: parameters of the API's `logs`: `since`, `tail`.
        :raises EngineError: it cannot be read.
        """
        query = {"stdout": "1", "stderr": "1", "follow": "1", **query}
        lines = LineSplitter(on_line)
        path = f"containers/{container.id}/logs"
        try:
            async with self._stream(path, query, None) as content:
                while data := await (content.readany() if container.terminal else read_frame(content)):
                    lines.feed(data)
        except Exception as error:
            engine_error = self.to_engine_error(error, f"GET /{path}")
            if engine_error is None:
                raise
            raise engine_error from error
        finally:
            lines.end()

    async def close(self) -> None:
        """Close the connection for good."""
        self._closed = True
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    def to_engine_error(self, error: Exception, request: str) -> EngineError | None:
        """Translate an error of a request for the operator; None: it is not an error of the engine or the network.

        :param request: its method and path.
        """
        if isinstance(error, EngineError):
            return error
        if isinstance(error, DockerError) and error.status != NOT_CONNECTED:
            status = None if error.status in GATEWAY_ERRORS else error.status
            text = re.sub("<[^<>]*>", " ", str(error.message))  # proxies answer with HTML
            message = " ".join(text.split())[:300]
            if status in REFUSALS:
                return EngineError(f"{request} was refused by {self.url}: {message or f'status {status}'}", status)
            return EngineError(f"{self.url} says: {message or f'status {error.status}'}", status)
        if not isinstance(error, DockerError | aiohttp.ClientError | OSError | ValueError | KeyError):
            return None
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, PermissionError):
            inner = getattr(cause, "os_error", None) or cause.__cause__ or cause.__context__
            cause = inner if inner is not cause else None
        if cause is not None:
            return self._permission_denied()
        if isinstance(error, TimeoutError):
            return EngineError(f"the container engine at {self.url} does not answer in time")
        return EngineError(f"the container engine at {self.url} cannot be reached")

    def _permission_denied(self) -> EngineError:
        return EngineError(
            f"permission denied: this user may not use the container engine at {self.url}; "
            "add the user to the group that owns the socket (usermod -aG docker USER), and log in again",
            permanent=True,
        )

    @asynccontextmanager
    async def _stream(
        self, path: str, query: Mapping[str, str], read_timeout: float | None
    ) -> AsyncGenerator[aiohttp.StreamReader, None]:
        """Open an endless answer, and close it. aiodocker's own streams are not closed when they are left early."""
        client = self.client
        version = "" if client.api_version == "auto" else f"/{client.api_version}"
        limits = aiohttp.ClientTimeout(sock_connect=CONNECT_TIMEOUT, sock_read=read_timeout)
        async with client.session.get(f"{client.docker_host}{version}/{path}", params=query, timeout=limits) as answer:
            await _check_status(answer)
            yield answer.content

    async def _read_events(self, since: int | None, on_event: Callable[[JsonObject | None], Awaitable[None]]) -> None:
        """Report the events from that second on, as long as the connection lasts."""
        query = {"filters": json.dumps({"type": ["container"]})} | ({} if since is None else {"since": str(since)})
        try:
            async with self._stream("events", query, EVENT_TIMEOUT) as lines:
                async for line in lines:
                    await on_event(json.loads(line))
        except aiohttp.SocketTimeoutError:
            logger.debug("%s has sent no event for %.0f s; reading the state", self.url, EVENT_TIMEOUT)
        except Exception as error:
            engine_error = self.to_engine_error(error, "GET /events")
            if engine_error is None:
                raise
            raise engine_error from error


async def _time(client: Docker) -> int | None:
    """Return the engine's time, in seconds since 1970; None: not known.

    It is the date of an answer. `GET /info` has it too, but a proxy that filters requests refuses that one, as it tells
    much about the machine.
    """
    async with client.session.get(f"{client.docker_host}/version") as answer:
        await _check_status(answer)
        try:
            return int(parsedate_to_datetime(answer.headers.get("Date", "")).timestamp())
        except ValueError:
            return None


async def _check_status(answer: aiohttp.ClientResponse) -> None:
    if answer.status >= 400:
        raise DockerError(answer.status, (await answer.text())[:300])


def retry_delays() -> Backoff:
    """Return the delays between attempts to reach an engine."""
    return Backoff(FIRST_DELAY, LONGEST_DELAY)
