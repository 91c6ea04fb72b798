"""Close a client's connection so that what it was sent last arrives, in bounded time."""

from __future__ import annotations

from twisted.internet.interfaces import INegotiated, IReactorTime

from zeroscale.frontend.interfaces import IStreamTransport
from zeroscale.frontend.timer import Timer

LINGER = 5.0
"""Seconds for a client to read what is left and to close, before its connection is aborted."""


class ConnectionCloser:
    """Closes one connection. Each method may follow another one, on a connection that is closing already, too."""

    def __init__(self, transport: IStreamTransport, clock: IReactorTime) -> None:
        self._transport = transport
        self._timer = Timer(clock)

    def close_lingering(self) -> None:
        """Close to a client that may still be sending: finish our side, and read and drop the rest until it closes.

        Closing with bytes unread would reset the connection, and the client would not see our last message.
        """
        self._transport.resumeProducing()
        if INegotiated.providedBy(self._transport):
            self.close()  # TLS ends both ways, and has no half-close
        else:
            self._timer.start(LINGER, self.abort)
            self._transport.loseWriteConnection()

    def close(self) -> None:
        """Close to a client that sends nothing more, once all is written."""
        self._timer.start(LINGER, self.abort)
        self._transport.loseConnection()

    def abort(self) -> None:
        """Reset the connection; what is not yet written is lost."""
        self._transport.abortConnection()

    def connection_lost(self) -> None:
        """Stop waiting for the client to close."""
        self._timer.cancel()
