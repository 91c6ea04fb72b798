"""A Bedrock client that joins a sleeping server: prove its address, learn that it wants to join, hold it, and tell it.

Sans-I/O: datagrams and times in, datagrams and events out. Source: docs/protocol.md, "RakNet" and "Bedrock".

First `RakNetListener.answer` returns an `Opening`, for which the caller makes a `BedrockConversation`. All further
datagrams of that address go to `receive`, unless `is_offline`. After `JoinRequested` the client waits, for at most
`LONGEST_HOLD`, until `disconnect` tells it to join again: the real server must see a handshake of its own.
"""

from __future__ import annotations

from msgspec import Struct

from zeroscale.errors import ProtocolError
from zeroscale.protocols.bedrock import disconnect
from zeroscale.protocols.bedrock.connected import (
    AddressProved,
    ClientLeft,
    MessageReceived,
    RakNetConnection,
    RakNetOutput,
)
from zeroscale.protocols.bedrock.login import JoinClaim, read_first
from zeroscale.protocols.bedrock.offline import Opening

LONGEST_HOLD = 40.0
"""Seconds after the join in which a client must be told; native ones waited 45 s, bedrock-protocol waits 9 s in all."""


class JoinRequested(Struct, frozen=True):
    """A player joins, from an address that is proved.

    :ivar protocol: the client's protocol number.
    :ivar name: the name it claims, of any characters; "" where it has not sent one (protocol 554 and later).
    """

    protocol: int
    name: str


BedrockEvent = AddressProved | JoinRequested | ClientLeft


class BedrockOutput(Struct, frozen=True):
    """As `RakNetOutput`, with the events of a join."""

    datagrams: tuple[bytes, ...]
    events: tuple[BedrockEvent, ...]
    proved: bool


class BedrockConversation:
    """One client; the parameters are those of `RakNetConnection`."""

    def __init__(self, opening: Opening, host: str, port: int, now: float) -> None:
        self._connection = RakNetConnection(opening, host, port, now)
        self._claim: JoinClaim | None = None
        self._announced = False

    @property
    def client_guid(self) -> int:
        """See `Opening.client_guid`."""
        return self._connection.client_guid

    @property
    def next_timeout(self) -> float:
        """When `tick` is to be called at the latest; it changes with every call."""
        return self._connection.next_timeout

    def receive(self, datagram: bytes, now: float) -> BedrockOutput:
        """Take a datagram of the client's.

        :raises ProtocolError: it breaks the protocol. The client remains: anyone could have sent it.
        """
        return self._output(self._connection.receive(datagram, now))

    def tick(self, now: float) -> BedrockOutput:
        """Do what is due: send messages again, end a silent connection."""
        return self._output(self._connection.tick(now))

    def disconnect(self, message: str, now: float) -> BedrockOutput:
        """Tell the player a text and end the connection; `ClientLeft` follows when the client has it.

        A client that has not asked to join yet is told nothing, since its protocol number is not known.
        """
        if self._claim is None:
            return self._output(self._connection.close())
        return self._output(self._connection.send_last(disconnect.encode(self._claim.protocol, message), now))

    def _output(self, output: RakNetOutput) -> BedrockOutput:
        events: list[BedrockEvent] = []
        for event in output.events:
            if not isinstance(event, MessageReceived):
                events.append(event)
            elif self._claim is None:
                try:
                    self._claim = read_first(event.message)
                except ProtocolError:
                    continue  # it is acknowledged all the same, so that it is not repeated
        if self._claim is not None and self._connection.proved and not self._announced:
            self._announced = True
            place = len(events) - 1 if events and isinstance(events[-1], ClientLeft) else len(events)
            events.insert(place, JoinRequested(self._claim.protocol, self._claim.name))
        return BedrockOutput(output.datagrams, tuple(events), output.proved)
