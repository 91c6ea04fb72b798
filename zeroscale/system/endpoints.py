"""Where clients connect: a bare port, a socket that systemd has opened, or any of Twisted's endpoint strings.

A bare port is two sockets of our own. Twisted's `::` listener leaves V6ONLY off: a second one on 0.0.0.0 fails then,
and IPv4 peers appear as `::ffff:...`.

`systemd:NAME` is every socket of that name that was handed to us, of whatever family. Twisted's own `systemd:` wants to
be told the family, takes one socket of several that share a name, and looks into the environment when it is imported;
what it would read, `systemd:domain=INET6:name=NAME` and `index=`, is understood here as well.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import socket
from collections.abc import Sequence
from typing import Any

from twisted.internet import error
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint
from twisted.internet.protocol import Factory

from zeroscale.errors import ConfigError
from zeroscale.system.socket_activation import HandedSocket, handed

logger = logging.getLogger(__name__)

BACKLOG = 1024
"""Connections that the kernel keeps for us; a restart of ours, or a scan, must not cost a player a refusal."""

FAMILIES = ((socket.AF_INET6, "::"), (socket.AF_INET, "0.0.0.0"))

HIGHEST_PORT = 65535

SYSTEMD = "systemd:"

PORT_OF_AN_ENDPOINT = re.compile(r"\w+:(?:port=)?(\d+)(?::|$)", re.ASCII)

NO_IPV6 = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT})


def check(reactor: Any, where: str) -> None:
    """Judges one `listen` value without listening.

    :raises ConfigError: it is neither a port nor an endpoint string. Whether systemd's socket is there is only seen by
        the process that it is handed to.
    """
    if where.startswith(SYSTEMD):
        _handed_sockets(where, ())
    elif not _is_port(where):
        _endpoint(reactor, where)


async def listen(reactor: Any, where: str, factory: Factory) -> list[IListeningPort]:
    """Listens on one `listen` value.

    :returns: the ports, to be given to `stopListening()`.
    :raises ConfigError: it cannot be listened on; the message says why, and what mends it.
    """
    if _is_port(where):
        ports = _listen_on_port(reactor, int(where), factory)
    elif where.startswith(SYSTEMD):
        ports = _adopt(reactor, where, factory)
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


def _handed_sockets(where: str, sockets: Sequence[HandedSocket]) -> list[HandedSocket]:
    """Those that a `systemd:` value means.

    :raises ConfigError: it makes no sense.
    """
    said = where.removeprefix(SYSTEMD)
    words = dict(word.partition("=")[::2] for word in said.split(":")) if "=" in said else {"name": said}
    words.pop("domain", None)  # the socket itself knows
    match words:
        case {"index": index, **rest} if not rest and index.isascii() and index.isdecimal():
            return list(sockets[int(index) : int(index) + 1])
        case {"name": name, **rest} if not rest and name and ":" not in name:
            return [each for each in sockets if each.name == name]
    raise ConfigError(f"cannot listen on {where!r}: say systemd:NAME, as FileDescriptorName= of the socket unit has it")


def _adopt(reactor: Any, where: str, factory: Factory) -> list[IListeningPort]:
    sockets = handed().sockets
    found = _handed_sockets(where, sockets)
    if not found:
        there = ", ".join(dict.fromkeys(each.name for each in sockets)) or "none at all"
        raise ConfigError(
            f"cannot listen on {where!r}: no such socket was handed to this process, but {there}; start it by its "
            "socket unit, which says FileDescriptorName="
        )
    ports = []
    for each in found:
        with socket.socket(fileno=os.dup(each.descriptor)) as ours:
            ours.setblocking(False)  # it comes blocking, and Twisted would wait in accept() for ever
            ports.append(reactor.adoptStreamPort(ours.fileno(), ours.family, factory))
    return ports


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
        name = _handed_name(number) if problem.errno == errno.EADDRINUSE else None
        if name is not None:
            raise ConfigError(
                f"cannot listen on port {number}: systemd has opened it for us: listen on 'systemd:{name}' instead"
            ) from None
        raise ConfigError(f"cannot listen on port {number}: {_said(problem)}") from None


def _handed_name(number: int) -> str | None:
    """What systemd's socket on this port is called; None: it has none there."""
    for each in handed().sockets:
        with socket.socket(fileno=os.dup(each.descriptor)) as ours:
            if ours.family != socket.AF_UNIX and ours.getsockname()[1] == number:
                return each.name
    return None


def _described(port: IListeningPort) -> str:
    bound = getattr(port, "socket", None)
    return str(bound.getsockname()) if isinstance(bound, socket.socket) else str(port.getHost())
