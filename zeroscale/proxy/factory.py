"""What one server's configuration means, in terms of those who keep to it: its plugin, its policies, its texts.

Each of these is made of values alone, and touches nothing.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from zeroscale.access_lists import Names, ServerLists, parse_network
from zeroscale.config.model import Config, LimitsConfig, ServerConfig
from zeroscale.errors import ConfigError
from zeroscale.frontend.admission import Admission, Limits, Rules
from zeroscale.frontend.connection_limits import Network
from zeroscale.frontend.decision import JoinPolicy
from zeroscale.frontend.messages import Messages
from zeroscale.lifecycle.idle_policy import IdlePolicy
from zeroscale.lifecycle.interfaces import LifecyclePolicy
from zeroscale.lifecycle.plugin_adapter import PluginAdapter
from zeroscale.minecraft.player_lists import PlayerLists
from zeroscale.minecraft.server_files import ServerFiles
from zeroscale.plugins.loader import construct, find_plugin
from zeroscale.protocols.conversation import MinecraftOptions
from zeroscale.proxy import tcp_factory as any_server
from zeroscale.system.files import server_directory


def constructor(server: ServerConfig, config: Config) -> Callable[[], PluginAdapter]:
    """What makes a server's plugin.

    :raises ConfigError: there is no such plugin. What it makes raises that as well, for what does not fit it.
    """
    plugin_class = find_plugin(server.plugin)
    offered: Mapping[str, object] = {
        "working_directory": str(server.directory),
        "server_host": server.server_host,
        "server_port": server.server_port,
        "state_directory": server_directory(config.state_directory, server.name),
    }

    def make() -> PluginAdapter:
        return PluginAdapter(construct(plugin_class, server.plugin_positional, server.plugin_keywords, offered))

    return make


def home_of(server: ServerConfig, config: Config, plugin: PluginAdapter) -> Path:
    """Where the files are by which a server's operator says something: its working directory, if that is here.

    Of a server elsewhere, of which nobody has said that its directory is to be seen here, it is what we keep of it.
    """
    if plugin.is_remote and server.working_directory is None:
        return server_directory(config.state_directory, server.name)
    return server.directory


def policy(config: ServerConfig, plugin: PluginAdapter) -> LifecyclePolicy:
    """How a server is to be treated.

    :raises ConfigError: a pattern that is none.
    """
    minecraft = plugin.speaks_minecraft
    return LifecyclePolicy(
        idle=IdlePolicy(config.idle_shutdown, config.minimum_online_time, ignore_short_sessions=minecraft),
        pause_when_idle=config.idle_action != "stop",
        pause_stop_after=config.pause_stop_after if config.idle_action == "pause+stop" else None,
        start_timeout=config.start_timeout,
        stop_timeout=config.stop_timeout,
        kill_timeout=config.kill_timeout,
        max_crashes=config.max_crashes,
        ask_players=minecraft,
        ready_line=any_server.ready_line(config) or _pattern(config, plugin.ready_line),
    )


def session_policy(config: ServerConfig) -> JoinPolicy:
    """How its players are to be treated."""
    return JoinPolicy(
        holds=config.join == "hold",
        hold_limit=config.start_timeout if config.hold_limit is None else config.hold_limit,
        wake_on_answer=config.wake_after == "answer",
        waiting=config.waiting,
    )


def minecraft_options(config: ServerConfig) -> MinecraftOptions:
    """How its clients' conversations are to be."""
    return MinecraftOptions(config.legacy_hold, config.transfer_as_login)


def texts(server: ServerConfig) -> Messages:
    """What a server's players read.

    :raises ConfigError: a text that cannot be.
    """
    return Messages(server.texts, status_protocol=server.status_protocol, motd=server.motd)


def admission(server: ServerConfig, config: Config, files: ServerFiles | None) -> Admission:
    """Who may wake a server.

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
        lists=ServerLists if files is None else PlayerLists(files).read,
        wall_clock=time.time,
        trusted=trusted(config.limits),
    )


def trusted(limits: LimitsConfig) -> Sequence[Network]:
    """The networks that have no limit for each address."""
    return [parse_network(network) for network in limits.trusted]


def accept_from(server: ServerConfig) -> Sequence[Network]:
    """The networks that have to send PROXY headers."""
    return [parse_network(network) for network in server.proxy_protocol.accept_from]


def health_check(server: ServerConfig) -> Sequence[Network]:
    """The networks that only look whether anybody listens."""
    return [parse_network(network) for network in server.health_check]


def _pattern(server: ServerConfig, ready_line: str | None) -> re.Pattern[str] | None:
    if ready_line is None:
        return None
    try:
        return re.compile(ready_line)
    except re.error as error:
        raise ConfigError(f"server {server.name!r}: ready_line is no regular expression: {error}") from None
