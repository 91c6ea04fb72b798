"""End a client's connection: note the outcome once, and close it so that the last bytes arrive, in bounded time."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import INegotiated

from zeroscale.frontend.connection_record import ConnectionRecord
from zeroscale.frontend.interfaces import IStreamTransport
from zeroscale.frontend.timer import Deadlines, Timer

LINGER = 5.0
"""Seconds for a client to read what is left and to close, before its connection is aborted."""


class ConnectionCloser:
    """Ends one connection. Of several outcomes the first one counts; the last call decides how it is closed.

    :param on_end: called once, when the first outcome is noted.
    :param on_closing: called each time that it may take a while until the connection is closed, unless it is lost.
    """

    def __init__(
        self,
        transport: IStreamTransport,
        record: ConnectionRecord,
        deadlines: Deadlines,
        on_end: Callable[[], object],
        on_closing: Callable[[], object],
    ) -> None:
        self._transport = transport
        self._record = record
        self._on_end = on_end
        self._on_closing = on_closing
        self._timer = Timer(deadlines)
        self._lost = False

    def note(self, outcome: str, detail: str = "", *, warn: bool = False, **fields: int) -> None:
        """Count and log the outcome, and close nothing; the parameters are those of `ConnectionRecord.end`."""
        if self._record.outcome is None:
            self._record.end(outcome, detail, warn=warn, **fields)
            self._on_end()

    def close_lingering(self, outcome: str, detail: str = "", *, warn: bool = False) -> None:
        """Close to a client that may still be sending: finish our side, and read and drop the rest until it closes.

        Closing with bytes unread would reset the connection, and the client would not see our last message.
        """
        self.note(outcome, detail, warn=warn)
        self._transport.resumeProducing()
        if INegotiated.providedBy(self._transport):
            self.close(outcome)  # TLS ends both ways, and has no half-close
        else:
            self._await_end()
            self._transport.loseWriteConnection()

    def close(self, outcome: str) -> None:
        """Close to a client that sends nothing more, once all is written."""
        self.note(outcome)
        self._await_end()
        self._transport.loseConnection()

    def abort(self, outcome: str, detail: str = "") -> None:
        """Reset the connection; what is not yet written is lost."""
        self.note(outcome, detail)
        self._transport.abortConnection()

    def connection_lost(self) -> None:
        """Stop waiting for the client to close."""
        self._lost = True
        self._timer.cancel()

    def _await_end(self) -> None:
        if not self._lost:
            self._on_closing()
            self._timer.start(LINGER, self._transport.abortConnection)
