"""Converts one server's configuration into the objects that other packages work with: plugin, policies, messages.

Does no I/O, except importing the plugin's module.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from zeroscale.access_lists import AccessList, ServerLists, parse_network
from zeroscale.config.messages import join
from zeroscale.config.model import OVER_UDP, Config, LimitsConfig, PortConfig, ServerConfig
from zeroscale.config.needs import longest_start
from zeroscale.errors import ConfigError
from zeroscale.frontend.admission import Admission, Limits, Rules
from zeroscale.frontend.connection_limits import Network
from zeroscale.frontend.decision import JoinPolicy
from zeroscale.frontend.messages import Messages
from zeroscale.lifecycle.idle_policy import ASK_AGAIN_AT_MOST, IdlePolicy
from zeroscale.lifecycle.interfaces import LifecyclePolicy
from zeroscale.lifecycle.plugin_adapter import PluginAdapter
from zeroscale.minecraft.player_lists import PlayerLists
from zeroscale.plugins.loader import argument_names, construct, find_plugin
from zeroscale.process.environment import ChildEnvironment
from zeroscale.protocols.conversation import MinecraftOptions
from zeroscale.proxy import tcp_factory
from zeroscale.status import PlayerSign
from zeroscale.system.files import server_directory

MINECRAFT_IN_FILE = IdlePolicy(900.0, minimum_online=60.0)
OTHERS = IdlePolicy(15.0)
"""The defaults of `idle_shutdown` and `minimum_online_time`; `config.model` has them in words."""

UNVISITED = 60.0
"""Seconds for which a player who was kicked while a Minecraft server started finds it running, with the default
`idle_shutdown`: the player was asked to join again in a little while. A Bedrock player always is."""

BUSY_COMMAND_EVERY = 60.0
"""Seconds from one run of a `busy_command` to the next one, at most."""


PLAYERS_GAMES = frozenset({"minecraft", "bedrock"})
"""Protocols by which a player reads a kick, and joins again after it."""

QUERIES = OVER_UDP - {"bedrock"}
"""Protocols of server browsers, which show the state of the whole server, whatever wakes it."""


class PortSettings(Struct, frozen=True):
    """The settings of one port that can change while its server runs.

    :ivar sign: from when on a client counts as a player; None: as the lifecycle's policy says.
    """

    join_policy: JoinPolicy
    messages: Messages
    admission: Admission
    minecraft_options: MinecraftOptions
    sign: PlayerSign | None = None


class ServerSettings(Struct, frozen=True):
    """The settings of a server that can change while it runs.

    :ivar ports: of each port, in the order of `ServerConfig.all_ports`.
    """

    policy: LifecyclePolicy
    ports: Sequence[PortSettings]


def server_settings(
    server: ServerConfig, config: Config, plugin: PluginAdapter, lists: PlayerLists | None
) -> ServerSettings:
    """Make the settings of a server.

    :param lists: the player lists of a Minecraft server; None: it speaks another protocol.
    :raises ConfigError: a pattern, a text or an admission rule is invalid.
    """
    policy = join_policy(server, config.servers)
    protocol = port_protocol(server.all_ports[0], plugin)
    options = MinecraftOptions(server.legacy_hold, server.transfer_as_login)
    own = PortSettings(
        join_policy=policy,
        messages=messages(server) if protocol in PLAYERS_GAMES else tcp_factory.messages(server),
        admission=admission(server, config, lists),
        minecraft_options=options,
    )
    others = [_port_settings(server, each, config, plugin, own) for each in server.ports]
    return ServerSettings(policy=lifecycle_policy(server, plugin), ports=(own, *others))


def _port_settings(
    server: ServerConfig, port: PortConfig, config: Config, plugin: PluginAdapter, main: PortSettings
) -> PortSettings:
    """Make the settings of a further port. Where clients have no names, the rules that need them do not count."""
    protocol = port_protocol(port, plugin)
    same = (protocol == "minecraft") == plugin.speaks_minecraft and port.wakes
    http = not port.is_udp and tcp_factory.host_kind(port.wake_on, protocol) == "http"
    rules = server.admission
    nameless = replace(server, admission=replace(rules, wake="nobody" if rules.wake == "nobody" else "anyone"))
    policy = replace(
        main.join_policy,
        wakes=port.wakes,
        waiting=port.waiting if port.waiting != "auto" else "page" if http else "hold",
        explains=http and not port.wakes,
        for_players=port.wakes or port.counts,
    )
    make_messages = messages if protocol in PLAYERS_GAMES else tcp_factory.messages
    return PortSettings(
        join_policy=policy,
        messages=make_messages(server, wakes=port.wakes or protocol in QUERIES),
        admission=main.admission if same else admission(nameless, config, None, wakes=port.wakes),
        minecraft_options=main.minecraft_options,
        sign=player_sign(port, protocol),
    )


class ClientProtocol(Protocol):
    """What a plugin says about its server's clients; `lifecycle.plugin_adapter.PluginAdapter` implements it."""

    @property
    def speaks_minecraft(self) -> bool:
        """Whether they speak Minecraft's protocol."""

    @property
    def speaks_http(self) -> bool:
        """Whether they speak HTTP."""


def port_protocol(port: PortConfig, plugin: ClientProtocol) -> str:
    """Return what clients of a port speak; see `config.model.PortProtocol`."""
    if port.is_main and plugin.speaks_minecraft:
        return "minecraft"
    if port.protocol is None and port.is_main and plugin.speaks_http:
        return "http"
    return port.protocol or "none"


def knows_players(server: ServerConfig, plugin: PluginAdapter) -> bool:
    """Return whether the protocol of a server's main port tells who is on."""
    return port_protocol(server.all_ports[0], plugin) in PLAYERS_GAMES


QUERIED = frozenset({"source-query", "quake-query", "minecraft-query"})
"""Protocols by which a server says who is on, whatever its players speak."""


def is_queried(server: ServerConfig) -> bool:
    """Return whether a server has a port of a protocol of server browsers."""
    return any(port.protocol in QUERIED for port in server.all_ports)


def player_sign(port: PortConfig, protocol: str) -> PlayerSign:
    """Return from when on a client of a port counts as a player."""
    if protocol in PLAYERS_GAMES:
        return PlayerSign.server_bytes
    if port.is_udp:
        return PlayerSign.client_bytes  # the frontend counts none before they have met the rule that wakes
    server_may_speak_first = tcp_factory.wake_trigger(port.wake_on, protocol).kind == "connect"
    return PlayerSign.connection if server_may_speak_first else PlayerSign.client_bytes


def plugin_factory(server: ServerConfig, config: Config) -> Callable[[], PluginAdapter]:
    """Return a function that constructs the server's plugin; it raises `ConfigError` if the arguments do not fit.

    :raises ConfigError: there is no such plugin, or an environment is configured for one that starts no program.
    """
    plugin_class = find_plugin(server.plugin)
    offered: Mapping[str, object] = {
        "working_directory": str(server.directory),
        "server_host": server.server_host,
        "server_port": server.server_port,
        "state_directory": server_directory(config.state_directory, server.name),
        "environment": child_environment(server),
        "arguments_table": None if server.on_command_line else f"{join('servers', server.name)}.plugin_arguments",
    }
    if server.protocol in ("minecraft", "http"):
        offered = {**offered, "protocol": server.protocol}
    configured = server.environment or server.environment_file or server.environment_only
    if configured and "environment" not in argument_names(plugin_class):
        raise ConfigError(
            f"server {server.name!r}: environment, environment_file and environment_only are for programs that "
            f"zeroscale starts, and the plugin {server.plugin} starts none: set them where its server is started"
        )

    def make_plugin() -> PluginAdapter:
        return PluginAdapter(construct(plugin_class, server.plugin_positional, server.plugin_keywords, offered))

    return make_plugin


def child_environment(server: ServerConfig) -> ChildEnvironment:
    """Return the environment of what is started here for a server."""
    return ChildEnvironment(server.environment, server.environment_file, server.environment_only)


def operator_directory(server: ServerConfig, config: Config, plugin: PluginAdapter) -> Path:
    """Return the directory of the operator's files (keep-awake, lockout, server.properties).

    It is the working directory; for a remote server without a configured one, the server's state directory.
    """
    if plugin.is_remote and server.working_directory is None:
        return server_directory(config.state_directory, server.name)
    return server.directory


def lifecycle_policy(server: ServerConfig, plugin: PluginAdapter) -> LifecyclePolicy:
    """Make the policy of the server's lifecycle."""
    return LifecyclePolicy(
        idle=_idle_policy(server, plugin),
        pause_when_idle=server.idle_action != "stop",
        pause_stop_after=server.pause_stop_after if server.idle_action == "pause+stop" else None,
        start_timeout=server.start_timeout,
        stop_timeout=server.stop_timeout,
        kill_timeout=server.kill_timeout,
        max_crashes=server.max_crashes,
        ask_players=knows_players(server, plugin) or is_queried(server),
        ready_line=tcp_factory.ready_line(server) or plugin.ready_line,
    )


def _idle_policy(server: ServerConfig, plugin: PluginAdapter) -> IdlePolicy:
    main = server.all_ports[0]
    minecraft = port_protocol(main, plugin) in PLAYERS_GAMES
    default = MINECRAFT_IN_FILE if minecraft and not server.on_command_line else OTHERS
    idle_shutdown, minimum_online = server.idle_shutdown, server.minimum_online_time
    has_bedrock = any(each.wakes and port_protocol(each, plugin) == "bedrock" for each in server.all_ports)
    return IdlePolicy(
        idle_shutdown=default.idle_shutdown if idle_shutdown is None else idle_shutdown,
        minimum_online=default.minimum_online if minimum_online is None else minimum_online,
        minimum_unvisited=UNVISITED if has_bedrock or (minecraft and idle_shutdown is None) else 0.0,
        player_sign=player_sign(main, port_protocol(main, plugin)),
        ask_again_at_most=ASK_AGAIN_AT_MOST if server.busy_command is None else BUSY_COMMAND_EVERY,
    )


def join_policy(server: ServerConfig, servers: Sequence[ServerConfig] = ()) -> JoinPolicy:
    """Make the policy for clients that join.

    :param servers: all servers, for the start time-outs of those that it needs.
    """
    return JoinPolicy(
        holds=server.join == "hold",
        hold_limit=longest_start(server, servers) if server.hold_limit is None else server.hold_limit,
        wake_on_answer=server.wake_after == "answer",
        waiting=server.waiting,
    )


def messages(server: ServerConfig, *, wakes: bool = True) -> Messages:
    """Make the texts for players of a Minecraft server.

    :param wakes: they wake it.
    :raises ConfigError: a text is invalid.
    """
    return Messages(server.texts, status_protocol=server.status_protocol, motd=server.motd, wakes=wakes)


def admission(server: ServerConfig, config: Config, lists: PlayerLists | None, *, wakes: bool = True) -> Admission:
    """Make the rules of which clients may wake a server.

    :param lists: the player lists of a Minecraft server; None: it speaks another protocol.
    :param wakes: clients of the port may wake it at all.
    :raises ConfigError: the rules need players' names, which other protocols do not have.
    """
    rules = server.admission
    if lists is None and rules.wake not in ("anyone", "nobody"):
        raise ConfigError(
            f"server {server.name!r}: admission.wake {rules.wake!r} needs a Minecraft server, whose players have "
            "names; for others use 'anyone' or 'nobody', and list addresses in admission.allow or admission.deny"
        )
    return Admission(
        Rules(rules.wake, rules.server_lists, AccessList(rules.allow), AccessList(rules.deny)),
        Limits(rules.status_per_minute, rules.logins_per_minute, rules.wakes_per_minute),
        lists=ServerLists if lists is None else lists.get,
        wall_clock=time.time,
        trusted=trusted_networks(config.limits),
        wakes=wakes,
    )


def trusted_networks(limits: LimitsConfig) -> Sequence[Network]:
    """Return the networks that have no limits per address."""
    return [parse_network(network) for network in limits.trusted]


def header_networks(server: ServerConfig) -> Sequence[Network]:
    """Return the networks that must send PROXY headers."""
    return [parse_network(network) for network in server.proxy_protocol.accept_from]


def health_check_networks(server: ServerConfig) -> Sequence[Network]:
    """Return the networks of health checkers; they never wake the server."""
    return [parse_network(network) for network in server.health_check]
