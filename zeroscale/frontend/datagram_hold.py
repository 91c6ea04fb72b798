"""Datagrams that clients have sent to a server that is not ready yet, bounded. Pure: times are arguments."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

MOST_DATAGRAMS = 8
"""Datagrams kept for one client, the last ones: a handshake has fewer, and of a stream only the latest are of use."""

MOST_CLIENTS = 256
MOST_BYTES = 1024 * 1024
"""Clients of one port, and the bytes of all their datagrams."""

SPARED_FOR = 5.0
"""Seconds since its datagram for which a client that has sent only one keeps its place."""

Client = TypeVar("Client", bound=Hashable)


class DatagramHold(Generic[Client]):
    """What the clients of one port have sent.

    A newcomer takes the place of a client that has sent a single datagram and was silent since, as forged addresses
    are, and never that of one that goes on sending.

    :ivar displaced: datagrams that have given their place to later ones.
    """

    def __init__(self, clients: int = MOST_CLIENTS, size: int = MOST_BYTES) -> None:
        self._most_clients = clients
        self._most_bytes = size
        self._held: dict[Client, deque[bytes]] = {}
        self._once: dict[Client, float] = {}
        self._bytes = 0
        self.displaced = 0

    def __len__(self) -> int:
        """Return the number of clients."""
        return len(self._held)

    def __contains__(self, client: Client) -> bool:
        """Return whether datagrams of a client are kept."""
        return client in self._held

    def keep(self, client: Client, datagram: bytes, now: float) -> bool:
        """Keep a client's datagram, in place of its oldest one where it has `MOST_DATAGRAMS`.

        :returns: whether there was room.
        """
        kept = self._held.get(client)
        if kept is None:
            if not self._make_room(len(datagram), now):
                return False
            self._held[client] = deque((datagram,))
            self._once[client] = now
            self._bytes += len(datagram)
            return True
        if len(kept) >= MOST_DATAGRAMS:
            self._bytes -= len(kept.popleft())
            self.displaced += 1
        self._once.pop(client, None)
        if self._bytes + len(datagram) > self._most_bytes:
            return False
        kept.append(datagram)
        self._bytes += len(datagram)
        return True

    def take(self, client: Client) -> list[bytes]:
        """Remove and return the datagrams of a client, the oldest first."""
        kept = self._held.pop(client, ())
        self._once.pop(client, None)
        self._bytes -= sum(map(len, kept))
        return list(kept)

    def clients(self) -> list[Client]:
        """Return the clients, in the order in which they came."""
        return list(self._held)

    def clear(self) -> int:
        """Forget all; return how many datagrams there were."""
        count = sum(map(len, self._held.values()))
        self._held.clear()
        self._once.clear()
        self._bytes = 0
        return count

    def _make_room(self, size: int, now: float) -> bool:
        def is_full() -> bool:
            return len(self._held) >= self._most_clients or self._bytes + size > self._most_bytes

        while is_full() and self._once:
            client, since = next(iter(self._once.items()))
            if now - since < SPARED_FOR:
                return False
            self.displaced += len(self.take(client))
        return not is_full()
