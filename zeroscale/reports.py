"""Reports: what the operator sees of the proxy, its servers, players and relays, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from zeroscale.status import Status


@dataclass(frozen=True, slots=True)
class PlayerReport:
    """One player who is relayed to a server.

    :ivar name: the name it claims; "" where its protocol has none.
    :ivar address: its address and port.
    :ivar seconds: for how long it has been there.
    """

    name: str
    address: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStats:
    """What has been counted of one server since we began.

    :ivar seconds_by_status: how long it has been in each status.
    :ivar wakes: how often it was woken, by the reason's one word: `login`, `connection`, `operator`.
    :ivar start_durations: how many starts took at most so many seconds, by that bound, cumulative, ascending.
    :ivar starts: how many starts became ready.
    :ivar start_seconds: how long those took in all.
    :ivar crashes: how often it failed.
    :ivar outcomes: how connections ended, by the log's one word for it.
    :ivar refusals: logins refused, by the reason's one word: `not_whitelisted`, `banned`, `rate`, `lockout`...
    :ivar pings: status questions, whoever answered them.
    :ivar logins: players and other clients who wanted in.
    :ivar to_backend: bytes relayed to it.
    :ivar to_client: bytes relayed from it.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerReport:
    """One server at one moment, as its operator sees it. Durations are seconds.

    :ivar name: its name.
    :ivar plugin: its kind.
    :ivar status: its status.
    :ivar status_age: for how long it has been in that status.
    :ivar players: who is relayed to it, the longest-standing first.
    :ivar waiting: the names of those who are held for it; "" where their protocol has none.
    :ivar idle_in: when it is asked whether it may sleep; None while somebody is on, or it does not run.
    :ivar keep_awake_reason: why it is kept up though it may be idle; None: it is not.
    :ivar lockout: why nobody may wake it; None: anybody may.
    :ivar uptime: for how long it has been ready; None where it is not.
    :ivar slept: how long it has been stopped or paused, since we began.
    :ivar last_start: how long its last start took; None before there was one.
    :ivar estimate: how long the next one will take; None where that is not known.
    :ivar retry_in: `failed` only: when the next login may start it again; None: not until told otherwise.
    :ivar last_error: why it failed last, for the operator; None: it has not.
    :ivar last_error_ago: how long ago that was.
    :ivar draining: it is not in the configuration any more, and is stopped once nobody is on it.
    :ivar stats: what has been counted.
    """

    name: str
    plugin: str
    status: Status
    status_age: float
    players: tuple[PlayerReport, ...] = ()
    waiting: tuple[str, ...] = ()
    idle_in: float | None = None
    keep_awake_reason: str | None = None
    lockout: str | None = None
    uptime: float | None = None
    slept: float = 0.0
    last_start: float | None = None
    estimate: float | None = None
    retry_in: float | None = None
    last_error: str | None = None
    last_error_ago: float | None = None
    draining: bool = False
    stats: ServerStats


@dataclass(frozen=True, slots=True)
class RelayReport:
    """One relay's sums since we began.

    :ivar name: which relay.
    :ivar to_backend: bytes to servers.
    :ivar to_client: bytes to clients.
    :ivar live: pairs now.
    :ivar total: pairs ever.
    """

    name: str
    to_backend: int
    to_client: int
    live: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyReport:
    """The whole proxy at one moment.

    :ivar version: zeroscale's.
    :ivar uptime: seconds since we began.
    :ivar servers: in the order of their names.
    :ivar relays: each relay that can run here.
    :ivar pending_connections: connections that have not logged in.
    :ivar unrouted: how connections ended that found no server, by the log's one word for it.
    """

    version: str
    uptime: float
    servers: tuple[ServerReport, ...]
    relays: tuple[RelayReport, ...]
    pending_connections: int
    unrouted: Mapping[str, int]
