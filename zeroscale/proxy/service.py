"""The composition root: a configuration in, one running proxy out. Nobody imports it but those who run it."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from twisted.internet.defer import Deferred, DeferredLock
from twisted.python.failure import Failure

from zeroscale.config.messages import Mistakes
from zeroscale.config.model import Config, LimitsConfig
from zeroscale.control import socket_path as paths
from zeroscale.control.server import ControlServer
from zeroscale.errors import ConfigError, ZeroscaleError
from zeroscale.frontend.connection_limits import PendingConnections
from zeroscale.frontend.context import EvictableConnection, FrontendContext
from zeroscale.protocols.minecraft import packets
from zeroscale.proxy import preflight as checking
from zeroscale.proxy.discovery import Complaints, Discovering, asked, with_described
from zeroscale.proxy.factory import constructor, trusted
from zeroscale.proxy.managed_server import Hosted
from zeroscale.proxy.server_manager import Serving
from zeroscale.relay import Relays, raise_descriptor_limit
from zeroscale.reports import ProxyReport, RelayReport
from zeroscale.system.privileges import Owner, make_directories
from zeroscale.system.sd_notify import ServiceNotifier
from zeroscale.system.socket_activation import service_manager_environment
from zeroscale.version import VERSION

if TYPE_CHECKING:
    from zeroscale.control.metrics_http import MetricsServer

logger = logging.getLogger(__name__)

DRAIN = 5.0
"""Seconds that relayed connections have to end by themselves once their server is gone."""

MOST_TOLD = 10
"""Ports in one line; nobody reads a hundred."""

NEXT_START_FIELDS = ("state_directory", "relay", "limits", "control", "metrics", "log", "discovery")
"""What a running proxy cannot change."""


def check(config: Config, reactor: Any = None, file: Path | None = None, known: Mistakes | None = None) -> None:
    """Judges what needs Twisted or a plugin to be judged, and starts nothing.

    :param reactor: the one that is to run it; None: the installed one.
    :param file: where the configuration was read; None: the command line said it.
    :param known: mistakes that have been found while reading.
    :raises ConfigMistakes: it cannot be run; the lines name what to change.
    """
    if reactor is None:
        from twisted.internet import reactor
    checking.check(config, reactor, lambda server: constructor(server, config)(), file, known)


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
        self._base = self._begun_with = config
        self._complaints = Complaints()
        self._discovering = Discovering(config.discovery, reactor, self._described) if asked(config.discovery) else None
        self._reactor = reactor
        self._read_again = read_again
        self._file = file
        self._began = reactor.seconds()
        self._relays = Relays(reactor, config.relay, self._relay_crashed)
        self._frontend = FrontendContext(
            reactor=reactor,
            relays=self._relays,
            pending_connections=_pending_connections(config.limits),
            handshake_timeout=config.limits.handshake_timeout,
            answer_unknown_host=config.unknown_host == "answer",
        )
        self._serving = Serving(config, reactor, self._frontend, self._told, self._in_turn)
        self._watchers: dict[object, Callable[[str], None]] = {}
        self._notices = ServiceNotifier(
            reactor, service_manager_environment(), self._serving.views, self._relays.heartbeat
        )
        self._changing = DeferredLock()
        self._relaying = False
        self._stopping = False
        self._control = _control(self, config, reactor, file)
        self._metrics = _metrics(self, config, reactor)

    @property
    def servers(self) -> Mapping[str, Hosted]:
        """Those that are served, and those that are not any more but have not stopped yet, by name."""
        return {**self._serving.servers, **{hosted.name: hosted for hosted in self._serving.leaving}}

    # Its beginning and its end

    def prepare(self, owner: Owner) -> Deferred[None]:
        """What only root can do, for a process that is about to become somebody else; `start()` does the rest.

        :returns: fails with `ConfigError`: a port cannot be listened on.
        """
        directories = [self._base.state_directory]
        if self._control is not None:
            directories.append(self._control.directory)
        make_directories(directories, owner)
        return Deferred.fromCoroutine(self._serving.open_doors())

    def start(self) -> Deferred[None]:
        """Listens, and takes over servers that still run.

        May be called before the reactor runs: what can fail has then failed by the time this returns.

        :returns: fails with `ZeroscaleError`; then `stop()` tidies up.
        """
        return self._changing.run(lambda: Deferred.fromCoroutine(self._start()))

    async def _start(self) -> None:
        _, limit = raise_descriptor_limit()
        logger.debug("Up to %d descriptors may be open", limit)
        self._relays.start()
        self._relaying = True
        self._serving.open()
        if self._control is not None:
            await self._control.start()
        if self._metrics is not None:
            await self._metrics.start()
        await self._serving.open_doors()
        if any(hosted.speaks_minecraft for hosted in self._serving.servers.values()):
            packets.preload()
        runs: Deferred[None] = Deferred()
        # Not callWhenRunning: that is before asyncio's loop runs, which a plugin's coroutines need.
        self._reactor.callLater(0, runs.callback, None)
        await runs
        await self._serving.look_for_servers()
        if self._discovering is not None:
            self._discovering.start()
        logger.info("Ready: players come to %s", _few(self._serving.ports) or "no port yet")
        self._notices.ready()

    def stop(self) -> Deferred[None]:
        """Our own end: no new clients, servers stopped and waited for, then what is still relayed."""
        self._stopping = True
        return self._changing.run(lambda: Deferred.fromCoroutine(self._stop()))

    async def _stop(self) -> None:
        if self._discovering is not None:
            self._discovering.stop()
        self._notices.stopping()
        await self._serving.close()
        if self._relaying:
            left = all(hosted.config.on_exit == "leave" for hosted in self._serving.servers.values())
            await self._relays.stop(0.0 if left else DRAIN)
        self._serving.let_go()
        if self._metrics is not None:
            await self._metrics.stop()
        if self._control is not None:
            await self._control.stop()
        self._notices.stopped()

    def hurry(self) -> None:
        """Somebody cannot wait for `stop()`: servers that have not stopped get their SIGTERM now."""
        self._serving.hurry()

    # What its operator may do

    def command(self, line: str) -> None:
        """One line for the consoles of the servers that run."""
        for hosted in self._serving.servers.values():
            hosted.console(line).addCallbacks(
                lambda answer: logger.info("%s", answer) if answer else None,
                lambda failure: logger.warning("Not typed: %s", failure.getErrorMessage()),
            )

    def report(self) -> ProxyReport:
        """All of it as it is now."""
        servers = [
            *(hosted.report() for hosted in self._serving.servers.values()),
            *(replace(hosted.report(), draining=True) for hosted in self._serving.leaving),
        ]
        return ProxyReport(
            version=VERSION,
            uptime=self._reactor.seconds() - self._began,
            servers=tuple(sorted(servers, key=lambda server: server.name)),
            relays=tuple(RelayReport(name=name, **asdict(sums)) for name, sums in self._relays.counters().items()),
            pending_connections=len(self._frontend.pending_connections),
            unrouted=dict(self._frontend.unrouted),
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
        changes = [*await self._serve(base), *self._follow(base)]
        self._base = base  # not before: what could not be is not to be tried again at the next occasion
        return changes

    async def _serve(self, base: Config) -> Sequence[str]:
        """Serves what it says, and what describes itself. What outlives us stays where it is until we have ended."""
        config = msgspec.structs.replace(base, state_directory=self._begun_with.state_directory)
        changes = await self._serving.become(self._with_described(config))
        for change in changes:
            logger.info("Reloaded: %s", change)
        return changes

    def _follow(self, config: Config) -> list[str]:
        """What concerns all servers."""
        self._frontend.answer_unknown_host = config.unknown_host == "answer"
        self._frontend.handshake_timeout = config.limits.handshake_timeout
        late = [name for name in NEXT_START_FIELDS if getattr(config, name) != getattr(self._begun_with, name)]
        changes = ["unknown_host: changed"] if config.unknown_host != self._base.unknown_host else []
        changes += [f"{name}: changes at the next start of zeroscale" for name in late]
        for change in changes:
            logger.info("Reloaded: %s", change)
        return changes

    def _described(self) -> None:
        """Other servers describe themselves than before."""
        self._in_turn(lambda: self._serve(self._base))

    def _with_described(self, config: Config) -> Config:
        if self._discovering is None:
            return config
        complaints = self._discovering.complaints
        config = with_described(config, self._discovering.tables, lambda one: check(one, self._reactor), complaints)
        self._complaints.tell(complaints)
        return config

    def _told(self, name: str) -> None:
        for changed in list(self._watchers.values()):
            changed(name)
        self._notices.changed()

    def _in_turn(self, work: Callable[[], Coroutine[Any, Any, object]]) -> None:
        """Does it once nothing else is being changed; not any more where we are at our end."""

        async def unless_we_stop() -> None:
            if not self._stopping:
                await work()

        self._changing.run(lambda: Deferred.fromCoroutine(unless_we_stop())).addErrback(_not_applied)

    def _relay_crashed(self, failure: Failure) -> None:
        logger.critical("The relay has died, and every connection with it: %s", failure.getTraceback())
        if not self.fatal.called:
            self.fatal.errback(ZeroscaleError(f"the relay has died: {failure.getErrorMessage()}"))


def _few(ports: Sequence[str]) -> str:
    """Where it listens, in words fit for one line."""
    names = [f"port {where}" if where.isdecimal() else where for where in ports]
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
    name = config.servers[0].name if of_one else paths.NAME_WITH_CONFIG_FILE
    try:
        place = paths.default_socket(name, config.state_directory, os.environ, os.geteuid())
    except ConfigError as error:
        logger.warning("zeroscalectl cannot be used: %s", error)
        return None
    return ControlServer(proxy, reactor, place, required=False)


def _metrics(proxy: ProxyService, config: Config, reactor: Any) -> MetricsServer | None:
    listen = config.metrics.listen
    if listen is None:
        return None
    # Twisted's HTTP takes 145 ms to import.
    from zeroscale.control.metrics_http import MetricsServer

    return MetricsServer(reactor, listen, proxy.report, addresses=config.log.addresses)


def _pending_connections(limits: LimitsConfig) -> PendingConnections[EvictableConnection]:
    return PendingConnections(limits.per_address, limits.total, trusted(limits))
