"""Servers that need others: what is started and stopped with what, and in which order.

Imported only where a server has `needs`. A lifecycle asks for its own part by `lifecycle.interfaces.Needs`: it waits
for the servers that it needs before it starts, is kept running while it is needed, and is stopped after those that use
it. What happens by itself is here: a needed server that has crashed is started again. No timer runs but for that.

The configuration has no cycles; of a server that was removed, and is drained, only its own needs count.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from graphlib import TopologicalSorter
from typing import Protocol

from twisted.internet.defer import Deferred, FirstError, fail, gatherResults
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from zeroscale.backoff import Backoff
from zeroscale.errors import ServerUnavailable
from zeroscale.event_text import cause_text
from zeroscale.events import Cause, CauseKind
from zeroscale.lifecycle.lifecycle import ServerLifecycle
from zeroscale.server_log import ServerLog
from zeroscale.status import Status

FIRST_RETRY = 1.0
LONGEST_RETRY = 60.0
"""Seconds until a needed server that has crashed is started again: at first, and at most where its own lifecycle does
not ask for more."""

HEALTHY_AFTER = 60.0
"""Seconds: after a run of this length the delays begin anew."""

UP = (Status.starting, Status.running)


class Member(Protocol):
    """A server that has `needs` or may be needed; `proxy.managed_server.ManagedServer` implements it."""

    @property
    def lifecycle(self) -> ServerLifecycle:
        """Its lifecycle."""

    @property
    def name(self) -> str:
        """The server's name."""

    @property
    def needed_names(self) -> Sequence[str]:
        """The names of the servers that it needs."""

    @property
    def is_down(self) -> bool:
        """Whether it is stopped or failed."""

    @property
    def is_left_at_exit(self) -> bool:
        """Whether it is configured to be left running when zeroscale exits, and can be."""

    @property
    def lockout_source(self) -> str | None:
        """What locks it out, for the operator; None: nothing does."""

    def warn_players(self, seconds: float, restart: bool) -> Deferred[object]:
        """See `stop_planner.StoppedFirst.warn_players`."""


class NeedsGraph:
    """All servers, and which needs which.

    :param clock: delays the start of a server that has crashed.
    :param servers: returns the servers of the configuration by name.
    :param drained: returns servers that were removed from it, and have not stopped yet.
    :ivar forced: the names of servers that are being started for an operator, in spite of lockouts.
    """

    def __init__(
        self,
        clock: IReactorTime,
        servers: Callable[[], Mapping[str, Member]],
        drained: Callable[[], Iterable[Member]] = tuple,
    ) -> None:
        self._clock = clock
        self._servers = servers
        self._drained = drained
        self._dependents: dict[str, list[Member]] = {}
        self._watches: dict[str, NeededServer] = {}
        self._turns: dict[Deferred[None], Member] = {}
        self._look_call: IDelayedCall | None = None
        self.forced: set[str] = set()

    def update(self) -> None:
        """Note that servers were added, changed or removed."""
        members = [*self._servers().values(), *self._drained()]
        self._dependents = {}
        for member in members:
            for name in dict.fromkeys(member.needed_names):
                self._dependents.setdefault(name, []).append(member)
        for name in [name for name in self._watches if name not in self._dependents]:
            self._watches.pop(name).close()
        for member in members:
            member.lifecycle.look_again()
            member.lifecycle.dependents_changed()
        if any(member.lifecycle.needs_others for member in members):
            self.look()

    def status_changed(self, member: Member) -> None:
        """Note that the status of a server has changed."""
        if member.name in self._dependents and self._servers().get(member.name) is member:
            self._watch(member.name).status_changed(member.lifecycle)
            for dependent in self._dependents[member.name]:
                dependent.lifecycle.look_again()
        self.look()

    def look(self) -> None:
        """Look in the reactor's next turn for what is to be done now."""
        if self._look_call is None:
            self._look_call = self._clock.callLater(0.0, self._look)

    def close(self) -> None:
        """Start nothing more."""
        if self._look_call is not None:
            self._look_call.cancel()
            self._look_call = None
        for watch in self._watches.values():
            watch.close()

    def dependents_first(self) -> Sequence[str]:
        """Return the names of all servers, each before those that it needs."""
        needs = {name: member.needed_names for name, member in self._servers().items()}
        return [name for name in TopologicalSorter(needs).static_order() if name in needs][::-1]

    def of(self, member: Member) -> ServerNeeds:
        """Return the part of one server."""
        return ServerNeeds(self, member)

    def needed_of(self, member: Member) -> Iterator[tuple[str, Member | None]]:
        """Return the names of the servers that one needs directly, and the servers where they are there."""
        servers = self._servers()
        return ((name, servers.get(name)) for name in dict.fromkeys(member.needed_names))

    @property
    def now(self) -> float:
        """The time of the lifecycles' clock."""
        return self._clock.seconds()

    def dependents_of(self, member: Member) -> Sequence[Member]:
        """Return the servers that need one directly."""
        if self._servers().get(member.name) is not member:
            return ()  # it is drained: the configuration does not have it any more
        return self._dependents.get(member.name, ())

    def all_stopped(self, member: Member) -> Deferred[None] | None:
        """Return what fires once no server uses one any more; None: none does."""
        if not any(dependent.lifecycle.uses_others for dependent in self.dependents_of(member)):
            return None
        turn: Deferred[None] = Deferred(self._cancelled)
        self._turns[turn] = member
        return turn

    def _cancelled(self, turn: Deferred[None]) -> None:
        self._turns.pop(turn, None)

    def _watch(self, name: str) -> NeededServer:
        if name not in self._watches:
            self._watches[name] = NeededServer(self._clock, name)
        return self._watches[name]

    def _look(self) -> None:
        self._look_call = None
        servers = self._servers()
        for name, dependents in self._dependents.items():
            if (needed := servers.get(name)) is not None:
                needed.lifecycle.dependents_changed()
                users = [each.name for each in dependents if each.lifecycle.uses_others and _is_up(each)]
                self._watch(name).keep_running(needed.lifecycle, users)
        for turn, member in list(self._turns.items()):
            if not any(dependent.lifecycle.uses_others for dependent in self.dependents_of(member)):
                del self._turns[turn]
                turn.callback(None)


def _is_up(member: Member) -> bool:
    return member.lifecycle.view.status in UP


class NeededServer:
    """Starts one needed server again that has crashed, while others use it.

    One that ended without a crash, or that another program has stopped, is started again only with the next server that
    needs it: whoever did that wants it down.
    """

    def __init__(self, clock: IReactorTime, name: str) -> None:
        self._clock = clock
        self._log = ServerLog(logging.getLogger("zeroscale.server"), name)
        self._backoff = Backoff(FIRST_RETRY, LONGEST_RETRY)
        self._retry: IDelayedCall | None = None
        self._status: Status | None = None
        self._ready_at = float("-inf")
        self._users: Sequence[str] = ()
        self._is_wanted_down = False

    def status_changed(self, lifecycle: ServerLifecycle) -> None:
        """Note its new status."""
        before, self._status = self._status, lifecycle.view.status
        now = self._clock.seconds()
        if self._status is Status.running:
            self._ready_at = now
            self._is_wanted_down = False
        elif self._status is Status.failed and before is Status.running and now - self._ready_at >= HEALTHY_AFTER:
            self._backoff.reset()
        ended = self._status is Status.stopped and before is not Status.failed
        if (ended or self._status is Status.paused) and self._users:
            self._is_wanted_down = True
            self._log.warning(
                "%s though needed by %s; it is started again with the next one that needs it, or by zeroscalectl wake",
                self._status.value,
                ", ".join(self._users),
            )

    def keep_running(self, lifecycle: ServerLifecycle, users: Sequence[str]) -> None:
        """Start it where it does not run though others use it.

        :param users: their names.
        """
        self._users = users
        view = lifecycle.view
        if not users or view.status is not Status.failed:
            self._cancel()
        if not users:
            self._backoff.reset()
            self._is_wanted_down = False
        elif view.status is Status.failed:
            if self._retry is None and view.retry_at is not None:
                delay = max(next(self._backoff), view.retry_at - self._clock.seconds())
                self._retry = self._clock.callLater(delay, self._start_again, lifecycle)
        elif view.status in (Status.stopped, Status.paused) and not self._is_wanted_down:
            lifecycle.wake(needed_by(users))

    def close(self) -> None:
        """Do not start it again."""
        self._cancel()

    def _start_again(self, lifecycle: ServerLifecycle) -> None:
        self._retry = None
        lifecycle.wake(needed_by(self._users))

    def _cancel(self) -> None:
        retry, self._retry = self._retry, None
        if retry is not None:
            retry.cancel()


class ServerNeeds:
    """The part of one server; implements `lifecycle.interfaces.Needs`."""

    def __init__(self, graph: NeedsGraph, member: Member) -> None:
        self._graph = graph
        self._member = member

    def start(self, cause: Cause) -> Deferred[None]:
        """See `Needs.start`. What an operator starts is started in spite of lockouts and past failures."""
        return Deferred.fromCoroutine(self._start(cause))

    async def _start(self, cause: Cause) -> None:
        force = cause.kind is CauseKind.operator or self._member.name in self._graph.forced
        while self.missing:  # one that was ready may have crashed while another one started
            starts = [self._start_one(name, needed, force) for name, needed in self._graph.needed_of(self._member)]
            try:
                await gatherResults(starts, consumeErrors=True)
            except FirstError as error:
                error.subFailure.raiseException()

    def _start_one(self, name: str, needed: Member | None, force: bool) -> Deferred[None]:
        cause = needed_by([self._member.name])
        if needed is None:
            return fail(ServerUnavailable(f"{name}, which it needs, is not configured"))
        if force:
            self._graph.forced.add(name)
            started = needed.lifecycle.start_for_operator(cause)
        else:
            started = needed.lifecycle.start_for_dependent(cause)

        def failed(failure: Failure) -> Failure:
            self._graph.forced.discard(name)
            if isinstance(error := failure.value, ServerUnavailable):
                prefix = f"{name}, which it needs, is not available"
                return Failure(ServerUnavailable(f"{prefix}: {error}", f"{prefix}: {error.reason}"))
            return failure

        def succeeded(_: None) -> None:
            self._graph.forced.discard(name)

        return started.addCallbacks(succeeded, failed)

    @property
    def missing(self) -> Sequence[str]:
        """See `Needs.missing`."""
        return [
            name
            for name, needed in self._graph.needed_of(self._member)
            if needed is None or needed.lifecycle.view.status is not Status.running
        ]

    @property
    def estimate(self) -> float | None:
        """See `Needs.estimate`."""
        longest = 0.0
        for _, needed in self._graph.needed_of(self._member):
            if needed is None or (view := needed.lifecycle.view).status is Status.running:
                continue
            if view.estimate is None:
                return None
            passed = self._graph.now - view.since if view.status is Status.starting else 0.0
            longest = max(longest, view.estimate - passed)
        return longest

    @property
    def lockout(self) -> str | None:
        """See `Needs.lockout`."""
        views = [needed.lifecycle.view for _, needed in self._graph.needed_of(self._member) if needed is not None]
        return next((view.lockout for view in views if view.lockout is not None and view.status not in UP), None)

    @property
    def needed_by(self) -> Sequence[str]:
        """See `Needs.needed_by`."""
        members = self._graph.dependents_of(self._member)
        return [member.name for member in members if member.lifecycle.needs_others]

    @property
    def are_dependents_put_to_sleep(self) -> bool:
        """See `Needs.are_dependents_put_to_sleep`."""
        lifecycles = [member.lifecycle for member in self._graph.dependents_of(self._member)]
        return all(each.is_put_to_sleep for each in lifecycles if each.needs_others)

    def stop_dependents(self, cause: Cause, *, tell: bool) -> Deferred[None] | None:
        """See `Needs.stop_dependents`. A restart restarts them as well."""
        if tell:
            name = self._member.name
            what = "restarts" if cause.kind is CauseKind.restart else "stops"
            why = Cause(CauseKind.dependency, detail=f"{name}, which it needs, {what}: {cause_text(cause, stop=True)}")
            for member in self._graph.dependents_of(self._member):
                lifecycle = member.lifecycle
                if cause.kind is CauseKind.restart and lifecycle.view.status is Status.running:
                    lifecycle.restart(why)
                elif lifecycle.needs_others and (lifecycle.uses_others or cause.kind is not CauseKind.restart):
                    lifecycle.sleep(why, "a server that it needs is stopped")
        return self._graph.all_stopped(self._member)

    def look(self) -> None:
        """See `Needs.look`."""
        self._graph.look()

    @property
    def lockout_source(self) -> str | None:
        """What locks out a server that it needs, for the operator; None: nothing does."""
        for name, needed in self._graph.needed_of(self._member):
            if needed is not None and needed.is_down and (source := needed.lockout_source) is not None:
                return f"{name}, which it needs: {source}"
        return None

    def users(self) -> Sequence[Member]:
        """Return the servers that use this one, directly or not."""
        return list(dict.fromkeys(self._users(self._member)))

    def _users(self, member: Member) -> Iterator[Member]:
        for dependent in self._graph.dependents_of(member):
            if dependent.lifecycle.uses_others:
                yield dependent
                yield from self._users(dependent)

    def stopped_at_exit(self) -> Sequence[str]:
        """Return which servers that it needs, directly or not, are stopped when zeroscale exits."""
        return list(dict.fromkeys(self._stopped_at_exit(self._member)))

    def _stopped_at_exit(self, member: Member) -> Iterator[str]:
        for _, needed in self._graph.needed_of(member):
            if needed is None:
                continue
            if not needed.is_left_at_exit:
                yield needed.name
            yield from self._stopped_at_exit(needed)


def needed_by(names: Sequence[str]) -> Cause:
    """Return the cause of a start for servers of these names."""
    return Cause(CauseKind.dependency, detail=f"needed by {', '.join(names)}")
