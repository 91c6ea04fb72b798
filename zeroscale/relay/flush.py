"""When a transport has handed everything it was given to the kernel. Knows no relay."""

from __future__ import annotations

from twisted.internet import tcp
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPullProducer
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
    asked = _Asked()
    try:
        transport.registerProducer(asked, False)
    except RuntimeError as error:
        raise RelayError(f"the connection cannot be relayed while it has a producer: {error}") from error
    if transport.connected:
        transport.startWriting()
    try:
        await asked.flushed
    finally:
        transport.unregisterProducer()
