"""Which clients may wait for a starting server, where more come than there is room for. Pure.

An attacker with many addresses could take all places. So each name that the server knows has a place of its own, and
among the rest the address with the most waiting clients gives way to an address that has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

from zeroscale.frontend.connection_limits import Network, limit_key

T = TypeVar("T")

PLACES = 1000
"""In the whole proxy; more would hardly be players."""

KNOWN_PLACES = 100
"""Of these, places for names that a server knows. A name is a claim: each has one place, whoever claims it first."""


class WaitingPlaces(Generic[T]):
    """A bounded table of waiting clients. It does not close connections: it returns the one that gives way.

    :param per_address: how many one address may have; loopback and `trusted` addresses have no such bound.
    :param trusted: networks of tunnels and proxies, which many clients share.
    :param places: how many there are.
    :param known_places: how many of them are for known names.
    """

    def __init__(
        self,
        per_address: int,
        trusted: Sequence[Network] = (),
        *,
        places: int = PLACES,
        known_places: int = KNOWN_PLACES,
    ) -> None:
        self._per_address = per_address
        self._trusted = tuple(trusted)
        self._places = places - known_places
        self._known_places = known_places
        self._by_name: dict[str, T] = {}
        self._names: dict[T, str] = {}
        # Dictionaries, for their order: the newest is last, and removing any one is cheap.
        self._rest: dict[T, tuple[dict[str, dict[T, None]], str]] = {}
        self._by_key: dict[str, dict[T, None]] = {}
        self._by_shared_address: dict[str, dict[T, None]] = {}

    def __len__(self) -> int:
        return len(self._names) + len(self._rest)

    def take(self, client: T, address: str, known_name: str | None) -> tuple[bool, T | None]:
        """Give a client a place, if it may have one.

        :param address: its address, as `connection_limits.normalised` returns it.
        :param known_name: the name it claims, if the server knows that; else None.
        :return: whether it has one; and the client that gives way for it, already removed, or None.
        """
        if known_name is not None:
            name = known_name.lower()
            if name not in self._by_name and len(self._by_name) < self._known_places:
                self._by_name[name] = client
                self._names[client] = name
                return True, None
        key = limit_key(address, self._trusted)
        table, key, most_of_key = (
            (self._by_shared_address, address, self._places) if key is None else (self._by_key, key, self._per_address)
        )
        same_address = len(table.get(key, ()))
        if same_address >= most_of_key:
            return False, None
        gives_way: T | None = None
        if len(self._rest) >= self._places:
            most = max(self._by_key.values(), key=len, default={})
            if same_address or len(most) < 2:
                return False, None
            gives_way = next(reversed(most))  # the one that has waited for the shortest time
            self.remove(gives_way)
        self._rest[client] = table, key
        table.setdefault(key, {})[client] = None
        return True, gives_way

    def remove(self, client: T) -> None:
        """Remove a client, if it has a place."""
        name = self._names.pop(client, None)
        if name is not None:
            del self._by_name[name]
        place = self._rest.pop(client, None)
        if place is not None:
            table, key = place
            same_key = table[key]
            del same_key[client]
            if not same_key:
                del table[key]
