"""The part of Twisted's reactor that the proxy uses, as a type.

A function that needs only timers takes `twisted.internet.interfaces.IReactorTime`. This module imports no reactor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from socket import AddressFamily

    from twisted.internet.interfaces import IDelayedCall, IListeningPort, IReadDescriptor
    from twisted.internet.protocol import Factory


@implementer(IReactorTime)
class Reactor(Protocol):
    """What the asyncio reactor offers: a clock, connections, listening ports, and calls from other threads."""

    def seconds(self) -> float:
        """Return the time of the reactor's clock, in seconds."""
        ...

    def callLater(self, delay: float, callable: Callable[..., object], *args: object, **kwargs: object) -> IDelayedCall:
        """Call `callable` after `delay` seconds."""
        ...

    def getDelayedCalls(self) -> Sequence[IDelayedCall]:
        """Return the calls that are waiting for their time."""
        ...

    def callFromThread(self, callable: Callable[..., object], *args: object, **kwargs: object) -> None:
        """Call `callable` in the reactor's thread; may be called from any thread."""
        ...

    def callWhenRunning(self, callable: Callable[..., object], *args: object, **kwargs: object) -> object:
        """Call `callable` once the reactor runs."""
        ...

    def addReader(self, reader: IReadDescriptor) -> None:
        """Call `reader.doRead()` whenever its descriptor is readable."""
        ...

    def removeReader(self, reader: IReadDescriptor) -> None:
        """End that."""
        ...

    def listenTCP(self, port: int, factory: Factory, backlog: int = 50, interface: str = "") -> IListeningPort:
        """Listen on a TCP port."""
        ...

    def listenUNIX(
        self, address: str, factory: Factory, backlog: int = 50, mode: int = 0o666, wantPID: bool = False
    ) -> IListeningPort:
        """Listen on a Unix socket."""
        ...

    def adoptStreamPort(self, fileDescriptor: int, addressFamily: AddressFamily, factory: Factory) -> IListeningPort:
        """Listen on a socket that listens already; the descriptor is duplicated."""
        ...
