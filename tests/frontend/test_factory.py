"""What all connections of a proxy share, and what each is made with."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock

from zeroscale.frontend.connection import Client
from zeroscale.frontend.connection_limits import Newcomers
from zeroscale.frontend.context import Evictable, House
from zeroscale.frontend.factory import Listener
from zeroscale.frontend.interfaces import Relays
from zeroscale.protocols.conversation import Conversation
from zeroscale.protocols.tcp import GenericConversation


class NoRelays(Relays):
    def hand_over(self, client: Any, backend: Any, early: bytes, **more: Any) -> Any:
        raise AssertionError


def house(per_address: int = 2) -> House:
    newcomers: Newcomers[Evictable] = Newcomers(per_address, 100)
    return House(reactor=Clock(), relays=NoRelays(), newcomers=newcomers, handshake_timeout=5.0)


def client(listener: Listener) -> Client:
    return listener.buildProtocol(IPv4Address("TCP", "192.0.2.7", 5000))


def test_who_is_held_is_bounded_as_who_is_new_but_counted_apart() -> None:
    shared = house(per_address=2)
    listener = Listener(shared, GenericConversation, lambda host: None)
    held = [client(listener) for _ in range(3)]
    assert [each.may_wait() for each in held] == [True, True, False]
    assert len(shared.newcomers) == 0
    held[0].waits_no_more()
    assert held[2].may_wait()


def test_those_to_come_are_made_as_it_is_told_last() -> None:
    made: list[Conversation] = []

    def converse() -> Conversation:
        made.append(GenericConversation())
        return made[-1]

    listener = Listener(house(), GenericConversation, lambda host: None)
    before = client(listener)
    listener.converse = converse
    after = client(listener)
    assert before.conversation not in made
    assert after.conversation is made[0]
    assert after.host == "192.0.2.7"
