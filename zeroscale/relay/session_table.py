"""A bounded table of sessions: which are idle, and which gives its place to a newcomer. Uses no socket and no clock."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Generic, Protocol, TypeVar

SPARED_FOR = 5.0
"""Seconds since its last datagram for which a session keeps its place in a full table, though it has proved nothing."""


MOST_LOOKED_AT = 16
"""Sessions in use that are passed over for one newcomer."""


class Tracked(Protocol):
    """What the table asks of a session."""

    @property
    def last(self) -> float:
        """When its last datagram came, from either side."""
        ...

    @property
    def assured(self) -> bool:
        """Whether the client has answered the server, so that its address is not forged."""
        ...


Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item", bound=Tracked)


class SessionTable(Generic[Key, Item]):
    """The sessions of one port.

    :param most: how many there may be.
    :param timeout: seconds without a datagram after which one is idle; may be changed.
    """

    def __init__(self, most: int, timeout: float) -> None:
        self._most = most
        self.timeout = timeout
        self._sessions: dict[Key, Item] = {}
        self._unproved: dict[Key, Item] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Item]:
        return iter(list(self._sessions.values()))

    def get(self, key: Key) -> Item | None:
        """Return the session of a client."""
        return self._sessions.get(key)

    def room(self, now: float, *, is_full: bool = False) -> tuple[bool, Key | None]:
        """Return whether there is room for a newcomer, and the key of the session that has to end for it.

        :param is_full: no session may be added, however few there are.

        That is the oldest one whose client has never answered the server and on which nothing was sent for a while.
        The cost does not grow with the table: one that is found in use is looked at again after all others, and one
        whose client has answered is not looked at again.
        """
        if len(self._sessions) < self._most and not is_full:
            return True, None
        in_use = 0
        while self._unproved and in_use < MOST_LOOKED_AT:
            key, oldest = next(iter(self._unproved.items()))
            if not oldest.assured and now - oldest.last >= SPARED_FOR:
                return True, key
            del self._unproved[key]
            if not oldest.assured:
                self._unproved[key] = oldest
                in_use += 1
        return False, None

    def add(self, key: Key, session: Item) -> None:
        """Add a session, for which there is `room`."""
        self._sessions[key] = self._unproved[key] = session

    def remove(self, key: Key) -> None:
        """Forget a session."""
        self._sessions.pop(key, None)
        self._unproved.pop(key, None)

    def idle(self, now: float) -> list[Key]:
        """Return the keys of the sessions on which nothing was sent for the time-out."""
        return [key for key, session in self._sessions.items() if now - session.last >= self.timeout]
