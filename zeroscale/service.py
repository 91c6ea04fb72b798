"""The composition root: a configuration in, one running proxy out. Nobody imports it but those who run it."""

from __future__ import annotations

import ipaddress
import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.python.failure import Failure

from zeroscale import checking, listening
from zeroscale.access import Names, ServerLists
from zeroscale.bridge import BridgedPlugin
from zeroscale.config import Config, LimitsConfig, ServerConfig
from zeroscale.errors import ConfigError, ZeroscaleError
from zeroscale.front.admission import Admission, Limits, Rules
from zeroscale.front.connection import Client, House, Listener, Place
from zeroscale.front.newcomers import Network, Newcomers
from zeroscale.front.session import Policy as SessionPolicy
from zeroscale.front.texts import Texts
from zeroscale.plugins import construct, find_plugin
from zeroscale.protocols import wire
from zeroscale.protocols.base import Conversation
from zeroscale.protocols.generic import GenericConversation
from zeroscale.protocols.minecraft import MinecraftConversation
from zeroscale.relay import Relays, raise_descriptor_limit
from zeroscale.server.gamefiles import GameFiles, session_lock_holder
from zeroscale.server.gamelists import GameLists
from zeroscale.server.idle import IdlePolicy
from zeroscale.server.keepfiles import DEFAULT_TEXT, KeepFiles
from zeroscale.server.lifecycle import Lifecycle
from zeroscale.server.mirror import Mirror
from zeroscale.server.parts import Parts, Policy
from zeroscale.server.probe import GenericProbe, MinecraftProbe, Readiness
from zeroscale.server.records import Records
from zeroscale.server.storage import server_directory

logger = logging.getLogger(__name__)

DRAIN = 5.0
"""Seconds that relayed connections have to end by themselves once their server is gone."""


def check(config: Config, reactor: Any = None, file: Path | None = None) -> None:
    """Judges what needs Twisted or a plugin to be judged, and starts nothing.

    :param reactor: the one that is to run it; None: the installed one.
    :param file: where the configuration was read; None: the command line said it.
    :raises ConfigMistakes: it cannot be run; the lines name what to change.
    """
    if reactor is None:
        from twisted.internet import reactor
    checking.check(config, reactor, lambda server: _constructor(server, config)(), file)


def make_service(config: Config, reactor: Any) -> ProxyService:
    """A proxy, not started yet.

    :raises ZeroscaleError: it cannot be made; see `check`.
    """
    return ProxyService(config, reactor)


class Hosted:
    """One server: its life, and how clients reach it.

    :ivar config: what it was told.
    :ivar lifecycle: its life.
    :ivar speaks_minecraft: its clients speak Minecraft's protocol.
    """

    def __init__(self, config: ServerConfig, whole: Config, house: House, reactor: Any) -> None:
        self.config = config
        self._house = house
        self._ports: list[IListeningPort] = []
        make_plugin = _constructor(config, whole)
        plugin = make_plugin()
        self.speaks_minecraft = plugin.speaks_minecraft
        directory = server_directory(whole.state_directory, config.name)
        files = self._files = GameFiles(config.directory)
        keep_files = KeepFiles(config.directory)
        self._records = Records(directory, config.directory if self.speaks_minecraft else None)
        self._mirror = Mirror(directory, files.fallback_status if self.speaks_minecraft else lambda: None)
        probe: MinecraftProbe | GenericProbe
        if self.speaks_minecraft:
            probe = MinecraftProbe(
                reactor, config.server_host, config.server_port, status_disabled=lambda: not files.enable_status
            )
        else:
            probe = GenericProbe(reactor, config.server_host, config.server_port)
        self.lifecycle = Lifecycle(
            config.name,
            Policy(
                idle=IdlePolicy(config.idle_shutdown, config.minimum_online_time, short_visits=self.speaks_minecraft),
                pauses=config.idle_action != "stop",
                pause_stop_after=config.pause_stop_after if config.idle_action == "pause+stop" else None,
                start_timeout=config.start_timeout,
                stop_timeout=config.stop_timeout,
                kill_timeout=config.kill_timeout,
                max_crashes=config.max_crashes,
                asks=self.speaks_minecraft,
                ready_line=_pattern(config, plugin.ready_line),
            ),
            Parts(
                clock=reactor,
                plugin=plugin,
                construct=make_plugin,
                probe=probe,
                readiness=lambda: Readiness(
                    reactor, probe, status_disabled=lambda: self.speaks_minecraft and not files.enable_status
                ),
                records=self._records,
                mirror=self._mirror,
                kept_awake=keep_files.kept_awake,
                lockout=lambda: keep_files.lockout() or _lockout(config),
                obstacle=lambda: _obstacle(files) if self.speaks_minecraft else None,
                logger=logging.getLogger(plugin.module),
            ),
        )
        self.place = Place(
            self.lifecycle,
            _texts(config),
            SessionPolicy(
                holds=config.join == "hold",
                hold_limit=config.start_timeout if config.hold_limit is None else config.hold_limit,
                wake_on_answer=config.wake_after == "answer",
            ),
            _admission(config, whole, files if self.speaks_minecraft else None),
            config.server_host,
            config.server_port,
        )

    async def listen(self, reactor: Any) -> None:
        """Takes the server's locks and listens.

        :raises ZeroscaleError: somebody else has them, or a port.
        """
        self._records.open()
        factory = Listener(self._house, self._conversation, lambda _: self.place)
        self._warn_of_pausing()
        for where in self.config.listen:
            self._ports.extend(await listening.listen(reactor, where, factory))

    def close(self) -> Deferred[None]:
        """Has the server stopped, or left as it is, as was asked; fires when that is done."""
        return self.lifecycle.close(leave=self.config.on_exit == "leave")

    def _warn_of_pausing(self) -> None:
        tick_time = self._files.max_tick_time
        if self.speaks_minecraft and self.config.idle_action != "stop" and tick_time > 0:
            logger.warning(
                "%s says max-tick-time=%d: the server's own watchdog ends it when it is resumed after a pause; "
                "write max-tick-time=-1 there",
                self._files.properties_file,
                tick_time,
            )

    async def deafen(self) -> None:
        """Stops listening."""
        ports, self._ports = self._ports, []
        for port in ports:
            await maybeDeferred(port.stopListening)

    def release(self) -> None:
        """Gives the server's locks back."""
        self._mirror.flush()
        self._records.close()

    def _conversation(self) -> Conversation:
        if not self.speaks_minecraft:
            return GenericConversation()
        return MinecraftConversation(
            forwarding=self.config.forwarding,
            legacy_hold=self.config.legacy_hold,
            transfer_as_login=self.config.transfer_as_login,
        )


class ProxyService:
    """A whole proxy.

    :ivar fatal: fails when something died without which it cannot go on.
    """

    def __init__(self, config: Config, reactor: Any) -> None:
        self.fatal: Deferred[None] = Deferred()
        self._reactor = reactor
        self._relays = Relays(reactor, config.relay, self._relay_crashed)
        self._house = House(
            reactor=reactor,
            relays=self._relays,
            newcomers=_newcomers(config.limits),
            handshake_timeout=config.limits.handshake_timeout,
        )
        self._hosted = [Hosted(server, config, self._house, reactor) for server in config.servers]
        self._relaying = False

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
        for hosted in self._hosted:
            await hosted.listen(self._reactor)
        if any(hosted.speaks_minecraft for hosted in self._hosted):
            wire.preload()
        runs: Deferred[None] = Deferred()
        # Not callWhenRunning: that is before asyncio's loop runs, which a plugin's coroutines need.
        self._reactor.callLater(0, runs.callback, None)
        await runs
        for hosted in self._hosted:
            await hosted.lifecycle.open()

    def stop(self) -> Deferred[None]:
        """Our own end: no new clients, servers stopped and waited for, then what is still relayed."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        for hosted in self._hosted:
            await hosted.deafen()
        await gatherResults([hosted.close() for hosted in self._hosted])
        if self._relaying:
            left = all(hosted.config.on_exit == "leave" for hosted in self._hosted)
            await self._relays.stop(0.0 if left else DRAIN)
        for hosted in self._hosted:
            hosted.release()

    def hurry(self) -> None:
        """Somebody cannot wait for `stop()`: servers that have not stopped get their SIGTERM now."""
        for hosted in self._hosted:
            hosted.lifecycle.hurry()

    def command(self, line: str) -> None:
        """One line for the consoles of the servers that run."""
        for hosted in self._hosted:
            hosted.lifecycle.send(line).addErrback(
                lambda failure: logger.warning("Not typed: %s", failure.getErrorMessage())
            )

    def _relay_crashed(self, failure: Failure) -> None:
        logger.critical("The relay has died, and every connection with it: %s", failure.getTraceback())
        if not self.fatal.called:
            self.fatal.errback(ZeroscaleError(f"the relay has died: {failure.getErrorMessage()}"))


def _constructor(server: ServerConfig, config: Config) -> Callable[[], BridgedPlugin]:
    plugin_class = find_plugin(server.plugin)
    offered: Mapping[str, object] = {
        "working_directory": str(server.directory),
        "server_host": server.server_host,
        "server_port": server.server_port,
        "state_directory": server_directory(config.state_directory, server.name),
    }

    def make() -> BridgedPlugin:
        return BridgedPlugin(construct(plugin_class, server.plugin_positional, server.plugin_keywords, offered))

    return make


def _texts(server: ServerConfig) -> Texts:
    return Texts(server.texts, status_protocol=server.status_protocol, motd=server.motd)


def _admission(server: ServerConfig, config: Config, files: GameFiles | None) -> Admission:
    """Who may wake this server.

    :param files: its directory's, where it is a Minecraft server.
    :raises ConfigError: only its players' names could tell, which this kind of server has not.
    """
    asked = server.admission
    if files is None and asked.wake not in ("anyone", "nobody"):
        raise ConfigError(
            f"server {server.name!r}: admission.wake {asked.wake!r} needs a Minecraft server, whose players have "
            "names; for others say 'anyone' or 'nobody', and list addresses in admission.allow or admission.deny"
        )
    return Admission(
        Rules(asked.wake, asked.server_lists, Names(asked.allow), Names(asked.deny)),
        Limits(asked.status_per_minute, asked.logins_per_minute, asked.wakes_per_minute),
        lists=ServerLists if files is None else GameLists(files).read,
        wall_clock=time.time,
        trusted=_trusted(config.limits),
    )


def _lockout(server: ServerConfig) -> str | None:
    """What the configuration has to say to all who come; None where it lets them in."""
    words = server.admission.lockout
    return None if words is None else words.strip() or DEFAULT_TEXT


def _pattern(server: ServerConfig, ready_line: str | None) -> re.Pattern[str] | None:
    if ready_line is None:
        return None
    try:
        return re.compile(ready_line)
    except re.error as error:
        raise ConfigError(f"server {server.name!r}: ready_line is no regular expression: {error}") from None


def _obstacle(files: GameFiles) -> str | None:
    holder = session_lock_holder(files.level_directory)
    if holder is None:
        return None
    who = f"process {holder}" if holder else "another process"
    return f"{who} has this world open (it holds {files.level_directory / 'session.lock'}): stop that server first"


def _newcomers(limits: LimitsConfig) -> Newcomers[Client]:
    return Newcomers(limits.per_address, limits.total, _trusted(limits))


def _trusted(limits: LimitsConfig) -> Sequence[Network]:
    return [ipaddress.ip_network(network, strict=False) for network in limits.trusted]
