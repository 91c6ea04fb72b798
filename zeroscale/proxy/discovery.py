"""Servers that describe themselves, by labels or annotations: as the configuration file's, each judged by itself.

Whoever describes one wrong is told so in the log, and the others are served all the same. What the labels mean is the
plugins' to know.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from zeroscale.config import conflicts, loader
from zeroscale.config.model import Config, DiscoveryConfig, ServerConfig
from zeroscale.errors import ConfigMistakes, ZeroscaleError
from zeroscale.lifecycle.plugin_adapter import from_coroutine
from zeroscale.plugins.loader import find_plugin

logger = logging.getLogger(__name__)

Tables = Mapping[str, Mapping[str, object]]
"""Servers as tables of the configuration file, by name."""

AGAIN_AFTER = 60.0
"""Seconds until a discovery that has failed is begun anew; one that merely has lost its engine tries again itself."""

MOST_SERVERS = 500
"""Of all discoveries; whoever can label so many has made a mistake, or means harm."""


class Source(Protocol):
    """A plugin's discovery."""

    async def run(self) -> None:
        """Keeps up until it is cancelled."""
        ...


class Discovering:
    """All the discoveries that a configuration asks for.

    :param config: which.
    :param reactor: the clock.
    :param changed: called when `tables` has changed.
    """

    def __init__(self, config: DiscoveryConfig, reactor: Any, changed: Callable[[], None]) -> None:
        """Asks nobody yet.

        :raises ZeroscaleError: one of them cannot be: its SDK is not installed, or it has no credentials.
        """
        self._config = config
        self._reactor = reactor
        self._changed = changed
        self._tables: dict[str, Tables] = {}
        self._running: dict[str, Deferred[None]] = {}
        self._again: dict[str, IDelayedCall] = {}
        self._sources = {name: self._source(name) for name in asked(config)}

    @property
    def tables(self) -> Tables:
        """All that is described now; of two with one name the first discovery's counts. At most `MOST_SERVERS`."""
        return dict(list(self._found.items())[:MOST_SERVERS])

    @property
    def complaints(self) -> list[str]:
        """What is wrong with all of them together, a line each."""
        left_out = list(self._found)[MOST_SERVERS:]
        if not left_out:
            return []
        return [
            f"{len(left_out)} of {len(left_out) + MOST_SERVERS} servers that describe themselves are not served, "
            f"{left_out[0]} the first of them: {MOST_SERVERS} is the most; take the labels or annotations off some"
        ]

    @property
    def _found(self) -> dict[str, Mapping[str, object]]:
        found: dict[str, Mapping[str, object]] = {}
        for tables in self._tables.values():
            for name, table in tables.items():
                found.setdefault(name, table)
        return found

    def start(self) -> None:
        """Begins; to be called once the reactor runs."""
        for name in self._sources:
            self._begin(name)

    def stop(self) -> None:
        """Ends them all."""
        for again in self._again.values():
            if again.active():
                again.cancel()
        running, self._running = self._running, {}
        for deferred in running.values():
            deferred.cancel()

    def _begin(self, name: str) -> None:
        logger.info("Discovering servers: %s", name)
        running = self._running[name] = from_coroutine(self._sources[name].run())
        running.addBoth(self._ended, name)

    def _ended(self, result: object, name: str) -> None:
        if name not in self._running:  # we have ended it
            if isinstance(result, Failure) and not result.check(CancelledError, asyncio.CancelledError):
                logger.warning("The discovery %s did not end well: %s", name, result.getErrorMessage())
            return
        self._begin_later(name, result.getErrorMessage() if isinstance(result, Failure) else "it ended by itself")

    def _begin_later(self, name: str, said: str) -> None:
        logger.error("The discovery %s has failed, and begins anew in %.0f s: %s", name, AGAIN_AFTER, said)
        self._again[name] = self._reactor.callLater(AGAIN_AFTER, self._begin_anew, name)

    def _begin_anew(self, name: str) -> None:
        try:
            self._sources[name] = self._source(name)
        except ZeroscaleError as error:
            self._begin_later(name, str(error))
        else:
            self._begin(name)

    def _source(self, name: str) -> Source:
        find_plugin(name)  # says what to install, where it cannot be imported
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


def asked(config: DiscoveryConfig) -> tuple[str, ...]:
    """Which discoveries a configuration asks for, by their plugins' names."""
    return tuple(name for name in ("docker", "kubernetes") if getattr(config, name))


class Complaints:
    """What is wrong with described servers, each told once for as long as it is wrong."""

    def __init__(self) -> None:
        self._told: frozenset[str] = frozenset()

    def tell(self, complaints: list[str]) -> None:
        """These are all there are now."""
        for complaint in complaints:
            if complaint not in self._told:
                logger.warning("%s", complaint)
        self._told = frozenset(complaints)


def with_described(config: Config, tables: Tables, check: Callable[[Config], None], complaints: list[str]) -> Config:
    """The configuration with those described servers that can be served.

    :param check: judges a configuration; raises `ZeroscaleError`.
    :param complaints: gets a line for each mistake.
    """
    servers = list(config.servers)
    for name, table in sorted(tables.items()):
        wrong = list(_judge(config, servers, name, table, check))
        complaints += [f"{name} is not served: {mistake}" for mistake in wrong]
    return msgspec.structs.replace(config, servers=tuple(servers))


def _judge(
    config: Config,
    servers: list[ServerConfig],
    name: str,
    table: Mapping[str, object],
    check: Callable[[Config], None],
) -> Iterator[str]:
    """Adds a described server to the others, or tells why it cannot be."""
    if any(server.name == name for server in config.servers):
        yield "the configuration file describes one of this name, which counts"
        return
    try:
        server = loader.parse_server(name, table, config.state_directory, os.environ)
        check(msgspec.structs.replace(config, servers=(server,)))
    except ConfigMistakes as error:
        yield from error.mistakes
        return
    except ZeroscaleError as error:
        yield str(error)
        return
    between = list(map(str, conflicts.mistakes_between([*servers, server], config.metrics.listen)))
    if between:
        yield from between
    else:
        servers.append(server)
