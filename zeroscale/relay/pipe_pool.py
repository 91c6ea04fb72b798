"""The kernel's pipes that bytes pass through on their way from one socket to another.

Whoever gives a pipe back vouches that it is empty: a byte left in one would reach another pair's peer.
"""

from __future__ import annotations

import fcntl
import os

CAPACITY = 256 * 1024
"""Bytes a pipe can hold. More gains nothing in throughput, and a user without privileges may hold 64 MiB of pipe
in all before the kernel hands out small ones: so 256 stalled peers, not 64 (pipe(7), pipe-user-pages-soft)."""

MOST_SPARE = 8
"""Empty pipes kept for the next stalled peer, so that stalls that come and go cost no system calls."""


class Pipe:
    """One pipe: two descriptors, both non-blocking."""

    __slots__ = ("reader", "writer")

    def __init__(self) -> None:
        """Makes it.

        :raises OSError: no descriptors left.
        """
        self.reader, self.writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            fcntl.fcntl(self.writer, fcntl.F_SETPIPE_SZ, CAPACITY)
        except OSError:
            # A user at its limit of pipe pages gets a small pipe: slower, as right.
            return

    def drain(self, count: int) -> bytes:
        """Takes out the `count` bytes that are in it, and so empties it."""
        taken = bytearray()
        while len(taken) < count:
            taken += os.read(self.reader, count - len(taken))
        return bytes(taken)

    def close(self) -> None:
        """Closes both ends; what was in it is gone."""
        os.close(self.reader)
        os.close(self.writer)


class Pipes:
    """Spare pipes. `reserve()` is called in the reactor's thread, `take()` and `give_back()` in the relay's."""

    def __init__(self) -> None:
        self._spare: list[Pipe] = []

    def reserve(self) -> None:
        """Sees to it that there is a spare one.

        :raises OSError: there is none, and no descriptors for one.
        """
        if not self._spare:
            self._spare.append(Pipe())

    def take(self) -> Pipe | None:
        """An empty pipe; None when there is none, and no descriptors for one."""
        try:
            return self._spare.pop()
        except IndexError:
            pass
        try:
            return Pipe()
        except OSError:
            return None

    def give_back(self, pipe: Pipe) -> None:
        """Takes back an empty pipe."""
        if len(self._spare) < MOST_SPARE:
            self._spare.append(pipe)
        else:
            pipe.close()

    def close(self) -> None:
        """Closes the spare ones, once nobody takes any more."""
        while self._spare:
            self._spare.pop().close()
