"""The admin socket. Permission to connect is permission to write the socket file.

Creates the socket, replaces one that a dead proxy has left behind, and removes it at the end.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import stat
from pathlib import Path

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IListeningPort
from twisted.internet.protocol import Factory

from zeroscale.control.connection import ControlConnection
from zeroscale.control.handlers import CommandHandler
from zeroscale.control.interfaces import ProxyControl
from zeroscale.control.socket_path import ControlSocket
from zeroscale.errors import ConfigError, ZeroscaleError
from zeroscale.reactor import Reactor

logger = logging.getLogger(__name__)

MAX_CLIENTS = 32
"""Enough for a few operators, a health check and a dashboard at the same time."""


class ControlServer(Factory):
    """Listens for clients of the control protocol.

    :param proxy: executes their commands.
    :param reactor: listens, and is the clock.
    :param control_socket: the socket to create.
    :param required: whether failing to create the socket is an error; False: it is a warning, since the operator has
        not asked for the socket.
    """

    noisy = False

    def __init__(self, proxy: ProxyControl, reactor: Reactor, control_socket: ControlSocket, required: bool) -> None:
        self._reactor = reactor
        self._control_socket = control_socket
        self._required = required
        self._commands = CommandHandler(proxy, reactor)
        self._clients: dict[ControlConnection, Deferred[None]] = {}
        self._port: IListeningPort | None = None

    @property
    def directory(self) -> Path:
        """Directory of the socket."""
        return self._control_socket.path.parent

    def start(self) -> Deferred[None]:
        """Listen.

        :returns: fails with `ConfigError` if the socket is required and cannot be created.
        """
        return maybeDeferred(self._start)

    def _start(self) -> None:
        path = self._control_socket.path
        try:
            prepare_path(path)
            # Sets the mode before it listens, so that at no time a client without permission can connect.
            self._port = self._reactor.listenUNIX(str(path), self, mode=self._control_socket.mode)
        except ConfigError as error:
            self._report_failure(error)
        except (CannotListenError, OSError) as error:
            cause = error.socketError if isinstance(error, CannotListenError) else error
            reason = getattr(cause, "strerror", None) or cause
            self._report_failure(ConfigError(f"cannot create the control socket {path}: {reason}"))
        else:
            logger.debug("Control socket: %s", path)

    def stop(self) -> Deferred[None]:
        """Remove the socket and close all client connections; fires when they are closed."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        port, self._port = self._port, None
        if port is not None:
            await maybeDeferred(port.stopListening)
        closed = list(self._clients.values())
        for client in list(self._clients):
            client.close()
        await DeferredList(closed)

    def buildProtocol(self, addr: IAddress | None) -> ControlConnection:
        """Make the protocol of a new client; beyond `MAX_CLIENTS` one that only refuses."""
        client = ControlConnection(self._commands.perform, self._reactor, self._client_closed)
        self._clients[client] = Deferred()
        if len(self._clients) > MAX_CLIENTS:
            client.refusal = f"{MAX_CLIENTS} clients are connected already: try again later"
        return client

    def _client_closed(self, client: ControlConnection) -> None:
        self._clients.pop(client).callback(None)

    def _report_failure(self, error: ZeroscaleError) -> None:
        if self._required:
            raise error
        logger.warning("zeroscalectl cannot be used: %s", error)


def prepare_path(path: Path) -> None:
    """Create the directory of a socket if it is missing, and remove a socket on which no process listens.

    :raises ConfigError: a process listens on it, or the path is not a socket.
    :raises OSError: a system call failed.
    """
    # A user's runtime and state directories are private. For /run/zeroscale, the sockets' own modes limit access.
    path.parent.mkdir(mode=0o755 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise ConfigError(f"{path} exists and is not a socket: choose another path, or remove it")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        problem = probe.connect_ex(str(path))
    if problem in (0, errno.EAGAIN):  # EAGAIN: there is a listener, and its backlog is full
        raise ConfigError(f"another zeroscale listens on {path}: stop it, or choose another path")
    if problem != errno.ECONNREFUSED:
        raise OSError(problem, os.strerror(problem), str(path))
    path.unlink()
