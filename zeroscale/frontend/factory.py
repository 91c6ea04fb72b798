"""The Twisted factory of a listener: a `Client` for each connection that is accepted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory

from zeroscale.frontend.connection import Client
from zeroscale.frontend.connection_limits import Network
from zeroscale.frontend.context import House
from zeroscale.frontend.interfaces import Place
from zeroscale.protocols.conversation import Conversation


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
