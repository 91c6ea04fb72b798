"""Connect to the real server for a client that is about to be relayed.

Nothing that the server sends is read here: the connection pauses itself at once, and the relay reads it.
"""

from __future__ import annotations

from typing import cast

from twisted.internet import error
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol
from twisted.internet.protocol import Factory
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from zeroscale.errors import BackendError, RelayError
from zeroscale.frontend.interfaces import IStreamTransport
from zeroscale.reactor import Reactor
from zeroscale.system.host_endpoint import host_endpoint

CONNECT_TIMEOUT = 5.0
"""Seconds. The server was ready a moment ago, so a slower connection is lost; three attempts fit into the client's own
limit of 30 s."""


@implementer(IHalfCloseableProtocol)
class BackendConnection(TwistedProtocol):
    """One connection to the real server, which is not read until the relay has it.

    :ivar lost: the connection is closed.
    """

    transport: IStreamTransport

    def __init__(self) -> None:
        self.lost = False

    def connectionMade(self) -> None:
        """Pause at once, so that the reactor reads nothing."""
        self.transport.pauseProducing()

    def connectionLost(self, reason: Failure | None = None) -> None:
        """Note that the connection is closed."""
        self.lost = True

    def readConnectionLost(self) -> None:
        """Do nothing: the relay reads this connection, and handles its end."""

    def writeConnectionLost(self) -> None:
        """Do nothing: the relay writes this connection, and handles its end."""

    def abort(self) -> None:
        """Abort the connection, if it is not closed already."""
        if not self.lost:
            self.transport.abortConnection()


async def connect(reactor: Reactor, host: str, port: int) -> BackendConnection:
    """Connect to the real server. When cancelled, fails with `CancelledError` and leaves no connection behind.

    :raises BackendError: the server does not take the connection; the message says why.
    :raises RelayError: the proxy has no descriptor left for it, or no thread to look the name up: that is no fault of
        the server.
    """
    connected: Deferred[BackendConnection] = Deferred()

    def succeeded(protocol: IProtocol) -> None:
        backend = cast(BackendConnection, protocol)
        if connected.called:
            backend.abort()
        else:
            connected.callback(backend)

    def failed(failure: Failure) -> None:
        # A cancelled endpoint fails with various errors, depending on how far it was: a name not found, for one.
        if not connected.called:
            connected.errback(failure)

    attempt = host_endpoint(reactor, host, port, CONNECT_TIMEOUT).connect(Factory.forProtocol(BackendConnection))
    attempt.addCallbacks(succeeded, failed)
    try:
        return await connected
    except CancelledError:
        attempt.cancel()
        raise
    except (error.ConnectBindError, BlockingIOError) as problem:
        raise RelayError(f"no connection to {host}:{port} can be made: {_one_line(problem)}") from problem
    except (error.ConnectError, OSError, ValueError) as problem:
        raise BackendError(f"{host}:{port}: {_one_line(problem)}") from problem


def _one_line(problem: Exception) -> str:
    return " ".join(str(problem).split()).rstrip(".")
