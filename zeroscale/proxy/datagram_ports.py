"""The UDP ports of a running proxy: their sockets, their conversations by protocol, and the relay of all of them.

Imported only where a UDP port is configured.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module

from zeroscale.config import udp_listen
from zeroscale.config.model import PortConfig
from zeroscale.errors import ConfigError, RelayError
from zeroscale.frontend.context import FrontendContext
from zeroscale.frontend.datagram_limits import AnswerLimits
from zeroscale.frontend.datagram_listener import (
    DatagramListener,
    DatagramSettings,
    ListeningSocket,
)
from zeroscale.protocols.datagrams import DatagramConversation
from zeroscale.proxy.factory import health_check_networks
from zeroscale.proxy.server_port import ServerPort
from zeroscale.reactor import Reactor
from zeroscale.relay.datagram_relay import DatagramRelay
from zeroscale.reports import DatagramReport
from zeroscale.sockets.datagram_socket import listen_datagrams, prepare_inherited
from zeroscale.system import endpoints
from zeroscale.system.socket_activation import service_manager_environment

logger = logging.getLogger("zeroscale.system")

FACTORIES = {
    "bedrock": "zeroscale.proxy.bedrock_factory",
    "source-query": "zeroscale.proxy.query_factory",
    "quake-query": "zeroscale.proxy.query_factory",
    "minecraft-query": "zeroscale.proxy.query_factory",
}
"""Modules whose `conversation` makes that of a protocol; each is imported when it is first needed."""

PLAIN = "zeroscale.proxy.udp_factory"


class DatagramPorts:
    """The relay of all UDP ports, which starts with the first one.

    :param context: shared by all ports; its `relay_crashed` is called when the relay has died.
    """

    def __init__(self, context: FrontendContext) -> None:
        self._context = context
        self._key = os.urandom(32)
        self._limits = AnswerLimits()
        self.relay = DatagramRelay(context.reactor, context.relay_crashed)

    def port(self, listen: str) -> DatagramListenPort:
        """Return a port, which is not open yet."""
        return DatagramListenPort(listen, self._context, self.relay, self._key, self._limits)

    def start(self, ports: Iterable[object]) -> None:
        """Read those of the ports that are not read yet, and are for datagrams.

        :raises ConfigError: the relay cannot be started.
        """
        for port in ports:
            if isinstance(port, DatagramListenPort):
                port.start()


class DatagramListenPort:
    """One `listen` value of UDP: its sockets, and the one port of a server behind it.

    :ivar listen: the value.
    """

    def __init__(
        self, listen: str, context: FrontendContext, relay: DatagramRelay, key: bytes, limits: AnswerLimits
    ) -> None:
        self.listen = listen
        self._context = context
        self._relay = relay
        self._key = key
        self._limits = limits
        self._bound: list[socket.socket] = []
        self._sockets: list[ListeningSocket] = []
        self._port: ServerPort | None = None
        self._listener: DatagramListener | None = None
        self._unsubscribe: Callable[[], None] = _do_nothing
        self._made_from: tuple[PortConfig, str] | None = None

    async def open(self, reactor: Reactor) -> None:
        """Open the sockets; nothing is read before `start`.

        :raises ConfigError: that failed.
        """
        self._bound = _open(self.listen)
        for sock in self._bound:
            logger.debug("Receiving datagrams on %s", sock.getsockname())

    def start(self) -> None:
        """Read the sockets, if that is not so already.

        :raises ConfigError: the relay cannot be started.
        """
        assert self._port is not None
        while self._bound:
            sock = ListeningSocket()
            timeout = self._port.config.session_timeout
            try:
                sock.port = self._relay.listen(self._bound[0], sock, session_timeout=timeout)
            except RelayError as error:
                raise ConfigError(f"cannot listen on {self.listen!r}: {error}") from None
            del self._bound[0]
            self._sockets.append(sock)
        self._listen()

    async def close(self) -> None:
        """End all sessions, and close the sockets."""
        self.retire()
        for bound in self._bound:
            bound.close()
        self._bound.clear()
        sockets, self._sockets = self._sockets, []
        for sock in sockets:
            await sock.port.close()

    def retire(self) -> None:
        """Serve no new clients from now on; the sessions continue."""
        self._unsubscribe()
        self._unsubscribe = _do_nothing
        if self._port is not None:
            self._port.datagrams.pop(self.listen, None)
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def route_to(self, ports: Sequence[ServerPort]) -> None:
        """Serve the clients of this port of a server from now on."""
        if ports[0] is not self._port:
            self.retire()
            self._port = ports[0]
        self.refresh()

    def refresh(self) -> None:
        """Read the server's configuration again, after it has changed."""
        if self._sockets:
            self._listen()

    def report(self) -> DatagramReport:
        """Return the sums since the port was opened."""
        return DatagramReport() if self._listener is None else self._listener.report()

    def _listen(self) -> None:
        port = self._port
        assert port is not None
        settings = DatagramSettings(port.config.hold, health_check_networks(port.server.config))
        made_from = port.config, port.protocol
        for sock in self._sockets:
            sock.port.set_session_timeout(port.config.session_timeout)
        if self._listener is None:
            self._listener = DatagramListener(
                self._context, port.backend, self._conversation(port), settings, self._sockets, self._limits
            )
            self._unsubscribe = port.server.lifecycle.add_observer(self._listener.status_changed)
            port.datagrams[self.listen] = self.report
        else:
            is_same = made_from == self._made_from  # clients that it holds are not to notice a reload
            self._listener.configure(None if is_same else self._conversation(port), settings)
        self._made_from = made_from

    def _conversation(self, port: ServerPort) -> DatagramConversation:
        factory = import_module(FACTORIES.get(port.protocol, PLAIN))
        made: DatagramConversation = factory.conversation(port, self._key, self._context.reactor.seconds)
        return made


def _open(listen: str) -> list[socket.socket]:
    try:
        wanted = udp_listen.parse(listen)
    except ValueError as error:
        raise ConfigError(f"cannot listen on {listen!r}: {error}") from None
    if wanted.port is None:
        return _inherited(listen, wanted.inherited)
    opened: list[socket.socket] = []
    with contextlib.ExitStack() as undo:
        for host in (wanted.interface,) if wanted.interface else ("::", "0.0.0.0"):
            try:
                opened.append(undo.enter_context(listen_datagrams(host, wanted.port)))
            except OSError as error:
                if host == "::" and error.errno in endpoints.NO_IPV6:
                    logger.debug("This machine has no IPv6 (%s): receiving datagrams on IPv4 only", error.strerror)
                    continue
                raise ConfigError(f"cannot listen on {listen!r}: {endpoints.reason(error)}") from None
        undo.pop_all()
    return opened


def _inherited(listen: str, name: str) -> list[socket.socket]:
    sockets = service_manager_environment().sockets
    found = [each for each in sockets if each.name == name and each.datagrams]
    if not found:
        names = ", ".join(dict.fromkeys(each.name for each in sockets if each.datagrams)) or "none"
        raise ConfigError(
            f"cannot listen on {listen!r}: systemd passed no UDP socket of this name to the process (it passed: "
            f"{names}); write ListenDatagram= in its socket unit, with this name as FileDescriptorName="
        )
    opened = []
    with contextlib.ExitStack() as undo:
        for each in found:
            sock = undo.enter_context(socket.socket(fileno=os.dup(each.descriptor)))
            try:
                prepare_inherited(sock)
            except OSError as error:
                raise ConfigError(f"cannot listen on {listen!r}: {error.strerror}") from None
            opened.append(sock)
        undo.pop_all()
    return opened


def _do_nothing() -> None:
    pass
