"""All Bedrock clients of a sleeping server's port, by address: bounded, held, and told to join again. Sans-I/O.

The caller sends the datagrams of every output to the client named with it, and calls `tick` at `next_timeout`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from zeroscale.protocols.bedrock.connected import ClientLeft
from zeroscale.protocols.bedrock.conversation import BedrockConversation, BedrockEvent, BedrockOutput, JoinRequested
from zeroscale.protocols.bedrock.offline import Opening, RakNetListener, is_offline
from zeroscale.protocols.datagrams import Answer

MOST_CLIENTS = 1000
"""Clients at once: with fragments of a login each has up to 40 KiB, without them 1 KiB."""

MOST_UNPROVED = 200
"""Of them, those whose address is not proved; without cookies anyone can make them."""

MOST_OF_A_HOST = 32
"""Of them, those of one address: players behind one router."""

NOTHING = BedrockOutput((), (), False)

Address = tuple[str, int]


class ClientOutput(Struct, frozen=True):
    """What is for one client.

    :ivar host: its address.
    :ivar port: its port.
    """

    host: str
    port: int
    output: BedrockOutput


class _Client(Struct):
    conversation: BedrockConversation
    proved: bool
    tell_at: float = math.inf


class BedrockClients:
    """The clients of one port while its server does not run.

    :param listener: answers what is outside of connections.
    :param hold: seconds after its join that a client is held at most; see `conversation.LONGEST_HOLD`.
    """

    def __init__(self, listener: RakNetListener, hold: float) -> None:
        self._listener = listener
        self._hold = hold
        self._clients: dict[Address, _Client] = {}
        self._of_host: Counter[str] = Counter()
        self._unproved: dict[Address, None] = {}
        self._next_timeout = math.inf

    def __len__(self) -> int:
        """Return the number of clients."""
        return len(self._clients)

    @property
    def next_timeout(self) -> float:
        """When `tick` is to be called at the latest; it changes with every call, and may be earlier than needed."""
        return self._next_timeout

    def receive(self, datagram: bytes, host: str, port: int, now: float, status: bytes) -> BedrockOutput:
        """Take a datagram; return what is for its sender.

        :param now: seconds of a monotonic clock, as in all methods.
        :param status: the answer to a ping, see `status.asleep`.
        :raises ProtocolError: it is none of RakNet's. The client remains: anyone could have sent it.
        """
        address = (host, port)
        if is_offline(datagram):
            answer = self._listener.answer(datagram, host, port, now, status)
            if isinstance(answer, Answer):
                return BedrockOutput(answer.datagrams, (), answer.proved)
            return self._open(answer, address, now)
        client = self._clients.get(address)
        if client is None:  # of a connection that has ended
            return NOTHING
        return self._after(address, client, client.conversation.receive(datagram, now), now)

    def has(self, host: str, port: int) -> bool:
        """Return whether there is a client of this address."""
        return (host, port) in self._clients

    def tell(self, host: str, port: int, text: str, now: float) -> BedrockOutput:
        """Tell one client, if it is still there; see `tell_all`."""
        client = self._clients.get((host, port))
        return NOTHING if client is None else self._tell((host, port), client, text, now)

    def tick(self, now: float, text: str) -> Sequence[ClientOutput]:
        """Do what is due.

        :param text: what to tell clients that have been held for as long as they can be.
        """
        outputs = []
        for (host, port), client in list(self._clients.items()):
            if now >= client.tell_at:
                outputs.append(ClientOutput(host, port, self._tell((host, port), client, text, now)))
            elif now >= client.conversation.next_timeout:
                output = client.conversation.tick(now)
                outputs.append(ClientOutput(host, port, self._after((host, port), client, output, now)))
        self._next_timeout = min(map(_due, self._clients.values()), default=math.inf)
        return outputs

    def tell_all(self, text: str, now: float) -> Sequence[ClientOutput]:
        """Tell every client that has asked to join a text, and end its connection; end those of the others at once."""
        clients = list(self._clients.items())
        return [ClientOutput(*address, self._tell(address, client, text, now)) for address, client in clients]

    def _open(self, opening: Opening, address: Address, now: float) -> BedrockOutput:
        known = self._clients.get(address)
        reply = BedrockOutput((opening.reply,), (), opening.proved)
        events: tuple[BedrockEvent, ...] = ()
        if known is not None:
            if known.conversation.client_guid == opening.client_guid:
                return reply
            if known.proved and not opening.proved:
                return NOTHING  # a forged request must not end another's connection
            self._drop(address)
            events = (ClientLeft("replaced"),)
        if len(self._clients) >= MOST_CLIENTS or self._of_host[address[0]] >= MOST_OF_A_HOST:
            return BedrockOutput((), events, opening.proved)
        if not opening.proved:
            if len(self._unproved) >= MOST_UNPROVED:
                self._drop(next(iter(self._unproved)))
            self._unproved[address] = None
        client = self._clients[address] = _Client(BedrockConversation(opening, *address, now), opening.proved)
        self._next_timeout = min(self._next_timeout, _due(client))
        self._of_host[address[0]] += 1
        return BedrockOutput((opening.reply,), events, opening.proved)

    def _tell(self, address: Address, client: _Client, text: str, now: float) -> BedrockOutput:
        client.tell_at = math.inf
        return self._after(address, client, client.conversation.disconnect(text, now), now)

    def _after(self, address: Address, client: _Client, output: BedrockOutput, now: float) -> BedrockOutput:
        if output.proved and not client.proved:
            client.proved = True
            self._unproved.pop(address, None)
        for event in output.events:
            if isinstance(event, JoinRequested):
                client.tell_at = now + self._hold
            elif isinstance(event, ClientLeft):
                self._drop(address)
        self._next_timeout = min(self._next_timeout, _due(client))
        return output

    def _drop(self, address: Address) -> None:
        del self._clients[address]
        self._unproved.pop(address, None)
        self._of_host[address[0]] -= 1
        if not self._of_host[address[0]]:
            del self._of_host[address[0]]


def _due(client: _Client) -> float:
    return min(client.tell_at, client.conversation.next_timeout)
