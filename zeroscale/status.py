"""The status of a server and other values that plugins, probes, the lifecycle and the frontend share."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from msgspec import Struct


class Status(Enum):
    """The status of a server. A plugin may keep one of its own as a hint; the lifecycle's is authoritative."""

    stopped = "stopped"
    starting = "starting"
    running = "running"
    stopping = "stopping"
    paused = "paused"
    failed = "failed"


class ServerSnapshot(Struct, frozen=True):
    """The state of one server at one moment.

    Times are seconds of the process's monotonic clock, durations are seconds.

    :ivar name: the server's name, on disk and in the log.
    :ivar status: its status.
    :ivar since: when it entered that status.
    :ivar estimate: expected duration of a start, from past ones; None: unknown.
    :ivar reason: why it failed or does not stop, as a text for players; None: neither.
    :ivar detail: the same for the operator, with exit code and last output.
    :ivar retry_at: only if `failed`: when the next login may start it again; None: not before `release`.
    :ivar stop_timed_out: only if `stopping`: it has ignored SIGTERM for `stop_timeout`; joining players are kicked.
    :ivar lockout: the operator's text for why no player may join now; None: there is no lockout.
    :ivar waiting: number of players held until it is ready.
    :ivar players: number of players relayed to it.
    :ivar cached_status: its last status reply, decoded; None: there was none yet. Never modified.
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


class ProbeResult(Struct, frozen=True):
    """A server's answer to a probe.

    :ivar status: its status reply as decoded JSON, without a `version` where that may be our own number, returned;
        None: its protocol has none, it is disabled or cannot be read.
    :ivar players: number of players; None: the server does not say.
    :ivar player_names: names of some of them.
    :ivar status_disabled: its operator has turned the status off, so that it cannot say how many players are on.
    :ivar may_be_starting: it answers in a way in which it also does before it is ready.
    """

    status: Mapping[str, object] | None = None
    players: int | None = None
    player_names: tuple[str, ...] = ()
    status_disabled: bool = False
    may_be_starting: bool = False


PROOF_BYTES = 4096
"""Bytes that a Minecraft server has sent only to a player that it has accepted.

A client without an account is sent an encryption request of some 300 bytes, one that is not on the whitelist a kick.
Registries, mods, resource packs and chunks are far more; they may be sent minutes before the server reports the player.
"""


class PlayerSign(Enum):
    """From when on a connection counts as a player's."""

    connection = "it is open"
    client_bytes = "the client has sent a byte"
    server_bytes = "the server has sent 4 KiB"

    def shown_by(self, to_server: int, to_client: int) -> bool:
        """Return whether a connection counts that has moved so many bytes."""
        if self is PlayerSign.server_bytes:
            return to_client >= PROOF_BYTES
        return self is PlayerSign.connection or to_server > 0


class ClientInfo(Struct, frozen=True):
    """A client that joins or has joined a server.

    :ivar name: the name it claims; "" if its protocol has none.
    :ivar address: its address and port, for the operator.
    :ivar limit_key: what limits for each address are counted by; None: it has none, being loopback or trusted.
    :ivar sign: from when on its connection counts as a player's; None: as of clients of the server's main port.
    """

    name: str = ""
    address: str = ""
    limit_key: str | None = None
    sign: PlayerSign | None = None
