"""Why a server does not sleep, in words: facts in, reasons out. Pure.

Names of clients are untrusted: one that could be taken for anything else is quoted.
Times are seconds of one monotonic clock, durations are seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from zeroscale.event_text import format_duration, quoted_name
from zeroscale.events import Cause, CauseKind
from zeroscale.lifecycle.idle_policy import IdlePolicy, SessionCounts
from zeroscale.reports import AwakeKind, AwakeReason
from zeroscale.status import Status

MOST_NAMES = 5
"""Names in one text at most."""

STARTS = {
    CauseKind.restart: "restarting",
    CauseKind.found: "starting: another program has resumed it",
}
"""Texts of causes that are nobody's."""


class BusyAnswer(Struct, frozen=True):
    """Why the server was not stopped when it was asked last.

    :ivar reason: in words.
    :ivar at: when that was.
    """

    reason: str
    at: float


class IdleFacts(Struct, frozen=True):
    """What the idle time is computed from; see `idle_policy`.

    :ivar players: the names of the players on the server, "" of a protocol without names.
    :ivar candidates: the names of clients whose connections do not count as a player's yet.
    :ivar probation_until: until when those keep it running.
    :ivar is_asked: the server is being asked whether it is busy.
    """

    counts: SessionCounts
    policy: IdlePolicy
    players: tuple[str, ...] = ()
    candidates: tuple[str, ...] = ()
    probation_until: float = float("-inf")
    is_asked: bool = False


class AwakeFacts(Struct, frozen=True, kw_only=True):
    """All that may keep a server from sleeping.

    :ivar status: its status.
    :ivar now: the time.
    :ivar waiting: the names of the players who wait for it.
    :ivar woken: why the start began that goes on; None: there is none, or the server was found running.
    :ivar waits_for: the names of servers that it needs, for which its start waits.
    :ivar needed_by: the names of servers that need it now.
    :ivar keep_awake: the operator or the file that keeps it awake without players; None: nothing does.
    :ivar schedule: the time of the configuration that does; None: nothing does.
    :ivar busy: what its last answer was, if that kept it awake.
    :ivar idle: its players and its idle time.
    """

    status: Status
    now: float
    waiting: tuple[str, ...] = ()
    woken: Cause | None = None
    waits_for: tuple[str, ...] = ()
    needed_by: tuple[str, ...] = ()
    keep_awake: str | None = None
    schedule: str | None = None
    busy: BusyAnswer | None = None
    idle: IdleFacts


def awake_reasons(facts: AwakeFacts) -> Sequence[AwakeReason]:
    """Return the reasons, the one that counts first: what has no end before times, of which the longest counts.

    None: it sleeps, or is on its way to.
    """
    if facts.status is Status.starting:
        waits = f"; it waits for {_listed(facts.waits_for, len(facts.waits_for))}" if facts.waits_for else ""
        return (AwakeReason(AwakeKind.starting, _start(facts) + waits),)
    if facts.status is not Status.running:
        return ()
    reasons = (*_lasting(facts), *sorted(_times(facts), key=lambda reason: -(reason.seconds or 0.0)))
    if reasons:
        return reasons
    return (AwakeReason(AwakeKind.asked, "it is asked for players now", 0.0),)


def _lasting(facts: AwakeFacts) -> Iterator[AwakeReason]:
    idle = facts.idle
    if idle.counts.players:
        yield AwakeReason(AwakeKind.players, _players(idle))
    if facts.needed_by:
        yield AwakeReason(AwakeKind.needed, f"needed by {_listed(facts.needed_by, len(facts.needed_by))}")
    if facts.keep_awake is not None:
        yield AwakeReason(AwakeKind.kept_awake, facts.keep_awake)
    if facts.schedule is not None:
        yield AwakeReason(AwakeKind.schedule, facts.schedule)
    if facts.busy is not None and not idle.counts.players and facts.busy.at >= idle.counts.quiet_since:
        yield AwakeReason(AwakeKind.busy, facts.busy.reason)


def _times(facts: AwakeFacts) -> Iterator[AwakeReason]:
    idle, now = facts.idle, facts.now
    counts, policy = idle.counts, idle.policy
    if idle.candidates and (left := idle.probation_until - now) > 0:
        yield _timed(AwakeKind.connection, _candidates(idle.candidates), left)
    if (left := counts.ready_at + policy.minimum_online - now) > 0:
        yield _timed(AwakeKind.minimum_time, "minimum time", left)
    if not counts.visited and (left := counts.ready_at + policy.minimum_unvisited - now) > 0:
        yield _timed(AwakeKind.minimum_time, "minimum time until a player comes", left)
    if counts.players or facts.needed_by or idle.is_asked:
        return
    idle_until = counts.quiet_since + policy.idle_shutdown
    # Later after an answer that has kept it awake, and after a connection that was not a player's.
    asked_at = max(counts.grace_until, float("-inf") if idle.candidates else idle.probation_until)
    if idle_until >= asked_at and idle_until > now:
        yield _timed(AwakeKind.idle_time, "idle time", idle_until - now)
    elif asked_at > now:
        left = asked_at - now
        yield AwakeReason(AwakeKind.asked, f"it is asked for players in {format_duration(left)}", left)


def _timed(kind: AwakeKind, text: str, left: float) -> AwakeReason:
    return AwakeReason(kind, f"{text}, {format_duration(left)} left", left)


def _start(facts: AwakeFacts) -> str:
    if facts.waiting:
        names = [name for name in facts.waiting if name]
        if names:
            return f"starting for {_listed(names, len(facts.waiting))}"
        return "starting for " + ("a client" if len(facts.waiting) == 1 else f"{len(facts.waiting)} clients")
    cause = facts.woken
    if cause is None:
        return "it was found running, and does not answer yet"
    if cause.kind is CauseKind.operator:
        return f"starting for operator {cause.operator}" if cause.operator else "starting for its operator"
    if cause.client.name:
        return f"starting for {quoted_name(cause.client.name)}"
    if cause.kind in (CauseKind.login, CauseKind.connection):
        return "starting for a client"
    start = STARTS.get(cause.kind, "starting")
    return f"{start}: {cause.detail}" if cause.detail else start


def _players(idle: IdleFacts) -> str:
    number = idle.counts.players
    names = [name for name in idle.players if name]
    if not names:
        return "a connection" if number == 1 else f"{number} connections"
    return ("1 player: " if number == 1 else f"{number} players: ") + _listed(names, number)


def _candidates(names: Sequence[str]) -> str:
    number = len(names)
    text = "a connection that may be a player's" if number == 1 else f"{number} connections that may be players'"
    known = [name for name in names if name]
    return f"{text} ({_listed(known, number)})" if known else text


def _listed(names: Sequence[str], number: int) -> str:
    """Return some of the names; `number` is how many there are with those that are not known."""
    shown = [quoted_name(name) for name in names[:MOST_NAMES]]
    more = number - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")
