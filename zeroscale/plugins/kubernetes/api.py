"""Requests to a Kubernetes API server, as values; what it refuses, and what it does not answer, as two errors.

Of the client library only the transport and the credentials are used: its generated methods would hide which verb of
which resource is asked, and its watch connects again without a pause.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
from kubernetes_asyncio.client import ApiClient

from zeroscale import __version__
from zeroscale.errors import PluginError
from zeroscale.plugins.kubernetes.credentials import Credentials

REQUEST_TIMEOUT = 15.0
"""Seconds for one answer. An API server answers in milliseconds; one that is overloaded says so with a 429."""

WATCH_SECONDS = 60
"""How long the server is asked to keep one watch. A connection that has died in silence is not missed for longer."""

WATCH_GRACE = 15.0
"""Seconds more until we hang up ourselves."""

LARGEST_ANSWER = 64 * 1024 * 1024
"""Bytes. etcd takes no object above 1.5 MiB, and a list of what one namespace runs is a few MiB at most."""

LONGEST_QUOTE = 250
"""Characters quoted of what the server says."""

METHODS = {"get": "GET", "list": "GET", "watch": "GET", "update": "PUT"}


class ApiUnavailable(PluginError):
    """The API server cannot be reached, is overloaded or broken: the same may be asked again later."""


class ApiRefused(PluginError):
    """The API server has judged the request, and will judge the next one alike.

    :ivar status: the HTTP status code.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Call:
    """What is asked, in the words of a Role.

    :ivar verb: `get`, `list`, `watch` or `update`.
    :ivar resource: the plural, with a subresource where one is meant: `statefulsets/scale`.
    :ivar group: the API group; "" is the core.
    :ivar namespace: None: all of them.
    :ivar name: of one object; None for `list` and `watch`.
    """

    verb: str
    resource: str
    group: str
    namespace: str | None
    name: str | None = None

    @property
    def path(self) -> str:
        """The path of its URL (Kubernetes documentation, "API concepts", Resource URIs)."""
        plural, _, subresource = self.resource.partition("/")
        parts = [f"/apis/{self.group}/v1" if self.group else "/api/v1"]
        if self.namespace is not None:
            parts.append(f"namespaces/{self.namespace}")
        parts.append(plural)
        parts += [each for each in (self.name, subresource) if each]
        return "/".join(parts)

    def __str__(self) -> str:
        name = f" {self.name!r}" if self.name else ""
        where = "all namespaces" if self.namespace is None else f"namespace {self.namespace!r}"
        return f"{self.verb} {self.resource}{name} in {where}"


class Api:
    """One cluster's API server.

    :param credentials: where it is, and who we are.
    """

    def __init__(self, credentials: Credentials) -> None:
        self.credentials = credentials
        self._client: Any = None

    async def ask(
        self, call: Call, query: Sequence[tuple[str, str]] = (), body: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Asks for one answer.

        :raises ApiUnavailable: there was none, so that it is unknown whether it was done.
        :raises ApiRefused: it was refused.
        """
        response = await self._send(call, query, body, aiohttp.ClientTimeout(total=REQUEST_TIMEOUT))
        try:
            raw = b""
            async for chunk in response.content.iter_any():
                raw += chunk
                if len(raw) > LARGEST_ANSWER:
                    raise ApiUnavailable(f"the Kubernetes API's answer to {call} has no end")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiUnavailable(f"the Kubernetes API broke off its answer to {call}: {_in_words(error)}") from error
        finally:
            response.release()
        return _decoded(raw, call)

    async def follow(
        self,
        call: Call,
        query: Sequence[tuple[str, str]],
        opened: Callable[[], None],
        take: Callable[[str, dict[str, Any]], None],
    ) -> None:
        """Follows one watch until the server ends it, which it does all the time.

        :param opened: called once it is open.
        :param take: called with each event's type and object.
        :raises ApiUnavailable: the connection was lost, or could not be had.
        :raises ApiRefused: it was refused, or the server ended it with an error, like 410.
        """
        bounds = aiohttp.ClientTimeout(total=WATCH_SECONDS + WATCH_GRACE)
        asked = [*query, ("watch", "true"), ("allowWatchBookmarks", "true"), ("timeoutSeconds", str(WATCH_SECONDS))]
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT):  # a server opens a watch at once, also where nothing happens
                response = await self._send(call, asked, None, bounds)
        except TimeoutError as error:
            raise ApiUnavailable(f"the Kubernetes API does not answer: no {call} within its time") from error
        try:
            opened()
            while line := await response.content.readline():
                event = _decoded(line, call)
                kind, found = str(event.get("type")), event.get("object") or {}
                if kind == "ERROR":
                    raise _refused(call, int(found.get("code") or 0), found)
                take(kind, found)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise ApiUnavailable(f"the Kubernetes API broke off its answer to {call}: {_in_words(error)}") from error
        finally:
            response.close()  # there is no end to be read

    async def close(self) -> None:
        """Closes its connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _send(
        self, call: Call, query: Sequence[tuple[str, str]], body: dict[str, Any] | None, bounds: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        response = await self._send_once(call, query, body, bounds)
        if response.status == 401:  # a token has expired, or was rotated: the next one is read
            response.release()
            await self.close()
            response = await self._send_once(call, query, body, bounds)
        if response.status < 300:
            return response
        try:
            raw = await response.content.read(LARGEST_ANSWER)
            said = json.loads(raw)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            said = {}  # a proxy's page, in place of a Status
        finally:
            response.release()
        if response.status == 429 or response.status >= 500:
            raise ApiUnavailable(f"the Kubernetes API cannot {call} now: {_quoted(said, response.status)}")
        raise _refused(call, response.status, said)

    async def _send_once(
        self, call: Call, query: Sequence[tuple[str, str]], body: dict[str, Any] | None, bounds: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        if self._client is None:
            try:
                configuration = await self.credentials.load()
                self._client = ApiClient(configuration)
            except PluginError as error:
                raise ApiUnavailable(str(error)) from error
            except OSError as error:  # what is called a certificate need not be one; ssl.SSLError is an OSError
                raise ApiUnavailable(f"{self.credentials.where}: its certificates cannot be used: {error}") from error
            self._client.user_agent = f"zeroscale/{__version__}"
        client = self._client
        try:
            response: aiohttp.ClientResponse = await client.call_api(
                call.path,
                METHODS[call.verb],
                query_params=list(query),
                header_params={"Accept": "application/json", "Content-Type": "application/json"},
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,
                _request_timeout=bounds,
            )
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, RuntimeError) as error:
            # ValueError: what is configured is no URL. RuntimeError: another request has closed the session.
            if self._client is client and isinstance(error, aiohttp.ClientSSLError):
                await self.close()  # the cluster's certificate authority may have changed, or our certificate expired
            where = client.configuration.host
            raise ApiUnavailable(f"the Kubernetes API at {where} does not answer: {_in_words(error)}") from error
        return response


def _refused(call: Call, status: int, said: dict[str, Any]) -> ApiRefused:
    quoted = _quoted(said, status)
    if status == 403:
        message = f'not allowed to {call}: its Role needs the verb "{call.verb}" (docs/kubernetes.md); {quoted}'
    elif status == 401:
        message = f"the Kubernetes API does not know us: are the credentials still good? {quoted}"
    else:
        message = f"the Kubernetes API refuses to {call}: {quoted}"
    return ApiRefused(message, status)


def _quoted(said: object, status: int) -> str:
    message = said.get("message") if isinstance(said, dict) else None
    return " ".join(str(message or f"HTTP status {status}").split())[:LONGEST_QUOTE]


def _decoded(raw: bytes, call: Call) -> dict[str, Any]:
    try:
        decoded = json.loads(raw)
    except ValueError as error:
        raise ApiUnavailable(f"the Kubernetes API's answer to {call} is no JSON: {error}") from None
    if not isinstance(decoded, dict):
        raise ApiUnavailable(f"the Kubernetes API's answer to {call} is no object")
    return decoded


def _in_words(error: BaseException) -> str:
    return " ".join(str(error).split())[:LONGEST_QUOTE] or type(error).__name__
