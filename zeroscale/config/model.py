"""The configuration of a proxy: frozen structs; the metadata of each field describes its key completely.

A struct made in Python is not checked: values from outside come through `config.reader`, which checks each by its
field's type, and then the rules that several fields have together (`RULES`). What needs Twisted or a plugin to be
checked is checked by `proxy.preflight`.

A new key needs its field here, with help text, and the code that uses it. `python -m zeroscale.daemon.reference` then
writes the tables of docs/configuration.md and docs/command-line.md anew.

Annotations are not postponed here (`from __future__ import annotations`): msgspec would compile the text of each of
them at every start.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Struct

from zeroscale.access_lists import WakeRule
from zeroscale.config.keys import key

Join = Literal["hold", "kick"]
WakeAfter = Literal["login", "answer"]
Motd = Literal["beside", "replace"]
StatusProtocol = Literal["client", "mirror"]
IdleAction = Literal["stop", "pause", "pause+stop"]
OnExit = Literal["stop", "leave"]
RelayChoice = Literal["auto", "splice", "transport"]
UnknownHost = Literal["close", "answer"]
Reload = Literal["manual", "auto"]
LogFormat = Literal["text", "plain", "json"]
ProxyHeaderVersion = Literal["v1", "v2"]
EventName = Literal["woken", "ready", "joined", "left", "stopping", "stopped", "failed", "given_up", "refused"]
Waiting = Literal["auto", "hold", "answer", "page", "page-only"]
PortProtocol = Literal["minecraft", "bedrock", "source-query", "quake-query", "minecraft-query", "http", "none"]

NEEDS_HTTP = "is for HTTP: it needs {1} http"
"""What a mistake says of a key that is for HTTP; {1} stands for `wake_on`."""

HIGHEST_PORT = 65535
LONGEST_DURATION = 366 * 86400.0
"""Seconds of a year: a longer duration is a mistake in the unit."""

Seconds = Annotated[float, msgspec.Meta(ge=0, le=LONGEST_DURATION, extra={"kind": "duration"})]
"""A duration; people also write "15m" or "1h30m"."""

Timeout = Annotated[float, msgspec.Meta(gt=0, le=LONGEST_DURATION, extra={"kind": "duration"})]
"""A duration that leaves some time."""

LongTime = Annotated[float, msgspec.Meta(gt=0, le=10 * LONGEST_DURATION, extra={"kind": "duration"})]
"""A duration that may be some years."""

Size = Annotated[int, msgspec.Meta(extra={"kind": "size"})]
"""The size of a file in bytes; people also write "100MB"."""

PerMinute = Annotated[float, msgspec.Meta(gt=0, le=1e6)]
"""A rate: a bucket of this many tokens, filled again within a minute."""

Network = Annotated[str, msgspec.Meta(extra={"kind": "network"})]
"""An address, or a network as CIDR."""

Listed = Annotated[str, msgspec.Meta(extra={"kind": "listed"})]
"""A player's name or UUID, an address or a network; see `access_lists.AccessList`."""

Endpoint = Annotated[str, msgspec.Meta(extra={"kind": "endpoint"})]
"""A port, or one of Twisted's endpoint strings. In a file a port may be a number."""

ControlSocket = Annotated[str, msgspec.Meta(extra={"kind": "control_socket"})]
"""`unix:` and a path; "": none."""

MOST_WINDOWS = 50
"""Windows of one kind. People have a few; labels may come with an image that someone else has built."""

MOST_NEEDS = 50
"""Servers that one server needs directly; labels may come with an image that someone else has built."""

MOST_PORTS = 50
"""Further ports of one server."""

ScheduleWindow = Annotated[str, msgspec.Meta(extra={"kind": "window"})]
"""A window of each week, such as "Mon-Fri 16:00-22:00"; see `schedule.windows`."""

HostName = Annotated[str, msgspec.Meta(extra={"kind": "host"})]
"""A name by which players reach a server, or `*.` and a name, for all names below it."""

Umask = Annotated[int, msgspec.Meta(extra={"kind": "umask"})]
"""A file mode creation mask, in a file as octal digits in quotes."""

EnvironmentValue = Annotated[str, msgspec.Meta(extra={"kind": "environment_value"})]
"""The value of an environment variable."""

Port = Annotated[int, msgspec.Meta(ge=1, le=HIGHEST_PORT)]

Count = Annotated[int, msgspec.Meta(ge=1)]

SERVER = "the server"
PLAYERS = "players who join while it sleeps"
TCP = "servers that do not speak Minecraft (docs/generic.md)"
UDP = "servers that speak UDP (docs/udp.md)"
PROXIES = "other proxies before or behind this one (docs/proxy_protocol.md)"
PROXY = "the proxy"
"""The groups of the command line's options, in their order."""

NAME_TEXT = "NAME=TEXT"
"""The word for an option's value that gives one item of a table."""

PORT_TEXT = "LISTEN=SERVER[,KEY=VALUE...]"
"""The word for an option's value that is a further port; see `port_text`."""

_WRITE_SERVER = 'write server = "127.0.0.1:25575"'
_WRITE_ARGUMENTS = "write them in its table plugin_arguments"


class Rule(Struct, frozen=True):
    """A rule about several keys of one table.

    :ivar keys: the keys; the mistake is reported at the first one. Not checked if one of them has a mistake already.
    :ivar is_broken: called with the keys' values in their order.
    :ivar text: the mistake; `{0}`, `{1}`... are the keys' names as people write them, `{values[0]}`... their values.
    """

    keys: tuple[str, ...]
    is_broken: Callable[..., bool]
    text: str


class AdmissionConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Which clients may wake one server, and the limits for each address."""

    wake: Annotated[WakeRule, key("players who may wake it; its operators always may")] = "anyone"
    server_lists: Annotated[bool, key("obey the server's own whitelist, bans and operators (Minecraft)")] = True
    allow: Annotated[tuple[Listed, ...], key("these may wake it, whatever `wake` and the whitelist say")] = ()
    deny: Annotated[tuple[Listed, ...], key("these may not wake it, whatever else is configured")] = ()
    lockout: Annotated[str | None, key("let no player in, and show this text")] = None
    status_per_minute: Annotated[PerMinute, key("status requests and pings of one address in a minute")] = 120.0
    logins_per_minute: Annotated[PerMinute, key("logins of one address in a minute (Minecraft)")] = 30.0
    wakes_per_minute: Annotated[PerMinute, key("wakes that one address may cause in a minute")] = 6.0


class ProxyProtocolConfig(msgspec.Struct, frozen=True, kw_only=True):
    """PROXY headers, which name the client behind another proxy."""

    accept_from: Annotated[
        tuple[Network, ...],
        key(
            "address or network that must send PROXY headers (v1 or v2), which are trusted",
            details="any other address must not send one",
            group=PROXIES,
            option="proxy_protocol_from",
        ),
    ] = ()
    send: Annotated[
        ProxyHeaderVersion | None,
        key(
            "send the real server PROXY headers of this version",
            details="Paper: `proxy-protocol: true`",
            group=PROXIES,
            option="send_proxy_protocol",
        ),
    ] = None


OVER_UDP = frozenset({"bedrock", "source-query", "quake-query", "minecraft-query"})
"""The protocols of ports for datagrams; `none` may be on TCP and on UDP."""


def is_udp(listen: str) -> bool:
    """Whether a `listen` value is a port for datagrams."""
    return listen.startswith("udp:")


FOR_UDP = ("datagrams:", "regex:")


def _begins(wake_on: str, kinds: tuple[str, ...]) -> bool:
    return wake_on.startswith(kinds)


def _expects_greeting(ready: str) -> bool:
    return ready.startswith("bytes:") and "=>" not in ready


def _mixed(listen: tuple[str, ...]) -> bool:
    return len({is_udp(each) for each in listen}) > 1


DEFAULT_WAKE_TIMEOUT = 5.0
DEFAULT_SESSION_TIMEOUT = 60.0
"""Seconds."""

ONLY_V2 = "version 1 of the PROXY protocol is for TCP; over UDP write v2"

TRANSPORT_RULES = (
    Rule(("listen",), _mixed, "has ports for TCP and for UDP; describe those of one kind in a table of ports"),
    Rule(
        ("protocol", "listen"),
        lambda protocol, listen: protocol in OVER_UDP and not is_udp(listen[0]),
        '{values[0]} is spoken over UDP; write {1} = "udp:PORT"',
    ),
    Rule(
        ("protocol", "listen"),
        lambda protocol, listen: protocol in ("minecraft", "http") and is_udp(listen[0]),
        "{values[0]} is spoken over TCP, but {1} is a port for UDP",
    ),
    Rule(
        ("wake_on", "listen"),
        lambda wake_on, listen: is_udp(listen[0]) and wake_on is not None and not _begins(wake_on, FOR_UDP),
        "{values[0]} is for TCP, but {1} is a port for UDP; write datagrams:NUMBER/SECONDS or regex:PATTERN",
    ),
    Rule(
        ("wake_on", "listen"),
        lambda wake_on, listen: not is_udp(listen[0]) and wake_on is not None and _begins(wake_on, ("datagrams:",)),
        "{values[0]} is for UDP, but {1} is a port for TCP",
    ),
    Rule(
        ("hosts", "listen"),
        lambda hosts, listen: bool(hosts) and is_udp(listen[0]),
        "names of hosts are not in datagrams: a UDP port belongs to one server",
    ),
    Rule(
        ("hold", "protocol"),
        lambda hold, protocol: hold and protocol == "bedrock",
        "clients of Bedrock begin a new handshake with the real server: what they sent before is of no use to it",
    ),
    Rule(
        ("wake_on", "protocol"),
        lambda wake_on, protocol: wake_on is not None and protocol == "bedrock",
        "a Bedrock server is woken by a join, and nothing else: remove it",
    ),
    Rule(
        ("cookie", "protocol"),
        lambda cookie, protocol: not cookie and protocol != "bedrock",
        'is for Bedrock: write {1} = "bedrock"',
    ),
    Rule(("hold", "listen"), lambda hold, listen: hold and not is_udp(listen[0]), "is for UDP, but {1} is for TCP"),
    Rule(
        ("session_timeout", "listen"),
        lambda seconds, listen: seconds != DEFAULT_SESSION_TIMEOUT and not is_udp(listen[0]),
        "is for UDP, but {1} is for TCP",
    ),
    Rule(
        ("wake_timeout", "listen"),
        lambda seconds, listen: seconds != DEFAULT_WAKE_TIMEOUT and is_udp(listen[0]),
        "is for TCP, but {1} is for UDP",
    ),
    Rule(
        ("waiting", "listen"),
        lambda waiting, listen: waiting != "auto" and is_udp(listen[0]),
        "is for TCP, but {1} is for UDP",
    ),
)
"""What holds for the main port and for each further one."""


def _is_http(protocol: str | None, wake_on: str | None) -> bool:
    return wake_on == "http" or (wake_on is None and protocol == "http")


def _page_without_http(waiting: str, protocol: str | None, wake_on: str | None) -> bool:
    return waiting in ("page", "page-only") and not _is_http(protocol, wake_on)


class PortConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One port of a server: a further one, or its main port (see `ServerConfig.all_ports`)."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        *TRANSPORT_RULES,
        Rule(
            ("wake_on", "wakes"),
            lambda wake_on, wakes: wake_on is not None and not wakes,
            "is for a port whose clients wake the server: it needs {1} = true",
        ),
        Rule(
            ("waiting", "wakes"),
            lambda waiting, wakes: waiting != "auto" and not wakes,
            "is for a port whose clients wake the server: it needs {1} = true",
        ),
        *(
            Rule(
                (key, "protocol"),
                lambda value, protocol: value not in (None, "auto") and protocol == "minecraft",
                "is for ports of other protocols; {1} is minecraft, whose clients say that they join",
            )
            for key in ("wake_on", "waiting")
        ),
        Rule(("waiting", "protocol", "wake_on"), _page_without_http, "a page is for HTTP: it needs {1} http"),
        Rule(
            ("health_path", "protocol", "wake_on"),
            lambda path, protocol, wake_on: path is not None and not _is_http(protocol, wake_on),
            "a check by its path is for HTTP: it needs {1} http",
        ),
        Rule(
            ("send_proxy_protocol", "listen"),
            lambda version, listen: version == "v1" and is_udp(listen[0]),
            ONLY_V2,
        ),
        Rule(
            ("server_path", "listen"),
            lambda path, listen: path is not None and is_udp(listen[0]),
            "is a Unix socket, to which no datagrams are sent: write a port",
        ),
    )

    is_main: Annotated[bool, key(internal=True)] = False
    listen: Annotated[
        tuple[Endpoint, ...],
        msgspec.Meta(min_length=1),
        key(
            'port that clients connect to, `"udp:PORT"` or a Twisted endpoint string',
            aliases=("listen_port", "public_port", "bind"),
            hint="write listen = 8123",
        ),
    ]
    server_port: Annotated[
        Port | None,
        key(
            "address of this port of the real server",
            details='`8123` alone is on the same machine as the main port; `"unix:/run/map.sock"`',
            name="server",
            kind="port_address",
            aliases=("server_port", "port", "backend", "address"),
            hint="write server = 8123",
        ),
    ]
    server_host: Annotated[str | None, key(part_of="server")] = None
    server_path: Annotated[str | None, key(part_of="server")] = None
    protocol: Annotated[PortProtocol | None, key("what its clients speak", default="none", labels=True)] = None
    hosts: Annotated[
        tuple[HostName, ...],
        key("as `hosts` of the server, for this port", aliases=("host", "hostname", "hostnames", "domain", "domains")),
    ] = ()
    wakes: Annotated[bool, key("its clients wake the server", aliases=("wake",), labels=True)] = False
    keeps_awake: Annotated[
        bool | None,
        key(
            "its clients keep the server running, as players do",
            default="as `wakes`",
            aliases=("counts", "idle"),
            labels=True,
        ),
    ] = None
    wake_on: Annotated[str | None, key("as `wake_on` of the server, for this port", kind="wake_on")] = None
    wake_timeout: Annotated[Timeout, key("as `wake_timeout` of the server, for this port", labels=True)] = (
        DEFAULT_WAKE_TIMEOUT
    )
    waiting: Annotated[
        Waiting, key("as `waiting` of the server, for this port", default="page for HTTP, else hold", labels=True)
    ] = "auto"
    health_path: Annotated[
        str | None,
        key(
            "as `health_path` of the server, for this port",
            kind="health_path",
            aliases=("health_check_path",),
            labels=True,
        ),
    ] = None
    hold: Annotated[bool, key("as `hold` of the server (UDP), for this port", labels=True)] = False
    session_timeout: Annotated[Timeout, key("as `session_timeout` of the server (UDP), for this port", labels=True)] = (
        DEFAULT_SESSION_TIMEOUT
    )
    cookie: Annotated[bool, key("as `cookie` of the server (Bedrock), for this port", labels=True)] = True
    send_proxy_protocol: Annotated[
        ProxyHeaderVersion | None,
        key("send this port of the real server PROXY headers of this version", default="none"),
    ] = None

    @property
    def is_udp(self) -> bool:
        """Whether it is for datagrams."""
        return is_udp(self.listen[0])

    @property
    def counts(self) -> bool:
        """Whether its clients keep the server running."""
        return self.wakes if self.keeps_awake is None else self.keeps_awake


class ServerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One server behind the proxy. Durations are seconds."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            ("server_port", "server_host", "listen"),
            lambda port, host, listen: str(port) in listen and is_loopback_name(host),
            "port {values[0]} is what clients connect to, see {2}; the real server needs a port of its own",
        ),
        Rule(
            ("waiting", "wake_on"),
            lambda waiting, wake_on: waiting in ("page", "page-only") and wake_on not in (None, "http"),
            f"a page {NEEDS_HTTP}",
        ),
        Rule(
            ("health_path", "wake_on"),
            lambda path, wake_on: path is not None and wake_on not in (None, "http"),
            f"a check by its path {NEEDS_HTTP}",
        ),
        Rule(
            ("environment",),
            lambda variables: any(not name or "=" in name or "\0" in name for name in variables),
            "the name of a variable is not empty and contains no '='",
        ),
        *TRANSPORT_RULES,
        Rule(("proxy_protocol", "listen"), lambda header, listen: header.send == "v1" and is_udp(listen[0]), ONLY_V2),
        Rule(
            ("proxy_protocol", "listen"),
            lambda header, listen: bool(header.accept_from) and is_udp(listen[0]),
            "headers are not read in datagrams: remove accept_from",
        ),
        Rule(
            ("ready", "listen"),
            lambda ready, listen: is_udp(listen[0]) and (ready.startswith("http") or _expects_greeting(ready)),
            "a server that speaks UDP does not speak first: write connect, bytes:QUESTION=>EXPECTED, command:COMMAND "
            "or line:PATTERN",
        ),
        Rule(
            ("ready", "protocol"),
            lambda ready, protocol: protocol == "bedrock" and _begins(ready, ("bytes:", "command:")),
            "a Bedrock server is ready when it answers a ping: remove it, or write line:PATTERN",
        ),
    )

    name: Annotated[str, key(internal=True, hint="the name is that of the table, [servers.NAME]")]
    default_directory: Annotated[Path | None, key(internal=True)] = None
    on_command_line: Annotated[bool, key(internal=True)] = False
    former_name: Annotated[str, key(internal=True)] = ""
    plugin: Annotated[
        str,
        key(
            "kind of server, such as minecraft, generic or docker, or the name of a module (docs/plugins.md)",
            aliases=("server_plugin", "type", "kind"),
        ),
    ]
    listen: Annotated[
        tuple[Endpoint, ...],
        msgspec.Meta(min_length=1),
        key(
            "port that clients connect to, or a Twisted endpoint string",
            details='a port is opened on IPv4 and IPv6; endpoint strings: `"tcp:25565:interface=192.0.2.1"`, '
            '`"unix:/run/game.sock"`; `"systemd:survival"` is a socket of a socket unit (docs/systemd.md)',
            aliases=("listen_port", "public_port", "bind"),
            hint="write listen = 25565",
        ),
    ]
    hosts: Annotated[
        tuple[HostName, ...],
        key(
            "names by which clients reach this server, where several servers share a port",
            details='`"survival.example.org"`, or `"*.example.org"` for all names below it; an exact name comes before '
            "a wildcard. A server without hosts gets the clients that name no other server; of the servers on one port "
            "only one can be without. For Minecraft, HTTP and TLS, see docs/generic.md",
            aliases=("host", "hostname", "hostnames", "domain", "domains"),
        ),
    ] = ()
    server_port: Annotated[
        Port,
        key(
            "address of the real server",
            details='`"127.0.0.1:25575"`, `"[::1]:25575"`, `"game.internal:25575"`, or `25575`, which is on 127.0.0.1',
            name="server",
            kind="server_address",
            aliases=("server_port", "server_host", "port", "backend", "address"),
            hint=_WRITE_SERVER,
        ),
    ]
    server_host: Annotated[
        str,
        key(
            "address of the machine that the real server listens on",
            part_of="server",
            kind="server_host",
            group=SERVER,
            short="H",
            metavar="HOST",
        ),
    ] = "127.0.0.1"
    protocol: Annotated[
        PortProtocol | None,
        key(
            "what clients of its main port speak: minecraft, bedrock, source-query, quake-query, minecraft-query, "
            "http, or none for anything else",
            default="as the plugin says",
            group=SERVER,
            metavar="PROTOCOL",
        ),
    ] = None
    ports: Annotated[
        tuple[PortConfig, ...],
        msgspec.Meta(max_length=MOST_PORTS),
        key(
            "further port of the server, such as `8123=8100,protocol=http`, with keys of `[[servers.NAME.ports]]` "
            "(docs/configuration.md)",
            details="in the file a table, see below",
            group=SERVER,
            option="port",
            metavar=PORT_TEXT,
            aliases=("port_list", "further_ports"),
        ),
    ] = ()
    working_directory: Annotated[
        Path | None,
        key(
            "directory in which the real server runs",
            details="a Minecraft server's own lists and properties are read there; each Minecraft server needs one of "
            "its own",
            default="the current directory; in a file, the file's",
            group=SERVER,
            short="w",
            aliases=("directory", "cwd", "path"),
        ),
    ] = None
    plugin_keywords: Annotated[
        Mapping[str, Any],
        key(
            "arguments of the plugin, see below",
            name="plugin_arguments",
            kind="plugin_arguments",
            aliases=("plugin_argument", "plugin_keywords", "plugin_positional", "arguments", "args"),
            hint=_WRITE_ARGUMENTS,
        ),
    ] = {}
    plugin_positional: Annotated[
        tuple[str, ...],
        key(part_of="plugin_arguments", aliases=("command",), hint=f"{_WRITE_ARGUMENTS}, as command = [...]"),
    ] = ()
    environment: Annotated[
        Mapping[str, EnvironmentValue],
        key(
            "variable for the server's environment, besides those it inherits from zeroscale",
            details="for a server that zeroscale starts here, and for commands; see below",
            group=SERVER,
            metavar=NAME_TEXT,
            aliases=("env", "environ"),
            hint='write environment = { NAME = "value" }',
        ),
    ] = {}
    environment_file: Annotated[
        Path | None,
        key(
            "file of NAME=VALUE lines with such variables; only its owner should be able to read it",
            group=SERVER,
            metavar="FILE",
            aliases=("env_file",),
        ),
    ] = None
    environment_only: Annotated[
        bool,
        key("inherit only PATH, HOME, USER, LOGNAME, LANG, LC_*, TZ, TERM, TMPDIR and XDG_RUNTIME_DIR", group=SERVER),
    ] = False
    idle_shutdown: Annotated[
        Seconds | None,
        key(
            "stop the server after this long with no players",
            default="15; in a file, 15m for Minecraft",
            group=SERVER,
            short="t",
            aliases=("idle_timeout", "idle_time", "idle", "timeout", "shutdown_after", "sleep_after"),
            labels=True,
        ),
    ] = None
    minimum_online_time: Annotated[
        Seconds | None,
        key(
            "keep it running at least this long once it is ready",
            default="0; in a file, 60 for Minecraft",
            group=SERVER,
            labels=True,
        ),
    ] = None
    idle_action: Annotated[
        IdleAction,
        key(
            "stop an idle server, pause it (it wakes at once, but keeps its memory), or pause it and stop it later",
            group=SERVER,
        ),
    ] = "stop"
    pause_stop_after: Annotated[
        Seconds, key("how long `pause+stop` leaves it paused", group=SERVER, aliases=("pause_timeout",))
    ] = 1800.0
    on_exit: Annotated[
        OnExit,
        key(
            "stop a running server when zeroscale exits, or leave it running for the next zeroscale to take over",
            group=SERVER,
        ),
    ] = "stop"
    needs: Annotated[
        tuple[str, ...],
        msgspec.Meta(max_length=MOST_NEEDS),
        key(
            "servers that are started before this one, kept running while it runs, and stopped after it",
            details='names of other servers, such as `["db", "cache"]`; see docs/needs.md',
            aliases=("depends_on", "requires", "need", "after", "wants"),
            hint='write needs = ["db"]',
            labels=True,
        ),
    ] = ()
    keep_awake: Annotated[
        tuple[ScheduleWindow, ...],
        msgspec.Meta(max_length=MOST_WINDOWS),
        key(
            "times at which it is started, and until whose end it is not stopped because it is idle",
            details='`["Mon-Fri 16:00-22:00", "Sat,Sun 10:00-24:00"]`; see docs/schedules.md',
            group=SERVER,
            metavar="WINDOW",
            aliases=("awake", "keep_awake_windows", "uptime"),
            hint='write keep_awake = ["Mon-Fri 16:00-22:00"]',
            labels=True,
        ),
    ] = ()
    keep_asleep: Annotated[
        tuple[ScheduleWindow, ...],
        msgspec.Meta(max_length=MOST_WINDOWS),
        key(
            "times at which no player may join, and at which it stops once its players have left",
            details='`"daily 23:00-07:00"`; the text for players is `keep_asleep_reason`',
            group=SERVER,
            metavar="WINDOW",
            aliases=("asleep", "keep_asleep_windows", "downtime"),
            hint='write keep_asleep = ["daily 23:00-07:00"]',
            labels=True,
        ),
    ] = ()
    keep_asleep_at_once: Annotated[
        bool,
        key(
            "stop it when such a time begins, though players are on, who are warned before",
            group=SERVER,
            aliases=("at_once",),
            labels=True,
        ),
    ] = False
    timezone: Annotated[
        str | None,
        key(
            "time zone of these times, such as Europe/Berlin",
            default="the system's",
            kind="timezone",
            group=SERVER,
            metavar="ZONE",
            aliases=("time_zone", "tz"),
            labels=True,
        ),
    ] = None
    start_timeout: Annotated[
        Timeout,
        key(
            "how long a start may take without a sign of progress",
            group=SERVER,
            aliases=("startup_timeout", "boot_timeout"),
            labels=True,
        ),
    ] = 300.0
    stop_timeout: Annotated[
        Seconds,
        key(
            "how long to wait for the server's own stop, and then again after SIGTERM",
            group=SERVER,
            aliases=("shutdown_timeout",),
            labels=True,
        ),
    ] = 150.0
    kill_timeout: Annotated[
        Seconds | None,
        key("send SIGKILL this long after an unanswered SIGTERM; this may lose data", default="never", group=SERVER),
    ] = None
    restart: Annotated[
        str | None,
        key(
            'when a running server is restarted, as in a crontab, such as "0 5 * * *"',
            details="see docs/schedules.md",
            kind="cron",
            group=SERVER,
            metavar="CRON",
            aliases=("restart_at", "restarts", "cron"),
            labels=True,
        ),
    ] = None
    stop_warnings: Annotated[
        tuple[Timeout, ...],
        key(
            "how long before a restart or another planned stop players are warned",
            details='`["10m", "5m", "1m"]`; the texts are `stop_warning` and `restart_warning` (docs/messages.md)',
            default="10m, 5m and 1m",
            group=SERVER,
            metavar="DURATION",
            aliases=("warnings", "warn_before"),
            labels=True,
        ),
    ] = (600.0, 300.0, 60.0)
    stop_warning_command: Annotated[
        str | None,
        key(
            "what the server's console is sent to warn players; `{text}` stands for the warning",
            default="say {text} for Minecraft, else none",
            kind="warning_command",
            group=SERVER,
            metavar="COMMAND",
            aliases=("warning_command", "say_command"),
        ),
    ] = None
    busy_command: Annotated[
        tuple[str, ...] | None,
        key(
            "command that keeps an idle server running while it exits with 0, such as one that looks for a backup",
            details='`["pgrep", "-f", "backup.sh"]`; see docs/schedules.md',
            default="none",
            kind="command",
            group=SERVER,
            metavar="COMMAND",
            aliases=("busy_check", "keep_awake_command"),
        ),
    ] = None
    busy_timeout: Annotated[
        Timeout, key("how long `busy_command` may take; after that the server counts as not busy", group=SERVER)
    ] = 10.0
    max_crashes: Annotated[
        Count, key("keep the server down after this many crashes in a row", group=SERVER, labels=True)
    ] = 5
    join: Annotated[
        Join,
        key(
            "hold a joining player in the login screen, or kick with a request to come again",
            group=PLAYERS,
            labels=True,
        ),
    ] = "hold"
    hold_limit: Annotated[
        Seconds | None,
        key(
            "how long a player is held at most",
            default="the start timeout, with those of servers in `needs`",
            group=PLAYERS,
            aliases=("hold_timeout", "hold_time"),
            labels=True,
        ),
    ] = None
    wake_after: Annotated[
        WakeAfter,
        key(
            "wake at the login, or once the client has answered a request, which scanners never do",
            group=PLAYERS,
            labels=True,
        ),
    ] = "login"
    texts: Annotated[
        Mapping[str, Any],
        key(
            "text that players read, such as `sleeping='&3Asleep'`; docs/messages.md lists the names",
            details="see below",
            group=PLAYERS,
            option="text",
            metavar=NAME_TEXT,
            aliases=("text", "messages", "message", "keep_asleep_text", "keep_asleep_message"),
            hint="write it in its table texts",
            labels=True,
        ),
    ] = {}
    status_protocol: Annotated[
        StatusProtocol,
        key(
            "while asleep, show each client its own version, or the real server's last one", group=PLAYERS, labels=True
        ),
    ] = "client"
    motd: Annotated[
        Motd,
        key(
            "show our text beside the real server's MOTD (in server browsers: its name), or in its place",
            group=PLAYERS,
            labels=True,
        ),
    ] = "beside"
    legacy_hold: Annotated[
        bool,
        key(
            "hold clients of 1.7 to 1.12 beyond their own 20 or 30 s, with empty frames",
            group=PLAYERS,
            labels=True,
        ),
    ] = False
    transfer_as_login: Annotated[
        bool,
        key("show players who were transferred here to the real server as ordinary ones", group=PLAYERS, labels=True),
    ] = False
    forwarding: Annotated[bool, key("accept the long handshakes of BungeeCord's IP forwarding", group=PLAYERS)] = False
    wake_on: Annotated[
        str | None,
        key(
            "what a client must send to wake the server: connect (nothing), data, tls, http, ssh or regex:PATTERN; "
            "over UDP datagrams:NUMBER/SECONDS or regex:PATTERN",
            default="connect; http where the protocol is http; datagrams:3/10 over UDP",
            kind="wake_on",
            group=TCP,
            metavar="TRIGGER",
        ),
    ] = None
    wake_timeout: Annotated[
        Timeout,
        key("close a client that has not sent it after this long, without waking the server", group=TCP),
    ] = DEFAULT_WAKE_TIMEOUT
    waiting: Annotated[
        Waiting,
        key(
            "what a client gets while the server starts: hold: it is held; answer: the plugin's answer, and a close; "
            "page (HTTP): a browser gets a page that reloads itself, all others are held; page-only: all others get a "
            "503; auto: the plugin's answer where it has one, else it is held",
            group=TCP,
            labels=True,
        ),
    ] = "auto"
    ready: Annotated[
        str,
        key(
            "how to find out that it is ready: connect, bytes:EXPECTED, http:/PATH, command:COMMAND or line:PATTERN",
            kind="ready",
            group=TCP,
            metavar="CHECK",
        ),
    ] = "connect"
    hold: Annotated[
        bool,
        key(
            "keep the last 8 datagrams of each client while the server starts, and send them when it is ready",
            group=UDP,
        ),
    ] = False
    session_timeout: Annotated[
        Timeout, key("how long a client may send nothing until its datagrams begin a new session", group=UDP)
    ] = DEFAULT_SESSION_TIMEOUT
    cookie: Annotated[
        bool,
        key(
            "Bedrock: prove a client's address by RakNet's cookie; no: by a later message, for clients of jsp-raknet, "
            "which cannot return it",
            group=UDP,
        ),
    ] = True
    health_check: Annotated[
        tuple[Network, ...],
        key(
            "address or network of health checkers: their connections are accepted and closed, and never wake",
            group=TCP,
            aliases=("health_checks", "healthcheck"),
        ),
    ] = ()
    health_path: Annotated[
        str | None,
        key(
            "path of health checks (HTTP): zeroscale answers them with 200, whether the server runs or not; they never "
            "wake it and do not keep it running",
            kind="health_path",
            group=TCP,
            metavar="PATH",
            aliases=("health_check_path", "health_url", "healthcheck_path"),
            labels=True,
        ),
    ] = None
    admission: Annotated[AdmissionConfig, key("who may wake it, see below", labels=True)] = AdmissionConfig()
    proxy_protocol: Annotated[ProxyProtocolConfig, key("PROXY headers, see below")] = ProxyProtocolConfig()

    @property
    def all_ports(self) -> tuple[PortConfig, ...]:
        """Its main port, and the others."""
        main = PortConfig(
            is_main=True,
            listen=self.listen,
            server_port=self.server_port,
            server_host=self.server_host,
            protocol=self.protocol,
            hosts=self.hosts,
            wakes=True,
            wake_on=self.wake_on,
            wake_timeout=self.wake_timeout,
            waiting=self.waiting,
            health_path=self.health_path,
            hold=self.hold,
            session_timeout=self.session_timeout,
            cookie=self.cookie,
            send_proxy_protocol=self.proxy_protocol.send,
        )
        return (main, *self.ports)

    @property
    def directory(self) -> Path:
        """The working directory, absolute."""
        return Path(self.working_directory or self.default_directory or ".").absolute()


class LimitsConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of connections that have not logged in yet, or are being closed."""

    handshake_timeout: Annotated[Seconds, key("time for a whole handshake")] = 5.0
    per_address: Annotated[Count, key("connections of one address at once; this machine itself has no limit")] = 64
    total: Annotated[Count, key("connections in all")] = 1000
    trusted: Annotated[
        tuple[Network, ...], key("proxies and tunnels, which bring many clients from one address: they have no limit")
    ] = ()


class ControlConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The admin socket, for `zeroscalectl`. By default a failure to open it is only a warning."""

    listen: Annotated[
        ControlSocket | None,
        key(
            "socket that zeroscalectl connects to",
            details='`"unix:/run/zeroscale/control.sock"`, with `:mode=660` behind it for other permissions; `""`: '
            "none. See docs/control.md",
            default="a path that zeroscalectl knows",
        ),
    ] = None


class MetricsConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Metrics over HTTP."""

    listen: Annotated[
        Endpoint | None,
        key("where metrics are served over HTTP; a port alone is for this machine only; see docs/metrics.md"),
    ] = None
    hosts: Annotated[
        tuple[HostName, ...],
        key(
            "names under which they may be requested, besides addresses and localhost",
            details='`"metrics.example.org"`, or `"*.example.org"`. A request for another name is answered with 421, '
            "so that no web page can read them through a name of its own",
            aliases=("host", "hostname", "hostnames"),
        ),
    ] = ()


class LogConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The log's lines."""

    format: Annotated[
        LogFormat,
        key(
            "log lines as text, as text without the time, or as JSON objects (docs/logging.md)",
            group=PROXY,
            option="log_format",
        ),
    ] = "text"
    addresses: Annotated[bool, key("write players' IP addresses to the log", group=PROXY, option="log_addresses")] = (
        True
    )


class HistoryConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The history of each server, which `zeroscalectl history` and `stats` show."""

    enabled: Annotated[
        bool,
        key(
            "keep a history of wakes, sessions, stops and refused logins (docs/history.md)",
            group=PROXY,
            option="history",
        ),
    ] = True
    addresses: Annotated[
        bool | None, key("write players' IP addresses to the history", default="as `addresses` of `[log]`")
    ] = None
    keep: Annotated[LongTime, key("how long entries are kept", default="400d")] = 400 * 86400.0
    max_size: Annotated[
        Size,
        key(
            "size of each server's file at most; the oldest entries are deleted",
            details='`"100MB"`, `"64MiB"`, or a number of bytes, from 1 MB on',
            default="100MB",
        ),
    ] = 100_000_000


class DiscoveryConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Discovery of servers by their labels or annotations."""

    docker: Annotated[bool, key("look for labelled containers")] = False
    base_url: Annotated[
        str | None,
        key(
            "address of the Docker engine",
            details='`"unix:///run/podman/podman.sock"`',
            default="by DOCKER_HOST, else the usual socket",
        ),
    ] = None
    kubernetes: Annotated[bool, key("look for annotated StatefulSets and Deployments")] = False
    namespace: Annotated[str | None, key("namespace to look for them in", details='`"*"`: all', default="our own")] = (
        None
    )
    kubeconfig: Annotated[str | None, key("file with the cluster's credentials", default="the usual ones")] = None
    context: Annotated[str | None, key("context of that file", default="the file's own")] = None
    listen: Annotated[tuple[Endpoint, ...], key("where servers listen that do not say it themselves")] = ("25565",)

    @property
    def enabled(self) -> tuple[str, ...]:
        """The plugins whose discovery is enabled."""
        return tuple(name for name in ("docker", "kubernetes") if getattr(self, name))


class NotifyConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Where events are sent to: a table for each target."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            ("url", "discord", "apprise", "command"),
            lambda *given: sum(map(bool, given)) != 1,
            "each [[notify]] needs exactly one of {0}, {1}, {2} and {3}",
        ),
        Rule(("secret", "url"), lambda secret, url: secret is not None and not url, "signs what goes to {1} only"),
    )

    directory: Annotated[Path | None, key(internal=True)] = None
    name: Annotated[
        str | None,
        key("what it is called in the log and by `zeroscalectl notify test`", default="the key of the target"),
    ] = None
    url: Annotated[
        str | None, key("webhook that gets JSON by POST; docs/notify.md", aliases=("webhook", "http", "https"))
    ] = None
    secret: Annotated[
        str | None,
        key("what the JSON is signed with", details='`"whsec_..."` is base64', default="no signature"),
    ] = None
    discord: Annotated[str | None, key("URL of a webhook of Discord", aliases=("discord_webhook",))] = None
    apprise: Annotated[
        str | None, key("URL for the library apprise, which knows many services; needs zeroscale's extra `notify`")
    ] = None
    command: Annotated[
        tuple[str, ...],
        key(
            "program and its arguments; the event is in its environment, and as JSON on its standard input",
            aliases=("exec", "program", "script"),
        ),
    ] = ()
    servers: Annotated[tuple[str, ...], key("servers whose events are sent", default="all", aliases=("server",))] = ()
    events: Annotated[
        tuple[EventName, ...],
        key("events that are sent", default="all but stopping and refused", aliases=("event",)),
    ] = ("woken", "ready", "joined", "left", "stopped", "failed", "given_up")
    addresses: Annotated[bool, key("send players' IP addresses, too")] = False
    texts: Annotated[
        Mapping[str, str],
        key("texts in place of zeroscale's, by the event's name; docs/notify.md lists their variables"),
    ] = {}
    timeout: Annotated[Timeout, key("how long one attempt may take")] = 30.0


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """A whole proxy. The servers' names are unique; there is at least one, unless others are discovered."""

    servers: Annotated[tuple[ServerConfig, ...], key("the servers: each a table `[servers.NAME]`", kind="servers")]
    state_directory: Annotated[
        Path,
        key(
            "directory for what must outlive zeroscale; each server has one in it",
            default="/var/lib/zeroscale as root, else ~/.local/state/zeroscale",
            group=PROXY,
            aliases=("state_dir", "data_directory"),
        ),
    ]
    relay: Annotated[RelayChoice, key("which relay moves the bytes; for tests", group=PROXY)] = "auto"
    umask: Annotated[
        Umask | None,
        key(
            "umask of servers and commands, such as 027",
            details="in quotes",
            default="that of the shell that starts zeroscale",
            group=PROXY,
            metavar="UMASK",
        ),
    ] = None
    unknown_host: Annotated[
        UnknownHost,
        key(
            "what to do with a Minecraft client that names a host of no server, where every server has `hosts`: close "
            "the connection, or answer with a text; it never wakes a server"
        ),
    ] = "close"
    reload: Annotated[
        Reload,
        key(
            "read this file again when it is told to (SIGHUP, `zeroscalectl reload`), or also when it has changed",
            details="see below",
        ),
    ] = "manual"
    limits: Annotated[LimitsConfig, key("`[limits]`")] = LimitsConfig()
    control: Annotated[ControlConfig, key("`[control]`")] = ControlConfig()
    metrics: Annotated[MetricsConfig, key("`[metrics]`")] = MetricsConfig()
    log: Annotated[LogConfig, key("`[log]`")] = LogConfig()
    history: Annotated[HistoryConfig, key("`[history]`")] = HistoryConfig()
    discovery: Annotated[DiscoveryConfig, key("`[discovery]`")] = DiscoveryConfig()
    notify: Annotated[tuple[NotifyConfig, ...], key("where events are sent to: tables `[[notify]]`")] = ()


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
    """Return /var/lib/zeroscale for root, else a directory in the user's XDG state directory (XDG Base Directory)."""
    if user_id == 0:
        return Path("/var/lib/zeroscale")
    base = Path(environment.get("XDG_STATE_HOME", ""))
    if not base.is_absolute():  # the specification: a relative one is to be ignored
        base = _home(environment) / ".local" / "state"
    return base / "zeroscale"


def _home(environment: Mapping[str, str]) -> Path:
    try:
        return Path(environment.get("HOME") or Path.home())
    except RuntimeError:  # a user without an entry in the user database, such as one of systemd's DynamicUser=
        return Path("/nonexistent")
