"""The players that wait until a server is ready, and observers, which do not count as players."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from zeroscale.errors import ServerUnavailable
from zeroscale.events import Cause, CauseKind
from zeroscale.lifecycle.idle_monitor import PlayerSession
from zeroscale.status import ClientInfo


class Waiters:
    """The waiters of one server, in the order in which they came. Cancelling a waiter removes it.

    :param changed: called after each change of the number of players, before any of them is admitted or rejected.
    """

    def __init__(self, changed: Callable[[], None] = lambda: None) -> None:
        self._changed = changed
        self._players: dict[Deferred[PlayerSession], ClientInfo] = {}
        self._observers: dict[Deferred[None], tuple[Cause, bool]] = {}

    def __len__(self) -> int:
        """Return the number of players."""
        return len(self._players)

    def __bool__(self) -> bool:
        """Return whether there are players or observers."""
        return bool(self._players or self._observers)

    @property
    def ignore_lockout(self) -> bool:
        """Whether an observer waits to whom a lockout does not apply."""
        return any(ignores for _, ignores in self._observers.values())

    @property
    def names(self) -> tuple[str, ...]:
        """The players' names."""
        return tuple(client.name for client in self._players.values())

    @property
    def cause(self) -> Cause | None:
        """Why the server is to be started for those who wait; None: none does."""
        for client in self._players.values():
            return Cause(CauseKind.login if client.name else CauseKind.connection, client)
        return next((cause for cause, _ in self._observers.values()), None)

    def add(self, client: ClientInfo) -> Deferred[PlayerSession]:
        """Add a player; fires with its session, or fails with `ServerUnavailable`."""
        waiter: Deferred[PlayerSession] = Deferred(self._remove_player)
        self._players[waiter] = client
        self._changed()
        return waiter

    def add_observer(self, cause: Cause, *, ignore_lockout: bool = False) -> Deferred[None]:
        """Add an observer; fires once the server is ready, or fails with `ServerUnavailable`, for the operator.

        :param cause: why the server is to be started for it.
        :param ignore_lockout: a lockout does not apply to it.
        """
        waiter: Deferred[None] = Deferred(self._remove_observer)
        self._observers[waiter] = (cause, ignore_lockout)
        return waiter

    def admit(self, join: Callable[[ClientInfo], PlayerSession]) -> None:
        """Admit all, as the server is ready.

        :param join: counts a player and returns its session.
        """
        players, self._players = self._players, {}
        observers, self._observers = self._observers, {}
        self._changed()
        for player, client in players.items():
            if not player.called:  # one that was admitted before may have cancelled it
                player.callback(join(client))
        for observer in observers:
            if not observer.called:
                observer.callback(None)

    def reject(self, reason: str, detail: str | None = None) -> None:
        """Reject all, as the server will not become ready.

        :param reason: for players to read.
        :param detail: for the operator to read; None: the same.
        """
        players, self._players = self._players, {}
        observers, self._observers = self._observers, {}
        self._changed()
        for player in players:
            if not player.called:
                player.errback(Failure(ServerUnavailable(reason)))
        for observer in observers:
            if not observer.called:
                observer.errback(Failure(ServerUnavailable(reason if detail is None else detail, reason)))

    def _remove_player(self, waiter: Deferred[PlayerSession]) -> None:
        self._players.pop(waiter, None)
        self._changed()

    def _remove_observer(self, waiter: Deferred[None]) -> None:
        self._observers.pop(waiter, None)
