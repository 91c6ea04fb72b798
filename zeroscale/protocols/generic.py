"""Any TCP protocol: a connection is a client, and all that it says is kept for the real server."""

from __future__ import annotations

from collections.abc import Sequence

from zeroscale.protocols.base import Component, Event, Opened, StatusReply

CAPACITY = 65536
"""Bytes of early data after which we stop reading: what one read of a socket brings, and more than greetings need."""


class GenericConversation:
    """A client of a protocol that we do not speak. Implements `base.Conversation`; raises nothing.

    :param capacity: how many bytes are kept before the caller is told to stop reading. Not one of them is dropped: at
        most one read's worth more is kept.
    """

    quiet_timeout: float | None = None
    status_ends = False
    unanswered = 0

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._kept = bytearray()

    def opened(self) -> Sequence[Event]:
        """A connection is all it takes."""
        return (Opened(),)

    def receive(self, data: bytes) -> Sequence[Event]:
        """Keeps it."""
        self._kept += data
        return ()

    def silence(self) -> Sequence[Event]:
        """Means nothing."""
        return ()

    @property
    def kept(self) -> bytes:
        """All that the client sent."""
        return bytes(self._kept)

    @property
    def full(self) -> bool:
        """Whether `capacity` is reached."""
        return len(self._kept) >= self._capacity

    def status(self, reply: StatusReply) -> bytes:
        """No words."""
        return b""

    def pong(self) -> bytes:
        """No words."""
        return b""

    def kick(self, reason: Component) -> bytes:
        """No words."""
        return b""

    def hold(self) -> Sequence[Event]:
        """Whatever it says while it waits is kept as well."""
        return ()

    def keepalive(self) -> bytes:
        """It waits in silence."""
        return b""
