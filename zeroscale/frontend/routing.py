"""Which server a handshake's host means, among those that share a port (docs/protocol.md, "Host decorations"). Pure.

A name is exact, or `*.` and a domain: then it stands for every name below that, and the longest such domain counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Generic, TypeVar

from zeroscale.errors import ConfigError

T = TypeVar("T")

LONGEST_NAME = 253
"""Characters: DNS has no longer ones."""

LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
HOST = re.compile(rf"(?:\*\.)?{LABEL}(?:\.{LABEL})*|[0-9a-f:.]*:[0-9a-f:.]*")
"""A name, with `*.` before it or not; or an IPv6 address, which some players type."""


def normalised(host: str) -> str:
    """A host of the configuration as it is compared: the clients' are lower case and without a trailing dot as well.

    :raises ConfigError: it can be no client's.
    """
    lower = host.strip().lower().rstrip(".").removeprefix("[").removesuffix("]")
    if len(lower) > LONGEST_NAME or HOST.fullmatch(lower) is None:
        raise ConfigError(f"{host!r} is no host: write a name such as survival.example.org, or *.mc.example.org")
    return lower


class Router(Generic[T]):
    """The servers of one port.

    :param named: the hosts, `normalised()`, of each that has any.
    :param default: whom any other host means; None: nobody.
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
        """Whom this host means: exactly, or as one below a domain, or by default.

        :param host: as `protocols.base.LoginRequested.host` is; "" where the client names none.
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
