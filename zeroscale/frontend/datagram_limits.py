"""Limit the answers to addresses that may be forged, so that nobody is flooded by us. Pure: times are arguments."""

from __future__ import annotations

import ipaddress

from zeroscale.frontend.connection_limits import normalised

PER_NETWORK = 10
"""Answers a second for one network: people behind one address have a few server browsers."""

IN_ALL = 200
"""Answers a second to all networks."""

PREFIXES = {4: 24, 6: 56}
"""Bits of an address that make a network, by IP version: an attacker may hit any address of its victim's network."""


class AnswerLimits:
    """Token buckets: one for each network and one for all, full at first.

    Only networks are kept that were answered within the last second, so that there are at most twice `total` of them.

    :param per_network: tokens that a network's bucket gains in a second, and holds at most.
    :param total: the same for all networks together.
    """

    def __init__(self, per_network: int = PER_NETWORK, total: int = IN_ALL) -> None:
        self._per_network = float(per_network)
        self._total = float(total)
        self._left = self._total
        self._left_at = 0.0
        # In the order of their last use: those whose buckets are full again are at the beginning.
        self._networks: dict[str, tuple[float, float]] = {}

    def __len__(self) -> int:
        """Return the number of networks that are kept."""
        return len(self._networks)

    def take(self, host: str, now: float) -> bool:
        """Take one token for an answer to this address; return whether there was one.

        :param now: seconds of a monotonic clock.
        """
        left = min(self._total, self._left + (now - self._left_at) * self._total)
        if left < 1.0:
            return False
        while self._networks:
            oldest = next(iter(self._networks))
            if now - self._networks[oldest][1] < 1.0:
                break
            del self._networks[oldest]
        network = network_of(host)
        tokens, since = self._networks.get(network, (self._per_network, now))
        tokens = min(self._per_network, tokens + (now - since) * self._per_network)
        if tokens < 1.0:
            return False
        self._left, self._left_at = left - 1.0, now
        self._networks.pop(network, None)
        self._networks[network] = (tokens - 1.0, now)
        return True


def network_of(host: str) -> str:
    """Return the network of an address; what is no IP address is a network of its own."""
    try:
        address = ipaddress.ip_address(normalised(host))
    except ValueError:
        return host
    return str(ipaddress.ip_network((address, PREFIXES[address.version]), strict=False))
