"""How long connections that have not shown to be a player's keep a server running. Pure.

A connection of a Minecraft client may be a stranger's, whom the server would not let in. It keeps the server running
for its first 60 s only, and the connections of one address for 60 s in all in each idle period. An idle period begins
when the server becomes ready and whenever a player leaves; it ends with the next one.
"""

from __future__ import annotations

from collections.abc import Hashable

from msgspec import Struct, field

PROBATION = 60.0
"""Seconds: a server that accepts a player has sent `status.PROOF_BYTES` by then, on a slow line, too."""

GRACE = 15.0
"""Seconds that an address may use after its last connection has closed, so that its player can try again."""

MOST_ADDRESSES = 1024
"""Addresses that are remembered in an idle period; all further ones share one time, so that both are bounded."""

OTHERS = ""
"""The key of the addresses that are not remembered."""


class _Address(Struct):
    """The time of one address: it keeps the server running from `since` to `until`, after `spent` seconds before."""

    since: float
    until: float
    spent: float = 0.0
    connections: dict[Hashable, float] = field(default_factory=dict)


class Probation:
    """The connections to one server that have not shown to be a player's. Times are seconds of one monotonic clock.

    :param limit: seconds for each connection, and for each address and idle period.
    """

    def __init__(self, limit: float = PROBATION) -> None:
        self._limit = limit
        self._addresses: dict[Hashable, _Address] = {}
        self._keys: dict[Hashable, Hashable] = {}
        self._unlimited_until = float("-inf")
        self._until: float | None = None

    @property
    def until(self) -> float:
        """Until when they keep the server running, if nothing changes; in the past: they do not."""
        if self._until is None:
            self._until = max([self._unlimited_until, *(entry.until for entry in self._addresses.values())])
        return self._until

    def add(self, connection: Hashable, address: str | None, now: float) -> None:
        """Add a connection.

        :param address: what the times of connections are added up by; None: the connection has a time of its own.
        """
        key: Hashable = connection if address is None else address
        if address is not None and key not in self._addresses and len(self._addresses) >= MOST_ADDRESSES:
            key = OTHERS
        self._keys[connection] = key
        entry = self._addresses.get(key)
        if entry is None:
            entry = self._addresses[key] = _Address(now, now)
        elif entry.until <= now:
            entry.spent += entry.until - entry.since
            entry.since = entry.until = now
        entry.connections[connection] = now
        entry.until = max(entry.until, min(entry.since + self._limit - entry.spent, now + self._limit))
        if self._until is not None and entry.until > self._until:
            self._until = entry.until

    def remove(self, connection: Hashable, now: float, grace: float = 0.0) -> None:
        """Remove a connection that has closed, or is a player's.

        :param grace: seconds for which its address keeps the server running yet, within its limits.
        """
        key = self._keys.pop(connection, None)
        if key is None:
            return
        entry = self._addresses[key]
        if entry.until == self._until:
            self._until = None
        del entry.connections[connection]
        last = next(reversed(entry.connections.values()), float("-inf"))  # they are in the order of their times
        if entry.until > now:
            entry.until = min(entry.until, max(now + grace, last + self._limit))
        if key is connection:
            self._unlimited_until = max(self._unlimited_until, entry.until)
            del self._addresses[key]

    def begin_period(self, now: float) -> None:
        """Begin an idle period: all addresses have their whole time again, all connections what is left of theirs."""
        self._unlimited_until = float("-inf")
        self._until = None
        for key, entry in list(self._addresses.items()):
            if not entry.connections:
                del self._addresses[key]
                continue
            entry.since, entry.spent = now, 0.0
            entry.until = max(now, next(reversed(entry.connections.values())) + self._limit)

    def clear(self) -> None:
        """Forget all connections and addresses."""
        self._addresses.clear()
        self._keys.clear()
        self._unlimited_until = float("-inf")
        self._until = None
