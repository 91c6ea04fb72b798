"""Send requests to a Kubernetes API server; refusals and missing answers raise different errors.

Of the client library only the transport and the credentials are used: its generated methods would hide which verb of
which resource is requested, and its watch reconnects without a delay.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence

import aiohttp
from kubernetes_asyncio.client import ApiClient
from msgspec import Struct

from zeroscale import __version__
from zeroscale.errors import PluginError
from zeroscale.plugins.kubernetes.credentials import Credentials
from zeroscale.plugins.support.json_object import JsonObject, integer_at, object_at, text_at

REQUEST_TIMEOUT = 15.0
"""Seconds for one answer. An API server answers within milliseconds; an overloaded one answers with 429."""

WATCH_SECONDS = 60
"""How long the server is asked to keep one watch open; a dead connection without an error is noticed after that."""

WATCH_GRACE = 15.0
"""Seconds more until we close the watch ourselves."""

LARGEST_ANSWER = 64 * 1024 * 1024
"""Bytes. etcd takes no object above 1.5 MiB, and a list of one namespace's workloads is a few MiB at most."""

LONGEST_QUOTE = 250
"""Characters of the server's message that are quoted."""

METHODS = {"get": "GET", "list": "GET", "watch": "GET", "update": "PUT"}


class ApiUnavailable(PluginError):
    """The API server cannot be reached, is overloaded or broken: the request may be repeated later."""


class ApiRefused(PluginError):
    """The API server has refused the request, and would refuse the same one again.

    :ivar status: the HTTP status code.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class ApiRequest(Struct, frozen=True):
    """A request, in the terms of a Role.

    :ivar verb: `get`, `list`, `watch` or `update`.
    :ivar resource: the plural, with a subresource if any: `statefulsets/scale`.
    :ivar group: the API group; "" is the core.
    :ivar namespace: None: all.
    :ivar name: of one object; None for `list` and `watch`.
    """

    verb: str
    resource: str
    group: str
    namespace: str | None
    name: str | None = None

    @property
    def path(self) -> str:
        """Path of its URL (Kubernetes documentation, "API concepts", Resource URIs)."""
        plural, _, subresource = self.resource.partition("/")
        segments = [f"/apis/{self.group}/v1" if self.group else "/api/v1"]
        if self.namespace is not None:
            segments.append(f"namespaces/{self.namespace}")
        segments.append(plural)
        segments += [each for each in (self.name, subresource) if each]
        return "/".join(segments)

    def __str__(self) -> str:
        name = f" {self.name!r}" if self.name else ""
        where = "all namespaces" if self.namespace is None else f"namespace {self.namespace!r}"
        return f"{self.verb} {self.resource}{name} in {where}"


class Api:
    """One cluster's API server.

    :param credentials: its address and our credentials.
    """

    def __init__(self, credentials: Credentials) -> None:
        self.credentials = credentials
        self._client: ApiClient | None = None

    async def send(
        self, request: ApiRequest, query: Sequence[tuple[str, str]] = (), body: JsonObject | None = None
    ) -> JsonObject:
        """Send a request and return the answer.

        :raises ApiUnavailable: there was no answer, so that it is unknown whether the request was carried out.
        :raises ApiRefused: it was refused.
        """
        response = await self._open(request, query, body, aiohttp.ClientTimeout(total=REQUEST_TIMEOUT))
        try:
            raw = b""
            async for chunk in response.content.iter_any():
                raw += chunk
                if len(raw) > LARGEST_ANSWER:
                    raise ApiUnavailable(f"the Kubernetes API's answer to {request} is too long")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiUnavailable(f"the Kubernetes API broke off its answer to {request}: {_describe(error)}") from error
        finally:
            response.release()
        return _decode(raw, request)

    async def watch(
        self,
        request: ApiRequest,
        query: Sequence[tuple[str, str]],
        on_open: Callable[[], None],
        on_event: Callable[[str, JsonObject], None],
    ) -> None:
        """Watch until the server ends the watch, which is normal.

        :param on_open: called once it is open.
        :param on_event: called with each event's type and object.
        :raises ApiUnavailable: the connection failed, or was lost.
        :raises ApiRefused: it was refused, or the server ended it with an error, such as 410.
        """
        bounds = aiohttp.ClientTimeout(total=WATCH_SECONDS + WATCH_GRACE)
        options = [("watch", "true"), ("allowWatchBookmarks", "true"), ("timeoutSeconds", str(WATCH_SECONDS))]
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT):  # a server opens a watch at once, also without any event
                response = await self._open(request, [*query, *options], None, bounds)
        except TimeoutError as error:
            raise ApiUnavailable(f"the Kubernetes API does not answer: no {request} within its time") from error
        try:
            on_open()
            while line := await response.content.readline():
                event = _decode(line, request)
                kind, item = text_at(event, "type"), object_at(event, "object")
                if kind == "ERROR":
                    raise _refusal(request, integer_at(item, "code"), item)
                on_event(kind, item)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise ApiUnavailable(f"the Kubernetes API broke off its answer to {request}: {_describe(error)}") from error
        finally:
            response.close()  # the rest is not read

    async def close(self) -> None:
        """Close its connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _open(
        self,
        request: ApiRequest,
        query: Sequence[tuple[str, str]],
        body: JsonObject | None,
        bounds: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        """Send a request, again with new credentials after a 401; return a response that is no error."""
        response = await self._open_once(request, query, body, bounds)
        if response.status == 401:  # a token has expired, or was rotated: the new one is read
            response.release()
            await self.close()
            response = await self._open_once(request, query, body, bounds)
        if response.status < 300:
            return response
        status: object = None
        try:
            status = json.loads(await response.content.read(LARGEST_ANSWER))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            pass  # the page of a reverse proxy instead of a Status
        finally:
            response.release()
        if response.status == 429 or response.status >= 500:
            raise ApiUnavailable(f"the Kubernetes API cannot {request} now: {_quote(status, response.status)}")
        raise _refusal(request, response.status, status)

    async def _open_once(
        self,
        request: ApiRequest,
        query: Sequence[tuple[str, str]],
        body: JsonObject | None,
        bounds: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        if self._client is None:
            try:
                configuration = await self.credentials.load()
                self._client = ApiClient(configuration)
            except PluginError as error:
                raise ApiUnavailable(str(error)) from error
            except OSError as error:  # the file of a certificate may hold anything; ssl.SSLError is an OSError
                raise ApiUnavailable(f"{self.credentials.source}: its certificates cannot be used: {error}") from error
            self._client.user_agent = f"zeroscale/{__version__}"
        client = self._client
        try:
            response: aiohttp.ClientResponse = await client.call_api(
                request.path,
                METHODS[request.verb],
                query_params=list(query),
                header_params={"Accept": "application/json", "Content-Type": "application/json"},
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,
                _request_timeout=bounds,
            )
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, RuntimeError) as error:
            # ValueError: the configured URL is not valid. RuntimeError: another request has closed the session.
            if self._client is client and isinstance(error, aiohttp.ClientSSLError):
                await self.close()  # the cluster's certificate authority may have changed, or our certificate expired
            host = client.configuration.host
            raise ApiUnavailable(f"the Kubernetes API at {host} does not answer: {_describe(error)}") from error
        return response


def _refusal(request: ApiRequest, code: int, status: object) -> ApiRefused:
    quote = _quote(status, code)
    if code == 403:
        message = f'not allowed to {request}: the Role needs the verb "{request.verb}" (docs/kubernetes.md); {quote}'
    elif code == 401:
        message = f"the Kubernetes API does not accept our credentials: are they still valid? {quote}"
    else:
        message = f"the Kubernetes API refuses to {request}: {quote}"
    return ApiRefused(message, code)


def _quote(status: object, code: int) -> str:
    """Return the message of a Status, shortened."""
    return " ".join((text_at(status, "message") or f"HTTP status {code}").split())[:LONGEST_QUOTE]


def _decode(raw: bytes, request: ApiRequest) -> JsonObject:
    try:
        decoded: object = json.loads(raw)
    except ValueError as error:
        raise ApiUnavailable(f"the Kubernetes API's answer to {request} is not JSON: {error}") from None
    if not isinstance(decoded, dict):
        raise ApiUnavailable(f"the Kubernetes API's answer to {request} is not a JSON object")
    return decoded


def _describe(error: BaseException) -> str:
    return " ".join(str(error).split())[:LONGEST_QUOTE] or type(error).__name__
