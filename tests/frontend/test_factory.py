"""What all connections of a proxy share, and what each is made with."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock

from zeroscale.frontend.connection import ClientConnection
from zeroscale.frontend.connection_limits import PendingConnections
from zeroscale.frontend.context import EvictableConnection, FrontendContext
from zeroscale.frontend.factory import ConnectionFactory
from zeroscale.frontend.interfaces import RelayService
from zeroscale.frontend.waiting_places import WaitingPlaces
from zeroscale.protocols.conversation import Conversation
from zeroscale.protocols.tcp import TcpConversation


class NoRelays(RelayService):
    def hand_over(self, client: Any, backend: Any, early: bytes, **more: Any) -> Any:
        raise AssertionError

    def relay_socket(self, client: Any, backend: Any, early: bytes, **more: Any) -> Any:
        raise AssertionError


def context(per_address: int = 2) -> FrontendContext:
    pending_connections: PendingConnections[EvictableConnection] = PendingConnections(per_address, 100)
    return FrontendContext(
        reactor=cast(Any, Clock()),
        relays=NoRelays(),
        pending_connections=pending_connections,
        waiting_places=WaitingPlaces(2),
        handshake_timeout=5.0,
    )


def client(listener: ConnectionFactory) -> ClientConnection:
    return listener.buildProtocol(IPv4Address("TCP", "192.0.2.7", 5000))


def test_a_new_setting_counts_for_later_connections() -> None:
    made: list[Conversation] = []

    def make_conversation() -> Conversation:
        made.append(TcpConversation())
        return made[-1]

    listener = ConnectionFactory(context(), TcpConversation, lambda host: None)
    before = client(listener)
    listener.make_conversation = make_conversation
    after = client(listener)
    assert before.conversation not in made
    assert after.conversation is made[0]
    assert after.record.address.host == "192.0.2.7"
