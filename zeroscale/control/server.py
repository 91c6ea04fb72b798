"""The admin socket. Permission to connect is permission to write the socket file.

Creates the socket, also again where it was removed, replaces one that a dead proxy has left behind, and removes it at
the end.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory

from zeroscale.control.socket_path import ControlSocket
from zeroscale.errors import ConfigError, ZeroscaleError
from zeroscale.reactor import Reactor
from zeroscale.system.unix_listener import UnixListener

if TYPE_CHECKING:
    from zeroscale.control.connection import ControlConnection
    from zeroscale.control.handlers import CommandHandler
    from zeroscale.control.interfaces import ProxyControl

logger = logging.getLogger("zeroscale.control")

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
        self._proxy = proxy
        self._commands: CommandHandler | None = None
        self._clients: dict[ControlConnection, Deferred[None]] = {}
        self._listener: UnixListener | None = None

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
        listener = UnixListener(self._reactor, path, self, self._control_socket.mode)
        try:
            # A user's runtime and state directories are private. For /run/zeroscale, the sockets' own modes limit
            # access.
            path.parent.mkdir(mode=0o755 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
            listener.startListening()
        except ConfigError as error:
            self._report_failure(error)
        except (CannotListenError, OSError) as error:
            cause = error.socketError if isinstance(error, CannotListenError) else error
            reason = getattr(cause, "strerror", None) or cause
            self._report_failure(ConfigError(f"cannot create the control socket {path}: {reason}"))
        else:
            self._listener = listener
            logger.debug("Control socket: %s", path)

    def stop(self) -> Deferred[None]:
        """Remove the socket and close all client connections; fires when they are closed."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            await listener.stopListening()
        closed = list(self._clients.values())
        for client in list(self._clients):
            client.close()
        await DeferredList(closed)

    def buildProtocol(self, addr: IAddress | None) -> ControlConnection | None:
        """Make the protocol of a new client; beyond `MAX_CLIENTS` one that only refuses."""
        try:
            from zeroscale.control.connection import ControlConnection
            from zeroscale.control.handlers import CommandHandler
        except (ImportError, OSError) as error:  # another version was installed, or too many files are open
            logger.error("zeroscalectl cannot be used: %s", error)
            return None
        if self._commands is None:
            self._commands = CommandHandler(self._proxy, self._reactor)
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
