"""Metrics over HTTP: `/metrics` for Prometheus, `/metrics.json` for other programs, `/` for people.

Each connection has one request without a body, within a deadline; a scraper needs no more. Not used: the resource of
prometheus-client, which imports the global reactor and renders in a thread pool, and Twisted's `Site`, which wakes up
every second and logs each request. `metrics` has the metrics.
"""

from __future__ import annotations

import ipaddress
import logging
import re
from collections.abc import Callable, Collection
from http import HTTPStatus
from typing import TYPE_CHECKING

from twisted.internet.defer import gatherResults, maybeDeferred
from twisted.internet.interfaces import IAddress, IDelayedCall, IListeningPort
from twisted.internet.protocol import Factory, connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel, Request

from zeroscale.control.metrics import Metrics
from zeroscale.reactor import Reactor
from zeroscale.reports import ProxyReport
from zeroscale.system import endpoints

if TYPE_CHECKING:
    from twisted.internet.tcp import Connection

logger = logging.getLogger("zeroscale.control")

DEADLINE = 10.0
"""Seconds after which a connection is aborted: Prometheus' own timeout is as long."""

MAX_CONNECTIONS = 16
"""Enough for a few scrapers and a browser. Further connections are closed; DEADLINE bounds how long that lasts."""

MAX_HEADER_BYTES = 8192
"""More than a browser's request with its cookies; a scraper's has 300 bytes."""

EXPOSITION = b"text/plain; version=0.0.4; charset=utf-8"
JSON = b"application/json"
HTML = b"text/html; charset=utf-8"
TEXT = b"text/plain; charset=utf-8"

_INTERFACE = re.compile(r":interface=([^:\\]+)")
"""The address or the name on which an endpoint string listens; a backslash stands before the colons of IPv6."""

WRONG_HOST = b"not served under this name: use an IP address or localhost, or add the name to metrics.hosts\n"

NO_BODY = b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\n\r\n"

INDEX = b"""<!DOCTYPE html>
<html lang="en"><title>zeroscale</title>
<h1>zeroscale</h1>
<p><a href="/metrics">Metrics</a> for Prometheus, and the <a href="/metrics.json">whole report</a> as JSON.</p>
</html>
"""


def endpoint_string(listen: str) -> str:
    """Return the Twisted endpoint string of a `metrics.listen` value: a bare port means that port on loopback."""
    return f"tcp:{listen}:interface=127.0.0.1" if listen.isascii() and listen.isdecimal() else listen


def is_own_name(header: bytes, hosts: Collection[str]) -> bool:
    """Return whether a Host header names this server: by any IP address, as localhost, or by one of `hosts`.

    A web page of another site can give its own name our address ("DNS rebinding"), and read what is served under that
    name. It cannot do so with an address.

    :param header: the header's value: a host with or without a port (RFC 9110, section 7.2).
    :param hosts: names in lower case; `*.` and a name is for all names below it.
    """
    text = header.decode("ascii", "replace").strip().lower()
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]") or not (port.isdecimal() or not port):
        host = text
    host = host.removeprefix("[").removesuffix("]").removesuffix(".")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        below = any(name.startswith("*.") and host.endswith(name[1:]) for name in hosts)
        return host == "localhost" or host in hosts or below
    return True


class MetricsServer:
    """Serves the metrics from `start()` to `stop()`.

    :param reactor: listens, and is the clock.
    :param listen: a port, then only on loopback, or an endpoint string.
    :param report: returns the current report of the proxy.
    :param hosts: the names under which requests are answered, see `is_own_name`; on a Unix socket any name is.
    :param addresses: whether players' addresses are shown.
    :ivar ports: the ports it listens on.
    """

    def __init__(
        self,
        reactor: Reactor,
        listen: str,
        report: Callable[[], ProxyReport],
        *,
        hosts: Collection[str] = (),
        addresses: bool = True,
    ) -> None:
        self.ports: list[IListeningPort] = []
        self._reactor = reactor
        self._endpoint = endpoint_string(listen)
        metrics = Metrics(report, addresses=addresses)
        self._factory = _Factory(
            reactor,
            {
                b"/": (HTML, lambda: INDEX),
                b"/metrics": (EXPOSITION, metrics.exposition),
                b"/metrics.json": (JSON, metrics.json),
            },
            None if self._endpoint.startswith("unix:") else _own_names(self._endpoint, hosts),
        )

    @property
    def connections(self) -> int:
        """Number of open connections."""
        return len(self._factory.channels)

    async def start(self) -> None:
        """Listen.

        :raises ConfigError: listening failed.
        """
        self.ports = await endpoints.listen(self._reactor, self._endpoint, self._factory)

    async def stop(self) -> None:
        """Stop listening and abort all connections. May be called before `start()` and more than once."""
        ports, self.ports = self.ports, []
        await gatherResults([maybeDeferred(port.stopListening) for port in ports])
        self._factory.abort_all()


def _own_names(endpoint: str, hosts: Collection[str]) -> Collection[str]:
    """Return the names of `hosts`, and the one on which an endpoint string listens, if it names one."""
    return {name.lower().removesuffix(".") for name in (*hosts, *_INTERFACE.findall(endpoint))}


Pages = dict[bytes, tuple[bytes, Callable[[], bytes]]]


class _Factory(Factory):
    noisy = False

    def __init__(self, reactor: Reactor, pages: Pages, hosts: Collection[str] | None) -> None:
        self.reactor = reactor
        self.pages = pages
        self.hosts = hosts
        self.channels: set[_Channel] = set()

    def buildProtocol(self, addr: IAddress | None) -> _Channel | None:
        return None if len(self.channels) >= MAX_CONNECTIONS else _Channel(self)

    def abort_all(self) -> None:
        for channel in list(self.channels):
            channel.abort()

    def log(self, request: Request) -> None:
        """Log nothing; Twisted calls this for each request."""


class _Channel(HTTPChannel):
    totalHeadersSize = MAX_HEADER_BYTES
    timeOut = None  # DEADLINE is used instead: Twisted's timeout restarts with each byte

    transport: Connection

    def __init__(self, factory: _Factory) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Twisted has no types here
        self.factory = factory
        self.requestFactory = _Request
        self._deadline: IDelayedCall | None = None

    def connectionMade(self) -> None:
        self.factory.channels.add(self)
        self._deadline = self.factory.reactor.callLater(DEADLINE, self.abort)
        super().connectionMade()  # type: ignore[no-untyped-call]  # Twisted has no types here

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.factory.channels.discard(self)
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        super().connectionLost(reason)  # type: ignore[no-untyped-call]  # Twisted has no types here

    def abort(self) -> None:
        self.transport.abortConnection()

    def checkPersistence(self, request: Request, version: bytes) -> bool:
        # Responses to pipelined requests would be buffered without bound for a client that does not read.
        request.responseHeaders.setRawHeaders(b"Connection", [b"close"])
        return False


class _Request(Request):
    body_refused = False

    def gotLength(self, length: int | None) -> None:
        # Twisted would store a body of any length, beyond 100 kB on disk.
        super().gotLength(0)  # type: ignore[no-untyped-call]  # Twisted has no types here
        if length != 0:
            self.body_refused = True
            self.channel.write(NO_BODY)
            self.channel.loseConnection()

    def handleContentChunk(self, data: bytes) -> None:
        """Drop the rest of a refused body."""

    def process(self) -> None:
        if not self.body_refused:
            _respond(self, self.channel.factory)


def _respond(request: Request, factory: _Factory) -> None:
    page = factory.pages.get(request.path)
    named = request.requestHeaders.getRawHeaders(b"Host", [])  # HTTP/1.0 has none, a browser always sends one
    if factory.hosts is not None and not all(is_own_name(each, factory.hosts) for each in named):
        _send(request, 421, TEXT, WRONG_HOST)
    elif page is None:
        _send(request, 404, TEXT, b"not found\n")
    elif request.method not in (b"GET", b"HEAD"):
        request.setHeader(b"Allow", b"GET, HEAD")
        _send(request, 405, TEXT, b"GET and HEAD only\n")
    else:
        content_type, render = page
        try:
            body = render()
        except Exception:  # from values of plugins, in a third-party library
            logger.exception("Metrics cannot be rendered")
            _send(request, 500, TEXT, b"failed; zeroscale's log has the details\n")
        else:
            _send(request, 200, content_type, body)


def _send(request: Request, code: int, content_type: bytes, body: bytes) -> None:
    request.setResponseCode(code, HTTPStatus(code).phrase.encode())  # Twisted knows no 421
    request.setHeader(b"Content-Type", content_type)
    request.setHeader(b"Content-Length", b"%d" % len(body))
    request.setHeader(b"Cache-Control", b"no-store")
    request.setHeader(b"X-Content-Type-Options", b"nosniff")
    request.write(body)
    request.finish()
