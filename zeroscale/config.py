"""What a proxy is told: frozen and validated, whether the command line or a file says it.

Judged here is what can be judged from the values alone; what needs Twisted or a plugin is judged in
`service.check()`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

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


class ServerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One server behind the proxy. Durations are seconds.

    :ivar name: its name, on disk and in the log.
    :ivar plugin: a short name, an entry point's name or a dotted path.
    :ivar listen: what its clients connect to: each a port ("25565") or a Twisted endpoint string.
    :ivar server_host: where the real server listens.
    :ivar server_port: the port there.
    :ivar plugin_positional: positional values of the plugin's constructor.
    :ivar plugin_keywords: keyword values of the plugin's constructor.
    :ivar working_directory: where the real server runs; None is where we run.
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
    :ivar legacy_hold: keep 1.7-1.12 clients alive with empty frames (PROTOCOL.md 4e), beyond their own limit.
    :ivar transfer_as_login: replay the handshake of a transferred client as an ordinary login (3 to 2).
    :ivar forwarding: accept handshakes of up to 32 KiB, as BungeeCord's IP forwarding makes them.
    :ivar texts: what players read, by the text's name; see `front.texts`.
    """

    name: str
    plugin: str
    listen: tuple[str, ...]
    server_port: int
    server_host: str = "127.0.0.1"
    plugin_positional: tuple[str, ...] = ()
    plugin_keywords: Mapping[str, Any] = {}
    working_directory: Path | None = None
    idle_shutdown: float = DEFAULT_IDLE_SHUTDOWN
    minimum_online_time: float = 0.0
    idle_action: IdleAction = "stop"
    pause_stop_after: float = DEFAULT_PAUSE_STOP_AFTER
    on_exit: OnExit = "stop"
    join: Join = "hold"
    hold_limit: float | None = None
    wake_after: WakeAfter = "login"
    start_timeout: float = DEFAULT_START_TIMEOUT
    stop_timeout: float = DEFAULT_STOP_TIMEOUT
    kill_timeout: float | None = None
    max_crashes: int = DEFAULT_MAX_CRASHES
    status_protocol: StatusProtocol = "client"
    motd: Motd = "beside"
    legacy_hold: bool = False
    transfer_as_login: bool = False
    forwarding: bool = False
    texts: Mapping[str, Any] = {}

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
        durations = {
            "idle_shutdown": self.idle_shutdown,
            "minimum_online_time": self.minimum_online_time,
            "pause_stop_after": self.pause_stop_after,
            "start_timeout": self.start_timeout,
            "stop_timeout": self.stop_timeout,
            "hold_limit": self.hold_limit,
            "kill_timeout": self.kill_timeout,
        }
        for name, seconds in durations.items():
            if seconds is not None and not 0 <= seconds <= LONGEST_DURATION:
                raise ConfigError(f"{name} {seconds:g} is not a duration: 0 to {LONGEST_DURATION:.0f} seconds")
        if self.max_crashes < 1:
            raise ConfigError(f"max_crashes {self.max_crashes} must be at least 1")

    @property
    def directory(self) -> Path:
        """The working directory, absolute."""
        return Path(self.working_directory or ".").absolute()


class LimitsConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What connections may cost us before they have logged in.

    :ivar handshake_timeout: seconds to a whole handshake.
    :ivar per_address: connections of one address before login; loopback and trusted ones have no limit.
    :ivar total: connections before login in all.
    :ivar trusted: addresses and networks behind which tunnels and proxies put everybody.
    """

    handshake_timeout: float = 5.0
    per_address: int = 64
    total: int = 1000
    trusted: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Judges the values.

        :raises ConfigError: naming the address that is none.
        """
        for network in self.trusted:
            try:
                ipaddress.ip_network(network, strict=False)
            except ValueError as error:
                raise ConfigError(f"trusted: {network!r} is no address and no network: {error}") from None


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """A whole proxy.

    :ivar servers: at least one.
    :ivar state_directory: where what outlives us is kept.
    :ivar relay: which relay moves the bytes; `auto` decides by what the transports are.
    :ivar limits: the bounds of connections before login.
    """

    servers: tuple[ServerConfig, ...]
    state_directory: Path
    relay: RelayChoice = "auto"
    limits: LimitsConfig = LimitsConfig()


def is_loopback_name(host: str) -> bool:
    """Whether `host` is this machine's loopback, by name or by address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def default_state_directory(environment: Mapping[str, str], user_id: int) -> Path:
    """/var/lib/zeroscale for root; for anyone else the user's XDG state directory (XDG Base Directory spec)."""
    if user_id == 0:
        return Path("/var/lib/zeroscale")
    base = Path(environment.get("XDG_STATE_HOME", ""))
    if not base.is_absolute():  # the specification: a relative one is to be ignored
        base = Path(environment.get("HOME") or Path.home()) / ".local" / "state"
    return base / "zeroscale"
