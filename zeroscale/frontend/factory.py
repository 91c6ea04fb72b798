"""The Twisted factory of a listener: a `ClientConnection` for each connection that is accepted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory

from zeroscale.frontend.connection import ClientConnection
from zeroscale.frontend.connection_limits import Network
from zeroscale.frontend.context import FrontendContext
from zeroscale.frontend.interfaces import Backend
from zeroscale.protocols.conversation import Conversation


class ConnectionFactory(Factory):
    """Makes a `ClientConnection` for each connection that one listener accepts.

    :param context: what all connections share.
    :param make_conversation: makes a Conversation of the protocol spoken here.
    :param route: returns the server that a handshake's host means, or None. It and `make_conversation` may be replaced
        at any time; only later connections use the new ones.
    :ivar accept_from: who has to send a PROXY header, and is believed. Where there is anybody, nobody else may.
    :ivar reject_header: the protocol spoken here would not notice such a header by itself.
    :ivar timeout: seconds to a whole handshake here; None: as in all of the context.
    :ivar health_check: who only looks whether anybody listens: accepted, closed, and not asked for more.
    """

    noisy = False

    def __init__(
        self,
        context: FrontendContext,
        make_conversation: Callable[[], Conversation],
        route: Callable[[str], Backend | None],
    ) -> None:
        self.context = context
        self.make_conversation = make_conversation
        self.route = route
        self.accept_from: Sequence[Network] = ()
        self.reject_header = False
        self.timeout: float | None = None
        self.health_check: Sequence[Network] = ()

    def buildProtocol(self, addr: IAddress | None) -> ClientConnection:
        return ClientConnection(self, addr)
