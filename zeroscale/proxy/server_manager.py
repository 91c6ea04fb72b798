"""The servers that a running proxy serves, and how they become those of another configuration while players are on.

What stays is changed in its place, what is new comes once what stands in its way has gone, and what is not told any
more goes once it is empty. It knows no configuration file, and nobody who asks for a change.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.python.failure import Failure

from zeroscale.config.model import Config, ServerConfig
from zeroscale.errors import ZeroscaleError
from zeroscale.frontend.context import FrontendContext
from zeroscale.proxy.managed_server import Hosted
from zeroscale.proxy.ports import Doors, Plan, plan
from zeroscale.status import ServerSnapshot

logger = logging.getLogger(__name__)

InTurn = Callable[[Callable[[], Coroutine[Any, Any, object]]], None]
"""Has something done once nothing else is being changed."""


class Serving:
    """All of them.

    :param config: what is to be served at first.
    :param reactor: listens, and is the clock.
    :param context: what all connections share.
    :param told: called with the name of a server of which something has changed.
    :param in_turn: has what is still to be done done, later. All else here is to be called in turn, too.
    :ivar servers: those that are served, by name.
    """

    def __init__(
        self, config: Config, reactor: Any, context: FrontendContext, told: Callable[[str], None], in_turn: InTurn
    ) -> None:
        """Makes them, and touches nothing.

        :raises ZeroscaleError: one of them cannot be made; the message names what to change.
        """
        self._config = config
        self._reactor = reactor
        self._told = told
        self._in_turn = in_turn
        self._doors = Doors(reactor, context)
        self._leaving: dict[Hosted, Deferred[None]] = {}
        self._awaited: frozenset[str] = frozenset()
        self.servers: dict[str, Hosted] = {}
        for server in config.servers:
            self._take_in(Hosted(server, config, reactor))

    @property
    def leaving(self) -> Sequence[Hosted]:
        """Those that are not served any more, but have not stopped yet."""
        return tuple(self._leaving)

    @property
    def ports(self) -> Sequence[str]:
        """Where clients come in."""
        return tuple(self._plan())

    def views(self) -> Sequence[ServerSnapshot]:
        """All as they are now, also those that are on their way out."""
        return [hosted.lifecycle.view for hosted in (*self.servers.values(), *self._leaving)]

    # Their beginning and their end

    def open(self) -> None:
        """Takes the servers' locks.

        :raises ZeroscaleError: somebody else has one.
        """
        for hosted in self.servers.values():
            hosted.open()

    async def open_doors(self) -> None:
        """Listens.

        :raises ConfigError: a port cannot be listened on.
        """
        await self._doors.open(self._plan())

    async def look_for_servers(self) -> None:
        """Takes over those that still run."""
        await _look_for(self.servers.values())

    def hurry(self) -> None:
        """Somebody cannot wait for `close()`: servers that have not stopped get their SIGTERM now."""
        for hosted in (*self.servers.values(), *self._leaving):
            hosted.lifecycle.skip_to_sigterm()

    async def close(self) -> None:
        """No new clients; all servers stopped, or left as was asked, and waited for."""
        await self._doors.close()
        leaving = [hosted.lifecycle.close() for hosted in list(self._leaving)]  # by us: nobody would take it over
        await gatherResults([*(hosted.close() for hosted in self.servers.values()), *leaving])

    def let_go(self) -> None:
        """Gives the servers' locks back."""
        for hosted in self.servers.values():
            hosted.let_go()

    # Other servers

    async def become(self, config: Config) -> Sequence[str]:
        """Has them be those of this configuration.

        :returns: what has changed, a line each.
        :raises ZeroscaleError: they cannot be; then nothing has changed.
        """
        told = {server.name: server for server in config.servers}
        back = {hosted.name: hosted for hosted in self._leaving if hosted.name in told and hosted.is_running}
        staying = {name: hosted for name, hosted in {**self.servers, **back}.items() if name in told}
        going = {name: hosted for name, hosted in self.servers.items() if name not in told}
        # All that can fail comes first.
        prepared = {name: hosted.prepare(told[name], config) for name, hosted in staying.items()}
        in_the_way = [*going.values(), *(hosted for hosted in self._leaving if hosted not in back.values())]
        in_the_way += [hosted for name, hosted in staying.items() if _stays_for_now(hosted, prepared[name] is not None)]
        blocked = [name for name in told if name not in staying and _is_blocked(told[name], in_the_way)]
        new = [name for name in told if name not in staying and name not in blocked]
        added = await self._prepare(config, staying, new)
        returned = [name for name, hosted in back.items() if self._reinstate(hosted)]
        blocked += [name for name in back if name not in returned]  # it has begun to stop meanwhile
        self._config = config
        self._awaited = frozenset(blocked)
        changes = [f"{name}: added" for name in added]
        changes += [f"{name}: added again; it has not stopped meanwhile" for name in returned]
        changes += [f"{name}: will be added once the one in its place has stopped" for name in blocked]
        for name, change in prepared.items():
            if change is not None and name not in blocked:
                changes.append(f"{name}: changed: {staying[name].become(change)}")
        for hosted in added.values():
            self._take_in(hosted)
        for name, hosted in going.items():
            busy = hosted.lifecycle.view.players > 0
            changes.append(f"{name}: removed" + ("; it is stopped once nobody is on it" if busy else ""))
            del self.servers[name]
            self._retire(hosted)
        await self._doors.lead_to(self._plan())
        await _look_for(added.values())
        self._see_to_awaited()  # what was in the way may have gone meanwhile
        return changes

    async def _prepare(
        self, config: Config, staying: Mapping[str, Hosted], names: Sequence[str]
    ) -> Mapping[str, Hosted]:
        """Servers that are new in this configuration, with their locks taken and all doors open.

        :raises ZeroscaleError: one of them cannot be had; then nothing has been done.
        """
        told = {server.name: server for server in config.servers}
        added: dict[str, Hosted] = {}
        try:
            for name in names:
                hosted = Hosted(told[name], config, self._reactor)
                hosted.open()
                added[name] = hosted
            await self._doors.open(plan((told[name], hosted) for name, hosted in {**staying, **added}.items()))
        except ZeroscaleError:
            for hosted in added.values():
                hosted.let_go()
            raise
        return added

    def _take_in(self, hosted: Hosted) -> None:
        self.servers[hosted.name] = hosted
        hosted.lifecycle.add_observer(lambda view: self._told(view.name))
        hosted.lifecycle.add_session_observer(lambda: self._told(hosted.name))
        hosted.on_another = self._is_another

    def _is_another(self) -> None:
        self._doors.look_again()
        self._see_to_awaited()

    def _retire(self, hosted: Hosted) -> None:
        """It is stopped once nobody is on it."""
        gone = self._leaving[hosted] = hosted.lifecycle.retire()

        def let_go(_: None) -> None:
            del self._leaving[hosted]
            hosted.let_go()
            self._see_to_awaited()

        gone.addCallback(let_go).addErrback(_fault)

    def _reinstate(self, hosted: Hosted) -> bool:
        """It is served again, with whoever is on it; False: it stops already, and another one can come after it."""
        if not hosted.lifecycle.reinstate():
            return False
        del self._leaving[hosted]
        self.servers[hosted.name] = hosted
        return True

    def _see_to_awaited(self) -> None:
        if self._awaited:
            self._in_turn(self._take_in_awaited)

    async def _take_in_awaited(self) -> None:
        """Those that could not be added before another one had stopped."""
        told = {server.name: server for server in self._config.servers}
        in_the_way = [*self._leaving, *(hosted for hosted in self.servers.values() if hosted.is_to_be_another)]
        for name in sorted(self._awaited):
            if _is_blocked(told[name], in_the_way):
                continue
            self._awaited -= {name}
            try:
                added = await self._prepare(self._config, self.servers, [name])
            except ZeroscaleError as error:
                logger.error("%s cannot be added: %s", name, error)
                continue
            logger.info("Reloaded: %s: added", name)
            self._take_in(added[name])
            await self._doors.lead_to(self._plan())
            await _look_for(added.values())

    def _plan(self) -> Plan:
        return plan((hosted.config, hosted) for hosted in self.servers.values())


def _stays_for_now(hosted: Hosted, changes: bool) -> bool:
    """Whether a server may have to stay what it is until the one that runs has stopped."""
    return hosted.is_to_be_another or (changes and not hosted.is_down)


def _is_blocked(server: ServerConfig, others: Iterable[Hosted]) -> bool:
    """Whether one of the others has what this server needs: its name, its world or its port."""
    return any(
        server.name == other.name
        or (other.speaks_minecraft and server.directory == other.home)
        or (server.server_host, server.server_port) == other.address
        for other in others
    )


async def _look_for(servers: Iterable[Hosted]) -> None:
    """Takes over those that still run: all at once, for an engine that is away has each of them wait."""
    await gatherResults([Deferred.fromCoroutine(hosted.lifecycle.open()) for hosted in servers])


def _fault(failure: Failure) -> None:
    logger.error("A fault in zeroscale itself: %s", failure.getTraceback())
