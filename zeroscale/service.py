"""The composition root: a configuration in, one running proxy out. Nobody imports it but those who run it."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, DeferredLock, gatherResults
from twisted.python.failure import Failure

from zeroscale import checking
from zeroscale.config import Config, LimitsConfig, ServerConfig
from zeroscale.control import paths
from zeroscale.control.server import ControlServer
from zeroscale.discovering import Complaints, Discovering, asked, with_described
from zeroscale.doors import Doors, Plan, plan
from zeroscale.errors import ConfigError, ZeroscaleError
from zeroscale.front.connection import Client, House
from zeroscale.front.newcomers import Newcomers
from zeroscale.handed import handed
from zeroscale.hosted import Hosted, constructor, trusted
from zeroscale.notify import Notices
from zeroscale.ownership import Owner, make_directories
from zeroscale.protocols import wire
from zeroscale.relay import Relays, raise_descriptor_limit
from zeroscale.status import ProxyReport, RelayReport, ServerView
from zeroscale.version import VERSION

if TYPE_CHECKING:
    from zeroscale.control.metrics_resource import MetricsServer

logger = logging.getLogger(__name__)

DRAIN = 5.0
"""Seconds that relayed connections have to end by themselves once their server is gone."""

MOST_TOLD = 10
"""Ports in one line; nobody reads a hundred."""

NEXT_START_FIELDS = ("state_directory", "relay", "limits", "control", "metrics", "log", "discovery")
"""What a running proxy cannot change."""


def check(config: Config, reactor: Any = None, file: Path | None = None) -> None:
    """Judges what needs Twisted or a plugin to be judged, and starts nothing.

    :param reactor: the one that is to run it; None: the installed one.
    :param file: where the configuration was read; None: the command line said it.
    :raises ConfigMistakes: it cannot be run; the lines name what to change.
    """
    if reactor is None:
        from twisted.internet import reactor
    checking.check(config, reactor, lambda server: constructor(server, config)(), file)


def make_service(
    config: Config, reactor: Any, read_again: Callable[[], Config] | None = None, file: Path | None = None
) -> ProxyService:
    """A proxy, not started yet.

    :param read_again: reads the configuration again, for a reload.
    :param file: where it was read; None: the command line said it.
    :raises ZeroscaleError: it cannot be made; see `check`.
    """
    return ProxyService(config, reactor, read_again, file)


class ProxyService:
    """A whole proxy. Implements `control.contract.Proxy`.

    :ivar fatal: fails when something died without which it cannot go on.
    """

    def __init__(
        self,
        config: Config,
        reactor: Any,
        read_again: Callable[[], Config] | None = None,
        file: Path | None = None,
    ) -> None:
        self.fatal: Deferred[None] = Deferred()
        self._base = self._config = config
        self._complaints = Complaints()
        self._discovering = Discovering(config.discovery, reactor, self._described) if asked(config.discovery) else None
        self._reactor = reactor
        self._read_again = read_again
        self._file = file
        self._began = reactor.seconds()
        self._relays = Relays(reactor, config.relay, self._relay_crashed)
        self._house = House(
            reactor=reactor,
            relays=self._relays,
            newcomers=_newcomers(config.limits),
            handshake_timeout=config.limits.handshake_timeout,
            answers_strangers=config.unknown_host == "answer",
        )
        self._doors = Doors(reactor, self._house)
        self._served: dict[str, Hosted] = {}
        self._leaving: dict[Hosted, Deferred[None]] = {}
        self._awaited: frozenset[str] | set[str] = frozenset()
        self._watchers: dict[object, Callable[[str], None]] = {}
        self._notices = Notices(reactor, handed(), self._views, self._relays.sign_of_life)
        self._changing = DeferredLock()
        self._relaying = False
        self._stopping = False
        self._control = _control(self, config, reactor, file)
        self._metrics = _metrics(self, config, reactor)
        for server in config.servers:
            self._take_in(Hosted(server, config, reactor))

    # Its beginning and its end

    def prepare(self, owner: Owner) -> Deferred[None]:
        """What only root can do, for a process that is about to become somebody else; `start()` does the rest.

        :returns: fails with `ConfigError`: a port cannot be listened on.
        """
        directories = [self._config.state_directory]
        if self._control is not None:
            directories.append(self._control.directory)
        make_directories(directories, owner)
        return Deferred.fromCoroutine(self._doors.open(self._plan()))

    def start(self) -> Deferred[None]:
        """Listens, and takes over servers that still run.

        May be called before the reactor runs: what can fail has then failed by the time this returns.

        :returns: fails with `ZeroscaleError`; then `stop()` tidies up.
        """
        return Deferred.fromCoroutine(self._start())

    async def _start(self) -> None:
        _, limit = raise_descriptor_limit()
        logger.debug("Up to %d descriptors may be open", limit)
        self._relays.start()
        self._relaying = True
        for hosted in self._served.values():
            hosted.open()
        if self._control is not None:
            await self._control.start()
        if self._metrics is not None:
            await self._metrics.start()
        await self._doors.open(self._plan())
        if any(hosted.speaks_minecraft for hosted in self._served.values()):
            wire.preload()
        runs: Deferred[None] = Deferred()
        # Not callWhenRunning: that is before asyncio's loop runs, which a plugin's coroutines need.
        self._reactor.callLater(0, runs.callback, None)
        await runs
        await _look_for_servers(self._served.values())
        if self._discovering is not None:
            self._discovering.start()
        logger.info("Ready: players come to %s", _few(self._plan()) or "no port yet")
        self._notices.ready()

    def stop(self) -> Deferred[None]:
        """Our own end: no new clients, servers stopped and waited for, then what is still relayed."""
        self._stopping = True
        return self._changing.run(lambda: Deferred.fromCoroutine(self._stop()))

    async def _stop(self) -> None:
        if self._discovering is not None:
            self._discovering.stop()
        self._notices.stopping()
        await self._doors.close()
        served = list(self._served.values())
        for leaving in self._leaving:
            leaving.lifecycle.sleep()
        await gatherResults([*(hosted.close() for hosted in served), *self._leaving.values()])
        if self._relaying:
            left = all(hosted.config.on_exit == "leave" for hosted in served)
            await self._relays.stop(0.0 if left else DRAIN)
        for hosted in served:
            hosted.let_go()
        if self._metrics is not None:
            await self._metrics.stop()
        if self._control is not None:
            await self._control.stop()
        self._notices.stopped()

    def hurry(self) -> None:
        """Somebody cannot wait for `stop()`: servers that have not stopped get their SIGTERM now."""
        for hosted in (*self._served.values(), *self._leaving):
            hosted.lifecycle.hurry()

    # What its operator may do

    def command(self, line: str) -> None:
        """One line for the consoles of the servers that run."""
        for hosted in self._served.values():
            hosted.console(line).addCallbacks(
                lambda answer: logger.info("%s", answer) if answer else None,
                lambda failure: logger.warning("Not typed: %s", failure.getErrorMessage()),
            )

    @property
    def servers(self) -> Mapping[str, Hosted]:
        """Those that are served, and those that are not any more but have not stopped yet, by name."""
        return {**self._served, **{hosted.name: hosted for hosted in self._leaving}}

    def report(self) -> ProxyReport:
        """All of it as it is now."""
        servers = [
            *(hosted.report() for hosted in self._served.values()),
            *(replace(hosted.report(), leaving=True) for hosted in self._leaving),
        ]
        return ProxyReport(
            version=VERSION,
            uptime=self._reactor.seconds() - self._began,
            servers=tuple(sorted(servers, key=lambda server: server.name)),
            relays=tuple(RelayReport(name=name, **asdict(sums)) for name, sums in self._relays.counters().items()),
            newcomers=len(self._house.newcomers),
            outcomes=dict(self._house.strangers),
        )

    def watch(self, changed: Callable[[str], None]) -> Callable[[], None]:
        """See `control.contract.Proxy.watch`."""
        key = object()
        self._watchers[key] = changed

        def leave() -> None:
            self._watchers.pop(key, None)

        return leave

    def reload(self) -> Deferred[Sequence[str]]:
        """See `control.contract.Proxy.reload`."""
        return self._changing.run(lambda: Deferred.fromCoroutine(self._reload_with_notice()))

    async def _reload_with_notice(self) -> Sequence[str]:
        if self._stopping:
            raise ConfigError("nothing is read again: this proxy is shutting down")
        self._notices.reloading()
        try:
            return await self._reload()
        finally:
            self._notices.ready()

    async def _reload(self) -> Sequence[str]:
        if self._read_again is None or self._file is None:
            raise ConfigError("there is nothing to read again: this proxy was told by its command line")
        base = self._read_again()
        check(base, self._reactor, self._file)
        self._base = base
        return await self._apply()

    def _described(self) -> None:
        """Other servers describe themselves than before."""
        if not self._stopping:
            self._changing.run(lambda: Deferred.fromCoroutine(self._apply())).addErrback(_not_applied)

    def _with_described(self) -> Config:
        if self._discovering is None:
            return self._base
        complaints: list[str] = []
        config = with_described(self._base, self._discovering.tables, lambda one: check(one, self._reactor), complaints)
        self._complaints.tell(complaints)
        return config

    async def _apply(self) -> Sequence[str]:
        """Has all be as it is told now: by the configuration, and by servers that describe themselves."""
        config = self._with_described()
        told = {server.name: server for server in config.servers}
        staying = {name: hosted for name, hosted in self._served.items() if name in told}
        going = {name: hosted for name, hosted in self._served.items() if name not in told}
        ending = (*going.values(), *self._leaving)
        blocked = {name for name in told if name not in staying and _is_blocked(told[name], ending)}
        # All that can fail comes first.
        new = [name for name in told if name not in staying and name not in blocked]
        added = await self._prepare(config, staying, new)
        former, self._config = self._config, config
        changes = [f"{name}: added" for name in added]
        changes += [f"{name}: will be added once the one in its place has stopped" for name in blocked]
        self._awaited = blocked
        for name, hosted in staying.items():
            words = hosted.change(told[name], config)
            if words is not None:
                changes.append(f"{name}: changed: {words}")
        for hosted in added.values():
            self._take_in(hosted)
        for name, hosted in going.items():
            busy = hosted.lifecycle.view.players > 0
            changes.append(f"{name}: removed" + ("; it is stopped once nobody is on it" if busy else ""))
            del self._served[name]
            self._retire(hosted)
        changes += self._follow(former, config)
        await self._doors.lead_to(self._plan())
        for change in changes:
            logger.info("Reloaded: %s", change)
        await _look_for_servers(added.values())
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
        self._served[hosted.name] = hosted
        hosted.lifecycle.watch(lambda view: self._tell_watchers(view.name))
        hosted.lifecycle.watch_visits(lambda: self._tell_watchers(hosted.name))

    def _tell_watchers(self, name: str) -> None:
        for changed in list(self._watchers.values()):
            changed(name)
        self._notices.changed()

    def _plan(self) -> Plan:
        return plan((hosted.config, hosted) for hosted in self._served.values())

    def _views(self) -> Sequence[ServerView]:
        return [hosted.lifecycle.view for hosted in (*self._served.values(), *self._leaving)]

    def _retire(self, hosted: Hosted) -> None:
        """It is stopped once nobody is on it."""
        gone = self._leaving[hosted] = hosted.lifecycle.retire()

        def let_go(_: None) -> None:
            del self._leaving[hosted]
            hosted.let_go()
            if self._awaited and not self._stopping:
                self._changing.run(lambda: Deferred.fromCoroutine(self._take_in_awaited())).addErrback(_fault)

        gone.addCallbacks(let_go, _fault)

    async def _take_in_awaited(self) -> None:
        """Those that could not be added before another one had stopped."""
        told = {server.name: server for server in self._config.servers}
        names = [name for name in self._awaited if not _is_blocked(told[name], self._leaving)]
        if not names or self._stopping:
            return
        self._awaited = self._awaited.difference(names)
        try:
            added = await self._prepare(self._config, self._served, names)
        except ZeroscaleError as error:
            logger.error("%s cannot be added: %s", ", ".join(names), error)
            return
        for hosted in added.values():
            logger.info("Reloaded: %s: added", hosted.name)
            self._take_in(hosted)
        await self._doors.lead_to(self._plan())
        await _look_for_servers(added.values())

    def _follow(self, former: Config, config: Config) -> list[str]:
        """What concerns all servers."""
        self._house.answers_strangers = config.unknown_host == "answer"
        self._house.handshake_timeout = config.limits.handshake_timeout
        changes = ["unknown_host: changed"] if config.unknown_host != former.unknown_host else []
        late = [name for name in NEXT_START_FIELDS if getattr(config, name) != getattr(former, name)]
        return [*changes, *(f"{name}: changes at the next start of zeroscale" for name in late)]

    def _relay_crashed(self, failure: Failure) -> None:
        logger.critical("The relay has died, and every connection with it: %s", failure.getTraceback())
        if not self.fatal.called:
            self.fatal.errback(ZeroscaleError(f"the relay has died: {failure.getErrorMessage()}"))


def _is_blocked(server: ServerConfig, others: Iterable[Hosted]) -> bool:
    """Whether one of the others has what this server needs: its name, its world or its port."""
    return any(
        server.name == other.name
        or (other.speaks_minecraft and server.directory == other.home)
        or (server.server_host, server.server_port) == (other.config.server_host, other.config.server_port)
        for other in others
    )


async def _look_for_servers(servers: Iterable[Hosted]) -> None:
    """Takes over those that still run: all at once, for an engine that is away has each of them wait."""
    await gatherResults([Deferred.fromCoroutine(hosted.lifecycle.open()) for hosted in servers])


def _few(plan: Plan) -> str:
    """Where it listens, in words fit for one line."""
    names = [f"port {where}" if where.isdecimal() else where for where in plan]
    more = f" and {len(names) - MOST_TOLD} more" if len(names) > MOST_TOLD else ""
    return ", ".join(names[:MOST_TOLD]) + more


def _not_applied(failure: Failure) -> None:
    if failure.check(ZeroscaleError):
        logger.error("Servers that describe themselves cannot be served: %s", failure.getErrorMessage())
    else:
        _fault(failure)


def _fault(failure: Failure) -> None:
    logger.error("A fault in zeroscale itself: %s", failure.getTraceback())


def _control(proxy: ProxyService, config: Config, reactor: Any, file: Path | None) -> ControlServer | None:
    """The operator's socket; None where there is to be none."""
    listen = config.control.listen
    if listen == "":
        return None
    if listen is not None:
        return ControlServer(proxy, reactor, paths.parse_listen(listen), required=True)
    of_one = file is None and config.servers
    name = config.servers[0].name if of_one else paths.NAME_FOR_A_FILE
    try:
        place = paths.default_place(name, config.state_directory, os.environ, os.geteuid())
    except ConfigError as error:
        logger.warning("zeroscalectl cannot be used: %s", error)
        return None
    return ControlServer(proxy, reactor, place, required=False)


def _metrics(proxy: ProxyService, config: Config, reactor: Any) -> MetricsServer | None:
    listen = config.metrics.listen
    if listen is None:
        return None
    # Twisted's HTTP takes 145 ms to import.
    from zeroscale.control.metrics_resource import MetricsServer

    return MetricsServer(reactor, listen, proxy.report, addresses=config.log.addresses)


def _newcomers(limits: LimitsConfig) -> Newcomers[Client]:
    return Newcomers(limits.per_address, limits.total, trusted(limits))
