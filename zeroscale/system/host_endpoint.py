"""Connect to a host by its name or address.

An address is not looked up. A name is looked up by asyncio's loop, with its threads, and not by Twisted's resolver:
where that can have no thread its lookup never ends, and of other errors it does not report the cause.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Any

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.error import DNSLookupError
from twisted.internet.interfaces import (
    IHostnameResolver,
    IHostResolution,
    IProtocol,
    IProtocolFactory,
    IReactorPluggableNameResolver,
    IReactorTime,
    IResolutionReceiver,
    IStreamClientEndpoint,
)
from twisted.python.failure import Failure
from zope.interface import implementer

LOOKUP_LIMIT = 10.0
"""Seconds: the first name server has 5 s to answer by default (resolv.conf(5)), and then a second one is asked."""

Addresses = Sequence[IPv4Address | IPv6Address]


def is_address(host: str) -> bool:
    """Return whether a host is an IPv4 or IPv6 address, and no name."""
    return isIPAddress(host) or isIPv6Address(host)


def host_endpoint(reactor: object, host: str, port: int, timeout: float) -> IStreamClientEndpoint:
    """Return the endpoint for a host.

    Its `connect()` fails with `BlockingIOError` where a name cannot be looked up because there may be no more threads,
    and with `DNSLookupError`, whose text is the cause, where it has no address. Of several addresses the first one that
    takes the connection counts.

    :param timeout: seconds for the connection to an address, without the lookup.
    """
    kind = _Address if is_address(host) else _NamedHost
    return kind(reactor, host, port, timeout)


class _Host:
    """Twisted's endpoints take 0.8 MiB, so they are imported when they are to connect."""

    def __init__(self, reactor: object, name: str, port: int, timeout: float) -> None:
        self._reactor = reactor
        self._name = name
        self._port = port
        self._timeout = timeout


@implementer(IStreamClientEndpoint)
class _Address(_Host):
    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        from twisted.internet import endpoints

        kind = endpoints.TCP6ClientEndpoint if isIPv6Address(self._name) else endpoints.TCP4ClientEndpoint
        connecting: Deferred[IProtocol] = kind(self._reactor, self._name, self._port, self._timeout).connect(
            protocolFactory
        )
        return connecting


@implementer(IStreamClientEndpoint)
class _NamedHost(_Host):
    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        addresses = await resolve(IReactorTime(self._reactor), self._name, self._port)
        from twisted.internet.endpoints import HostnameEndpoint

        known = _KnownAddresses(self._reactor, self._name, addresses)
        return await HostnameEndpoint(known, self._name, self._port, self._timeout).connect(factory)


async def resolve(clock: IReactorTime, name: str, port: int) -> Addresses:
    """Return the addresses of a name.

    :raises DNSLookupError: it has none, or no name server answers; the text says why.
    :raises BlockingIOError: there may be no more threads.
    """
    try:
        return await look_up(name, port).addTimeout(LOOKUP_LIMIT, clock)
    except (socket.gaierror, UnicodeError) as error:  # UnicodeError: not a valid name
        cause = error.strerror if isinstance(error, OSError) else str(error)
        raise DNSLookupError(f"{name} has no address: {cause}") from error
    except DeferredTimeout:
        raise DNSLookupError(f"no name server answers with the address of {name}") from None


def look_up(name: str, port: int) -> Deferred[Addresses]:
    """Return the addresses of a name.

    May be cancelled; fails with what the loop's `getaddrinfo` raises.
    """
    task = asyncio.ensure_future(asyncio.get_running_loop().getaddrinfo(name, port, type=socket.SOCK_STREAM))

    def cancel(_: object) -> None:
        task.cancel()

    looked_up: Deferred[Addresses] = Deferred(cancel)

    def done(_: object) -> None:
        if looked_up.called:
            return  # it was cancelled
        try:
            looked_up.callback([_address(family, address) for family, *_rest, address in task.result()])
        except (Exception, asyncio.CancelledError):  # it is raised where the result is awaited
            looked_up.errback(Failure())

    task.add_done_callback(done)
    return looked_up


def _address(family: int, address: tuple[Any, ...]) -> IPv4Address | IPv6Address:
    return (IPv6Address if family == socket.AF_INET6 else IPv4Address)("TCP", *address)


@implementer(IHostResolution)
class _Resolution:
    def __init__(self, name: str) -> None:
        self.name = name

    def cancel(self) -> None:
        """Do nothing: it is complete."""


@implementer(IReactorPluggableNameResolver, IHostnameResolver)
class _KnownAddresses:
    """The reactor, with one lookup that is already done: Twisted's endpoint for names then only connects."""

    def __init__(self, reactor: object, name: str, addresses: Addresses) -> None:
        self._reactor = reactor
        self._name = name
        self._addresses = addresses
        self.nameResolver = self

    def __getattr__(self, name: str) -> object:
        return getattr(self._reactor, name)

    def installNameResolver(self, resolver: IHostnameResolver) -> IHostnameResolver:
        """Do nothing."""
        return self.nameResolver

    def resolveHostName(
        self, resolutionReceiver: IResolutionReceiver, hostName: str, portNumber: int = 0, *_others: object
    ) -> IHostResolution:
        """Report the known addresses."""
        resolution = _Resolution(self._name)
        resolutionReceiver.resolutionBegan(resolution)
        for address in self._addresses:
            resolutionReceiver.addressResolved(address)
        resolutionReceiver.resolutionComplete()
        return resolution
