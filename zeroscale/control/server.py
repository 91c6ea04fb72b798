"""The admin socket: who may connect is who may write to it.

Makes it, replaces one that a dead proxy has left, and takes it away at the end.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import stat
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IListeningPort
from twisted.internet.protocol import Factory

from zeroscale.control.connection import Connection
from zeroscale.control.handlers import Commands
from zeroscale.control.interfaces import Proxy
from zeroscale.control.socket_path import Place
from zeroscale.errors import ConfigError, ZeroscaleError

logger = logging.getLogger(__name__)

MOST_CLIENTS = 32
"""Clients at a time: a few operators, a health check, a dashboard."""


class ControlServer(Factory):
    """Listens for clients of the control protocol.

    :param proxy: what they command.
    :param reactor: Twisted's, with IReactorUNIX and IReactorTime.
    :param place: the socket to make.
    :param required: somebody has named it, so that a proxy without it is not what was asked for.
    """

    noisy = False

    def __init__(self, proxy: Proxy, reactor: Any, place: Place, required: bool) -> None:
        self._reactor = reactor
        self._place = place
        self._required = required
        self._commands = Commands(proxy, reactor)
        self._clients: dict[Connection, Deferred[None]] = {}
        self._port: IListeningPort | None = None

    @property
    def directory(self) -> Path:
        """Where its socket is made."""
        return self._place.path.parent

    def start(self) -> Deferred[None]:
        """Listens.

        :returns: fails with `ConfigError` where the socket is required and cannot be made.
        """
        return maybeDeferred(self._start)

    def _start(self) -> None:
        try:
            make_way(self._place.path)
            # It chmods before it listens, so that nobody has ever connected who may not.
            self._port = self._reactor.listenUNIX(str(self._place.path), self, mode=self._place.mode)
        except ConfigError as error:
            self._complain(error)
        except (CannotListenError, OSError) as error:
            cause = error.socketError if isinstance(error, CannotListenError) else error
            reason = getattr(cause, "strerror", None) or cause
            self._complain(ConfigError(f"cannot make the control socket {self._place.path}: {reason}"))
        else:
            logger.debug("Control socket: %s", self._place.path)

    def stop(self) -> Deferred[None]:
        """Takes the socket away and ends all clients; fires when they are gone."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        port, self._port = self._port, None
        if port is not None:
            await maybeDeferred(port.stopListening)
        gone = list(self._clients.values())
        for client in list(self._clients):
            client.close()
        await DeferredList(gone)

    def buildProtocol(self, addr: IAddress | None) -> Connection:
        """A client has come."""
        client = Connection(self._commands.perform, self._reactor, self._forget)
        self._clients[client] = Deferred()
        if len(self._clients) > MOST_CLIENTS:
            client.unwelcome = f"{MOST_CLIENTS} clients are connected already: try again later"
        return client

    def _forget(self, client: Connection) -> None:
        self._clients.pop(client).callback(None)

    def _complain(self, error: ZeroscaleError) -> None:
        if self._required:
            raise error
        logger.warning("zeroscalectl cannot be used: %s", error)


def make_way(path: Path) -> None:
    """Makes the directory where it is missing, and takes away a socket that nobody answers on.

    :raises ConfigError: somebody answers, or something else is there.
    :raises OSError: it cannot be done.
    """
    # A user's runtime and state directories are private; of /run/zeroscale the sockets say who may use them.
    path.parent.mkdir(mode=0o755 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise ConfigError(f"{path} is in the way: it is no socket; name another path, or remove it")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        problem = probe.connect_ex(str(path))
    if problem in (0, errno.EAGAIN):  # the latter: so many wait to be answered that there is no room for one more
        raise ConfigError(f"another zeroscale answers on {path}: stop it, or name another path")
    if problem != errno.ECONNREFUSED:
        raise OSError(problem, os.strerror(problem), str(path))
    path.unlink()
