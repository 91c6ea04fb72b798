"""Those who wait for a server: its future players, who are counted the moment they are let in, and onlookers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from zeroscale.errors import ServerUnavailable
from zeroscale.lifecycle.idle_monitor import PlayerSession
from zeroscale.status import ClientInfo


class Waiters:
    """All of them, in the order in which they came. Whoever is cancelled waits no more."""

    def __init__(self) -> None:
        self._players: dict[Deferred[PlayerSession], ClientInfo] = {}
        self._onlookers: dict[Deferred[None], None] = {}

    def __len__(self) -> int:
        return len(self._players)

    def __bool__(self) -> bool:
        """Whether anybody waits, who would have the server started."""
        return bool(self._players or self._onlookers)

    @property
    def has_observers(self) -> bool:
        """Whether its operator waits, whom nothing holds back."""
        return bool(self._onlookers)

    @property
    def names(self) -> tuple[str, ...]:
        """The players' names."""
        return tuple(visitor.name for visitor in self._players.values())

    def add(self, visitor: ClientInfo) -> Deferred[PlayerSession]:
        """A player: fires with its visit."""
        waiter: Deferred[PlayerSession] = Deferred(self._leaves)
        self._players[waiter] = visitor
        return waiter

    def add_observer(self) -> Deferred[None]:
        """Somebody who only wants to know."""
        waiter: Deferred[None] = Deferred(self._leaves)
        self._onlookers[waiter] = None
        return waiter

    def admit(self, join: Callable[[ClientInfo], PlayerSession]) -> None:
        """The server is ready."""
        players, self._players = self._players, {}
        onlookers, self._onlookers = self._onlookers, {}
        for player, visitor in players.items():
            if not player.called:  # one that was let in before may have cancelled it
                player.callback(join(visitor))
        for onlooker in onlookers:
            if not onlooker.called:
                onlooker.callback(None)

    def reject(self, reason: str) -> None:
        """The server will not become ready.

        :param reason: for a player to read.
        """
        waiters: list[Deferred[Any]] = [*self._players, *self._onlookers]
        self._players, self._onlookers = {}, {}
        for waiter in waiters:
            if not waiter.called:
                waiter.errback(Failure(ServerUnavailable(reason)))

    def _leaves(self, waiter: Deferred[Any]) -> None:
        self._players.pop(waiter, None)
        self._onlookers.pop(waiter, None)
