"""A pool of kernel pipes, through which bytes pass from one socket to another.

A pipe that is given back must be empty: a byte left in it would reach another pair's peer.
"""

from __future__ import annotations

import fcntl
import os

CAPACITY = 256 * 1024
"""Bytes a pipe can hold. More does not raise the throughput, and an unprivileged user may have 64 MiB in pipes before
the kernel makes small ones: enough for 256 stalled peers at this size (pipe(7), pipe-user-pages-soft)."""

MOST_SPARE = 8
"""Empty pipes kept for the next stalled peer, so that short stalls cost no system calls."""


class Pipe:
    """One pipe: two non-blocking descriptors."""

    __slots__ = ("reader", "writer")

    def __init__(self) -> None:
        """Create the pipe.

        :raises OSError: no descriptors left.
        """
        self.reader, self.writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            fcntl.fcntl(self.writer, fcntl.F_SETPIPE_SZ, CAPACITY)
        except OSError:
            # A user at its limit of pipe pages gets a small pipe, which is only slower.
            return

    def drain(self, count: int) -> bytes:
        """Read the `count` bytes that are in it, so that it is empty."""
        taken = bytearray()
        while len(taken) < count:
            taken += os.read(self.reader, count - len(taken))
        return bytes(taken)

    def close(self) -> None:
        """Close both ends; what is in it is lost."""
        os.close(self.reader)
        os.close(self.writer)


class Pipes:
    """Spare pipes. `reserve` is called in the reactor's thread, `take` and `give_back` in the relay's."""

    def __init__(self) -> None:
        self._spare: list[Pipe] = []

    def reserve(self) -> None:
        """Make sure that there is a spare pipe.

        :raises OSError: there is none, and no descriptors for one.
        """
        if not self._spare:
            self._spare.append(Pipe())

    def take(self) -> Pipe | None:
        """Return an empty pipe; None when there is none, and no descriptors for one."""
        try:
            return self._spare.pop()
        except IndexError:
            pass
        try:
            return Pipe()
        except OSError:
            return None

    def give_back(self, pipe: Pipe) -> None:
        """Take back an empty pipe."""
        if len(self._spare) < MOST_SPARE:
            self._spare.append(pipe)
        else:
            pipe.close()

    def close(self) -> None:
        """Close the spare pipes; none may be taken afterwards."""
        while self._spare:
            self._spare.pop().close()
