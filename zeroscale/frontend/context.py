"""What the client connections of one proxy share: limits, relays, the log of outcomes, the settings of a listener.

The factory that makes connections is in `listener`, the connections themselves are in `connection`; both know this
module, so that they need not know each other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from zeroscale.frontend.access_log import AccessLog
from zeroscale.frontend.connection_limits import Network, PendingConnections
from zeroscale.frontend.interfaces import Backend, Relays
from zeroscale.protocols.conversation import Conversation

MOST_HELD = 1000
"""The most clients that are held at once in the whole proxy; more than this is not a rush of players."""


class EvictableConnection(Protocol):
    """A connection that can be closed to make room for a newer one."""

    def evict(self) -> None:
        """Close the connection: the table of connections is full and this one is the oldest."""
        ...


@dataclass(slots=True)
class FrontendContext:
    """What all connections of one proxy share.

    :ivar reactor: clock and connector.
    :ivar relays: who moves the bytes.
    :ivar pending_connections: who has not logged in yet.
    :ivar waiting: who has, and is held.
    :ivar handshake_timeout: seconds to a whole handshake, and to a ping after a status.
    :ivar answer_unknown_host: a client whose host means no server is told so; else it is cut off.
    :ivar access_log: tells how connections ended.
    :ivar unrouted: how those ended that found no server, by the log's word for it.
    """

    reactor: Any
    relays: Relays
    pending_connections: PendingConnections[EvictableConnection]
    handshake_timeout: float
    answer_unknown_host: bool = False
    waiting: PendingConnections[EvictableConnection] = field(init=False)
    access_log: AccessLog = field(init=False)
    unrouted: Counter[str] = field(init=False, default_factory=Counter)

    def __post_init__(self) -> None:
        self.waiting = self.pending_connections.another(MOST_HELD)
        self.access_log = AccessLog(self.reactor)


class ListenerSettings(Protocol):
    """The settings of one listener, as its connections read them. `listener.ConnectionFactory` implements it.

    :ivar context: what all connections of the proxy share.
    :ivar make_conversation: makes a Conversation of the protocol spoken here.
    :ivar route: returns the server that a handshake's host means, or None.
    :ivar accept_from: networks that must send a PROXY protocol header and are believed. Where the list is not empty,
        no other address may connect.
    :ivar reject_header: a client that sends a PROXY protocol header without being in `accept_from` is closed. Needed
        where the protocol spoken here would not notice one.
    :ivar timeout: seconds until a handshake must be complete; None: `context.handshake_timeout`.
    :ivar health_check: networks of health checkers, whose connections are closed at once and never wake a server.
    """

    context: FrontendContext
    make_conversation: Callable[[], Conversation]
    route: Callable[[str], Backend | None]
    accept_from: Sequence[Network]
    reject_header: bool
    timeout: float | None
    health_check: Sequence[Network]
