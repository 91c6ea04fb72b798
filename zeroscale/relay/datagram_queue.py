"""The datagrams that wait for the reactor, or for a session that it has decided to open. Bounded; used by two threads.

A datagram that comes while its session is being opened must not overtake those before it, nor be overtaken. So what
waits is kept by client: the reactor takes some of one client's at once, and once it `expect`s a session, what is left
and all that comes for it waits for the relay's thread to `collect` it.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from threading import Lock
from typing import Generic, TypeVar

MOST_WAITING = 1024
MOST_WAITING_BYTES = 4 * 1024 * 1024
"""Datagrams, and their bytes, that wait for one port: what comes in during a turn of a busy reactor. Without the second
bound, forged datagrams of the greatest length would take 64 MiB."""

MOST_TAKEN = 16
"""Datagrams of one client that are taken at once: one that sends a flood must not stop the reactor."""

Key = TypeVar("Key", bound=Hashable)


class DatagramQueue(Generic[Key]):
    """What waits for one port. All methods may be called in any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._waiting: dict[Key, list[bytes]] = {}
        self._expected: dict[Key, list[bytes]] = {}
        self._count = 0
        self._bytes = 0

    @property
    def has_waiting(self) -> bool:
        """Whether `take` would return something."""
        return bool(self._waiting)

    def put(self, key: Key, datagram: bytes) -> bool:
        """Add a client's datagram; return False if the queue is full."""
        with self._lock:
            if self._count >= MOST_WAITING or self._bytes + len(datagram) > MOST_WAITING_BYTES:
                return False
            self._count += 1
            self._bytes += len(datagram)
            found = self._expected.get(key)
            if found is None:
                found = self._waiting.setdefault(key, [])
            found.append(datagram)
            return True

    def take(self) -> tuple[Key, list[bytes]] | None:
        """Remove and return the client that has waited longest, with its first datagrams; None if nothing waits."""
        with self._lock:
            if not self._waiting:
                return None
            key = next(iter(self._waiting))
            datagrams = self._waiting.pop(key)
            if len(datagrams) > MOST_TAKEN:  # the rest waits behind the other clients
                self._waiting[key] = datagrams[MOST_TAKEN:]
                datagrams = datagrams[:MOST_TAKEN]
            self._forget(datagrams)
            return key, datagrams

    def expect(self, key: Key) -> None:
        """Keep all that has come and comes for a client until it is collected."""
        with self._lock:
            self._expected[key] = self._waiting.pop(key, [])

    def collect(self, key: Key) -> Sequence[bytes]:
        """Remove and return what was kept for a client, in the order in which it came; nothing more is kept for it."""
        with self._lock:
            datagrams = self._expected.pop(key, [])
            self._forget(datagrams)
            return datagrams

    def _forget(self, datagrams: Sequence[bytes]) -> None:
        self._count -= len(datagrams)
        self._bytes -= sum(map(len, datagrams))
