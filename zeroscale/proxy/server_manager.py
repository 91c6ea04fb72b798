"""The servers of a running proxy, and how they are reconciled with a new configuration while players are connected.

A server that stays is changed in place; a new one is added once no other server uses what it needs; a removed one is
drained: it is stopped once no player is left on it.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, gatherResults
from twisted.python.failure import Failure

from zeroscale.config.model import Config
from zeroscale.errors import ZeroscaleError
from zeroscale.events import ServerEvent
from zeroscale.frontend.context import FrontendContext
from zeroscale.proxy.exclusive_use import ExclusiveUse
from zeroscale.proxy.managed_server import ManagedServer
from zeroscale.proxy.ports import PortManager, PortsByListen, ports_by_listen
from zeroscale.reactor import Reactor
from zeroscale.status import ServerSnapshot
from zeroscale.system.background_file import FileWriter

if TYPE_CHECKING:
    from zeroscale.proxy.needs import NeedsGraph

logger = logging.getLogger("zeroscale.proxy")

RunExclusive = Callable[[Callable[[], Awaitable[object]]], None]
"""Schedules work for when no other change is being made."""


class ServerManager:
    """All servers of the proxy. The constructor does no I/O.

    :param config: the first configuration.
    :param reactor: listens, and is the clock.
    :param context: shared by all client connections.
    :param server_changed: called with a server's name when its report has changed.
    :param run_exclusive: schedules later changes. All methods that change servers must be called exclusively, too.
    :raises ZeroscaleError: a server's configuration cannot be used; the message names what to change.
    :ivar servers: the servers of the configuration, by name.
    :ivar on_released: called with the name of a server that was removed and has stopped, before its locks are released.
    """

    def __init__(
        self,
        config: Config,
        reactor: Reactor,
        context: FrontendContext,
        server_changed: Callable[[str], None],
        run_exclusive: RunExclusive,
    ) -> None:
        self._config = config
        self._reactor = reactor
        self._server_changed = server_changed
        self._run_exclusive = run_exclusive
        self._ports = PortManager(reactor, context)
        self._writer = FileWriter()
        self._draining: dict[ManagedServer, Deferred[None]] = {}
        self._blocked: frozenset[str] = frozenset()
        self.on_released: Callable[[str], None] = _do_nothing
        self._event_observers: list[Callable[[ServerEvent], None]] = []
        self.servers: dict[str, ManagedServer] = {}
        self._needs: NeedsGraph | None = None
        for server_config in config.servers:
            self._add(ManagedServer(server_config, config, reactor, self._writer))
        self._update_needs()

    @property
    def draining(self) -> Sequence[ManagedServer]:
        """Servers that have been removed from the configuration, but have not stopped yet."""
        return tuple(self._draining)

    @property
    def listen_values(self) -> tuple[Sequence[str], Sequence[str]]:
        """The `listen` values of all servers: those whose clients may wake one, and the others."""
        waking: list[str] = []
        others: list[str] = []
        for listen, ports in self._ports_by_listen().items():
            (waking if any(port.config.wakes for port in ports) else others).append(listen)
        return waking, others

    def snapshots(self) -> Sequence[ServerSnapshot]:
        """Return the current state of all servers, including draining ones."""
        return [server.lifecycle.view for server in (*self.servers.values(), *self._draining)]

    def find(self, name: str) -> ManagedServer | None:
        """Return the server of this name, also a draining one; None: there is none."""
        return self.servers.get(name) or next((each for each in self._draining if each.name == name), None)

    def exclusive_use(self) -> ExclusiveUse:
        """Return what the servers have that others cannot have as well."""
        use = ExclusiveUse()
        for server in self.servers.values():
            deque(use.add(server.config, server, server.directory), maxlen=0)  # its mistakes were checked before
        return use

    def add_event_observer(self, callback: Callable[[ServerEvent], None]) -> None:
        """Register `callback`, to be called with each event of each server, also of those that are added later."""
        self._event_observers.append(callback)
        for server in (*self.servers.values(), *self._draining):
            server.lifecycle.add_event_observer(callback)

    # Startup and shutdown

    def take_locks(self) -> None:
        """Take the locks of all servers. From now on their state is written.

        :raises ZeroscaleError: another process holds one of them.
        """
        self._writer.start()
        for server in self.servers.values():
            server.take_locks()

    async def open_ports(self, *, for_owner: bool = False) -> None:
        """Listen on all ports.

        :param for_owner: see `PortManager.open`.
        :raises ConfigError: listening on one of them failed.
        """
        await self._ports.open(self._ports_by_listen(), for_owner=for_owner)

    async def adopt_running_servers(self) -> None:
        """Take over servers that still run since an earlier run of zeroscale."""
        await _adopt(self.servers.values())

    def skip_to_sigterm(self) -> None:
        """Send SIGTERM now to all servers that are stopping, instead of waiting for their stop command."""
        for server in (*self.servers.values(), *self._draining):
            server.lifecycle.skip_to_sigterm()

    async def close(self) -> None:
        """Close the ports, stop all servers or leave them running as configured, and wait for that."""
        await self._ports.close()
        # Draining servers are never left running: no later zeroscale would adopt them.
        closing = [server.lifecycle.close() for server in list(self._draining)]
        # A start that waits for a server is to end by itself, not because that one stops.
        names = self.servers if self._needs is None else self._needs.dependents_first()
        closing += [self.servers[name].close() for name in names]
        if self._needs is not None:
            for each in closing:
                each.addCallback(lambda _: self._look_at_needs())
        await gatherResults(closing)
        if self._needs is not None:
            self._needs.close()
        await self._ports.end_datagrams()

    def heartbeat(self) -> Deferred[None]:
        """See `PortManager.heartbeat`."""
        return self._ports.heartbeat()

    def release_locks(self) -> None:
        """Write the state of all servers, and release their locks."""
        for server in self.servers.values():
            server.release_locks()
        self._writer.close()

    # Reload

    async def reconcile(self, config: Config) -> Sequence[str]:
        """Add, change and remove servers until they are those of the configuration.

        :returns: the changes, one line each.
        :raises ZeroscaleError: the configuration cannot be used; then nothing has changed.
        """
        from zeroscale.proxy import reload_plan
        from zeroscale.proxy.reconfigure import apply_change

        plan = reload_plan.plan_reload(self.servers, self._draining, config)
        added = await self._prepare_servers(config, plan.kept, plan.new)
        # Nothing after this fails.
        returned = [name for name, server in plan.returning.items() if self._reinstate(server)]
        # A returning server that has begun to stop in the meantime is added again once it has stopped.
        blocked = {**plan.blocked, **{name: reload_plan.OWN_PLACE for name in plan.returning if name not in returned}}
        self._config = config
        self._blocked = frozenset(blocked)
        messages = [f"{name}: added" for name in added]
        messages += [f"{name}: added again; it is still running" for name in returned]
        messages += [
            f"{name}: will be added once the server that uses {used} has stopped" for name, used in blocked.items()
        ]
        for name, change in plan.changes.items():
            if name not in blocked:
                messages.append(f"{name}: changed: {apply_change(plan.kept[name], change)}")
        for server in added.values():
            self._add(server)
        for name, server in plan.removed.items():
            busy = server.lifecycle.view.players > 0
            messages.append(f"{name}: removed" + ("; it is stopped when no player is left on it" if busy else ""))
            del self.servers[name]
            self._drain(server)
        self._update_needs()
        await self._ports.route_to(self._ports_by_listen())
        await _adopt(added.values())
        self._retry_blocked()  # the servers that blocked them may have stopped in the meantime
        return messages

    async def _prepare_servers(
        self, config: Config, kept: Mapping[str, ManagedServer], names: Sequence[str]
    ) -> Mapping[str, ManagedServer]:
        """Make new servers, take their locks, and open all ports.

        :raises ZeroscaleError: one of these failed; then all of them have been undone.
        """
        wanted = {server.name: server for server in config.servers}
        added: dict[str, ManagedServer] = {}
        try:
            for name in names:
                server = ManagedServer(wanted[name], config, self._reactor, self._writer)
                server.take_locks()
                added[name] = server
            servers = {**kept, **added}.items()
            ports = [port for name, server in servers for port in server.ports_of(wanted[name])]
            configs = [port for name, _ in servers for port in wanted[name].all_ports]
            await self._ports.open(ports_by_listen(ports, configs))
        except ZeroscaleError:
            for server in added.values():
                server.release_locks()
            raise
        return added

    def _add(self, server: ManagedServer) -> None:
        self.servers[server.name] = server
        server.lifecycle.add_observer(lambda _: self._status_changed(server))
        server.lifecycle.add_session_observer(lambda: self._server_changed(server.name))
        for callback in self._event_observers:
            server.lifecycle.add_event_observer(callback)
        server.on_replaced = self._server_replaced

    def _status_changed(self, server: ManagedServer) -> None:
        self._server_changed(server.name)
        if self._needs is not None:
            self._needs.status_changed(server)

    def _update_needs(self) -> None:
        """Note that servers were added, changed or removed."""
        if self._needs is None and any(server.config.needs for server in self.servers.values()):
            from zeroscale.proxy.needs import NeedsGraph

            self._needs = NeedsGraph(self._reactor, lambda: self.servers, lambda: self._draining)
        if self._needs is not None:
            for server in self.servers.values():
                server.needs = server.needs or self._needs.of(server)
            self._needs.update()

    def _look_at_needs(self) -> None:
        if self._needs is not None:
            self._needs.look()

    def _server_replaced(self) -> None:
        self._ports.refresh()
        self._retry_blocked()

    def _drain(self, server: ManagedServer) -> None:
        """Stop the server once no player is left on it."""
        stopped = self._draining[server] = server.retire()

        def drained(_: None) -> None:
            self.on_released(server.name)
            del self._draining[server]
            self._update_needs()
            server.release_locks()
            self._retry_blocked()

        stopped.addCallback(drained).addErrback(_log_bug)

    def _reinstate(self, server: ManagedServer) -> bool:
        """Cancel draining; False: the server is stopping already."""
        if not server.reinstate():
            return False
        del self._draining[server]
        self.servers[server.name] = server
        return True

    def _retry_blocked(self) -> None:
        if self._blocked:
            self._run_exclusive(self._add_blocked)

    async def _add_blocked(self) -> None:
        """Add the blocked servers that are not blocked any more."""
        from zeroscale.proxy.reload_plan import what_is_used

        wanted = {server.name: server for server in self._config.servers}
        occupying = [*self._draining, *(server for server in self.servers.values() if server.restart_pending)]
        for name in sorted(self._blocked):
            try:
                if what_is_used(wanted[name], self._config, occupying) is not None:
                    continue
                added = await self._prepare_servers(self._config, self.servers, [name])
            except ZeroscaleError as error:
                self._blocked -= {name}
                logger.error("%s cannot be added: %s", name, error)
                continue
            self._blocked -= {name}
            logger.info("Reloaded: %s: added", name)
            self._add(added[name])
            self._update_needs()
            await self._ports.route_to(self._ports_by_listen())
            await _adopt(added.values())

    def _ports_by_listen(self) -> PortsByListen:
        return ports_by_listen([port for server in self.servers.values() for port in server.ports])


async def _adopt(servers: Iterable[ManagedServer]) -> None:
    """Take over running servers, all at the same time: a container engine that does not answer delays each of them."""
    await gatherResults([Deferred.fromCoroutine(server.open()) for server in servers])


def _do_nothing(_: str) -> None:
    pass


def _log_bug(failure: Failure) -> None:
    logger.error("A fault in zeroscale itself: %s", failure.getTraceback())
