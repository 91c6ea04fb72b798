"""Ports for the servers and proxies of the tests."""

from __future__ import annotations

import itertools
import os
import random
import socket

_FIRST, _LAST = 20_000, 32_767
"""Below those that the kernel gives to outgoing connections, one of which could take a port before its server does."""

_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_own = range(_FIRST + _worker, _LAST + 1, _workers)
"""Those of this process, where several share the tests: a port may be used long after it was found to be free."""

_numbers = itertools.cycle(random.sample(_own, len(_own)))
"""In an order of this run's own, for several runs on one machine; none comes twice before all have come."""


def free_port() -> int:
    """Return a port, free on TCP and UDP, that is used by no other test."""
    for number in _numbers:
        with socket.socket() as stream, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
            try:
                stream.bind(("", number))
                datagrams.bind(("", number))
            except OSError:
                continue
        return number
    raise AssertionError("the numbers never end")


def free_ports(count: int) -> list[int]:
    """Several of them."""
    return [free_port() for _ in range(count)]
