"""One constructed plugin, with its server's files, probe and readiness check.

A reload that changes anything of this replaces it as a whole, once the running server has stopped.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from zeroscale.config.model import Config, ServerConfig, is_loopback_name, is_udp
from zeroscale.minecraft.player_lists import PlayerLists
from zeroscale.minecraft.server_files import ServerFiles, session_lock_holder
from zeroscale.probes.base import BaseProbe
from zeroscale.probes.minecraft import MinecraftProbe
from zeroscale.probes.readiness import LineReadiness, Readiness
from zeroscale.process import listeners
from zeroscale.proxy import tcp_factory
from zeroscale.proxy.factory import child_environment, is_queried, knows_players, operator_directory, plugin_factory
from zeroscale.reactor import Reactor
from zeroscale.server_log import ServerLog
from zeroscale.state.flag_files import FlagFiles
from zeroscale.system.files import server_directory

if TYPE_CHECKING:
    from zeroscale.probes.queried_server import QueriedServer
    from zeroscale.state.answer_cache import AnswerCache


class PluginSetup:
    """A plugin, and what is configured together with it. The constructor does no I/O.

    :param config: the server's configuration.
    :param proxy_config: the proxy's configuration.
    :param reactor: the clock; connects the probe.
    :raises ZeroscaleError: there is no such plugin, or it rejects its arguments.
    :ivar address: host and port of the server, as configured.
    :ivar files: the server's own files.
    :ivar player_lists: the server's own player lists; None: it does not speak Minecraft.
    :ivar flag_files: files by which the operator keeps the server awake or locks it.
    :ivar player_protocol: returns the protocol number of the server's last Minecraft player; None: it is not known.
    :ivar queried: the same as `probe`, of a server with ports that are queried; None: it has none.
    """

    answers: Callable[[], AnswerCache]
    """Returns what keeps the server's last answers to queries; set before the server is asked."""

    def __init__(self, config: ServerConfig, proxy_config: Config, reactor: Reactor) -> None:
        self.config = config
        self._reactor = reactor
        self.make_plugin = plugin_factory(config, proxy_config)
        self.plugin = self.make_plugin()
        self.speaks_minecraft = self.plugin.speaks_minecraft
        self.address = config.server_host, config.server_port
        directory = operator_directory(config, proxy_config, self.plugin)
        self._has_world = self.speaks_minecraft and directory != server_directory(
            proxy_config.state_directory, config.name
        )
        self.files = ServerFiles(directory)
        self.player_lists = PlayerLists(self.files, reactor.seconds) if self.speaks_minecraft else None
        self.flag_files = FlagFiles(directory)
        self.player_protocol: Callable[[], int | None] = lambda: None
        self.queried = self._make_queried()
        self.probe = self._make_probe() if self.queried is None else self.queried
        self._log = ServerLog(logging.getLogger("zeroscale.server"), config.name)

    @property
    def world_directory(self) -> Path | None:
        """The directory with the world, which only one server may use; None: there is none on this machine."""
        return self.files.directory if self._has_world else None

    def make_readiness(self) -> Readiness | LineReadiness:
        """Make the check that waits until a starting server is ready."""
        probe = self.probe if self.queried is None else self.queried.main
        if self.speaks_minecraft:
            return Readiness(self._reactor, probe, status_disabled=self._status_disabled, log=self._log)
        if self._uses_udp:
            from zeroscale.proxy import udp_factory

            return udp_factory.readiness(self.config, self._reactor, probe, self._log)
        return tcp_factory.readiness(self.config, self._reactor, probe, self._log)

    def start_obstacle(self) -> str | None:
        """Return why the server must not be started now: another process has its world open; None: nothing."""
        if not self.speaks_minecraft:
            return None
        holder = session_lock_holder(self.files.level_directory)
        if holder is None:
            return None
        process = f"process {holder}" if holder else "another process"
        lock = self.files.level_directory / "session.lock"
        return f"{process} has this world open (it holds {lock}): stop that server first"

    def listener(self) -> str | None:
        """Return who listens on the server's port, for a message; None: not known, or not on this machine."""
        host, port = self.address
        return listeners.describe(port, host, datagrams=self._uses_udp) if is_loopback_name(host) else None

    @property
    def _uses_udp(self) -> bool:
        return is_udp(self.config.listen[0])

    def _kept_answers(self) -> AnswerCache:
        return self.answers()

    def _make_queried(self) -> QueriedServer | None:
        if not is_queried(self.config):
            return None
        from zeroscale.proxy import query_factory

        return query_factory.probe(
            self.config,
            self._make_probe,
            self._reactor,
            self._kept_answers,
            main_knows_players=knows_players(self.config, self.plugin),
        )

    def _make_probe(self) -> BaseProbe:
        if self.config.protocol == "bedrock":
            from zeroscale.proxy import bedrock_factory

            return bedrock_factory.probe(self._reactor, *self.address, self.config.proxy_protocol.send)
        if self._uses_udp and not self.speaks_minecraft:
            from zeroscale.proxy import udp_factory

            return udp_factory.probe(self.config, self._reactor, child_environment(self.config))
        if not self.speaks_minecraft:
            return tcp_factory.probe(self.config, self._reactor, child_environment(self.config))
        return MinecraftProbe(
            self._reactor,
            *self.address,
            header=tcp_factory.probe_header(self.config),
            status_disabled=self._status_disabled,
            player_protocol=self._last_player_protocol,
        )

    def _last_player_protocol(self) -> int | None:
        return self.player_protocol()

    def _status_disabled(self) -> bool:
        return not self.files.enable_status
