"""What a port answers its clients itself, within the limits for addresses that may be forged."""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

from zeroscale.frontend.connection_limits import normalised
from zeroscale.frontend.datagram_limits import AnswerLimits
from zeroscale.protocols.datagrams import Reply
from zeroscale.relay.datagram_session import DatagramClient

MOST_CLIENTS = 4096
"""Clients whose socket is remembered, for replies that come later; the one answered longest ago is forgotten."""


class Sender(Protocol):
    """A port of the relay, as far as it is used here."""

    def send(self, client: DatagramClient, datagram: bytes) -> bool:
        """Send a datagram to a client; return whether the kernel has taken it."""
        ...


class SendingSocket(Protocol):
    """A socket that clients use."""

    @property
    def port(self) -> Sender:
        """The relay's port."""
        ...


Socket = TypeVar("Socket", bound=SendingSocket)


class DatagramAnswers(Generic[Socket]):
    """The answers of one port.

    :param limits: shared by all ports.
    :ivar sent: datagrams sent.
    :ivar limited: replies that were not sent, because of a limit.
    """

    def __init__(self, limits: AnswerLimits) -> None:
        self._limits = limits
        self._clients: dict[tuple[str, int], tuple[Socket, DatagramClient]] = {}
        self.sent = 0
        self.limited = 0

    def send(self, sock: Socket, client: DatagramClient, reply: Reply, asked: int, now: float) -> None:
        """Send a reply.

        :param sock: the one that the client uses.
        :param asked: the length of the datagram that is answered; 0: none.
        """
        if not reply.datagrams:
            return
        host = normalised(client.address[0])
        is_longer = sum(map(len, reply.datagrams)) > asked
        if is_longer and not reply.proved and not self._limits.take(host, now):
            self.limited += 1
            return
        key = host, client.address[1]
        self._clients.pop(key, None)
        if len(self._clients) >= MOST_CLIENTS:
            del self._clients[next(iter(self._clients))]
        self._clients[key] = sock, client
        for datagram in reply.datagrams:
            self.sent += sock.port.send(client, datagram)

    def find(self, host: str, port: int) -> tuple[Socket, DatagramClient] | None:
        """Return a client that was answered before, and the socket that it uses; None: it was not, or long ago."""
        return self._clients.get((host, port))
