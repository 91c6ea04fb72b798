"""When an idle server may stop: times and counts in, a time out. Pure.

Times are seconds of one monotonic clock, durations are seconds.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from zeroscale.status import PlayerSign

SHORT_SESSION = 30.0
"""A shorter connection whose client sent nothing is a port scan or a monitor, where each connection counts at once."""

GRACE = 15.0
"""The server stops at the earliest this long after the first such connection of an idle period."""

ASK_AGAIN_AT_LEAST = 5.0
ASK_AGAIN_AT_MOST = 300.0
"""Bounds of the delay between two checks of a busy server, which otherwise is its idle time. The upper one is the
default of `IdlePolicy.ask_again_at_most`."""


class IdlePolicy(Struct, frozen=True):
    """How long a server stays up without players.

    :ivar idle_shutdown: how long it must have been without players.
    :ivar minimum_online: how long it stays up at least, once ready.
    :ivar minimum_unvisited: the same while no client has been connected to it: a player who was kicked while it
        started may have been asked to join again.
    :ivar player_sign: from when on a connection counts as a player's.
    :ivar ask_again_at_most: the longest delay between two checks of a busy server.
    """

    idle_shutdown: float
    minimum_online: float = 0.0
    minimum_unvisited: float = 0.0
    player_sign: PlayerSign = PlayerSign.connection
    ask_again_at_most: float = ASK_AGAIN_AT_MOST


class SessionCounts(Struct, frozen=True):
    """The players of a server since it became ready.

    :ivar ready_at: when it became ready.
    :ivar players: how many are on it now.
    :ivar quiet_since: when the idle time began: when the last player left, or the server became ready.
    :ivar grace_until: the server does not stop before this.
    :ivar grace_used: there was a short connection since the idle time began; the next one does not extend it.
    :ivar visited: a client has been connected to it, whether a player's or not.
    """

    ready_at: float
    players: int
    quiet_since: float
    grace_until: float
    grace_used: bool = False
    visited: bool = False

    @classmethod
    def begin(cls, now: float, players: int = 0) -> SessionCounts:
        """Return the counts of a server that has just become ready, with the players of a paused one."""
        return cls(ready_at=now, players=players, quiet_since=now, grace_until=now, visited=players > 0)

    def joined(self) -> SessionCounts:
        """Count one more player."""
        return replace(self, players=self.players + 1, visited=True)

    def left(self, now: float, joined_at: float, policy: IdlePolicy, *, silent: bool = False) -> SessionCounts:
        """Count one player less.

        :param joined_at: when it joined.
        :param silent: it never sent anything; if its connection was short as well, it does not restart the idle time.
        """
        players = self.players - 1
        if not silent or now - joined_at >= SHORT_SESSION:
            return replace(self, players=players, quiet_since=now, grace_used=False)
        if self.grace_used:
            return replace(self, players=players)
        until = max(self.grace_until, now + min(policy.idle_shutdown, GRACE))
        return replace(self, players=players, grace_until=until, grace_used=True)

    def busy(self, now: float, policy: IdlePolicy) -> SessionCounts:
        """Note that there was a reason not to stop; the next check comes later."""
        again = min(max(policy.idle_shutdown, ASK_AGAIN_AT_LEAST), policy.ask_again_at_most)
        return replace(self, grace_until=max(self.grace_until, now + again))


def stop_at(counts: SessionCounts, policy: IdlePolicy, probation_until: float = float("-inf")) -> float | None:
    """Return when the server may stop; None while players are on it.

    :param probation_until: until when connections keep it running that do not count as a player's yet.
    """
    if counts.players > 0:
        return None
    return max(
        counts.quiet_since + policy.idle_shutdown,
        counts.grace_until,
        counts.ready_at + policy.minimum_online,
        counts.ready_at + (0.0 if counts.visited else policy.minimum_unvisited),
        probation_until,
    )
