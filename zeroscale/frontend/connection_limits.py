"""Who is connected and has not logged in yet: bounded, in all and for each address.

At a bound the oldest goes, never the newcomer: it has had the most time and said the least, and whoever fills the table
with half-open connections pushes out his own kind. It knows no transport: what is kept is whatever the caller gives.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

IPV6_PREFIX = 64
"""Who has one IPv6 address usually has the whole /64."""


class PendingConnections(Generic[T]):
    """The bounded table.

    :param per_address: how many one address may have; loopback and `trusted` ones have no such bound.
    :param total: how many there may be in all.
    :param trusted: networks behind which tunnels and proxies put everybody.
    """

    def __init__(self, per_address: int, total: int, trusted: Sequence[Network] = ()) -> None:
        self._per_address = per_address
        self._total = total
        self._trusted = tuple(trusted)
        # Dictionaries, for their order: the oldest is first, and taking any one out is cheap.
        self._all: dict[T, str | None] = {}
        self._of: dict[str, dict[T, None]] = {}

    def __len__(self) -> int:
        return len(self._all)

    def another(self, total: int) -> PendingConnections[T]:
        """An empty table with the same bounds for each address, and another one in all."""
        return PendingConnections(self._per_address, total, self._trusted)

    def is_full_for(self, address: str) -> bool:
        """Whether one more of this address would push another one out."""
        key = self._key(address)
        if key is not None and len(self._of.get(key, ())) >= self._per_address:
            return True
        return len(self._all) >= self._total

    def add(self, newcomer: T, address: str) -> T | None:
        """Takes one in; returns the one that has to go for it, already taken out, or None.

        :param address: its peer's address, as `normalised()` makes it; anything else has no bound of its own.
        """
        key = self._key(address)
        evicted: T | None = None
        if key is not None and len(self._of.get(key, ())) >= self._per_address:
            evicted = next(iter(self._of[key]))
        elif len(self._all) >= self._total:
            evicted = next(iter(self._all))
        if evicted is not None:
            self.remove(evicted)
        self._all[newcomer] = key
        if key is not None:
            self._of.setdefault(key, {})[newcomer] = None
        return evicted

    def remove(self, newcomer: T) -> None:
        """It has logged in, or is gone. Removing one that is not there does nothing."""
        key = self._all.pop(newcomer, None)
        if key is not None:
            of = self._of[key]
            del of[newcomer]
            if not of:
                del self._of[key]

    def _key(self, address: str) -> str | None:
        return limited(address, self._trusted)


def limited(address: str, trusted: Sequence[Network]) -> str | None:
    """Whose limits an address has: its `rate_limit_key()`'s; None for loopback, trusted ones and what is no IP address.

    :param address: as `normalised()` makes it.
    :param trusted: networks behind which tunnels and proxies put everybody.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    if parsed.is_loopback or is_within(address, trusted):
        return None
    return rate_limit_key(address)


def rate_limit_key(address: str) -> str:
    """What all the connections of one peer have in common: its IPv4 address, or the network of its IPv6 one.

    :param address: as `normalised()` makes it; anything else is returned as it is.
    """
    if ":" not in address:
        return address
    try:
        return str(ipaddress.IPv6Network((address, IPV6_PREFIX), strict=False))
    except ValueError:
        return address


def is_within(address: str, networks: Iterable[Network]) -> bool:
    """Whether an address is of one of these networks.

    :param address: as `normalised()` makes it; what is no address is of none.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks)


def normalised(address: str) -> str:
    """An address as bans and networks know it: an IPv4 one is never written as `::ffff:...`, scopes are cut."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 6 and parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(parsed)
