"""Find the server for a handshake's host, among those that share a port. Pure.

A configured host is a name, or `*.` and a domain, which matches every name below that domain; the longest one counts.
How hosts are decorated by clients: docs/protocol.md, "Host decorations".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Generic, TypeVar

from zeroscale.errors import ConfigError

T = TypeVar("T")

LONGEST_NAME = 253
"""Characters of a host name; the limit of DNS."""

LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
HOST = re.compile(rf"(?:\*\.)?{LABEL}(?:\.{LABEL})*|[0-9a-f:.]*:[0-9a-f:.]*")
"""A name, with or without `*.`; or an IPv6 address, which some players type."""


def normalised(host: str) -> str:
    """Return a configured host in the form of the clients' hosts: lower case, without a trailing dot.

    :raises ConfigError: no client can send it.
    """
    lower = host.strip().lower().rstrip(".").removeprefix("[").removesuffix("]")
    if len(lower) > LONGEST_NAME or HOST.fullmatch(lower) is None:
        raise ConfigError(f"{host!r} is not a host: write a name such as survival.example.org, or *.mc.example.org")
    return lower


class Router(Generic[T]):
    """The hosts of the servers that share one port.

    :param named: pairs of a host, `normalised`, and its target.
    :param default: the target of all other hosts; None: they have none.
    """

    def __init__(self, named: Iterable[tuple[str, T]], default: T | None) -> None:
        self._exact: dict[str, T] = {}
        self._below: dict[str, T] = {}
        self._default = default
        for host, target in named:
            if host.startswith("*."):
                self._below[host[2:]] = target
            else:
                self._exact[host] = target

    def route(self, host: str) -> T | None:
        """Return the target of this host: by its name, by the longest domain, or by default.

        :param host: in the form of `LoginRequested.host`; "" where the client sends none.
        """
        exact = self._exact.get(host)
        if exact is not None:
            return exact
        _, dot, domain = host.partition(".")
        while dot:
            below = self._below.get(domain)
            if below is not None:
                return below
            _, dot, domain = domain.partition(".")
        return self._default
