"""When a transport has handed everything it was given to the kernel. Knows no relay."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet import tcp
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPullProducer, IReactorFDSet
from zope.interface import implementer

from zeroscale.errors import RelayError


@implementer(IPullProducer)
class _Asked:
    """A pull producer is asked for more once nothing is left to write; and once already on being registered,
    whatever is left. So the second time means it."""

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


async def flushed(transport: tcp.Connection) -> None:
    """Waits until a connection has nothing unwritten; cancelling it leaves the connection as it was.

    :raises RelayError: the connection is lost, or somebody's producer is registered on it.
    """
    if not transport.connected:
        raise RelayError("the connection was lost before it could be relayed")
    if transport.producer is not None:
        raise RelayError("the connection cannot be relayed while it has a producer")
    writers: Sequence[object] = IReactorFDSet(transport.reactor).getWriters()
    if transport not in writers:
        return  # nothing unwritten, as most often, for which no round of the reactor need be waited
    asked = _Asked()
    transport.registerProducer(asked, False)
    try:
        await asked.flushed
    finally:
        transport.unregisterProducer()
