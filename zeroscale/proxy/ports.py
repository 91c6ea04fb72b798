"""The ports of a running proxy: each open once, whichever servers share it, and where each of its clients is led.

What a client says is the front's to read; whether a server runs is the server's to know.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.internet.interfaces import IListeningPort

from zeroscale.config.model import ServerConfig
from zeroscale.errors import ConfigError
from zeroscale.frontend.context import FrontendContext
from zeroscale.frontend.factory import ConnectionFactory
from zeroscale.frontend.interfaces import Backend, Messages
from zeroscale.frontend.routing import Router, normalised
from zeroscale.protocols.conversation import Conversation, MinecraftOptions
from zeroscale.protocols.minecraft.dispatch import MinecraftConversation
from zeroscale.proxy import tcp_factory as any_server
from zeroscale.proxy.factory import accept_from, health_check
from zeroscale.proxy.managed_server import Hosted
from zeroscale.system import endpoints as listening

Plan = Mapping[str, Sequence[Hosted]]
"""The servers behind each `listen` value."""


class Door:
    """One `listen` value.

    :ivar where: the value.
    """

    def __init__(self, where: str, context: FrontendContext) -> None:
        """Opens nothing."""
        self.where = where
        self._clock = context.reactor
        self._servers: Sequence[Hosted] = ()
        self._router: Router[Hosted] = Router((), None)
        self._minecraft = False
        self._alone: Hosted | None = None
        self._forwarding = False
        self._listener = ConnectionFactory(context, self._make_conversation, self._route)
        self._listener.messages = self._messages
        self._ports: list[IListeningPort] = []

    async def open(self, reactor: Any) -> None:
        """Listens.

        :raises ConfigError: it cannot be listened on.
        """
        self._ports = await listening.listen(reactor, self.where, self._listener)

    async def close(self) -> None:
        """Listens no more; those who are connected stay."""
        ports, self._ports = self._ports, []
        for port in ports:
            await maybeDeferred(port.stopListening)

    def lead_to(self, servers: Sequence[Hosted]) -> None:
        """Has the clients to come led to these."""
        self._servers = servers
        default = next((server for server in servers if not server.config.hosts), None)
        named = [(normalised(host), server) for server in servers for host in server.config.hosts]
        self._router = Router(named, default)
        self._minecraft = any(server.speaks_minecraft for server in servers)
        self._forwarding = any(server.config.forwarding for server in servers)
        self._listener.reject_header = not self._minecraft
        self._alone = None if self._minecraft else default
        self._listener.timeout = None if self._alone is None else self._alone.config.wake_timeout
        self._listener.health_check = [network for server in servers for network in health_check(server.config)]
        self._listener.accept_from = [network for server in servers for network in accept_from(server.config)]

    def look_again(self) -> None:
        """One of the servers is another one."""
        self.lead_to(self._servers)

    def _route(self, host: str) -> Backend | None:
        server = self._router.route(host)
        return None if server is None else server.place

    def _messages(self) -> Messages:
        """Return the messages for clients whose host is no server's: those of the first server on this port."""
        return self._servers[0].place.messages

    def _make_conversation(self) -> Conversation:
        server = self._alone
        if server is not None:
            return any_server.conversation(server.config, lambda: server.lifecycle.view, self._clock.seconds)
        return MinecraftConversation(forwarding=self._forwarding, minecraft_options=self._minecraft_options)

    def _minecraft_options(self, host: str) -> MinecraftOptions:
        place = self._route(host)
        return MinecraftOptions() if place is None else place.minecraft_options


class Doors:
    """All of them.

    :param reactor: listens.
    :param context: what all connections share.
    """

    def __init__(self, reactor: Any, context: FrontendContext) -> None:
        self._reactor = reactor
        self._context = context
        self._doors: dict[str, Door] = {}

    async def open(self, plan: Plan) -> None:
        """Opens the doors of a plan that are not open yet: all of them, or none.

        :raises ConfigError: one of them cannot be listened on.
        """
        opened: list[Door] = []
        for where, servers in plan.items():
            if where in self._doors:
                continue
            door = self._doors[where] = Door(where, self._context)
            opened.append(door)
            door.lead_to(servers)
            try:
                await door.open(self._reactor)
            except ConfigError:
                for each in opened:
                    del self._doors[each.where]
                    await each.close()
                raise

    async def lead_to(self, plan: Plan) -> None:
        """From now on the plan is all there is; a door that is not in it is closed. The others are open."""
        closing = [self._doors.pop(where) for where in list(self._doors) if where not in plan]
        for where, door in self._doors.items():
            door.lead_to(plan[where])
        for door in closing:
            await door.close()

    def look_again(self) -> None:
        """One of the servers is another one, and its clients may speak another protocol."""
        for door in self._doors.values():
            door.look_again()

    async def close(self) -> None:
        """Closes all."""
        doors, self._doors = self._doors, {}
        for door in doors.values():
            await door.close()


def plan(servers: Iterable[tuple[ServerConfig, Hosted]]) -> Plan:
    """Which servers stand behind which door, when they are told this."""
    behind: dict[str, list[Hosted]] = {}
    for config, hosted in servers:
        for where in config.listen:
            behind.setdefault(where, []).append(hosted)
    return behind
