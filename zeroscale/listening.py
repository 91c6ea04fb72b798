"""Where clients connect: a bare port, or any of Twisted's endpoint strings.

A bare port is two sockets of our own. Twisted's `::` listener leaves V6ONLY off: a second one on 0.0.0.0 fails then,
and IPv4 peers appear as `::ffff:...`.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import re
import socket
from typing import Any

from twisted.internet import error
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint
from twisted.internet.protocol import Factory

from zeroscale.errors import ConfigError

logger = logging.getLogger(__name__)

BACKLOG = 1024
"""Connections that the kernel keeps for us; a restart of ours, or a scan, must not cost a player a refusal."""

FAMILIES = ((socket.AF_INET6, "::"), (socket.AF_INET, "0.0.0.0"))

HIGHEST_PORT = 65535

PORT_OF_AN_ENDPOINT = re.compile(r"\w+:(?:port=)?(\d+)(?::|$)", re.ASCII)

NO_IPV6 = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT})


def check(reactor: Any, where: str) -> None:
    """Judges one `listen` value without listening.

    :raises ConfigError: it is neither a port nor an endpoint string.
    """
    if not _is_port(where):
        _endpoint(reactor, where)


async def listen(reactor: Any, where: str, factory: Factory) -> list[IListeningPort]:
    """Listens on one `listen` value.

    :returns: the ports, to be given to `stopListening()`.
    :raises ConfigError: it cannot be listened on; the message says why, and what mends it.
    """
    if _is_port(where):
        ports = _listen_on_port(reactor, int(where), factory)
    else:
        endpoint = _endpoint(reactor, where)
        try:
            ports = [await endpoint.listen(factory)]
        except error.CannotListenError as problem:
            raise ConfigError(f"cannot listen on {where!r}: {_said(problem.socketError)}") from None
        except (OSError, ValueError) as problem:
            raise ConfigError(f"cannot listen on {where!r}: {_said(problem)}") from None
    for port in ports:
        logger.debug("Listening on %s", _described(port))
    return ports


def _is_port(where: str) -> bool:
    return where.isascii() and where.isdecimal()


def _endpoint(reactor: Any, where: str) -> IStreamServerEndpoint:
    port = PORT_OF_AN_ENDPOINT.match(where)
    if port and int(port[1][:6]) > HIGHEST_PORT:
        # Twisted's own complaint leaves a socket open.
        raise ConfigError(f"cannot listen on {where!r}: {port[1]} is not a port, which is at most {HIGHEST_PORT}")
    try:
        endpoint: IStreamServerEndpoint = serverFromString(reactor, where)
    except Exception as problem:  # endpoints are plugins, of any author; and reading a TLS key may raise anything
        raise ConfigError(
            f"cannot listen on {where!r}: give a port, or one of Twisted's endpoint strings ({_said(problem)})"
        ) from None
    return endpoint


def _said(problem: BaseException) -> str:
    """What went wrong, in one line."""
    if isinstance(problem, LookupError):
        return "no such socket was handed to this process"  # only the parser of `systemd:` looks anything up
    if isinstance(problem, OSError) and problem.strerror:
        said = f"{problem.strerror}: {problem.filename}" if problem.filename else problem.strerror
        return said + _mend(problem)
    return " ".join(str(problem).split()) or type(problem).__name__


def _mend(problem: OSError) -> str:
    if problem.errno == errno.EADDRINUSE:
        return "; another program listens there: stop it, or give another port"
    if problem.errno == errno.EACCES:
        return "; ports below 1024 need root or CAP_NET_BIND_SERVICE: give another port"
    return ""


def _listen_on_port(reactor: Any, number: int, factory: Factory) -> list[IListeningPort]:
    with contextlib.ExitStack() as stack:  # the reactor has descriptors of its own
        sockets: list[socket.socket] = []
        for family, host in FAMILIES:
            ours = _socket(family, host, number)
            if ours is not None:
                sockets.append(stack.enter_context(ours))
        return [reactor.adoptStreamPort(ours.fileno(), ours.family, factory) for ours in sockets]


def _socket(family: socket.AddressFamily, host: str, number: int) -> socket.socket | None:
    """A listening socket; None on a machine without IPv6, which is none the worse for it."""
    try:
        with contextlib.ExitStack() as undo:
            ours = undo.enter_context(socket.socket(family, socket.SOCK_STREAM))
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                ours.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            ours.bind((host, number))
            ours.listen(BACKLOG)
            ours.setblocking(False)
            undo.pop_all()
            return ours
    except OSError as problem:
        if family == socket.AF_INET6 and problem.errno in NO_IPV6:
            logger.debug("This machine has no IPv6 (%s): listening on IPv4 only", problem.strerror)
            return None
        raise ConfigError(f"cannot listen on port {number}: {_said(problem)}") from None


def _described(port: IListeningPort) -> str:
    bound = getattr(port, "socket", None)
    return str(bound.getsockname()) if isinstance(bound, socket.socket) else str(port.getHost())
