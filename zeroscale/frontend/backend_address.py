"""The address of a real server for datagrams: its host, or what its name is looked up to, without blocking.

A connected datagram socket needs an address at once. A name is looked up when it is first needed, and again after a
while; its next address is used once nothing receives datagrams at the present one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import DNSLookupError
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from zeroscale.system.host_endpoint import Addresses, is_address, resolve

logger = logging.getLogger("zeroscale.proxy")

KEPT = 30.0
"""Seconds for which a name's addresses are used before it is looked up again."""

RETRY = 2.0
"""Seconds between two lookups, at least, of a name that has no address."""

Resolve = Callable[[IReactorTime, str, int], Coroutine[Deferred[Any], Any, Addresses]]


class BackendAddress:
    """The address of one server.

    :param clock: the reactor.
    :param looked_up: called when a lookup has ended, after `current` has returned None.
    """

    def __init__(self, clock: IReactorTime, looked_up: Callable[[], None], resolve: Resolve = resolve) -> None:
        self._clock = clock
        self._looked_up = looked_up
        self._resolve = resolve
        self._host = ""
        self._addresses: Sequence[str] = ()
        self._fresh_until = 0.0
        self._lookup: Deferred[None] | None = None

    def current(self, host: str, port: int) -> tuple[str, int] | None:
        """Return the address to send to; None: it is being looked up, or the name has none.

        :param host: the server's address or name.
        """
        if is_address(host):
            return host, port
        if host != self._host:
            self.close()
            self._host, self._addresses, self._fresh_until = host, (), 0.0
        if self._lookup is None and self._clock.seconds() >= self._fresh_until:
            lookup = Deferred.fromCoroutine(self._look_up(host, port)).addErrback(_log_failure)
            self._lookup = None if lookup.called else lookup
        return (self._addresses[0], port) if self._addresses else None

    def refused(self, host: str) -> None:
        """Note that nothing receives datagrams at an address: another one of the name comes first from now on."""
        if host in self._addresses:
            self._addresses = [*(each for each in self._addresses if each != host), host]

    def close(self) -> None:
        """Cancel a lookup."""
        lookup, self._lookup = self._lookup, None
        if lookup is not None:
            lookup.cancel()

    async def _look_up(self, host: str, port: int) -> None:
        had_none = not self._addresses
        try:
            found = await self._resolve(self._clock, host, port)
        except (DNSLookupError, BlockingIOError) as error:
            # The former addresses are used on: a name server that is down is no reason to cut clients off.
            logger.warning("%s", error)
            self._fresh_until = self._clock.seconds() + RETRY
            found = ()
        else:
            self._fresh_until = self._clock.seconds() + KEPT
        self._lookup = None
        addresses = list(dict.fromkeys(each.host for each in found))
        if self._addresses and self._addresses[0] in addresses:  # it works: it stays the first
            addresses.sort(key=lambda each: each != self._addresses[0])
        self._addresses = addresses or self._addresses
        if had_none:
            self._looked_up()


def _log_failure(failure: Failure) -> None:
    if not failure.check(CancelledError):
        logger.error("A fault in zeroscale itself: %s", failure.getTraceback())
