"""Connecting to the real server, for a client that is about to be relayed.

Nothing of the server is read here: the connection pauses itself before the reactor can, and the relay reads it.
"""

from __future__ import annotations

from typing import Any, cast

from twisted.internet import error
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol, IStreamClientEndpoint, ITCPTransport
from twisted.internet.protocol import Factory
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from zeroscale.errors import BackendError, RelayError

CONNECT_TIMEOUT = 5.0
"""Seconds: the server was ready a moment ago, so what takes longer is lost. Three attempts fit into the 30 s after
which a client gives up."""


@implementer(IHalfCloseableProtocol)
class BackendConnection(TwistedProtocol):
    """One connection to the real server, which nobody reads until the relay does.

    :ivar lost: it is gone.
    """

    transport: Any

    def __init__(self) -> None:
        self.lost = False

    def connectionMade(self) -> None:
        self.transport.pauseProducing()

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.lost = True

    def readConnectionLost(self) -> None:
        """The relay reads this connection, and sees its end itself."""

    def writeConnectionLost(self) -> None:
        """The relay writes this connection, and sees its end itself."""

    def abort(self) -> None:
        """Drops the connection; harmless when it is gone already."""
        if not self.lost:
            cast(ITCPTransport, self.transport).abortConnection()


async def connect(reactor: Any, host: str, port: int) -> BackendConnection:
    """Connects to the real server. Once cancelled it leaves nothing behind, and fails with `CancelledError`.

    :raises BackendError: it does not take the connection; the message says why.
    :raises RelayError: we have no descriptor left for one.
    """
    connected: Deferred[BackendConnection] = Deferred()

    def arrived(protocol: IProtocol) -> None:
        backend = cast(BackendConnection, protocol)
        if connected.called:
            backend.abort()
        else:
            connected.callback(backend)

    def failed(failure: Failure) -> None:
        # What an endpoint fails with when it is cancelled depends on how far it was: a name not found, for one.
        if not connected.called:
            connected.errback(failure)

    attempt = _endpoint(reactor, host, port).connect(Factory.forProtocol(BackendConnection))
    attempt.addCallbacks(arrived, failed)
    try:
        return await connected
    except CancelledError:
        attempt.cancel()
        raise
    except error.ConnectBindError as problem:
        raise RelayError(f"no connection to {host}:{port} can be made: {_said(problem)}") from problem
    except (error.ConnectError, OSError, ValueError) as problem:
        raise BackendError(f"{host}:{port}: {_said(problem)}") from problem


def _endpoint(reactor: Any, host: str, port: int) -> IStreamClientEndpoint:
    """For an address no name is looked up: that would take a thread, and players would overtake each other in it."""
    if isIPAddress(host):
        return TCP4ClientEndpoint(reactor, host, port, timeout=CONNECT_TIMEOUT)
    if isIPv6Address(host):
        return TCP6ClientEndpoint(reactor, host, port, timeout=CONNECT_TIMEOUT)
    return HostnameEndpoint(reactor, host, port, timeout=CONNECT_TIMEOUT)


def _said(problem: Exception) -> str:
    return " ".join(str(problem).split()).rstrip(".")
