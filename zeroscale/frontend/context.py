"""What the client connections of one proxy share: limits, relays, the log of outcomes, the settings of a listener.

The factory that makes connections is in `listener`, the connections themselves are in `connection`; both know this
module, so that they need not know each other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from zeroscale.frontend.access_log import Outcomes
from zeroscale.frontend.connection_limits import Network, Newcomers
from zeroscale.frontend.interfaces import Place, Relays
from zeroscale.protocols.conversation import Conversation

MOST_HELD = 1000
"""The most clients that are held at once in the whole proxy; more than this is not a rush of players."""


class Evictable(Protocol):
    """A connection that can be closed to make room for a newer one."""

    def give_way(self) -> None:
        """Close the connection: the table of connections is full and this one is the oldest."""
        ...


@dataclass(slots=True)
class House:
    """What all connections of one proxy share.

    :ivar reactor: clock and connector.
    :ivar relays: who moves the bytes.
    :ivar newcomers: who has not logged in yet.
    :ivar waiting: who has, and is held.
    :ivar handshake_timeout: seconds to a whole handshake, and to a ping after a status.
    :ivar answers_strangers: a client whose host means no server is told so; else it is cut off.
    :ivar outcomes: tells how connections ended.
    :ivar strangers: how those ended that found no server, by the log's word for it.
    """

    reactor: Any
    relays: Relays
    newcomers: Newcomers[Evictable]
    handshake_timeout: float
    answers_strangers: bool = False
    waiting: Newcomers[Evictable] = field(init=False)
    outcomes: Outcomes = field(init=False)
    strangers: Counter[str] = field(init=False, default_factory=Counter)

    def __post_init__(self) -> None:
        self.waiting = self.newcomers.another(MOST_HELD)
        self.outcomes = Outcomes(self.reactor)


class ListenerSettings(Protocol):
    """The settings of one listener, as its connections read them. `listener.Listener` implements it.

    :ivar house: what all connections of the proxy share.
    :ivar converse: makes a Conversation of the protocol spoken here.
    :ivar route: returns the server that a handshake's host means, or None.
    :ivar accept_from: networks that must send a PROXY protocol header and are believed. Where the list is not empty,
        no other address may connect.
    :ivar guards: PROXY protocol headers are looked for here, since the protocol spoken here would not notice one.
    :ivar timeout: seconds until a handshake must be complete; None: `house.handshake_timeout`.
    :ivar health_check: networks of health checkers, whose connections are closed at once and never wake a server.
    """

    house: House
    converse: Callable[[], Conversation]
    route: Callable[[str], Place | None]
    accept_from: Sequence[Network]
    guards: bool
    timeout: float | None
    health_check: Sequence[Network]
