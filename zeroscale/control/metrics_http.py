"""Metrics over HTTP: `/metrics` for Prometheus, `/metrics.json` for anything else, `/` for people.

One request a connection, without a body, within a deadline: what a scraper needs and nothing more. prometheus-client's
own Twisted resource imports the global reactor and renders in a thread pool, and Twisted's site wakes up once a second
and logs each request; neither is used. Knows no metric.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import gatherResults, maybeDeferred
from twisted.internet.interfaces import IAddress, IDelayedCall, IListeningPort
from twisted.internet.protocol import Factory, connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel, Request

from zeroscale.control.metrics import Metrics
from zeroscale.reports import ProxyReport
from zeroscale.system import endpoints as listening

logger = logging.getLogger(__name__)

DEADLINE = 10.0
"""Seconds that a connection lives at most: Prometheus itself gives up after as many."""

MOST_CONNECTIONS = 16
"""At once: a few scrapers and a browser. Beyond that the newcomer is closed, and DEADLINE makes room again."""

MOST_HEADER_BYTES = 8192
"""A browser's request with its cookies is smaller; a scraper's has 300 bytes."""

EXPOSITION = b"text/plain; version=0.0.4; charset=utf-8"
JSON = b"application/json"
HTML = b"text/html; charset=utf-8"
TEXT = b"text/plain; charset=utf-8"

NO_BODY = b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\n\r\n"

INDEX = b"""<!DOCTYPE html>
<html lang="en"><title>zeroscale</title>
<h1>zeroscale</h1>
<p><a href="/metrics">Metrics</a> for Prometheus, and the <a href="/metrics.json">whole report</a> as JSON.</p>
</html>
"""


def endpoint(where: str) -> str:
    """The endpoint string of one `metrics.listen` value: a bare port is one of this machine only."""
    return f"tcp:{where}:interface=127.0.0.1" if where.isascii() and where.isdecimal() else where


def check(reactor: Any, where: str) -> None:
    """Judges one `metrics.listen` value without listening.

    :raises ConfigError: it is neither a port nor an endpoint string.
    """
    listening.check(reactor, endpoint(where))


class MetricsServer:
    """Serves the metrics from `start()` to `stop()`.

    :param reactor: clock and listener.
    :param where: a port, on loopback then, or an endpoint string.
    :param report: the proxy as it is now.
    :param addresses: whether players' addresses may be shown.
    :ivar ports: where it listens.
    """

    def __init__(self, reactor: Any, where: str, report: Callable[[], ProxyReport], *, addresses: bool = True) -> None:
        self.ports: list[IListeningPort] = []
        self._reactor = reactor
        self._where = endpoint(where)
        metrics = Metrics(report, addresses=addresses)
        self._factory = _Factory(
            reactor,
            {
                b"/": (HTML, lambda: INDEX),
                b"/metrics": (EXPOSITION, metrics.exposition),
                b"/metrics.json": (JSON, metrics.json),
            },
        )

    @property
    def connections(self) -> int:
        """How many there are now."""
        return len(self._factory.channels)

    async def start(self) -> None:
        """Listens.

        :raises ConfigError: it cannot.
        """
        self.ports = await listening.listen(self._reactor, self._where, self._factory)

    async def stop(self) -> None:
        """Listens no more, and drops who is still there. Allowed before `start()` and more than once."""
        ports, self.ports = self.ports, []
        await gatherResults([maybeDeferred(port.stopListening) for port in ports])
        self._factory.drop_all()


Pages = dict[bytes, tuple[bytes, Callable[[], bytes]]]


class _Factory(Factory):
    noisy = False

    def __init__(self, reactor: Any, pages: Pages) -> None:
        self.reactor = reactor
        self.pages = pages
        self.channels: set[_Channel] = set()

    def buildProtocol(self, addr: IAddress | None) -> _Channel | None:
        return None if len(self.channels) >= MOST_CONNECTIONS else _Channel(self)

    def drop_all(self) -> None:
        for channel in list(self.channels):
            channel.abort()

    def log(self, request: Request) -> None:
        """Called by Twisted for each request; a scrape every few seconds is nothing for our log."""


class _Channel(HTTPChannel):
    totalHeadersSize = MOST_HEADER_BYTES
    timeOut = None  # ours is one deadline for all; Twisted's begins anew with each byte

    transport: Any

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
        # Who sends many requests at once and reads no answer would have us keep them all.
        request.responseHeaders.setRawHeaders(b"Connection", [b"close"])
        return False


class _Request(Request):
    refused = False

    def gotLength(self, length: int | None) -> None:
        # Twisted would keep a body of any length, beyond 100 kB on disk.
        super().gotLength(0)  # type: ignore[no-untyped-call]  # Twisted has no types here
        if length != 0:
            self.refused = True
            self.channel.write(NO_BODY)
            self.channel.loseConnection()

    def handleContentChunk(self, data: bytes) -> None:
        """What still comes of a refused body is dropped."""

    def process(self) -> None:
        if not self.refused:
            _respond(self, self.channel.factory.pages)


def _respond(request: Request, pages: Pages) -> None:
    page = pages.get(request.path)
    if page is None:
        _answer(request, 404, TEXT, b"not found\n")
    elif request.method not in (b"GET", b"HEAD"):
        request.setHeader(b"Allow", b"GET, HEAD")
        _answer(request, 405, TEXT, b"GET and HEAD only\n")
    else:
        content_type, render = page
        try:
            body = render()
        except Exception:  # made of what plugins say, by a library of others
            logger.exception("The metrics cannot be told")
            _answer(request, 500, TEXT, b"failed; zeroscale's log says why\n")
        else:
            _answer(request, 200, content_type, body)


def _answer(request: Request, code: int, content_type: bytes, body: bytes) -> None:
    request.setResponseCode(code)
    request.setHeader(b"Content-Type", content_type)
    request.setHeader(b"Content-Length", b"%d" % len(body))
    request.setHeader(b"Cache-Control", b"no-store")
    request.setHeader(b"X-Content-Type-Options", b"nosniff")
    request.write(body)
    request.finish()
