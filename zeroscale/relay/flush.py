"""Wait until a transport has written all of its buffer to the kernel."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet import tcp
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPullProducer, IReactorFDSet
from zope.interface import implementer

from zeroscale.errors import RelayError
from zeroscale.sockets.transport import SocketTransport


@implementer(IPullProducer)
class _FlushWatcher:
    """A pull producer that produces no data, but notices when the transport's buffer is empty.

    Twisted calls `resumeProducing` when the producer is registered, and again when the buffer is empty: at the second
    call all is flushed.
    """

    def __init__(self) -> None:
        self._times = 0
        self.flushed: Deferred[None] = Deferred()

    def resumeProducing(self) -> None:
        self._times += 1
        if self._times == 2:
            self.flushed.callback(None)

    def stopProducing(self) -> None:
        if not self.flushed.called:
            self.flushed.errback(RelayError("the connection was lost before it could be relayed"))


async def flushed(transport: tcp.Connection | SocketTransport) -> None:
    """Wait until a connection has nothing unwritten; cancelling it leaves the connection as it was.

    :raises RelayError: the connection is lost, or has a producer already.
    """
    if isinstance(transport, SocketTransport):
        await transport.flushed()
        return
    if not transport.connected:
        raise RelayError("the connection was lost before it could be relayed")
    if transport.producer is not None:
        raise RelayError("the connection cannot be relayed while it has a producer")
    writers: Sequence[object] = IReactorFDSet(transport.reactor).getWriters()
    if transport not in writers:
        return  # the usual case: nothing is unwritten, so there is no need to wait for a turn of the reactor
    watcher = _FlushWatcher()
    transport.registerProducer(watcher, False)
    try:
        await watcher.flushed
    finally:
        transport.unregisterProducer()
