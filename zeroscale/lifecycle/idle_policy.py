"""When a server may sleep: times and counts in, a time out. Pure: the clock's reading is handed in.

Times are seconds of one monotonic clock, durations are seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

SHORT_SESSION = 30.0
"""A relayed Minecraft login shorter than this is a scanner that leaves at the encryption request, not a player."""

GRACE = 15.0
"""The server never stops sooner than this after such a short visit, so that a player who tries again finds it up."""

ASK_AGAIN_AT_LEAST = 5.0
ASK_AGAIN_AT_MOST = 300.0
"""A server found busy is asked again after its idle time, but neither in a tight poll nor hours later."""


@dataclass(frozen=True, slots=True)
class IdlePolicy:
    """What the operator wants.

    :ivar idle_shutdown: how long nobody must have been there.
    :ivar minimum_online: how long it stays up at least, once ready.
    :ivar ignore_short_sessions: whether a short visit leaves the idle clock alone (Minecraft), or counts as any other.
    """

    idle_shutdown: float
    minimum_online: float = 0.0
    ignore_short_sessions: bool = False


@dataclass(frozen=True, slots=True)
class SessionCounts:
    """Who was there, since the server became ready.

    :ivar ready_at: when it became ready.
    :ivar players: how many are relayed now.
    :ivar quiet_since: when the idle clock began: the last real leaving, or ready.
    :ivar grace_until: no stop before this, whatever the idle clock says.
    """

    ready_at: float
    players: int
    quiet_since: float
    grace_until: float

    @classmethod
    def begin(cls, now: float) -> SessionCounts:
        """The server has just become ready, and nobody is there yet."""
        return cls(ready_at=now, players=0, quiet_since=now, grace_until=now)

    def joined(self) -> SessionCounts:
        """One more is relayed."""
        return replace(self, players=self.players + 1)

    def left(self, now: float, joined_at: float, policy: IdlePolicy, *, silent: bool = False) -> SessionCounts:
        """One of them, who had joined at `joined_at`, is gone.

        :param silent: it never said a word where clients do: a port scan, so that its short visit is one everywhere.
        """
        fewer = replace(self, players=self.players - 1)
        if (policy.ignore_short_sessions or silent) and now - joined_at < SHORT_SESSION:
            return replace(fewer, grace_until=max(fewer.grace_until, now + min(policy.idle_shutdown, GRACE)))
        return replace(fewer, quiet_since=now)

    def busy(self, now: float, policy: IdlePolicy) -> SessionCounts:
        """The server itself said that somebody is there, or said nothing: look again later."""
        again = min(max(policy.idle_shutdown, ASK_AGAIN_AT_LEAST), ASK_AGAIN_AT_MOST)
        return replace(self, grace_until=max(self.grace_until, now + again))


def sleep_at(attendance: SessionCounts, policy: IdlePolicy) -> float | None:
    """When the server may be asked whether it can sleep; None while a player is relayed."""
    if attendance.players > 0:
        return None
    return max(
        attendance.quiet_since + policy.idle_shutdown,
        attendance.grace_until,
        attendance.ready_at + policy.minimum_online,
    )
