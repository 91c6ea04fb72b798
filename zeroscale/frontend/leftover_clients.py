"""Clients of a server that has stopped, which do not know it yet: what they still send must not wake it. Pure."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

SILENCE = 5.0
LONGEST = 30.0
"""Seconds: a client is ignored until it was silent for the first time, or the second one is over. UDP has no end of a
connection: some clients send for as long as that to a server that is gone."""

Client = TypeVar("Client", bound=Hashable)


class LeftoverClients(Generic[Client]):
    """As many as there were sessions when the server stopped."""

    def __init__(self) -> None:
        self._clients: dict[Client, tuple[float, float]] = {}

    def add(self, client: Client, heard: float, now: float) -> None:
        """Ignore a client from now on.

        :param heard: when its last datagram came.
        """
        self._clients[client] = heard, now + LONGEST

    def ignores(self, client: Client, now: float) -> bool:
        """Note a datagram of a client; return whether it is to be ignored."""
        heard, until = self._clients.pop(client, (0.0, 0.0))
        if now >= until or now - heard >= SILENCE:
            return False
        self._clients[client] = now, until
        return True

    def clear(self) -> None:
        """Ignore none of them any more: the server runs again."""
        self._clients.clear()
