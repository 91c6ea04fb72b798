"""What a proxy is told: frozen and validated, whether the command line or a file says it.

Judged here is what can be judged from the values alone; what needs Twisted or a plugin is judged in
`service.check()`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from zeroscale.access_lists import Names, Wake
from zeroscale.config import triggers
from zeroscale.errors import ConfigError

Join = Literal["hold", "kick"]
WakeAfter = Literal["login", "answer"]
Motd = Literal["beside", "replace"]
StatusProtocol = Literal["client", "mirror"]
IdleAction = Literal["stop", "pause", "pause+stop"]
OnExit = Literal["stop", "leave"]
RelayChoice = Literal["auto", "splice", "transport"]

DEFAULT_IDLE_SHUTDOWN = 15.0
DEFAULT_START_TIMEOUT = 300.0
DEFAULT_STOP_TIMEOUT = 150.0
DEFAULT_PAUSE_STOP_AFTER = 1800.0
DEFAULT_MAX_CRASHES = 5
HIGHEST_PORT = 65535
LONGEST_DURATION = 366 * 86400.0
"""A year of seconds: what is longer is a mistake in the unit."""

UnknownHost = Literal["close", "answer"]
LogFormat = Literal["text", "json"]
ProxyHeaderVersion = Literal["v1", "v2"]
Waiting = Literal["auto", "hold", "answer", "page"]

DEFAULT_WAKE_TIMEOUT = 5.0

Seconds = Annotated[float, msgspec.Meta(ge=0, le=LONGEST_DURATION, extra={"kind": "duration"})]
"""In a file also written as "15m" or "1h30m"."""

PerMinute = Annotated[float, msgspec.Meta(gt=0, le=1e6)]
"""So many a minute: a bucket of so many tokens, filled anew within a minute."""

Network = Annotated[str, msgspec.Meta(extra={"kind": "network"})]
"""An address, or a network as CIDR."""

Listed = Annotated[str, msgspec.Meta(extra={"kind": "listed"})]
"""A player's name or UUID, an address or a network; see `access.Names`."""

Endpoint = Annotated[str, msgspec.Meta(extra={"kind": "endpoint"})]
"""A port, or one of Twisted's endpoint strings. In a file a port may be a number."""

ControlSocket = Annotated[str, msgspec.Meta(extra={"kind": "control_socket"})]
"""`unix:` and a path; "": none."""

HostName = Annotated[str, msgspec.Meta(extra={"kind": "host"})]
"""A name by which players reach a server, or `*.` and one, for all below it."""

Count = Annotated[int, msgspec.Meta(ge=1)]


def check_networks(name: str, networks: Iterable[str]) -> None:
    """Judges addresses and networks.

    :param name: what they are called in the file.
    :raises ConfigError: naming the first that is none.
    """
    for network in networks:
        try:
            ipaddress.ip_network(network, strict=False)
        except ValueError as error:
            raise ConfigError(f"{name}: {network!r} is no address and no network: {error}") from None


class AdmissionConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Who may wake one server, and how often anybody may ask.

    :ivar wake: who may wake it, besides its operators, who always may.
    :ivar server_lists: heed the server's own whitelist, bans and operators (Minecraft).
    :ivar allow: names, UUIDs, addresses and networks that may wake it, whatever `wake` and its whitelist say.
    :ivar deny: the same, that may not, whatever anything says.
    :ivar lockout: nobody may come in; the text is what players read. None: it is not locked.
    :ivar status_per_minute: status questions and pings of one address.
    :ivar logins_per_minute: logins of one address (Minecraft).
    :ivar wakes_per_minute: wakes that one address may cause.
    """

    wake: Wake = "anyone"
    server_lists: bool = True
    allow: tuple[Listed, ...] = ()
    deny: tuple[Listed, ...] = ()
    lockout: str | None = None
    status_per_minute: PerMinute = 120.0
    logins_per_minute: PerMinute = 30.0
    wakes_per_minute: PerMinute = 6.0

    def __post_init__(self) -> None:
        """Judges the values.

        :raises ConfigError: naming the entry of a list that is nothing a list can have.
        """
        for name, entries in (("allow", self.allow), ("deny", self.deny)):
            try:
                Names(entries)
            except ValueError as error:
                raise ConfigError(f"admission.{name}: {error}") from None


class ProxyProtocolConfig(msgspec.Struct, frozen=True, kw_only=True):
    """PROXY headers, which say who the client behind a proxy is.

    :ivar accept_from: who has to send us one, and is believed; any other address must not.
    :ivar send: which version the real server is sent; None: none.
    """

    accept_from: tuple[Network, ...] = ()
    send: ProxyHeaderVersion | None = None

    def __post_init__(self) -> None:
        """Judges the values.

        :raises ConfigError: naming the address that is none.
        """
        check_networks("proxy_protocol.accept_from", self.accept_from)


class ServerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One server behind the proxy. Durations are seconds.

    :ivar name: its name, on disk and in the log.
    :ivar plugin: a short name, an entry point's name or a dotted path.
    :ivar hosts: the names by which players reach it, where several servers share a port: `survival.example.org`, or
        `*.mc.example.org`. None: whoever names no other server of its ports.
    :ivar listen: what its clients connect to: each a port ("25565") or a Twisted endpoint string.
    :ivar server_host: where the real server listens.
    :ivar server_port: the port there.
    :ivar plugin_positional: positional values of the plugin's constructor.
    :ivar plugin_keywords: keyword values of the plugin's constructor.
    :ivar working_directory: where the real server runs; None: nobody has said.
    :ivar default_directory: where it runs when nobody has; None is where we run.
    :ivar idle_shutdown: how long nobody must have been there before it is stopped.
    :ivar minimum_online_time: how long it stays up at least, once it is ready.
    :ivar idle_action: what becomes of an idle server.
    :ivar pause_stop_after: how long a server stays paused before `pause+stop` stops it.
    :ivar on_exit: what becomes of a running server when we end.
    :ivar join: whether a joining player waits or is told to come again.
    :ivar hold_limit: how long a player is held at most; None is the start timeout.
    :ivar wake_after: whether a login wakes at once, or only once the client has answered a request of ours.
    :ivar start_timeout: how long a start may take without a sign of life.
    :ivar stop_timeout: how long each rung of the stop ladder may take.
    :ivar kill_timeout: how long after an unanswered SIGTERM comes SIGKILL; None is never.
    :ivar max_crashes: after how many crashes in a row it stays down until told otherwise.
    :ivar status_protocol: whose protocol number the sleeping status shows.
    :ivar motd: whether our text stands beside the mirrored MOTD's first line, or in its place.
    :ivar legacy_hold: keep 1.7-1.12 clients alive with empty frames, beyond their own limit (docs/protocol.md,
        "Holding a client").
    :ivar transfer_as_login: replay the handshake of a transferred client as an ordinary login (3 to 2).
    :ivar forwarding: accept handshakes of up to 32 KiB, as BungeeCord's IP forwarding makes them.
    :ivar wake_on: what a client must show that is not one of Minecraft's: see `triggers.parse_wake_on`.
    :ivar wake_timeout: how long it has to show it; then it is closed, and nothing woken.
    :ivar waiting: what it gets while the server starts: what the plugin has for it, or else (`auto`) it is held; held
        (`hold`); what the plugin has, and a close (`answer`); or, of HTTP, a page that reloads itself (`page`).
    :ivar ready: how such a server is seen to be ready: see `triggers.parse_ready`.
    :ivar health_check: addresses and networks whose connections are accepted and closed, and never wake.
    :ivar texts: what players read, by the text's name; see `front.texts`.
    :ivar admission: who may wake it.
    :ivar proxy_protocol: PROXY headers from the clients' side, and to the real server.
    """

    name: str
    plugin: str
    listen: tuple[Endpoint, ...]
    hosts: tuple[HostName, ...] = ()
    server_port: int
    server_host: str = "127.0.0.1"
    plugin_positional: tuple[str, ...] = ()
    plugin_keywords: Mapping[str, Any] = {}
    working_directory: Path | None = None
    default_directory: Path | None = None
    idle_shutdown: Seconds = DEFAULT_IDLE_SHUTDOWN
    minimum_online_time: Seconds = 0.0
    idle_action: IdleAction = "stop"
    pause_stop_after: Seconds = DEFAULT_PAUSE_STOP_AFTER
    on_exit: OnExit = "stop"
    join: Join = "hold"
    hold_limit: Seconds | None = None
    wake_after: WakeAfter = "login"
    start_timeout: Seconds = DEFAULT_START_TIMEOUT
    stop_timeout: Seconds = DEFAULT_STOP_TIMEOUT
    kill_timeout: Seconds | None = None
    max_crashes: Count = DEFAULT_MAX_CRASHES
    status_protocol: StatusProtocol = "client"
    motd: Motd = "beside"
    legacy_hold: bool = False
    transfer_as_login: bool = False
    forwarding: bool = False
    wake_on: str = "connect"
    wake_timeout: Seconds = DEFAULT_WAKE_TIMEOUT
    waiting: Waiting = "auto"
    ready: str = "connect"
    health_check: tuple[Network, ...] = ()
    texts: Mapping[str, Any] = {}
    admission: AdmissionConfig = AdmissionConfig()
    proxy_protocol: ProxyProtocolConfig = ProxyProtocolConfig()

    def __post_init__(self) -> None:
        """Judges the values.

        :raises ConfigError: naming the first that is out of its range.
        """
        if not 1 <= self.server_port <= HIGHEST_PORT:
            raise ConfigError(f"server_port {self.server_port} is not a port: 1 to {HIGHEST_PORT}")
        if not self.listen:
            raise ConfigError(f"server {self.name!r} listens nowhere: give it a port")
        for where in self.listen:
            if where.isdigit() and not 1 <= int(where) <= HIGHEST_PORT:
                raise ConfigError(f"listen_port {where} is not a port: 1 to {HIGHEST_PORT}")
            if where == str(self.server_port) and is_loopback_name(self.server_host):
                raise ConfigError(
                    f"listen_port and server_port are both {where}: the real server needs a port of its own"
                )
        if not is_host(self.server_host):
            raise ConfigError(
                f"server_host {self.server_host!r} is no host: it must be an address, or a name of letters, digits, "
                "hyphens and dots"
            )
        durations = {
            "idle_shutdown": self.idle_shutdown,
            "minimum_online_time": self.minimum_online_time,
            "pause_stop_after": self.pause_stop_after,
            "start_timeout": self.start_timeout,
            "stop_timeout": self.stop_timeout,
            "hold_limit": self.hold_limit,
            "kill_timeout": self.kill_timeout,
            "wake_timeout": self.wake_timeout,
        }
        for name, seconds in durations.items():
            if seconds is not None and not 0 <= seconds <= LONGEST_DURATION:
                raise ConfigError(f"{name} {seconds:g} is not a duration: 0 to {LONGEST_DURATION:.0f} seconds")
        if self.max_crashes < 1:
            raise ConfigError(f"max_crashes {self.max_crashes} must be at least 1")
        if self.start_timeout == 0:
            raise ConfigError("start_timeout 0 leaves no server the time to start: 300 seconds are usual")
        if self.wake_timeout == 0:
            raise ConfigError("wake_timeout 0 leaves no client the time to show itself: a few seconds are usual")
        triggers.parse_wake_on(self.wake_on)
        triggers.parse_ready(self.ready)
        if self.waiting == "page" and self.wake_on != "http":
            raise ConfigError("waiting 'page' is for HTTP, and needs wake_on 'http'")
        check_networks("health_check", self.health_check)

    @property
    def directory(self) -> Path:
        """The working directory, absolute."""
        return Path(self.working_directory or self.default_directory or ".").absolute()


class LimitsConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What connections may cost us before they have logged in.

    :ivar handshake_timeout: seconds to a whole handshake.
    :ivar per_address: connections of one address before login; loopback and trusted ones have no limit.
    :ivar total: connections before login in all.
    :ivar trusted: addresses and networks behind which tunnels and proxies put everybody.
    """

    handshake_timeout: Seconds = 5.0
    per_address: Count = 64
    total: Count = 1000
    trusted: tuple[Network, ...] = ()

    def __post_init__(self) -> None:
        """Judges the values.

        :raises ConfigError: naming the address that is none.
        """
        check_networks("trusted", self.trusted)


class ControlConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The operator's socket, for `zeroscalectl`.

    :ivar listen: `unix:` and a path; None: the default path, where a failure is a warning only; "": there is none.
    """

    listen: ControlSocket | None = None


class MetricsConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Metrics over HTTP.

    :ivar listen: a port or a Twisted endpoint string; None: there are none.
    """

    listen: Endpoint | None = None


class LogConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The log's lines.

    :ivar format: as text, or one JSON object a line.
    :ivar addresses: whether players' addresses are in it.
    """

    format: LogFormat = "text"
    addresses: bool = True


class DiscoveryConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Servers that describe themselves.

    :ivar docker: those whose containers have labels.
    :ivar base_url: of the Docker engine; None: by DOCKER_HOST, else the usual socket.
    :ivar kubernetes: those whose StatefulSets or Deployments have annotations.
    :ivar namespace: where they are looked for; None: in our own; `*`: everywhere.
    :ivar kubeconfig: the file with the cluster's credentials; None: the usual ones.
    :ivar context: which context of that file.
    :ivar listen: where those listen that do not say it themselves.
    """

    docker: bool = False
    base_url: str | None = None
    kubernetes: bool = False
    namespace: str | None = None
    kubeconfig: str | None = None
    context: str | None = None
    listen: tuple[str, ...] = ("25565",)


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """A whole proxy.

    :ivar servers: their names are unique. At least one, unless others are discovered.
    :ivar state_directory: where what outlives us is kept.
    :ivar relay: which relay moves the bytes; `auto` decides by what the transports are.
    :ivar unknown_host: what becomes of a client whose host means no server: closed, or told so.
    :ivar limits: the bounds of connections before login.
    :ivar control: the operator's socket.
    :ivar metrics: metrics over HTTP.
    :ivar log: the log's lines.
    :ivar discovery: servers that describe themselves.
    """

    servers: tuple[ServerConfig, ...]
    state_directory: Path
    relay: RelayChoice = "auto"
    unknown_host: UnknownHost = "close"
    limits: LimitsConfig = LimitsConfig()
    control: ControlConfig = ControlConfig()
    metrics: MetricsConfig = MetricsConfig()
    log: LogConfig = LogConfig()
    discovery: DiscoveryConfig = DiscoveryConfig()


def is_loopback_name(host: str) -> bool:
    """Whether `host` is this machine's loopback, by name or by address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_host(host: str) -> bool:
    """Whether `host` is an address, or a name that Twisted can look up: it refuses underscores, though DNS does not."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return all(_is_label(label) for label in host.removesuffix(".").split("."))
    return True


def _is_label(label: str) -> bool:
    try:
        ascii_label = label.encode("idna").decode("ascii")
    except UnicodeError:  # empty, too long, or no letters
        return False
    return re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?", ascii_label) is not None


def default_state_directory(environment: Mapping[str, str], user_id: int) -> Path:
    """/var/lib/zeroscale for root; for anyone else the user's XDG state directory (XDG Base Directory spec)."""
    if user_id == 0:
        return Path("/var/lib/zeroscale")
    base = Path(environment.get("XDG_STATE_HOME", ""))
    if not base.is_absolute():  # the specification: a relative one is to be ignored
        base = Path(environment.get("HOME") or Path.home()) / ".local" / "state"
    return base / "zeroscale"
