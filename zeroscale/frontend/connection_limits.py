"""A table of connections, limited in total and for each address, and the keys by which addresses are limited. Pure.

At a limit the oldest connection is evicted instead of refusing the new one: it has had the most time to log in, and an
attacker who fills the table with half-open connections evicts their own.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from functools import lru_cache
from typing import Generic, TypeVar

T = TypeVar("T")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

IPV6_PREFIX = 64
"""Bits of an IPv6 address that are counted: a customer usually has a whole /64."""


class PendingConnections(Generic[T]):
    """A bounded table of connections. It does not close connections: it returns the one to evict.

    :param per_address: how many one address may have; loopback and `trusted` addresses have no such bound.
    :param total: how many there may be in all.
    :param trusted: networks of tunnels and proxies, which many clients share.
    """

    def __init__(self, per_address: int, total: int, trusted: Sequence[Network] = ()) -> None:
        self._per_address = per_address
        self._total = total
        self._trusted = tuple(trusted)
        # Dictionaries, for their order: the oldest is first, and removing any one is cheap.
        self._all: dict[T, str | None] = {}
        self._by_key: dict[str, dict[T, None]] = {}

    def __len__(self) -> int:
        return len(self._all)

    def add(self, connection: T, address: str) -> T | None:
        """Add a connection; return the one that is evicted for it, already removed, or None.

        :param address: its peer's address, as `normalised` returns it; what is no IP address has no bound of its own.
        """
        key = self.key(address)
        evicted: T | None = None
        if key is not None and len(self._by_key.get(key, ())) >= self._per_address:
            evicted = next(iter(self._by_key[key]))
        elif len(self._all) >= self._total:
            evicted = next(iter(self._all))
        if evicted is not None:
            self.remove(evicted)
        self._all[connection] = key
        if key is not None:
            self._by_key.setdefault(key, {})[connection] = None
        return evicted

    def remove(self, connection: T) -> None:
        """Remove a connection, if it is in the table."""
        key = self._all.pop(connection, None)
        if key is not None:
            same_key = self._by_key[key]
            del same_key[connection]
            if not same_key:
                del self._by_key[key]

    def key(self, address: str) -> str | None:
        """Return the key by which an address is limited here; see `limit_key`."""
        return limit_key(address, self._trusted)


KNOWN_ADDRESSES = 4096
"""Addresses that are kept parsed: a client's is needed several times, and most clients come again."""


@lru_cache(KNOWN_ADDRESSES)
def _parsed(address: str) -> Address | None:
    try:
        return ipaddress.ip_address(address)
    except ValueError:
        return None


@lru_cache(KNOWN_ADDRESSES)
def limit_key(address: str, trusted: tuple[Network, ...]) -> str | None:
    """Return the key by which an address is limited; None: it is not, being loopback, trusted, or no IP address.

    :param address: as `normalised` returns it.
    :param trusted: networks of tunnels and proxies, which many clients share.
    """
    parsed = _parsed(address)
    if parsed is None or parsed.is_loopback or is_within(address, trusted):
        return None
    return rate_limit_key(address)


@lru_cache(KNOWN_ADDRESSES)
def rate_limit_key(address: str) -> str:
    """Return what the connections of one peer have in common: its IPv4 address, or the network of its IPv6 address.

    :param address: as `normalised` returns it; anything else is returned unchanged.
    """
    if ":" not in address:
        return address
    try:
        return str(ipaddress.IPv6Network((address, IPV6_PREFIX), strict=False))
    except ValueError:
        return address


def is_within(address: str, networks: Sequence[Network]) -> bool:
    """Return whether an address is in one of these networks; what is no IP address is in none.

    :param address: as `normalised` returns it.
    """
    if not networks:
        return False
    parsed = _parsed(address)
    return parsed is not None and any(parsed in network for network in networks)


@lru_cache(KNOWN_ADDRESSES)
def normalised(address: str) -> str:
    """Return an address in its shortest form, as bans and networks have it: no `::ffff:` before IPv4, no scope."""
    parsed = _parsed(address.partition("%")[0])
    if parsed is None:
        return address
    if parsed.version == 6 and parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(parsed)
