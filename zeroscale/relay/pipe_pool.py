"""A pool of kernel pipes, through which bytes pass from one socket to another.

A pipe that is given back must be empty: a byte left in it would reach another pair's peer.

An unprivileged user whose pipes hold more than `pipe-user-pages-soft` pages gets pipes of two pages, or of one, which
cannot be enlarged until others are closed (pipe(7)). Through such a pipe the relay needs many times as many system
calls, so none is handed out: its size is asked for again each time that a pipe is needed.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

CAPACITY = 256 * 1024
"""Bytes a pipe can hold. More does not raise the throughput, and an unprivileged user may have 64 MiB in pipes before
the kernel makes small ones: enough for 256 stalled peers at this size."""

MOST_SPARE = 8
"""Empty pipes kept for the next stalled peer, so that short stalls cost no system calls."""


class Pipe:
    """One pipe: two non-blocking descriptors. It has the kernel's default size until `Pipes.enlarge`.

    :ivar enlarged: whether it has its full size.
    """

    __slots__ = ("enlarged", "reader", "writer")

    def __init__(self) -> None:
        """Create the pipe.

        :raises OSError: no descriptors left.
        """
        self.reader, self.writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self.enlarged = False

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
    """Spare pipes of all loops. May be used in several threads, but `reserve` and `close` in the reactor's only.

    :ivar small: how often the kernel refused a pipe its full size.
    """

    def __init__(self) -> None:
        self._spare: list[Pipe] = []
        self._capacity = _largest_capacity()
        self.small = 0

    def reserve(self) -> None:
        """Make sure that there is a spare pipe.

        :raises OSError: there is none, and no descriptors for one.
        """
        if not self._spare:
            self._spare.append(Pipe())

    def take(self) -> Pipe | None:
        """Return an empty pipe of full size; None when there is none, and the kernel does not give one."""
        try:
            pipe = self._spare.pop()
        except IndexError:
            try:
                pipe = Pipe()
            except OSError:
                return None
        if self.enlarge(pipe):
            return pipe
        self.give_back(pipe)
        return None

    def enlarge(self, pipe: Pipe) -> bool:
        """Give a pipe its full size, unless it has it already; return whether it has it now."""
        if not pipe.enlarged:
            try:
                fcntl.fcntl(pipe.writer, fcntl.F_SETPIPE_SZ, self._capacity)
            except OSError:
                self.small += 1
                return False
            pipe.enlarged = True
        return True

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


def _largest_capacity() -> int:
    """Return the full size of a pipe: `CAPACITY`, or what the administrator allows, if that is less."""
    try:
        return min(CAPACITY, int(Path("/proc/sys/fs/pipe-max-size").read_text()))
    except (OSError, ValueError):
        return CAPACITY
