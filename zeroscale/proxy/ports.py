"""The listening ports of a running proxy: each opened once, shared by servers, and routed to them by host.

The frontend reads what clients send; this module only chooses the conversation and the server.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IListeningPort

from zeroscale.config.conflicts import unix_path_of
from zeroscale.config.model import PortConfig, is_udp
from zeroscale.errors import ConfigError
from zeroscale.frontend.context import FrontendContext
from zeroscale.frontend.factory import ConnectionFactory
from zeroscale.frontend.interfaces import Backend, Messages
from zeroscale.frontend.routing import Router, normalised
from zeroscale.protocols.conversation import Conversation, MinecraftOptions
from zeroscale.protocols.minecraft.dispatch import MinecraftConversation
from zeroscale.proxy import tcp_factory
from zeroscale.proxy.factory import header_networks, health_check_networks
from zeroscale.proxy.server_port import ServerPort
from zeroscale.reactor import Reactor
from zeroscale.sockets.listener import listening_reactor
from zeroscale.system import endpoints
from zeroscale.system.privileges import is_trusted

if TYPE_CHECKING:
    from zeroscale.proxy.datagram_ports import DatagramListenPort, DatagramPorts

PortsByListen = Mapping[str, Sequence[ServerPort]]
"""The servers' ports behind each `listen` value."""


class ListenPort:
    """One `listen` value: its listening sockets, and the servers behind it.

    :ivar listen: the value.
    """

    def __init__(self, listen: str, context: FrontendContext) -> None:
        self.listen = listen
        self._context = context
        self._clock = context.reactor
        self._ports: Sequence[ServerPort] = ()
        self._router: Router[ServerPort] = Router((), None)
        self._tcp_port: ServerPort | None = None
        self._shared_by: tcp_factory.HostKind | None = None
        self._health_paths: Sequence[str] = ()
        self._forwarding = False
        self._factory = ConnectionFactory(context, self._make_conversation, self._route)
        self._factory.messages = self._messages
        self._sockets: list[IListeningPort] = []

    async def open(self, reactor: Reactor) -> None:
        """Listen.

        :raises ConfigError: listening failed.
        """
        listening = listening_reactor(reactor, self._context.poller, self._factory)
        self._sockets = await endpoints.listen(listening, self.listen, self._factory)

    async def close(self) -> None:
        """Stop listening; connected clients stay connected."""
        sockets, self._sockets = self._sockets, []
        for each in sockets:
            await maybeDeferred(each.stopListening)

    def route_to(self, ports: Sequence[ServerPort]) -> None:
        """Route future connections to these ports of servers."""
        self._ports = ports
        default = next((port for port in ports if not port.config.hosts), None)
        hosts = [(normalised(host), port) for port in ports for host in port.config.hosts]
        self._router = Router(hosts, default)
        minecraft = any(port.protocol == "minecraft" for port in ports)
        configs = [port.server.config for port in ports]
        self._forwarding = any(config.forwarding for config in configs)
        self._tcp_port = None if minecraft else default
        is_alone = len(ports) == 1 and not hosts  # its clients need not be asked which host they want
        self._shared_by = (
            None if minecraft or is_alone else next(filter(None, (port.host_kind for port in ports)), None)
        )
        self._health_paths = [port.config.health_path for port in ports if port.config.health_path is not None]
        self._factory.reject_header = not minecraft
        self._factory.timeout = None if minecraft else max((port.config.wake_timeout for port in ports), default=None)
        self._factory.health_check = [each for config in configs for each in health_check_networks(config)]
        self._factory.accept_from = [each for config in configs for each in header_networks(config)]

    def refresh(self) -> None:
        """Read the servers' configuration again, after one of them has changed."""
        self.route_to(self._ports)

    def _route(self, host: str) -> Backend | None:
        port = self._router.route(host)
        return None if port is None else port.backend

    def _messages(self) -> Messages:
        """Return the messages for clients whose host matches no server: those of the first server on this port."""
        return self._ports[0].backend.messages

    def _make_conversation(self) -> Conversation:
        if self._shared_by is not None:
            return tcp_factory.shared_conversation(self._shared_by, self._conversation_for, self._health_paths)
        if self._tcp_port is not None:
            return self._conversation_with(self._tcp_port)
        return MinecraftConversation(forwarding=self._forwarding, minecraft_options=self._minecraft_options)

    def _conversation_for(self, host: str) -> Conversation | None:
        port = self._router.route(host)
        return None if port is None else self._conversation_with(port)

    def _conversation_with(self, port: ServerPort) -> Conversation:
        return tcp_factory.conversation(
            port.config,
            port.protocol,
            port.backend.policy,
            lambda: port.backend.server.view,
            self._clock.seconds,
            lambda: port.backend.messages.page_note,
        )

    def _minecraft_options(self, host: str) -> MinecraftOptions:
        backend = self._route(host)
        return MinecraftOptions() if backend is None else backend.minecraft_options


class PortManager:
    """All listening ports of the proxy.

    :param reactor: listens.
    :param context: shared by all client connections.
    """

    def __init__(self, reactor: Reactor, context: FrontendContext) -> None:
        self._reactor = reactor
        self._context = context
        self._ports: dict[str, ListenPort | DatagramListenPort] = {}
        self._datagrams: DatagramPorts | None = None

    async def open(self, by_listen: PortsByListen, *, for_owner: bool = False) -> None:
        """Open the ports that are not open yet: all of them, or none.

        :param for_owner: root opens them for the user that the process will switch to. The Unix sockets are then left
            for that user, where other users than root could replace them while their mode is set.
        :raises ConfigError: listening on one of them failed.
        """
        opened: list[ListenPort | DatagramListenPort] = []
        try:
            for listen, ports in by_listen.items():
                if listen in self._ports or (for_owner and not _is_safe_for_root(listen)):
                    continue
                port = self._ports[listen] = self._make(listen)
                opened.append(port)
                port.route_to(ports)
                await port.open(self._reactor)
            if self._datagrams is not None and not for_owner:  # later: its thread would not survive a fork
                self._datagrams.start(self._ports.values())
        except ConfigError:
            for each in opened:
                del self._ports[each.listen]
                await each.close()
            raise

    def _make(self, listen: str) -> ListenPort | DatagramListenPort:
        if not is_udp(listen):
            return ListenPort(listen, self._context)
        if self._datagrams is None:
            from zeroscale.proxy.datagram_ports import DatagramPorts

            self._datagrams = DatagramPorts(self._context)
        return self._datagrams.port(listen)

    async def route_to(self, by_listen: PortsByListen) -> None:
        """Route all ports to these servers, and close the ports that have none. The ports are open already."""
        closing = [self._ports.pop(listen) for listen in list(self._ports) if listen not in by_listen]
        for listen, port in self._ports.items():
            port.route_to(by_listen[listen])
        for port in closing:
            await port.close()

    def refresh(self) -> None:
        """Read the servers' configuration again, after one of them has changed, perhaps its protocol."""
        for port in self._ports.values():
            port.refresh()

    def heartbeat(self) -> Deferred[None]:
        """Check that the relay of datagrams still works; see `relay.base.Relay.heartbeat`."""
        return succeed(None) if self._datagrams is None else self._datagrams.relay.heartbeat()

    async def close(self) -> None:
        """Serve no new clients: close all ports, but those of UDP, whose clients are still to be told of the end."""
        ports, self._ports = self._ports, {}
        for port in ports.values():
            if isinstance(port, ListenPort):
                await port.close()
            else:
                port.retire()

    async def end_datagrams(self) -> None:
        """End the sessions of UDP, and close its ports."""
        if self._datagrams is not None:
            await self._datagrams.relay.stop()


def _is_safe_for_root(listen: str) -> bool:
    path = unix_path_of(listen)
    return path is None or is_trusted(Path(path).parent)


def ports_by_listen(ports: Sequence[ServerPort], configs: Sequence[PortConfig] | None = None) -> PortsByListen:
    """Return the servers' ports behind each `listen` value.

    :param configs: the configurations that the ports will have; None: those that they have.
    """
    found: dict[str, list[ServerPort]] = {}
    for port, config in zip(ports, configs or [port.config for port in ports], strict=True):
        for listen in config.listen:
            found.setdefault(listen, []).append(port)
    return found
