"""The Twisted factory of a listener: makes a `ClientConnection` for each connection that is accepted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory

from zeroscale.frontend.connection import ClientConnection
from zeroscale.frontend.connection_limits import Network
from zeroscale.frontend.context import FrontendContext
from zeroscale.frontend.interfaces import Backend
from zeroscale.frontend.interfaces import Messages as MessagesProtocol
from zeroscale.frontend.messages import Messages
from zeroscale.protocols.conversation import Conversation


class ConnectionFactory(Factory):
    """The factory and the settings of one listener; see `context.ListenerSettings` for what each setting means.

    All settings may be changed at any time, and count for later connections.
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
        self.messages: Callable[[], MessagesProtocol] = Messages
        self.accept_from: Sequence[Network] = ()
        self.reject_header = False
        self.timeout: float | None = None
        self.health_check: Sequence[Network] = ()

    def buildProtocol(self, addr: IAddress | None) -> ClientConnection:
        """Make the protocol of one accepted connection."""
        return ClientConnection(self, addr)
