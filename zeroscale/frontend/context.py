"""Objects shared by the client connections of one proxy: limits, relays, access log, settings of a listener.

`factory` makes connections and `connection` is one; both import this module, so that they need not import each other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

from twisted.python.failure import Failure

from zeroscale.frontend.access_log import AccessLog
from zeroscale.frontend.connection_limits import Network, PendingConnections
from zeroscale.frontend.interfaces import Backend, Messages, RelayService
from zeroscale.frontend.rate_limit import RefusalReports
from zeroscale.frontend.timer import Deadlines
from zeroscale.frontend.waiting_places import WaitingPlaces
from zeroscale.protocols.conversation import Conversation
from zeroscale.reactor import Reactor
from zeroscale.sockets.poller import SocketPoller


class EvictableConnection(Protocol):
    """A connection that can be closed to make room for a newer one."""

    def evict(self) -> None:
        """Close the connection: the table of connections is full and this one is the oldest."""
        ...


class WaitingClient(Protocol):
    """A client that waits for its server, and can be refused for one of another address."""

    def give_way(self) -> None:
        """Stop waiting: the proxy has too many waiting clients, and this one's address has the most of them."""
        ...


class FrontendContext:
    """Objects shared by all client connections of one proxy.

    :ivar relays: moves the bytes of clients that have joined.
    :ivar pending_connections: the connections that have not logged in yet, and those that are being closed.
    :ivar waiting_places: the clients that wait for a server.
    :ivar handshake_timeout: seconds until a handshake must be complete, and until the ping after a status request.
    :ivar deadlines: their timers.
    :ivar answer_unknown_host: answer clients whose host matches no server, instead of closing the connection.
    :ivar poller: watches the sockets of plain connections; None: they are the reactor's.
    :ivar refusals: bounds how often refused logins are reported.
    :ivar relay_crashed: called when a relay's thread has died.
    :ivar unrouted: number of ended connections without a server, for each outcome.
    """

    def __init__(
        self,
        reactor: Reactor,
        relays: RelayService,
        pending_connections: PendingConnections[EvictableConnection],
        waiting_places: WaitingPlaces[WaitingClient],
        handshake_timeout: float,
        answer_unknown_host: bool = False,
        poller: SocketPoller | None = None,
        relay_crashed: Callable[[Failure], None] = lambda failure: failure.raiseException(),
    ) -> None:
        self.reactor = reactor
        self.relays = relays
        self.pending_connections = pending_connections
        self.waiting_places = waiting_places
        self.handshake_timeout = handshake_timeout
        self.answer_unknown_host = answer_unknown_host
        self.poller = poller
        self.relay_crashed = relay_crashed
        self.access_log = AccessLog(reactor)
        self.deadlines = Deadlines(reactor)
        self.refusals = RefusalReports()
        self.unrouted: Counter[str] = Counter()


class ListenerSettings(Protocol):
    """The settings of one listener, as its connections read them. `factory.ConnectionFactory` implements it.

    :ivar make_conversation: makes a Conversation of the protocol spoken here.
    :ivar route: returns the server that a handshake's host means, or None.
    :ivar messages: returns the messages for clients whose host matches no server.
    :ivar accept_from: networks that must send a PROXY protocol header, which is trusted. If the list is not empty,
        no other address may send one.
    :ivar reject_header: close a client that sends a PROXY protocol header without being in `accept_from`. Needed
        for protocols whose parsers would not notice a header.
    :ivar timeout: seconds until a handshake must be complete; None: `context.handshake_timeout`.
    :ivar health_check: networks of health checkers: their connections are closed at once and never wake a server.
    """

    context: FrontendContext
    make_conversation: Callable[[], Conversation]
    route: Callable[[str], Backend | None]
    messages: Callable[[], Messages]
    accept_from: Sequence[Network]
    reject_header: bool
    timeout: float | None
    health_check: Sequence[Network]
