"""Servers described by container labels or annotations: run the discoveries, and merge their servers into the config.

Each described server is checked by itself; the mistakes of one are logged and do not affect the others. The plugins
interpret the labels.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from zeroscale.config import conflicts, loader, needs
from zeroscale.config.model import Config, DiscoveryConfig, ServerConfig
from zeroscale.errors import ConfigMistakes, ZeroscaleError
from zeroscale.lifecycle.plugin_adapter import from_coroutine
from zeroscale.plugins.loader import find_plugin
from zeroscale.proxy.exclusive_use import ExclusiveUse

logger = logging.getLogger("zeroscale.proxy")

Tables = Mapping[str, Mapping[str, object]]
"""Servers by name, each as a table of the configuration file."""

RESTART_DELAY = 60.0
"""Seconds until a failed discovery is started again; one that has only lost its connection reconnects by itself."""

MAX_SERVERS = 500
"""Servers from all discoveries together; more of them are a mistake or an attack."""


class DiscoverySource(Protocol):
    """A plugin's discovery."""

    async def run(self) -> None:
        """Report servers until cancelled."""
        ...


class ServerDiscovery:
    """All discoveries of a configuration.

    :param config: which discoveries, and their options.
    :param clock: delays restarts.
    :param changed: called when `tables` has changed.
    :raises ZeroscaleError: a discovery cannot be made: its SDK is not installed, or it has no credentials.
    """

    def __init__(self, config: DiscoveryConfig, clock: IReactorTime, changed: Callable[[], None]) -> None:
        self._config = config
        self._clock = clock
        self._changed = changed
        self._tables: dict[str, Tables] = {}
        self._running: dict[str, Deferred[None]] = {}
        self._restarts: dict[str, IDelayedCall] = {}
        self._problems = ProblemLog()
        self._sources = {name: self._make_source(name) for name in config.enabled}

    @property
    def tables(self) -> Tables:
        """The described servers, at most `MAX_SERVERS`. If two have the same name, the first discovery's counts."""
        return dict(list(self._all_tables().items())[:MAX_SERVERS])

    @property
    def problems(self) -> list[str]:
        """What is wrong with the described servers as a whole, one line each."""
        left_out = list(self._all_tables())[MAX_SERVERS:]
        if not left_out:
            return []
        return [
            f"{len(left_out)} of {len(left_out) + MAX_SERVERS} discovered servers are left out, the first of them "
            f"{left_out[0]}: the maximum is {MAX_SERVERS}; remove the labels or annotations of some"
        ]

    def add_to(self, config: Config, check: Callable[[Config, ExclusiveUse], None], use: ExclusiveUse) -> Config:
        """Return the configuration with the described servers that are valid, and log what is wrong with the others.

        The parameters are those of `add_discovered`.
        """
        problems = self.problems
        config = add_discovered(config, self.tables, check, use, problems)
        self._problems.update(problems)
        return config

    def start(self) -> None:
        """Start all discoveries; the reactor must be running."""
        for name in self._sources:
            self._run(name)

    def stop(self) -> None:
        """Cancel all discoveries."""
        for restart in self._restarts.values():
            if restart.active():
                restart.cancel()
        running, self._running = self._running, {}
        for deferred in running.values():
            deferred.cancel()

    def _all_tables(self) -> dict[str, Mapping[str, object]]:
        found: dict[str, Mapping[str, object]] = {}
        for tables in self._tables.values():
            for name, table in tables.items():
                found.setdefault(name, table)
        return found

    def _run(self, name: str) -> None:
        logger.info("Discovering servers: %s", name)
        running = self._running[name] = from_coroutine(self._sources[name].run())
        running.addBoth(self._ended, name)

    def _ended(self, result: object, name: str) -> None:
        if name not in self._running:  # by stop()
            if isinstance(result, Failure) and not result.check(CancelledError, asyncio.CancelledError):
                logger.warning("Discovery %s failed while it stopped: %s", name, result.getErrorMessage())
            return
        self._restart_later(name, result.getErrorMessage() if isinstance(result, Failure) else "it ended by itself")

    def _restart_later(self, name: str, reason: str) -> None:
        logger.error("Discovery %s failed, and is started again in %.0f s: %s", name, RESTART_DELAY, reason)
        self._restarts[name] = self._clock.callLater(RESTART_DELAY, self._restart, name)

    def _restart(self, name: str) -> None:
        try:
            self._sources[name] = self._make_source(name)
        except ZeroscaleError as error:
            self._restart_later(name, str(error))
        else:
            self._run(name)

    def _make_source(self, name: str) -> DiscoverySource:
        find_plugin(name)  # its error says what to install
        config = self._config
        listen = list(config.listen)

        def changed(tables: Tables) -> None:
            if self._tables.get(name) != tables:
                self._tables[name] = tables
                self._changed()

        if name == "docker":
            from zeroscale.plugins.docker import discovery as docker_discovery

            return docker_discovery.Discovery(changed, base_url=config.base_url, listen=listen)
        from zeroscale.plugins.kubernetes import discovery as kubernetes_discovery

        return kubernetes_discovery.Discovery(
            changed,
            namespace=config.namespace,
            kubeconfig=config.kubeconfig,
            context=config.context,
            listen=listen,
        )


class ProblemLog:
    """Logs problems of described servers: each once, until it is gone."""

    def __init__(self) -> None:
        self._logged: frozenset[str] = frozenset()

    def update(self, problems: list[str]) -> None:
        """Log the problems that are new.

        :param problems: all current problems.
        """
        for problem in problems:
            if problem not in self._logged:
                logger.warning("%s", problem)
        self._logged = frozenset(problems)


def add_discovered(
    config: Config,
    tables: Tables,
    check: Callable[[Config, ExclusiveUse], None],
    use: ExclusiveUse,
    problems: list[str],
) -> Config:
    """Return the configuration with the described servers that are valid.

    :param check: checks a configuration, and adds its servers to what others have; raises `ZeroscaleError`.
    :param use: what the servers of the configuration have.
    :param problems: one line is appended for each mistake.
    """
    servers = list(config.servers)
    for name, table in sorted(tables.items()):
        with_server = use.copy()
        mistakes = list(_add_server(config, servers, name, table, check, with_server))
        problems += [f"{name} is left out: {mistake}" for mistake in mistakes]
        if not mistakes:
            use = with_server
    problems += [f"{name} needs {needed}, which has not been found yet" for name, needed in needs.not_found(servers)]
    return msgspec.structs.replace(config, servers=tuple(servers))


def _add_server(
    config: Config,
    servers: list[ServerConfig],
    name: str,
    table: Mapping[str, object],
    check: Callable[[Config, ExclusiveUse], None],
    use: ExclusiveUse,
) -> Iterator[str]:
    """Add a described server to `servers`, or yield its mistakes."""
    if any(server.name == name for server in config.servers):
        yield "the configuration file has a server with this name, which takes precedence"
        return
    try:
        server = loader.parse_server(name, table, config.state_directory)
        check(msgspec.structs.replace(config, servers=(server,)), use)
    except ConfigMistakes as error:
        yield from error.mistakes
        return
    except ZeroscaleError as error:
        yield str(error)
        return
    mistakes = conflicts.mistakes_between([*servers, server], config.metrics.listen, discovers=True)
    found = [str(each) for each in mistakes]
    if found:
        yield from found
    else:
        servers.append(server)
