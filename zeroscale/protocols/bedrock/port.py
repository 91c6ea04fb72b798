"""A Bedrock port: what its clients are answered, asleep and while the real server runs. Sans-I/O.

Asleep, pings are answered with our status, and joins are held and told. While the server runs, pings are answered with
its own pong, which is asked for in the background, so that no ping opens a session, and none keeps the server running.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from zeroscale.protocols.bedrock.clients import BedrockClients, ClientOutput
from zeroscale.protocols.bedrock.conversation import BedrockOutput, JoinRequested
from zeroscale.protocols.bedrock.offline import (
    MAGIC,
    OPEN_REQUEST_1,
    OPEN_REQUEST_2,
    PING_SIZE,
    UNCONNECTED_PING,
    UNCONNECTED_PING_OPEN,
    RakNetListener,
)
from zeroscale.protocols.bedrock.status import repeated
from zeroscale.protocols.conversation import Component
from zeroscale.protocols.datagrams import NO_REPLY, ClientReply, Reply, WakeRequested
from zeroscale.protocols.minecraft.text_component import section_text

HOLD = 8.0
"""Seconds that a joining client is held at most: bedrock-protocol waits 9 s in all, and native clients more."""

MOST_PINGS = 64
"""Pings that wait for the real server's pong, one of each client."""

PING_WAITS = 2.0
"""Seconds that a ping waits; clients repeat it earlier."""

LOOK_EVERY = 0.02
"""Seconds between two looks for the pong that a ping waits for: on one machine it takes a millisecond."""

_PINGS = (UNCONNECTED_PING, UNCONNECTED_PING_OPEN)


class Texts(Protocol):
    """What players read of a server that does not run."""

    def status(self, now: float) -> bytes:
        """Return the string of a pong; see `status.asleep`."""
        ...

    def join_again(self, now: float) -> Component:
        """Return what a client that is held is told in the server's present state."""
        ...


class Pongs(Protocol):
    """The pongs of the real server while it runs."""

    def ask(self, now: float) -> None:
        """Ask for one in the background, unless that was done just now."""
        ...

    def latest(self, now: float) -> bytes | None:
        """Return the last one; None: there is none, or it is old."""
        ...


class BedrockPort:
    """All clients of one port. Implements `DatagramConversation`.

    :param listener: answers what is outside of connections.
    """

    def __init__(self, listener: RakNetListener, texts: Texts, pongs: Pongs) -> None:
        self._clients = BedrockClients(listener, HOLD)
        self._texts = texts
        self._pongs = pongs
        self._pings: dict[tuple[str, int], tuple[float, bytes]] = {}
        self._look_at = 0.0

    @property
    def next_timeout(self) -> float:
        """See `DatagramConversation`."""
        timeout = self._clients.next_timeout
        return min(timeout, self._look_at) if self._pings else timeout

    def receive(self, datagram: bytes, host: str, port: int, now: float) -> Reply:
        """Take a client's datagram while the server does not run."""
        output = self._received(datagram, host, port, now)
        return Reply(output.datagrams, output.proved, _wake(output))

    def tick(self, now: float) -> Sequence[ClientReply]:
        """Do what is due."""
        replies = self._answered_pings(now)
        if now >= self._clients.next_timeout:
            replies += _replies(self._clients.tick(now, section_text(self._texts.join_again(now))))
        return replies

    def server_ready(self, now: float) -> Sequence[ClientReply]:
        """Tell all clients that wait: the server runs now, or its start has failed."""
        self._pongs.ask(now)
        return _replies(self._clients.tell_all(section_text(self._texts.join_again(now)), now))

    def refuse(self, host: str, port: int, message: Component, now: float) -> Reply:
        """Tell a client that it may not wake the server."""
        output = self._clients.tell(host, port, section_text(message), now)
        return Reply(output.datagrams, output.proved)

    def opens_session(self, datagram: bytes) -> bool:
        """Return whether a datagram begins a connection: the real server has to see it from there."""
        return len(datagram) > len(MAGIC) and datagram[0] == OPEN_REQUEST_1 and datagram[1:17] == MAGIC

    def answer_running(self, datagram: bytes, host: str, port: int, now: float) -> Reply:
        """Take a datagram that opens no session, while the server runs.

        What belongs to connections that we hold goes on, until their clients have been told to join again. What
        belongs to others, as to those of a server that has stopped in the meantime, is dropped.
        """
        if _is_ping(datagram):
            return self._answer_ping(datagram, host, port, now)
        if not self._clients.has(host, port) and datagram[:1] != bytes((OPEN_REQUEST_2,)):
            return NO_REPLY
        output = self._received(datagram, host, port, now)
        datagrams, wake = output.datagrams, _wake(output)
        if wake is not None:
            message = section_text(self._texts.join_again(now))
            datagrams += self._clients.tell(host, port, message, now).datagrams
        return Reply(datagrams, output.proved, wake)

    def _received(self, datagram: bytes, host: str, port: int, now: float) -> BedrockOutput:
        status = self._texts.status(now) if _is_ping(datagram) else b""
        return self._clients.receive(datagram, host, port, now, status)

    def _answer_ping(self, ping: bytes, host: str, port: int, now: float) -> Reply:
        self._pongs.ask(now)
        pong = self._pongs.latest(now)
        if pong is not None:
            return Reply((repeated(pong, ping),))
        if not self._pings:
            self._look_at = now + LOOK_EVERY
        if (host, port) in self._pings or len(self._pings) < MOST_PINGS:
            self._pings[host, port] = now, ping
        return NO_REPLY

    def _answered_pings(self, now: float) -> list[ClientReply]:
        if not self._pings or now < self._look_at:
            return []
        self._look_at = now + LOOK_EVERY
        pong = self._pongs.latest(now)
        waiting = list(self._pings.items())
        if pong is not None:
            self._pings.clear()
            return [ClientReply(*address, Reply((repeated(pong, ping),))) for address, (_, ping) in waiting]
        for address, (at, _) in waiting:
            if now >= at + PING_WAITS:
                del self._pings[address]
        return []


def _wake(output: BedrockOutput) -> WakeRequested | None:
    return next((WakeRequested(each.name) for each in output.events if isinstance(each, JoinRequested)), None)


def _is_ping(datagram: bytes) -> bool:
    return len(datagram) >= PING_SIZE and datagram[0] in _PINGS and datagram[9:25] == MAGIC


def _replies(outputs: Sequence[ClientOutput]) -> list[ClientReply]:
    return [ClientReply(each.host, each.port, Reply(each.output.datagrams, each.output.proved)) for each in outputs]
