"""Reports: the state of the proxy, its servers, players and relays, as the operator sees it. Frozen values.

Their fields are public: `zeroscalectl status --json`, `/metrics.json` and the control protocol have them. Durations are
seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from msgspec import Struct

from zeroscale.status import Status


class PlayerReport(Struct, frozen=True):
    """One player relayed to a server.

    :ivar name: the name it claims; "" if its protocol has none.
    :ivar address: its address and port.
    :ivar seconds: time since it joined.
    """

    name: str
    address: str
    seconds: float


class AwakeKind(Enum):
    """What keeps a server from sleeping, in one word."""

    starting = "starting"
    """It is starting."""
    players = "players"
    """Players are on it."""
    needed = "needed"
    """Other servers need it."""
    kept_awake = "kept_awake"
    """An operator or a flag file keeps it running."""
    schedule = "schedule"
    """A time of the configuration keeps it running."""
    busy = "busy"
    """It was asked, and has players that are not relayed, does not say who is on, or is busy."""
    connection = "connection"
    """Connections may be players'."""
    minimum_time = "minimum_time"
    """It runs for a minimum time."""
    idle_time = "idle_time"
    """Its idle time is not over."""
    asked = "asked"
    """It is being asked whether it may be stopped."""
    other = "other"
    """What only a newer zeroscale knows."""

    @classmethod
    def _missing_(cls, value: object) -> AwakeKind:
        return cls.other


class AwakeReason(Struct, frozen=True):
    """One reason why a server does not sleep.

    :ivar kind: what it is, in one word.
    :ivar text: the same for the operator.
    :ivar seconds: how long it holds at least, if nothing changes; None: not known.
    """

    kind: AwakeKind
    text: str
    seconds: float | None = None


class LastEvent(Struct, frozen=True, kw_only=True):
    """The last wake of a server, or its last stop.

    :ivar ago: time since then.
    :ivar kind: why, in one word, as in `events.CauseKind`; `failed`: it crashed, or could not be stopped.
    :ivar player: the name of the player who caused it; "": none did, or its protocol has no names.
    :ivar operator: the account of the operator who caused it; "": none did, or it is not known.
    :ivar detail: the rest, in words.
    :ivar pause: it was paused, or resumed.
    """

    ago: float
    kind: str
    player: str = ""
    operator: str = ""
    detail: str = ""
    pause: bool = False


class PlannedStopReport(Struct, frozen=True, kw_only=True):
    """A stop, or a restart, at a time to come.

    :ivar seconds: time until then.
    :ivar kind: why, in one word: `operator`, `schedule` or `restart`.
    :ivar operator: the account of the operator who has planned it; "": none has, or it is not known.
    :ivar detail: the rest, in words.
    """

    seconds: float
    kind: str
    operator: str = ""
    detail: str = ""


class DatagramReport(Struct, frozen=True, kw_only=True):
    """The sums of a UDP port since it was opened.

    :ivar to_server: datagrams relayed to the server.
    :ivar to_client: datagrams relayed to clients.
    :ivar answers: datagrams that zeroscale has sent itself.
    :ivar dropped: datagrams that were dropped, by reason.
    :ivar sessions: sessions ever opened.
    """

    to_server: int = 0
    to_server_bytes: int = 0
    to_client: int = 0
    to_client_bytes: int = 0
    answers: int = 0
    dropped: Mapping[str, int] = {}
    sessions: int = 0


class PortReport(Struct, frozen=True, kw_only=True):
    """One port of a server.

    :ivar listen: where clients connect, as it is configured.
    :ivar hosts: the names by which they reach it; (): it gets the clients that name no other server.
    :ivar protocol: what they speak, as it is configured: `minecraft`, `http`, `bedrock` and others; `none`: anything.
    :ivar wakes: they wake the server.
    :ivar keeps_awake: they keep it running.
    :ivar clients: how many are relayed now; over UDP, how many have a session.
    :ivar datagrams: of a UDP port; None: it is one of TCP.
    """

    listen: tuple[str, ...]
    hosts: tuple[str, ...] = ()
    protocol: str = "none"
    wakes: bool = True
    keeps_awake: bool = True
    clients: int = 0
    datagrams: DatagramReport | None = None


class ServerStats(Struct, frozen=True, kw_only=True):
    """Counts of one server since the proxy started.

    :ivar seconds_by_status: time spent in each status.
    :ivar wakes: number of wakes by reason: `login`, `connection`, `operator`, `schedule` and others of
        `events.CauseKind`.
    :ivar start_durations: for each bound in seconds, ascending, the number of starts that took at most as long.
    :ivar starts: number of starts that became ready.
    :ivar start_seconds: sum of their durations.
    :ivar crashes: number of failures.
    :ivar outcomes: number of ended connections by outcome, as in the log.
    :ivar refusals: number of refused logins by reason: `not_whitelisted`, `banned`, `rate`, `lockout` and others.
    :ivar pings: number of status requests, answered by the proxy or by the server.
    :ivar logins: number of logins, and of other clients that wanted to connect.
    :ivar to_backend: bytes relayed to the server.
    :ivar to_client: bytes relayed to clients.
    """

    seconds_by_status: Mapping[Status, float]
    wakes: Mapping[str, int]
    start_durations: tuple[tuple[float, int], ...]
    starts: int
    start_seconds: float
    crashes: int
    outcomes: Mapping[str, int]
    refusals: Mapping[str, int]
    pings: int
    logins: int
    to_backend: int
    to_client: int


class ServerReport(Struct, frozen=True, kw_only=True):
    """One server at one moment.

    :ivar name: its name.
    :ivar plugin: the name of its plugin.
    :ivar status: its status.
    :ivar status_age: time in that status.
    :ivar players: players relayed to it, the first to join first.
    :ivar waiting: names of the players held for it; "" if their protocol has none.
    :ivar listen: where clients connect, as it is configured.
    :ivar hosts: the names by which players reach it; (): it gets the clients that name no other server.
    :ivar ports: all its ports, the main one first.
    :ivar needs: the names of the servers that it needs.
    :ivar awake: why it does not sleep, the reason that counts first; (): it sleeps, or is about to.
    :ivar last_wake: its last wake, also before zeroscale was restarted; None: not known.
    :ivar last_stop: its last stop, pause or crash, likewise.
    :ivar last_refusal: the last login that a rule has refused since zeroscale was started, `kind` being the rule as in
        `events.Refused`; None: there was none.
    :ivar planned_stops: its planned stops, the first one first; restarts only while it runs.
    :ivar idle_in: time until it is checked whether it is idle; None: players are on it, or it does not run.
    :ivar keep_awake_reason: why it is kept running even when idle; None: it is not.
    :ivar lockout: the text for players during a lockout; None: there is none.
    :ivar keep_asleep_reason: what locks it out; None: nothing does.
    :ivar uptime: time since it was ready; None: it is not.
    :ivar slept: time stopped or paused since the proxy started.
    :ivar last_start: duration of its last start; None: there was none.
    :ivar estimate: expected duration of the next start; None: unknown.
    :ivar retry_in: only if `failed`: time until the next login may start it again; None: not before `release`.
    :ivar last_error: why it failed last, for the operator; None: it has not.
    :ivar last_error_ago: time since then.
    :ivar draining: it was removed from the configuration, and is stopped when no player is left on it.
    :ivar stats: its counts.
    """

    name: str
    plugin: str
    status: Status
    status_age: float
    players: tuple[PlayerReport, ...] = ()
    waiting: tuple[str, ...] = ()
    listen: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    ports: tuple[PortReport, ...] = ()
    needs: tuple[str, ...] = ()
    awake: tuple[AwakeReason, ...] = ()
    last_wake: LastEvent | None = None
    last_stop: LastEvent | None = None
    last_refusal: LastEvent | None = None
    planned_stops: tuple[PlannedStopReport, ...] = ()
    idle_in: float | None = None
    keep_awake_reason: str | None = None
    lockout: str | None = None
    keep_asleep_reason: str | None = None
    uptime: float | None = None
    slept: float = 0.0
    last_start: float | None = None
    estimate: float | None = None
    retry_in: float | None = None
    last_error: str | None = None
    last_error_ago: float | None = None
    draining: bool = False
    stats: ServerStats


class NotificationReport(Struct, frozen=True):
    """How a test of a notification has ended.

    :ivar name: the notification's name.
    :ivar problem: why it was not delivered; "": it was.
    """

    name: str
    problem: str


class RelayReport(Struct, frozen=True):
    """Counts of one relay since the proxy started.

    :ivar name: the relay's name.
    :ivar to_backend: bytes to servers.
    :ivar to_client: bytes to clients.
    :ivar live: pairs of connections relayed now.
    :ivar total: pairs relayed so far.
    :ivar small_pipes: times that the kernel refused the relay a pipe of full size, as the user has too many.
    """

    name: str
    to_backend: int
    to_client: int
    live: int
    total: int
    small_pipes: int


class ProxyReport(Struct, frozen=True, kw_only=True):
    """The whole proxy at one moment.

    :ivar version: version of zeroscale.
    :ivar uptime: time since it started.
    :ivar servers: all servers, sorted by name.
    :ivar relays: all relays that are available on this system.
    :ivar pending_connections: number of connections that have not logged in yet, or are being closed.
    :ivar unrouted: number of ended connections for which no server was found, by outcome, as in the log.
    """

    version: str
    uptime: float
    servers: tuple[ServerReport, ...]
    relays: tuple[RelayReport, ...]
    pending_connections: int
    unrouted: Mapping[str, int]
