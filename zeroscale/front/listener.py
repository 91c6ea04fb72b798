"""What the connections of one proxy share, and who makes them: a `Client` for each that is accepted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory

from zeroscale.front.connection import Client
from zeroscale.front.newcomers import Network, Newcomers
from zeroscale.front.outcomes import Outcomes
from zeroscale.front.place import Place, Relays
from zeroscale.protocols.base import Conversation

MOST_HELD = 1000
"""Clients held in all: what more would be is no rush of players."""


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
    newcomers: Newcomers[Client]
    handshake_timeout: float
    answers_strangers: bool = False
    waiting: Newcomers[Client] = field(init=False)
    outcomes: Outcomes = field(init=False)
    strangers: Counter[str] = field(init=False, default_factory=Counter)

    def __post_init__(self) -> None:
        self.waiting = self.newcomers.another(MOST_HELD)
        self.outcomes = Outcomes(self.reactor)


class Listener(Factory):
    """Makes a `Client` for each connection that one listener accepts.

    :param house: what all connections share.
    :param converse: makes a Conversation of the protocol spoken here.
    :param route: which server a handshake's host means; None: none. It and `converse` may be replaced at any time, for
        the connections to come.
    :ivar accept_from: who has to send a PROXY header, and is believed. Where there is anybody, nobody else may.
    :ivar guards: the protocol spoken here would not notice such a header by itself.
    :ivar timeout: seconds to a whole handshake here; None: as in all of the house.
    :ivar health_check: who only looks whether anybody listens: accepted, closed, and not asked for more.
    """

    noisy = False

    def __init__(
        self,
        house: House,
        converse: Callable[[], Conversation],
        route: Callable[[str], Place | None],
    ) -> None:
        self.house = house
        self.converse = converse
        self.route = route
        self.accept_from: Sequence[Network] = ()
        self.guards = False
        self.timeout: float | None = None
        self.health_check: Sequence[Network] = ()

    def buildProtocol(self, addr: IAddress | None) -> Client:
        return Client(self, addr)
