"""Limit the answers to addresses that may be forged, so that nobody is flooded by us. Pure: times are arguments."""

from __future__ import annotations

import ipaddress
from collections import Counter, deque

from zeroscale.frontend.connection_limits import normalised

PER_NETWORK = 10
"""Answers a second for one network: people behind one address have a few server browsers."""

IN_ALL = 200
"""Answers a second to all networks."""

PREFIXES = {4: 24, 6: 56}
"""Bits of an address that make a network, by IP version: an attacker may hit any address of its victim's network."""


class AnswerLimits:
    """Counts the answers within the last second, in all and for each network.

    :param per_network: answers a second to one network.
    :param total: answers a second to all of them; so many are kept at most.
    """

    def __init__(self, per_network: int = PER_NETWORK, total: int = IN_ALL) -> None:
        self._per_network = per_network
        self._total = total
        self._recent: deque[tuple[float, str]] = deque()
        self._by_network: Counter[str] = Counter()

    def __len__(self) -> int:
        """Return the number of networks that are kept."""
        return len(self._by_network)

    def take(self, host: str, now: float) -> bool:
        """Count an answer to this address, if there may be one; return whether there may.

        :param now: seconds of a monotonic clock.
        """
        while self._recent and self._recent[0][0] <= now - 1.0:
            _, network = self._recent.popleft()
            self._by_network[network] -= 1
            if not self._by_network[network]:
                del self._by_network[network]
        if len(self._recent) >= self._total:
            return False
        network = network_of(host)
        if self._by_network[network] >= self._per_network:
            return False
        self._recent.append((now, network))
        self._by_network[network] += 1
        return True


def network_of(host: str) -> str:
    """Return the network of an address; what is no IP address is a network of its own."""
    try:
        address = ipaddress.ip_address(normalised(host))
    except ValueError:
        return host
    return str(ipaddress.ip_network((address, PREFIXES[address.version]), strict=False))
