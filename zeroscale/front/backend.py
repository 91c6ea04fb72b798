"""Connecting to the real server, for a client that is about to be relayed.

Nothing of the server is read here: the connection pauses itself before the reactor can, and the relay reads it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from twisted.internet import error
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import IHalfCloseableProtocol, ITCPTransport
from twisted.internet.protocol import Factory
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from zeroscale.errors import BackendError

CONNECT_TIMEOUT = 10.0
"""Seconds: the server was ready a moment ago, so what takes longer is not a slow server but a lost one."""


@implementer(IHalfCloseableProtocol)
class Backend(TwistedProtocol):
    """One connection to the real server, which nobody reads until the relay does."""

    transport: Any

    def __init__(self) -> None:
        self.lost = False
        self.on_lost: Callable[[], None] | None = None

    def connectionMade(self) -> None:
        self.transport.pauseProducing()

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.lost = True
        on_lost, self.on_lost = self.on_lost, None
        if on_lost is not None:
            on_lost()

    def readConnectionLost(self) -> None:
        """The relay reads this connection, and sees its end itself."""

    def writeConnectionLost(self) -> None:
        """The relay writes this connection, and sees its end itself."""

    def abort(self) -> None:
        """Drops the connection; harmless when it is gone already."""
        if not self.lost:
            cast(ITCPTransport, self.transport).abortConnection()


async def connect(reactor: Any, host: str, port: int) -> Backend:
    """Connects to the real server.

    :raises BackendError: it does not take the connection; the message says why.
    """
    endpoint = HostnameEndpoint(reactor, host, port, timeout=CONNECT_TIMEOUT)
    try:
        backend = await endpoint.connect(Factory.forProtocol(Backend))
    except (error.ConnectError, error.DNSLookupError, error.TimeoutError, OSError) as problem:
        said = " ".join(str(problem).split()).rstrip(".")
        raise BackendError(f"{host}:{port}: {said}") from problem
    return cast(Backend, backend)
