"""Where clients connect: a bare port, or any of Twisted's endpoint strings.

A bare port is two sockets of our own. Twisted's `::` listener leaves V6ONLY off: a second one on 0.0.0.0 fails then,
and IPv4 peers appear as `::ffff:...`.
"""

from __future__ import annotations

import errno
import logging
import socket
from typing import Any

from twisted.internet import error
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory

from zeroscale.errors import ConfigError

logger = logging.getLogger(__name__)

BACKLOG = 1024
"""Connections that the kernel keeps for us; a restart of ours, or a scan, must not cost a player a refusal."""

NO_IPV6 = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT})


def check(reactor: Any, where: str) -> None:
    """Judges one `listen` value without listening.

    :raises ConfigError: it is neither a port nor an endpoint string.
    """
    if where.isdigit():
        return
    try:
        serverFromString(reactor, where)
    except (ValueError, TypeError, LookupError, OSError) as problem:
        raise ConfigError(f"cannot listen on {where!r}: neither a port nor a Twisted endpoint: {problem}") from None


async def listen(reactor: Any, where: str, factory: Factory) -> list[IListeningPort]:
    """Listens on one `listen` value.

    :returns: the ports, to be given to `stopListening()`.
    :raises ConfigError: it cannot be listened on; the message says why, and what mends it.
    """
    if where.isdigit():
        ports = _listen_on_port(reactor, int(where), factory)
    else:
        try:
            ports = [await serverFromString(reactor, where).listen(factory)]
        except (error.CannotListenError, OSError) as problem:
            raise ConfigError(f"cannot listen on {where!r}: {problem}") from None
    for port in ports:
        logger.debug("Listening on %s", _described(port))
    return ports


def _listen_on_port(reactor: Any, number: int, factory: Factory) -> list[IListeningPort]:
    ports: list[IListeningPort] = []
    try:
        for family, host in ((socket.AF_INET6, "::"), (socket.AF_INET, "0.0.0.0")):
            ours = _socket(family, host, number)
            if ours is not None:
                with ours:
                    ports.append(reactor.adoptStreamPort(ours.fileno(), family, factory))
    except ConfigError:
        for port in ports:
            port.stopListening()
        raise
    return ports


def _socket(family: socket.AddressFamily, host: str, number: int) -> socket.socket | None:
    try:
        ours = socket.socket(family, socket.SOCK_STREAM)
    except OSError as problem:
        _forgive(family, problem, number)
        return None
    try:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            ours.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        ours.bind((host, number))
        ours.listen(BACKLOG)
        ours.setblocking(False)
    except OSError as problem:
        ours.close()
        _forgive(family, problem, number)
        return None
    return ours


def _forgive(family: socket.AddressFamily, problem: OSError, number: int) -> None:
    """A machine without IPv6 is none the worse for it; anything else is an error."""
    if family == socket.AF_INET6 and problem.errno in NO_IPV6:
        logger.debug("This machine has no IPv6 (%s): listening on IPv4 only", problem.strerror)
        return
    mend = ""
    if problem.errno == errno.EADDRINUSE:
        mend = ": another program listens there; stop it, or give another listen_port"
    elif problem.errno == errno.EACCES:
        mend = ": ports below 1024 need root or CAP_NET_BIND_SERVICE; give another listen_port"
    raise ConfigError(f"cannot listen on port {number}: {problem.strerror}{mend}") from None


def _described(port: IListeningPort) -> str:
    address = port.getHost()
    bound = getattr(port, "socket", None)
    return str(bound.getsockname()) if isinstance(bound, socket.socket) else str(address)
