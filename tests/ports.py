"""Ports for the servers and proxies of the tests."""

from __future__ import annotations

import itertools
import random
import socket

_FIRST, _LAST = 20_000, 32_767
"""Below those that the kernel gives to outgoing connections, one of which could take a port before its server does."""

_numbers = itertools.cycle(random.sample(range(_FIRST, _LAST + 1), _LAST + 1 - _FIRST))
"""In an order of this run's own, for several runs on one machine; none comes twice before all have come."""


def free_port() -> int:
    """Return a free TCP port that is used by no other test."""
    for number in _numbers:
        with socket.socket() as probe:
            try:
                probe.bind(("", number))
            except OSError:
                continue
        return number
    raise AssertionError("the numbers never end")


def free_ports(count: int) -> list[int]:
    """Several of them."""
    return [free_port() for _ in range(count)]
