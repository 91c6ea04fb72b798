"""A server's status, and what the rest of the house may know of a server: frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Status(Enum):
    """Where a server is in its life. Plugins keep one of their own as a hint; the lifecycle holds the real one."""

    stopped = "stopped"
    starting = "starting"
    running = "running"
    stopping = "stopping"
    paused = "paused"
    failed = "failed"


@dataclass(frozen=True, slots=True)
class ServerSnapshot:
    """One server at one moment.

    Times are seconds of the process's monotonic clock, durations are seconds.

    :ivar name: the server's name, on disk and in the log.
    :ivar status: its status.
    :ivar since: when it entered that status.
    :ivar estimate: how long a start takes, from past ones; None before one is known.
    :ivar reason: why it failed, why it does not stop, or None; a sentence fit for players.
    :ivar detail: the same for the operator, with exit code and last output.
    :ivar retry_at: `failed` only: when the next login may start it again; None means not until told otherwise.
    :ivar stop_timed_out: `stopping` only: it has ignored SIGTERM for the stop time-out; joiners are kicked.
    :ivar lockout: why nobody may wake it now, in the operator's words; None: anybody may.
    :ivar waiting: how many players are held for it.
    :ivar players: how many players are relayed to it.
    :ivar cached_status: its last real status reply, decoded; None until one has been seen. Never changed in place.
    """

    name: str
    status: Status
    since: float
    estimate: float | None = None
    reason: str | None = None
    detail: str | None = None
    retry_at: float | None = None
    stop_timed_out: bool = False
    lockout: str | None = None
    waiting: int = 0
    players: int = 0
    cached_status: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What a server said of itself.

    :ivar status: its status as decoded JSON; None where it has no such thing, or has it off.
    :ivar players: how many are on; None where it does not say.
    :ivar player_names: some of them.
    """

    status: Mapping[str, object] | None = None
    players: int | None = None
    player_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClientInfo:
    """Who wants in, as far as it says.

    :ivar name: the name it claims; "" where its protocol has none.
    :ivar address: its address and port, for the operator.
    """

    name: str = ""
    address: str = ""
