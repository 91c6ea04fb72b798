"""When an idle server may stop: times and counts in, a time out. Pure.

Times are seconds of one monotonic clock, durations are seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

SHORT_SESSION = 30.0
"""A relayed Minecraft login shorter than this is a scanner that leaves at the encryption request, not a player."""

GRACE = 15.0
"""The server stops at the earliest this long after a short session, so that the player can try again."""

ASK_AGAIN_AT_LEAST = 5.0
ASK_AGAIN_AT_MOST = 300.0
"""Bounds of the delay between two checks of a busy server, which otherwise is its idle time."""


@dataclass(frozen=True, slots=True)
class IdlePolicy:
    """How long a server stays up without players.

    :ivar idle_shutdown: how long it must have been without players.
    :ivar minimum_online: how long it stays up at least, once ready.
    :ivar ignore_short_sessions: a short session does not restart the idle time, as that of a Minecraft scanner.
    """

    idle_shutdown: float
    minimum_online: float = 0.0
    ignore_short_sessions: bool = False


@dataclass(frozen=True, slots=True)
class SessionCounts:
    """The players of a server since it became ready.

    :ivar ready_at: when it became ready.
    :ivar players: how many are on it now.
    :ivar quiet_since: when the idle time began: when the last player left, or the server became ready.
    :ivar grace_until: the server does not stop before this.
    """

    ready_at: float
    players: int
    quiet_since: float
    grace_until: float

    @classmethod
    def begin(cls, now: float) -> SessionCounts:
        """Return the counts of a server that has just become ready."""
        return cls(ready_at=now, players=0, quiet_since=now, grace_until=now)

    def joined(self) -> SessionCounts:
        """Count one more player."""
        return replace(self, players=self.players + 1)

    def left(self, now: float, joined_at: float, policy: IdlePolicy, *, silent: bool = False) -> SessionCounts:
        """Count one player less.

        :param joined_at: when it joined.
        :param silent: it never sent anything, so that a short session is ignored whatever the policy says.
        """
        fewer = replace(self, players=self.players - 1)
        if (policy.ignore_short_sessions or silent) and now - joined_at < SHORT_SESSION:
            return replace(fewer, grace_until=max(fewer.grace_until, now + min(policy.idle_shutdown, GRACE)))
        return replace(fewer, quiet_since=now)

    def busy(self, now: float, policy: IdlePolicy) -> SessionCounts:
        """Note that there was a reason not to stop; the next check comes later."""
        again = min(max(policy.idle_shutdown, ASK_AGAIN_AT_LEAST), ASK_AGAIN_AT_MOST)
        return replace(self, grace_until=max(self.grace_until, now + again))


def stop_at(counts: SessionCounts, policy: IdlePolicy) -> float | None:
    """Return when the server may stop; None while players are on it."""
    if counts.players > 0:
        return None
    return max(
        counts.quiet_since + policy.idle_shutdown,
        counts.grace_until,
        counts.ready_at + policy.minimum_online,
    )
