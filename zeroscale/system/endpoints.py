"""Listen on a `listen` value: a bare port, a socket that systemd has opened, or a Twisted endpoint string.

A bare port opens two sockets, one for each address family. Twisted's listener on `::` leaves V6ONLY off: then a second
listener on 0.0.0.0 fails, and IPv4 peers appear as `::ffff:...`.

`systemd:NAME` means every inherited socket of that name, of any address family. Twisted's own `systemd:` endpoint
requires the family, takes one socket of several with the same name, and reads the environment when it is imported.
Its form, `systemd:domain=INET6:name=NAME` and `index=`, is accepted as well.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import socket
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet import error
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint
from twisted.internet.protocol import Factory

from zeroscale.errors import ConfigError
from zeroscale.reactor import Reactor
from zeroscale.system import unix_listener
from zeroscale.system.files import read_configured
from zeroscale.system.socket_activation import InheritedSocket, service_manager_environment

if TYPE_CHECKING:
    from twisted.internet.ssl import CertificateOptions

logger = logging.getLogger("zeroscale.system")

BACKLOG = 1024
"""Connections that the kernel queues: enough that neither a restart nor a port scan makes it refuse a player."""

FAMILIES = ((socket.AF_INET6, "::"), (socket.AF_INET, "0.0.0.0"))

HIGHEST_PORT = 65535

SYSTEMD = "systemd:"
UNIX = "unix:"
TLS = "ssl:"

PORT_OF_AN_ENDPOINT = re.compile(r"\w+:(?:port=)?(\d+)(?::|$)", re.ASCII)

WITHOUT_FILES = frozenset({"tcp", "tcp6", "unix"})
"""Kinds of endpoint strings that name no file to be read."""

LARGEST_KEY = 1024 * 1024
"""Bytes of a file with keys or certificates; a chain has some 10 KiB."""

NO_IPV6 = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT})


def check(reactor: Reactor, where: str) -> None:
    """Check a `listen` value without listening.

    Whether systemd passes a socket of this name is known only to the process that inherits it, and is not checked.

    :raises ConfigError: it is neither a port nor an endpoint string.
    """
    if where.startswith(SYSTEMD):
        _named_sockets(where, ())
    elif not _is_port(where):
        _endpoint(reactor, where)


async def listen(reactor: Reactor, where: str, factory: Factory) -> list[IListeningPort]:
    """Listen on a `listen` value.

    :return: the listening ports; the caller stops them.
    :raises ConfigError: listening failed; the message gives the reason and what to do.
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
            raise ConfigError(f"cannot listen on {where!r}: {reason(problem.socketError)}") from None
        except (OSError, ValueError) as problem:
            raise ConfigError(f"cannot listen on {where!r}: {reason(problem)}") from None
    for port in ports:
        logger.debug("Listening on %s", _described(port))
    return ports


class _UnixListeners:
    """What Twisted's endpoint of Unix sockets uses of the reactor. A lock file is not needed, and not made."""

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor

    def listenUNIX(self, address: str, factory: Factory, backlog: int, mode: int, wantPID: bool) -> IListeningPort:
        if address.startswith("\0"):  # Linux: a name that is no file
            return self._reactor.listenUNIX(address, factory, backlog, mode, wantPID)
        listener = unix_listener.UnixListener(self._reactor, Path(address), factory, mode, backlog)
        listener.startListening()
        return listener


class _TlsListeners:
    """What Twisted's endpoint of TLS uses of the reactor.

    ALPN is ignored, as the protocol behind TLS is not known here. Twisted 26.10 refuses clients that offer protocols
    of which the server has named none, such as all browsers.
    """

    def __init__(self, reactor: Any) -> None:  # the type `Reactor` has nothing of TLS
        self._reactor = reactor

    def listenSSL(
        self, port: int, factory: Factory, contextFactory: CertificateOptions, backlog: int, interface: str
    ) -> IListeningPort:
        from OpenSSL import SSL

        contextFactory.getContext().set_alpn_select_callback(lambda connection, offered: SSL.NO_OVERLAPPING_PROTOCOLS)
        listening: IListeningPort = self._reactor.listenSSL(port, factory, contextFactory, backlog, interface)
        return listening


def _is_port(where: str) -> bool:
    return where.isascii() and where.isdecimal()


def _endpoint(reactor: Reactor, where: str) -> IStreamServerEndpoint:
    port = PORT_OF_AN_ENDPOINT.match(where)
    if port and int(port[1][:6]) > HIGHEST_PORT:
        # Twisted refuses it too, but leaves a socket open.
        raise ConfigError(f"cannot listen on {where!r}: {port[1]} is not a port, which is at most {HIGHEST_PORT}")
    _check_files(where)
    from twisted.internet.endpoints import serverFromString  # takes 0.8 MiB, which a bare port does not need

    try:
        listening: object = reactor
        if where.startswith(UNIX):
            listening = _UnixListeners(reactor)
        elif where.startswith(TLS):
            listening = _TlsListeners(reactor)
        endpoint: IStreamServerEndpoint = serverFromString(listening, where)
    except Exception as problem:  # endpoints are plugins of any author, and reading a TLS key may raise anything
        raise ConfigError(
            f"cannot listen on {where!r}: give a port, or one of Twisted's endpoint strings ({reason(problem)})"
        ) from None
    return endpoint


def _check_files(where: str) -> None:
    """Check the files that an endpoint string names: Twisted reads keys and certificates whole, and waits for a FIFO.

    :raises ConfigError: one of them is neither a regular file nor a directory, or too long.
    """
    kind, *options = re.split(r"(?<!\\):", where)
    if kind in WITHOUT_FILES:
        return
    for option in options:
        key, equals, value = option.partition("=")
        path = Path(re.sub(r"\\(.)", r"\1", value if equals else key))
        try:
            is_directory = stat.S_ISDIR(path.stat().st_mode)
        except (OSError, ValueError):  # no path, or an error that Twisted reports
            continue
        if not is_directory:
            read_configured(path, LARGEST_KEY)


def reason(problem: BaseException) -> str:
    """Return the reason in one line, with what to do where that is known."""
    if isinstance(problem, OSError) and problem.strerror:
        reason = f"{problem.strerror}: {problem.filename}" if problem.filename else problem.strerror
        return reason + _advice(problem)
    return " ".join(str(problem).split()) or type(problem).__name__


def _advice(problem: OSError) -> str:
    if problem.errno == errno.EADDRINUSE:
        return "; another program listens there: stop it, or give another port"
    if problem.errno == errno.EACCES:
        return "; ports below 1024 need root or CAP_NET_BIND_SERVICE: give another port"
    return ""


def _named_sockets(where: str, sockets: Sequence[InheritedSocket]) -> list[InheritedSocket]:
    """Return the inherited sockets that a `systemd:` value means.

    :raises ConfigError: the value cannot be parsed.
    """
    text = where.removeprefix(SYSTEMD)
    fields = dict(field.partition("=")[::2] for field in text.split(":")) if "=" in text else {"name": text}
    fields.pop("domain", None)  # the socket has its family
    match fields:
        case {"index": index, **rest} if not rest and index.isascii() and index.isdecimal():
            return list(sockets[int(index) : int(index) + 1])
        case {"name": name, **rest} if not rest and name and ":" not in name:
            return [each for each in sockets if each.name == name]
    raise ConfigError(f"cannot listen on {where!r}: write systemd:NAME, as in FileDescriptorName= of the socket unit")


def _adopt(reactor: Reactor, where: str, factory: Factory) -> list[IListeningPort]:
    sockets = service_manager_environment().sockets
    found = [each for each in _named_sockets(where, sockets) if not each.datagrams]
    if not found and any(each.datagrams for each in _named_sockets(where, sockets)):
        raise ConfigError(f"cannot listen on {where!r}: it is a socket for UDP; write 'udp:{where}'")
    if not found:
        names = ", ".join(dict.fromkeys(each.name for each in sockets)) or "none"
        raise ConfigError(
            f"cannot listen on {where!r}: systemd passed no socket of this name to the process (it passed: {names}); "
            "start it by its socket unit, with this name as FileDescriptorName="
        )
    ports = []
    for each in found:
        with socket.socket(fileno=os.dup(each.descriptor)) as listening:
            listening.setblocking(False)  # systemd passes it blocking; Twisted would block in accept()
            if listening.family == socket.AF_UNIX:
                ports.append(unix_listener.adopt(reactor, listening.fileno(), factory))
            else:
                ports.append(reactor.adoptStreamPort(listening.fileno(), listening.family, factory))
    return ports


def _listen_on_port(reactor: Reactor, number: int, factory: Factory) -> list[IListeningPort]:
    with contextlib.ExitStack() as stack:  # the reactor duplicates the descriptors
        sockets: list[socket.socket] = []
        for family, host in FAMILIES:
            listening = _socket(family, host, number)
            if listening is not None:
                sockets.append(stack.enter_context(listening))
        return [reactor.adoptStreamPort(listening.fileno(), listening.family, factory) for listening in sockets]


def _socket(family: socket.AddressFamily, host: str, number: int) -> socket.socket | None:
    """Return a listening socket; None for IPv6 on a machine that has none."""
    try:
        with contextlib.ExitStack() as undo:
            listening = undo.enter_context(socket.socket(family, socket.SOCK_STREAM))
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listening.bind((host, number))
            listening.listen(BACKLOG)
            listening.setblocking(False)
            undo.pop_all()
            return listening
    except OSError as problem:
        if family == socket.AF_INET6 and problem.errno in NO_IPV6:
            logger.debug("This machine has no IPv6 (%s): listening on IPv4 only", problem.strerror)
            return None
        name = _systemd_name(number) if problem.errno == errno.EADDRINUSE else None
        if name is not None:
            raise ConfigError(
                f"cannot listen on port {number}: systemd has opened it for zeroscale; write listen = 'systemd:{name}'"
            ) from None
        raise ConfigError(f"cannot listen on port {number}: {reason(problem)}") from None


def _systemd_name(number: int) -> str | None:
    """Return the name of systemd's socket on this port; None: systemd has opened none there."""
    for each in service_manager_environment().sockets:
        with socket.socket(fileno=os.dup(each.descriptor)) as listening:
            if each.datagrams or listening.family == socket.AF_UNIX:
                continue
            if listening.getsockname()[1] == number:
                return each.name
    return None


def _described(port: IListeningPort) -> str:
    bound = getattr(port, "socket", None)
    return str(bound.getsockname()) if isinstance(bound, socket.socket) else str(port.getHost())
