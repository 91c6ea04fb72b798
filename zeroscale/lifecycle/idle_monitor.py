"""Count the players on a running server, and report when it has been idle long enough to stop.

A connection counts as a player's once its bytes show it (`status.PlayerSign`). Nothing is done for each byte: the
counters of the relay are read when the server is about to stop, and when players are counted.

Nor is the timer set anew for each session: it may fire too early, and is then set for the rest of the time.
Where events are wanted, one timer for all connections that do not count yet notices soon when one does.

The times are computed by `idle_policy`; the caller stops the server. Uses no process and no client connection.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from zeroscale.event_text import format_duration
from zeroscale.events import Cause, CauseKind, Joined, Left
from zeroscale.lifecycle.awake_reasons import IdleFacts
from zeroscale.lifecycle.event_source import EventSource
from zeroscale.lifecycle.idle_policy import IdlePolicy, SessionCounts, stop_at
from zeroscale.lifecycle.interfaces import Logger
from zeroscale.lifecycle.probation import GRACE, PROBATION, Probation
from zeroscale.status import ClientInfo, PlayerSign

LOOK_EVERY = 1.0
LOOK_SELDOM = 60.0
"""Seconds between two looks at connections that do not count as a player's yet, for `Joined`. Few count so late that
the second one is in use: the youngest of them is older than `PROBATION`."""

MOST_WARNINGS = 10
"""Warnings of a run about what keeps the server running; each reason is logged once."""

UNKNOWN_CLIENT = ClientInfo()
"""A client of which neither name nor address is known."""


def _no_bytes() -> tuple[int, int]:
    return 0, 0


class ExpectedReason(str):
    """A reason not to stop a server of which no warning is needed: it is configured."""

    __slots__ = ()


class PlayerSession:
    """One connection of a client that has joined, from its admission until it is closed.

    :ivar client: the player.
    :ivar joined_at: since when, in seconds of the monotonic clock.
    :ivar moved: returns the bytes that the client has sent so far, and those that it was sent; set by the frontend.
    :ivar announced: there was an event `Joined` for it.
    :ivar sign: from when on it counts as a player's.
    """

    __slots__ = ("_monitor", "_run", "announced", "client", "joined_at", "moved", "sign")

    def __init__(self, monitor: IdleMonitor, run: int, client: ClientInfo, joined_at: float, sign: PlayerSign) -> None:
        self._monitor: IdleMonitor | None = monitor
        self._run = run
        self.client = client
        self.joined_at = joined_at
        self.sign = sign
        self.announced = False
        self.moved: Callable[[], tuple[int, int]] = _no_bytes

    def end(self, at: float | None = None) -> None:
        """Note that the connection is closed. Only the first call counts.

        :param at: since when the player has been away, by the monotonic clock, if that is known; None: since now.
        """
        monitor, self._monitor = self._monitor, None
        if monitor is not None:
            monitor.session_ended(self, self._run, at)


class IdleMonitor:
    """Counts the players of one server, for each of its runs, and reports when it may stop.

    :param name: the server's, for its events.
    :param clock: monotonic.
    :param policy: how long the server must be idle.
    :param busy_reason: looks for players that this proxy does not relay, and for other reasons to keep the server
        running; fires with such a reason as text, or None.
    :param may_stop: called with the cause when the server may stop.
    :param log: the server's log.
    :param events: passes on who joins and leaves.
    :param changed: called when a player has joined or left.
    :param counted: called when `counted_players` is another number, before `changed`.
    :param needed_by: returns the names of the servers that need this one now; it does not stop while there are any.
    """

    def __init__(
        self,
        name: str,
        clock: IReactorTime,
        policy: IdlePolicy,
        busy_reason: Callable[[], Deferred[str | None]],
        may_stop: Callable[[Cause], None],
        log: Logger,
        events: EventSource,
        changed: Callable[[], None] = lambda: None,
        counted: Callable[[], None] = lambda: None,
        needed_by: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self._name = name
        self._clock = clock
        self._policy = policy
        self._busy_reason = busy_reason
        self._may_stop = may_stop
        self._log = log
        self._events = events
        self._changed = changed
        self._counted = counted
        self._needed_by = needed_by
        self._was_needed = False
        self._run = 0
        self._is_active = False
        self._counts = SessionCounts.begin(0.0)
        self._sessions: dict[PlayerSession, None] = {}
        self._uncounted: dict[PlayerSession, None] = {}
        self._probation = Probation()
        self._empty_since = 0.0
        self._warned_of: set[str] = set()
        self._timer: IDelayedCall | None = None
        self._timer_at = 0.0
        self._query: Deferred[str | None] | None = None
        self._asked_for: Cause | None = None
        self._look: IDelayedCall | None = None

    @property
    def players(self) -> int:
        """How many players are on the server that runs now, without connections that do not count as a player's yet."""
        self.count_players()
        return self._counts.players

    @property
    def counted_players(self) -> int:
        """The same, where a connection counts as a player's only once `count_players` has found it to be one."""
        return self._counts.players

    @property
    def sessions(self) -> Sequence[PlayerSession]:
        """All sessions, also those that do not count yet, in the order in which they began."""
        return tuple(self._sessions)

    def facts(self) -> IdleFacts:
        """Return what the idle time is computed from."""
        self.count_players()
        names = tuple(session.client.name for session in self._sessions if session not in self._uncounted)
        return IdleFacts(
            counts=self._counts,
            policy=self._policy,
            players=names,
            candidates=tuple(session.client.name for session in self._uncounted),
            probation_until=self._probation.until,
            is_asked=self._query is not None,
        )

    @property
    def check_at(self) -> float | None:
        """When `busy_reason` is called next; None while players are on the server, or it does not run."""
        if not self._is_active or self.players > 0 or self._needed_by():
            return None
        now, at = self._clock.seconds(), self._stop_at()
        return now if at is None or self._query is not None else max(now, at)

    def apply_policy(self, policy: IdlePolicy) -> None:
        """Use another policy from now on."""
        self._policy = policy
        self.restart_timer()

    def restart_timer(self) -> None:
        """Compute anew when the server may stop, without regard to earlier results of `busy_reason`."""
        self._counts = replace(self._counts, grace_until=self._clock.seconds())
        if self._is_active and self.players == 0:
            self._cancel()
            self._set_timer()

    def dependents_changed(self) -> None:
        """Note that other servers need the server, or do not any more: its idle time begins when none does."""
        before, self._was_needed = self._was_needed, bool(self._needed_by())
        if self._was_needed == before:
            return
        if before:
            self._empty_since = self._clock.seconds()
            self._counts = replace(self._counts, quiet_since=self._empty_since)
        if self._is_active and self.players == 0:
            cause = self._asked_for
            self._cancel()
            if before and cause is not None:
                self._ask(cause)
            else:
                self._set_timer()

    def ask_now(self, cause: Cause) -> None:
        """Call `busy_reason` now, and then `may_stop` with this cause, without waiting for the idle time.

        Without effect while other servers need it.
        """
        self._counts = replace(self._counts, grace_until=self._clock.seconds())
        if self._is_active and self.players == 0 and not self._needed_by():
            self._cancel()
            self._ask(cause)

    def ask_once_not_needed(self, cause: Cause) -> None:
        """Do the same as soon as no other server needs it, instead of beginning its idle time."""
        if self._needed_by():
            self._asked_for = cause
        else:
            self.ask_now(cause)

    @property
    def is_asked_to_stop(self) -> bool:
        """Whether a stop with a cause of its own is under way; see `ask_now` and `ask_once_not_needed`."""
        return self._asked_for is not None

    def withdraw(self) -> None:
        """Forget what `ask_once_not_needed` has asked for and nothing has come of yet."""
        if self._query is None:
            self._asked_for = None

    def reset(self) -> None:
        """Forget the players of a server that has exited: their sessions do not count for the next run."""
        self.pause_timer()
        self._run += 1
        sessions, self._sessions = self._sessions, {}
        self._uncounted.clear()
        self._cancel_look()
        self._probation.clear()
        self._set_counts(SessionCounts.begin(self._clock.seconds()))
        announced = [session for session in sessions if session.announced]
        for left, session in enumerate(announced, 1):
            self._announce_left(session, len(announced) - left)

    def begin(self) -> None:
        """Note that the server has become ready; `start_timer` is called once the waiting players are admitted."""
        self.pause_timer()
        now = self._clock.seconds()
        # The clients of a server that was paused are still connected.
        self._set_counts(SessionCounts.begin(now, self.players))
        self._probation.begin_period(now)
        self._empty_since = now
        self._was_needed = bool(self._needed_by())
        self._warned_of.clear()

    def start_timer(self) -> None:
        """Allow the server to stop when it has been idle."""
        self._is_active = True
        self._set_timer()

    def pause_timer(self) -> None:
        """Do not call `may_stop` until the next `start_timer`; the players still count."""
        self._is_active = False
        self._cancel()

    def add_session(self, client: ClientInfo = UNKNOWN_CLIENT) -> PlayerSession:
        """Add the session of a client that is admitted."""
        now, sign = self._clock.seconds(), client.sign or self._policy.player_sign
        session = PlayerSession(self, self._run, client, now, sign)
        self._sessions[session] = None
        if sign is PlayerSign.connection:
            self._set_counts(self._counts.joined())
            if self._events.wants_client(client):
                self._announce_joined(session, self._counts.players)
        else:
            self._uncounted[session] = None
            if sign is PlayerSign.server_bytes:
                self._probation.add(session, client.limit_key, now)
            if self._events.wants_client(client):
                self._look_soon()
        self._log.debug("Total clients: %d", len(self._sessions))
        self._update_timer()
        self._changed()
        return session

    def session_ended(self, session: PlayerSession, run: int, at: float | None) -> None:
        """Remove a session, unless the server of its run has exited; called by `PlayerSession.end`."""
        if run != self._run:
            return
        now, (to_server, to_client) = self._clock.seconds(), session.moved()
        del self._sessions[session]
        counts = self._counts
        is_player = True
        if session in self._uncounted:
            del self._uncounted[session]
            is_player = session.sign.shown_by(to_server, to_client)
            self._probation.remove(session, now, 0.0 if is_player else min(self._policy.idle_shutdown, GRACE))
            if is_player:
                counts = counts.joined()
            elif to_client > 0:  # else the server has not seen it, as of a player who left before
                counts = replace(counts, visited=True)
        if is_player:
            since = now if at is None else max(at, self._counts.quiet_since)
            counts = counts.left(since, session.joined_at, self._policy, silent=to_server == 0)
            if counts.quiet_since != self._counts.quiet_since:
                self._probation.begin_period(now)
            if counts.players == 0:
                self._empty_since = since
        self._set_counts(counts)
        if is_player and self._events.wants_client(session.client):
            if not session.announced:
                self._announce_joined(session, counts.players + 1)
            self._announce_left(session, counts.players)
        self._log.debug("Lost connection, total clients: %d", len(self._sessions))
        self._update_timer()
        self._changed()

    def count_players(self) -> None:
        """Count the sessions that have shown to be a player's since the last call."""
        if not self._uncounted:
            return
        now = self._clock.seconds()
        players = self._counts.players
        shown = [each for each in self._uncounted if each.sign.shown_by(*each.moved())]
        for session in shown:
            del self._uncounted[session]
            self._probation.remove(session, now)
            self._set_counts(self._counts.joined())
        for number, session in enumerate(shown, players + 1):
            if self._events.wants_client(session.client):
                self._announce_joined(session, number)

    def _announce_joined(self, session: PlayerSession, players: int) -> None:
        session.announced = True
        self._events.emit(Joined(server=self._name, at=self._events.now, client=session.client, players=players))

    def _announce_left(self, session: PlayerSession, players: int) -> None:
        to_server, to_client = session.moved()
        self._events.emit(
            Left(
                server=self._name,
                at=self._events.now,
                client=session.client,
                players=players,
                seconds=self._clock.seconds() - session.joined_at,
                to_server=to_server,
                to_client=to_client,
            )
        )

    def _look_soon(self) -> None:
        """Look for new players in a second, if that is not due already."""
        at = self._clock.seconds() + LOOK_EVERY
        if self._look is None:
            self._look = self._clock.callLater(LOOK_EVERY, self._look_for_players)
        elif self._look.getTime() > at:
            self._look.reset(LOOK_EVERY)

    def _look_for_players(self) -> None:
        self._look = None
        self.count_players()
        if self._uncounted and self._look is None:
            youngest = next(reversed(self._uncounted))
            is_new = self._clock.seconds() - youngest.joined_at < PROBATION
            self._look = self._clock.callLater(LOOK_EVERY if is_new else LOOK_SELDOM, self._look_for_players)

    def _cancel_look(self) -> None:
        look, self._look = self._look, None
        if look is not None:
            look.cancel()

    def _set_counts(self, counts: SessionCounts) -> None:
        is_other = counts.players != self._counts.players
        self._counts = counts
        if is_other:
            self._counted()

    def _stop_at(self) -> float | None:
        """Return when the server may stop, as far as the players are counted; None while it is used."""
        return None if self._needed_by() else stop_at(self._counts, self._policy, self._probation.until)

    def _update_timer(self) -> None:
        """Set the timer after a change of the sessions, unless it fires early enough."""
        if self._query is not None:
            self.count_players()
            at = self._stop_at()
            if at is not None and at <= self._clock.seconds():
                return  # else strangers that come and go would keep the query from ever ending
            if at is None:
                self._log.debug("Cancelling the stop")
            self._cancel()
        at = stop_at(self._counts, self._policy)
        if at is None or not self._is_active or self._needed_by():
            return
        if self._timer is None or (self._timer_at > at and self._timer_at > self._probation.until):
            self._cancel()
            self._set_timer()

    def _set_timer(self) -> None:
        at = self._stop_at()
        if at is None:
            return
        seconds = max(0.0, at - self._clock.seconds())
        self._log.debug("Scheduling the stop in %.0f s", seconds)
        self._timer_at = at
        self._timer = self._clock.callLater(seconds, self._check)

    def _check(self) -> None:
        self._timer = None
        self.count_players()
        at = self._stop_at()
        if at is None:
            return
        if at > self._clock.seconds():
            self._set_timer()
        else:
            self._ask()

    def _ask(self, cause: Cause | None = None) -> None:
        self._log.debug("No clients online for %.0f seconds", self._clock.seconds() - self._empty_since)
        self._asked_for = cause
        query = self._query = self._busy_reason()

        # A cancelled query may end with any error: Twisted's connectors have one of their own.
        def succeeded(reason: str | None) -> None:
            if self._query is query:
                self._checked(reason, cause)

        def failed(failure: Failure) -> None:
            if self._query is query:
                self._log.error("A fault in zeroscale itself: %s", failure.getTraceback())
                self._checked("it could not be asked for players", cause)

        query.addCallbacks(succeeded, failed)

    def _checked(self, busy_reason: str | None, cause: Cause | None) -> None:
        self._query = self._asked_for = None
        if self.players > 0 or self._needed_by():
            return
        if busy_reason is None:
            self._may_stop(cause or self._idle_cause)
            return
        kind = re.sub("[0-9]+", "", busy_reason)  # the number of players changes all the time
        if isinstance(busy_reason, ExpectedReason):
            self._log.debug("%s is not stopped: %s", self._name, busy_reason)
        elif kind not in self._warned_of and len(self._warned_of) < MOST_WARNINGS:
            self._warned_of.add(kind)
            self._log.warning("not stopped: %s", busy_reason)
        self._counts = self._counts.busy(self._clock.seconds(), self._policy)
        self._set_timer()

    @property
    def _idle_cause(self) -> Cause:
        clients = "players" if self._policy.player_sign is PlayerSign.server_bytes else "connections"
        idle_for = format_duration(self._clock.seconds() - self._empty_since)
        return Cause(CauseKind.idle, detail=f"no {clients} for {idle_for}")

    def _cancel(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
        query, self._query = self._query, None
        self._asked_for = None
        if query is not None:
            query.cancel()
