"""The snapshot of one server, kept until something in it changes.

The parts of the lifecycle, and the files of ours that belong to the server, report each change. Nothing reports that an
operator has laid down a flag file, that a file of the game has changed, or that a connection has sent its first bytes:
that is looked at when the snapshot is asked for, at most once a second, so that nothing runs while nobody asks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from zeroscale.lifecycle.idle_monitor import IdleMonitor
from zeroscale.lifecycle.interfaces import Needs
from zeroscale.lifecycle.plugin_slot import PluginSlot
from zeroscale.lifecycle.status_record import StatusRecord
from zeroscale.lifecycle.waiters import Waiters
from zeroscale.status import ServerSnapshot

LOOK_EVERY = 1.0
"""Seconds after which that is looked at again. An operator does not notice the delay."""


class ServerParts(Protocol):
    """Where the facts of a snapshot are; `transitions.ServerTransitions` has them."""

    record: StatusRecord
    waiters: Waiters
    slot: PluginSlot
    idle_monitor: IdleMonitor

    @property
    def needs(self) -> Needs | None:
        """The servers that it needs; None: there are none."""

    @property
    def needs_seconds(self) -> float | None:
        """How much of a start's duration is for them; None: not known."""


class ServerView:
    """Returns the snapshots of one server.

    :param name: the server's name.
    :param seconds: returns the time of the monotonic clock.
    :param parts: where the facts are; not used before the first snapshot is asked for.
    """

    def __init__(self, name: str, seconds: Callable[[], float], parts: ServerParts) -> None:
        self._name = name
        self._seconds = seconds
        self._parts = parts
        self._current: ServerSnapshot | None = None
        self._last: ServerSnapshot | None = None
        self._look_at = float("-inf")
        self._estimate: float | None = None
        self._lockout: str | None = None
        self._cached_status: Mapping[str, object] | None = None

    def get(self) -> ServerSnapshot:
        """Return the server as it is now; the same object until something in it changes."""
        now = self._seconds()
        if self._current is not None and now < self._look_at:
            return self._current
        if now >= self._look_at:
            self._look()
            self._look_at = now + LOOK_EVERY
        snapshot, last = self._compose(), self._last
        if last is not None and snapshot == last:
            snapshot = last
        self._current = self._last = snapshot
        return snapshot

    def changed(self) -> None:
        """Note that the waiting players or the sessions have changed."""
        self._current = None

    def look_again(self) -> None:
        """Note that anything else has changed; what reports no change is looked at as well."""
        self._current = None
        self._look_at = float("-inf")

    def _look(self) -> None:
        dependencies = self._parts.slot.dependencies
        own, others = dependencies.start_history.estimate, self._parts.needs_seconds
        self._estimate = None if own is None or others is None else own + others
        self._lockout = dependencies.lockout()
        needs = self._parts.needs
        if needs is not None and self._lockout is None and self._parts.record.is_down:
            self._lockout = needs.lockout
        self._cached_status = dependencies.status_cache.current
        self._parts.idle_monitor.count_players()

    def _compose(self) -> ServerSnapshot:
        record = self._parts.record
        return ServerSnapshot(
            name=self._name,
            status=record.status,
            since=record.since,
            estimate=self._estimate,
            reason=record.reason,
            detail=record.detail,
            retry_at=record.retry_at,
            stop_timed_out=record.stop_timed_out,
            lockout=self._lockout,
            waiting=len(self._parts.waiters),
            players=self._parts.idle_monitor.counted_players,
            cached_status=self._cached_status,
        )
