"""The composition root: makes a running proxy from a configuration. Imported only by the programs that run it."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec
from msgspec.structs import asdict, replace
from twisted.internet.defer import Deferred, DeferredLock
from twisted.python.failure import Failure

from zeroscale.config.messages import Mistakes
from zeroscale.config.model import Config, LimitsConfig
from zeroscale.control import socket_path
from zeroscale.control.server import ControlServer
from zeroscale.errors import ConfigError, ControlError, ZeroscaleError
from zeroscale.events import ServerEvent
from zeroscale.frontend.connection_limits import PendingConnections
from zeroscale.frontend.context import EvictableConnection, FrontendContext
from zeroscale.frontend.waiting_places import WaitingPlaces
from zeroscale.proxy import preflight
from zeroscale.proxy.exclusive_use import ExclusiveUse
from zeroscale.proxy.factory import plugin_factory, trusted_networks
from zeroscale.proxy.managed_server import ManagedServer
from zeroscale.proxy.server_manager import ServerManager
from zeroscale.reactor import Reactor
from zeroscale.relay import Relays, raise_descriptor_limit
from zeroscale.reports import NotificationReport, ProxyReport, RelayReport
from zeroscale.sockets.poller import SocketPoller
from zeroscale.status import Status
from zeroscale.system.privileges import Owner, make_directories
from zeroscale.system.sd_notify import ServiceNotifier
from zeroscale.system.socket_activation import service_manager_environment
from zeroscale.version import VERSION

if TYPE_CHECKING:
    from zeroscale.control.metrics_http import MetricsServer
    from zeroscale.proxy.config_watch import ConfigWatch
    from zeroscale.proxy.discovery import ServerDiscovery
    from zeroscale.proxy.event_history import EventHistory
    from zeroscale.proxy.notifications import Notifications

logger = logging.getLogger("zeroscale.proxy")

DRAIN_TIMEOUT = 5.0
"""Seconds that relayed connections have at shutdown to end by themselves, once their servers are stopped."""

MAX_LISTED_PORTS = 10
"""Ports listed in one log line at most."""

RESTART_FIELDS = ("state_directory", "relay", "umask", "limits", "control", "metrics", "log", "history", "discovery")
"""Fields of the proxy's configuration that cannot be changed while it runs."""


def check(
    config: Config,
    reactor: Reactor | None = None,
    file: Path | None = None,
    known: Mistakes | None = None,
    use: ExclusiveUse | None = None,
    unchanged: Collection[str] = (),
) -> None:
    """Check what only Twisted, the plugins and the file system can check, without starting anything.

    :param reactor: the reactor that would run it; None: the installed one.
    :param file: the configuration file; None: the configuration is from the command line.
    :param known: mistakes that were found while reading.
    :param use: what other servers have; those of the configuration are added to it.
    :param unchanged: names of servers whose plugins have checked them before.
    :raises ConfigMistakes: one line for each mistake, the known ones first.
    """
    if reactor is None:
        from twisted.internet import reactor as installed

        reactor = cast(Reactor, installed)
    preflight.check(config, reactor, lambda server: plugin_factory(server, config)(), file, known, use, unchanged)


def make_service(
    config: Config, reactor: Reactor, read_config: Callable[[], Config] | None = None, file: Path | None = None
) -> ProxyService:
    """Make a proxy, not started yet.

    :param read_config: reads the configuration again, for a reload; None: there is no configuration file.
    :param file: the configuration file; None: the configuration is from the command line.
    :raises ZeroscaleError: the configuration cannot be used; see `check`.
    """
    return ProxyService(config, reactor, read_config, file)


class ProxyService:
    """A whole proxy. Implements `control.interfaces.ProxyControl`.

    :param config: the first configuration.
    :param reactor: the reactor that runs the proxy.
    :param read_config: reads the configuration again, for a reload; None: there is no configuration file.
    :param file: the configuration file; None: the configuration is from the command line.
    :raises ZeroscaleError: the configuration cannot be used; see `check`.
    :ivar fatal: fails when a part has died without which the proxy cannot continue.
    """

    def __init__(
        self,
        config: Config,
        reactor: Reactor,
        read_config: Callable[[], Config] | None = None,
        file: Path | None = None,
    ) -> None:
        self.fatal: Deferred[None] = Deferred()
        self._config = self._first_config = config
        self._reactor = reactor
        self._read_config = read_config
        self._file = file
        self._started_at = reactor.seconds()
        self._config_watch: ConfigWatch | None = None
        self._notifications: Notifications | None = None
        self._discovery: ServerDiscovery | None = None
        if config.discovery.enabled:
            from zeroscale.proxy.discovery import ServerDiscovery

            self._discovery = ServerDiscovery(config.discovery, reactor, self._discovered_changed)
        poller = SocketPoller(reactor) if sys.platform == "linux" else None
        self._relays = Relays(reactor, config.relay, self._relay_crashed, poller=poller)
        self._frontend = FrontendContext(
            reactor=reactor,
            relays=self._relays,
            pending_connections=_pending_connections(config.limits),
            waiting_places=WaitingPlaces(config.limits.per_address, trusted_networks(config.limits)),
            handshake_timeout=config.limits.handshake_timeout,
            answer_unknown_host=config.unknown_host == "answer",
            poller=poller,
            relay_crashed=self._relay_crashed,
        )
        self._manager = ServerManager(config, reactor, self._frontend, self._server_changed, self._run_exclusive)
        self._file_use = self._manager.exclusive_use()
        self._observers: dict[object, Callable[[str], None]] = {}
        self._notifier = ServiceNotifier(
            reactor, service_manager_environment(), self._manager.snapshots, self._heartbeat
        )
        self._history: EventHistory | None = None
        if config.history.enabled:
            self.add_event_observer(lambda event: self._event_history().record(event))
            self._manager.on_released = lambda name: self._event_history().close_server(name)
        self._change_lock = DeferredLock()
        self._relaying = False
        self._has_locks = False
        self._stopping = False
        self._control = _control_server(self, config, reactor, file)
        self._metrics = _metrics_server(self, config, reactor)

    @property
    def servers(self) -> Mapping[str, ManagedServer]:
        """All servers by name, including removed ones that have not stopped yet."""
        return {**self._manager.servers, **{server.name: server for server in self._manager.draining}}

    # Startup and shutdown

    def prepare(self, owner: Owner) -> Deferred[None]:
        """Do what needs root, in a process that is about to switch to another user: directories and ports.

        :param owner: the user that the process will switch to.
        :returns: fails with `ConfigError` if a port cannot be listened on.
        """
        directories = [self._config.state_directory]
        if self._control is not None:
            directories.append(self._control.directory)
        make_directories(directories, owner)
        return Deferred.fromCoroutine(self._manager.open_ports(for_owner=True))

    def start(self) -> Deferred[None]:
        """Listen, and adopt servers that still run.

        May be called before the reactor runs; an error is then known when this returns.

        :returns: fails with `ZeroscaleError`; `stop()` must be called then, too.
        """
        return self._change_lock.run(lambda: Deferred.fromCoroutine(self._start()))

    async def _start(self) -> None:
        self._watch_file(self._config.reload == "auto")  # soon after the file was read
        _, limit = raise_descriptor_limit()
        logger.debug("Up to %d descriptors may be open", limit)
        self._relays.start()
        self._relaying = True
        self._manager.take_locks()
        self._has_locks = True
        self._notify_targets(self._config)
        if self._control is not None:
            await self._control.start()
        if self._metrics is not None:
            await self._metrics.start()
        await self._manager.open_ports()
        running: Deferred[None] = Deferred()
        # Not callWhenRunning: that is before the asyncio loop runs, which a plugin's coroutines need.
        self._reactor.callLater(0, running.callback, None)
        await running
        await self._manager.adopt_running_servers()
        if self._discovery is not None:
            self._discovery.start()
        players, others = self._manager.listen_values
        logger.info("Ready: players come to %s", _list_ports(players) or "no port yet")
        if others:
            logger.info("Other clients come to %s, while the server runs", _list_ports(others))
        self._notifier.ready()

    def stop(self) -> Deferred[None]:
        """Stop: accept no more clients, stop the servers and wait for them, then end what is still relayed."""
        self._stopping = True
        self._watch_file(False)
        return self._change_lock.run(lambda: Deferred.fromCoroutine(self._stop()))

    async def _stop(self) -> None:
        if self._discovery is not None:
            self._discovery.stop()
        self._notifier.stopping()
        await self._manager.close()
        if self._relaying:
            all_left = all(server.config.on_exit == "leave" for server in self._manager.servers.values())
            await self._relays.stop(0.0 if all_left else DRAIN_TIMEOUT)
        closing = []
        if self._has_locks and self._first_config.history.enabled:
            closing.append(self._event_history().close(list(self._manager.servers)))
        if self._notifications is not None:
            closing.append(self._notifications.close())
        for each in closing:  # both wait at the same time
            await each
        self._manager.release_locks()
        if self._metrics is not None:
            await self._metrics.stop()
        if self._control is not None:
            await self._control.stop()
        self._notifier.stopped()

    @property
    def running(self) -> Sequence[str]:
        """The names of the servers that run, or are being started or stopped."""
        down = (Status.stopped, Status.failed)
        return sorted({server.name for server in self._manager.snapshots() if server.status not in down})

    def skip_to_sigterm(self) -> None:
        """Make a running `stop()` quicker: servers that have not stopped yet get SIGTERM now."""
        self._manager.skip_to_sigterm()

    # Operator commands

    def send_to_consoles(self, line: str) -> None:
        """Send one line to the consoles of all servers."""
        for server in self._manager.servers.values():
            server.console(line).addCallbacks(_log_answer, _log_console_error)

    def report(self) -> ProxyReport:
        """See `ProxyControl.report`."""
        servers = [
            *(server.report() for server in self._manager.servers.values()),
            *(replace(server.report(), draining=True) for server in self._manager.draining),
        ]
        return ProxyReport(
            version=VERSION,
            uptime=self._reactor.seconds() - self._started_at,
            servers=tuple(sorted(servers, key=lambda server: server.name)),
            relays=tuple(RelayReport(name=name, **asdict(sums)) for name, sums in self._relays.counters().items()),
            pending_connections=len(self._frontend.pending_connections),
            unrouted=dict(self._frontend.unrouted),
        )

    def test_notifications(self, name: str | None) -> Deferred[Sequence[NotificationReport]]:
        """See `ProxyControl.test_notifications`."""
        if self._notifications is None or not self._config.notify:
            raise ControlError("no notifications are configured: write a table [[notify]] (docs/notify.md)")
        return self._notifications.test(name)

    def watch(self, changed: Callable[[str], None]) -> Callable[[], None]:
        """See `ProxyControl.watch`."""
        key = object()
        self._observers[key] = changed

        def unsubscribe() -> None:
            self._observers.pop(key, None)

        return unsubscribe

    def add_event_observer(self, callback: Callable[[ServerEvent], None]) -> None:
        """Register `callback`, to be called with each event of each server; see `events`.

        Servers that are added later, by a reload or a discovery, are included. An event is passed on at once, on the
        reactor's time; a callback that raises is logged, and disturbs no other.
        """
        self._manager.add_event_observer(callback)

    def history(self, names: Sequence[str], seconds: float, limit: int) -> Deferred[msgspec.Raw]:
        """See `ProxyControl.history`."""
        return self._event_history().entries(names, seconds, limit)

    def history_stats(self, names: Sequence[str], seconds: float) -> Deferred[msgspec.Raw]:
        """See `ProxyControl.history_stats`."""
        return self._event_history().stats(names, seconds)

    def _event_history(self) -> EventHistory:
        """Return the history; it is made when it is first needed.

        :raises ControlError: it is disabled.
        """
        if self._history is None:
            if not self._first_config.history.enabled:
                raise ControlError("no history is kept: the configuration has history.enabled = false")
            from zeroscale.proxy.event_history import EventHistory

            self._history = EventHistory(self._first_config, self._reactor, self._manager.find)
        return self._history

    def reload(self) -> Deferred[Sequence[str]]:
        """See `ProxyControl.reload`."""
        return self._change_lock.run(lambda: Deferred.fromCoroutine(self._notify_and_reload()))

    async def _notify_and_reload(self) -> Sequence[str]:
        if self._stopping:
            raise ConfigError("cannot reload: zeroscale is shutting down")
        self._notifier.reloading()
        try:
            return await self._reload()
        finally:
            self._notifier.ready()

    async def _reload(self) -> Sequence[str]:
        if self._read_config is None or self._file is None:
            raise ConfigError("cannot reload: zeroscale was started without a configuration file")
        config = self._read_config()
        use = ExclusiveUse()
        before = {server.name: server for server in self._config.servers}
        unchanged = {server.name for server in config.servers if server == before.get(server.name)}
        check(config, self._reactor, self._file, use=use, unchanged=unchanged)
        changes = [*await self._reconcile(config, use), *self._apply_proxy_settings(config)]
        # Only now: a configuration that failed must not be applied by the next discovery.
        self._config, self._file_use = config, use
        return changes

    def _watch_file(self, wanted: bool) -> None:
        """Reload when the configuration file has changed, or no longer."""
        if self._config_watch is not None and not wanted:
            self._config_watch.stop()
            self._config_watch = None
        elif self._config_watch is None and wanted and self._file is not None and not self._stopping:
            from zeroscale.proxy.config_watch import ConfigWatch

            self._config_watch = ConfigWatch(self._reactor, self._file, self.reload)
            self._config_watch.start()

    async def _reconcile(self, config: Config, use: ExclusiveUse) -> Sequence[str]:
        """Reconcile the servers with a configuration and with the discovered servers.

        :param use: what the servers of the configuration have.
        """
        # The state directory holds locks and is not moved while zeroscale runs.
        config = msgspec.structs.replace(config, state_directory=self._first_config.state_directory)
        changes = await self._manager.reconcile(self._with_discovered(config, use))
        for change in changes:
            logger.info("Reloaded: %s", change)
        return changes

    def _apply_proxy_settings(self, config: Config) -> list[str]:
        """Apply the settings that are not of a server, and return the changes."""
        self._frontend.answer_unknown_host = config.unknown_host == "answer"
        self._frontend.handshake_timeout = config.limits.handshake_timeout
        timeout = config.limits.handshake_timeout
        first_limits = msgspec.structs.replace(self._first_config.limits, handshake_timeout=timeout)
        first = msgspec.structs.replace(self._first_config, limits=first_limits)
        late = [name for name in RESTART_FIELDS if getattr(config, name) != getattr(first, name)]
        self._watch_file(config.reload == "auto")
        immediate = ("unknown_host", "reload")
        changes = [f"{name}: changed" for name in immediate if getattr(config, name) != getattr(self._config, name)]
        if timeout != self._config.limits.handshake_timeout:
            changes.append("limits.handshake_timeout: changed")
        changes += self._notify_targets(config)
        changes += [f"{name}: changes at the next start of zeroscale" for name in late]
        for change in changes:
            logger.info("Reloaded: %s", change)
        return changes

    def _notify_targets(self, config: Config) -> Sequence[str]:
        """Send events to the targets of a configuration, and return what that changes."""
        if self._notifications is None:
            if not config.notify:
                return []
            from zeroscale.proxy.notifications import Notifications

            self._notifications = Notifications(self._reactor, self._first_config.state_directory)
            self.add_event_observer(self._notifications.observe)
        return self._notifications.apply(config)

    # Discovery

    def _discovered_changed(self) -> None:
        self._run_exclusive(lambda: self._reconcile(self._config, self._file_use))

    def _with_discovered(self, config: Config, use: ExclusiveUse) -> Config:
        if self._discovery is None:
            return config

        def check_one(one: Config, use: ExclusiveUse) -> None:
            check(one, self._reactor, use=use)

        return self._discovery.add_to(config, check_one, use)

    # Callbacks

    def _server_changed(self, name: str) -> None:
        for changed in list(self._observers.values()):
            changed(name)
        self._notifier.changed()

    def _run_exclusive(self, work: Callable[[], Awaitable[object]]) -> None:
        """Run `work` when no other change is being made, unless the proxy stops before."""

        async def run() -> None:
            if not self._stopping:
                await work()

        self._change_lock.run(lambda: Deferred.fromCoroutine(run())).addErrback(_log_not_applied)

    def _heartbeat(self) -> Deferred[None]:
        """Check that the threads of all relays still work."""
        return self._relays.heartbeat().addCallback(lambda _: self._manager.heartbeat())

    def _relay_crashed(self, failure: Failure) -> None:
        logger.critical("The relay has crashed, and all connections are closed: %s", failure.getTraceback())
        if not self.fatal.called:
            self.fatal.errback(ZeroscaleError(f"the relay has crashed: {failure.getErrorMessage()}"))


def _list_ports(listen_values: Sequence[str]) -> str:
    names = [f"port {listen}" if listen.isdecimal() else listen for listen in listen_values]
    more = f" and {len(names) - MAX_LISTED_PORTS} more" if len(names) > MAX_LISTED_PORTS else ""
    return ", ".join(names[:MAX_LISTED_PORTS]) + more


def _log_answer(answer: str | None) -> None:
    if answer:
        logger.info("%s", answer)


def _log_console_error(failure: Failure) -> None:
    logger.warning("Console: %s", failure.getErrorMessage())


def _log_not_applied(failure: Failure) -> None:
    if failure.check(ZeroscaleError):
        logger.error("Discovered servers cannot be applied: %s", failure.getErrorMessage())
    else:
        logger.error("A fault in zeroscale itself: %s", failure.getTraceback())


def _control_server(proxy: ProxyService, config: Config, reactor: Reactor, file: Path | None) -> ControlServer | None:
    """Make the admin socket; None: it is disabled, or there is no directory for it."""
    listen = config.control.listen
    if listen == "":
        return None
    if listen is not None:
        return ControlServer(proxy, reactor, socket_path.parse_listen(listen), required=True)
    only_server = file is None and config.servers
    name = config.servers[0].name if only_server else socket_path.NAME_WITH_CONFIG_FILE
    try:
        control_socket = socket_path.default_socket(name, config.state_directory, os.environ, os.geteuid())
    except ConfigError as error:
        logger.warning("zeroscalectl cannot be used: %s", error)
        return None
    return ControlServer(proxy, reactor, control_socket, required=False)


def _metrics_server(proxy: ProxyService, config: Config, reactor: Reactor) -> MetricsServer | None:
    listen = config.metrics.listen
    if listen is None:
        return None
    # Imported late: Twisted's HTTP takes 145 ms to import.
    from zeroscale.control.metrics_http import MetricsServer

    return MetricsServer(reactor, listen, proxy.report, hosts=config.metrics.hosts, addresses=config.log.addresses)


def _pending_connections(limits: LimitsConfig) -> PendingConnections[EvictableConnection]:
    return PendingConnections(limits.per_address, limits.total, trusted_networks(limits))
