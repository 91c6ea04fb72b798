"""Commands for a loop that waits in epoll in another thread."""

from __future__ import annotations

import os
import select
from collections import deque
from collections.abc import Callable
from time import monotonic

MOST_COMMANDS = 32
LONGEST_COMMANDS = 0.002
"""Commands, and seconds, between two rounds of events: what many connections that come at once need must not delay
those that are relayed."""


class CommandQueue:
    """The commands of one loop. `put` and `wake` may be called in any thread, all other methods in the loop's.

    :param epoll: the loop's; what it returns for `fd` is passed to `woken`.
    :raises OSError: no descriptors left.
    :ivar waiting: the commands that wait, to be read only: a loop looks at it in every round.
    """

    def __init__(self, epoll: select.epoll) -> None:
        self.waiting: deque[Callable[[], None]] = deque()
        self._woken = False
        self.fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        try:
            # Edge-triggered: each write is an event, so it need not be read.
            epoll.register(self.fd, select.EPOLLIN | select.EPOLLET)
        except BaseException:
            os.close(self.fd)
            raise

    def put(self, command: Callable[[], None], *, wake: bool = True) -> None:
        """Add a command.

        :param wake: whether to start a round of events for it; else it waits until there is one for another reason.
        """
        self.waiting.append(command)
        if wake:
            self.wake()

    def wake(self) -> None:
        """Start a round of events, after which the commands run."""
        if not self._woken:
            self._woken = True
            os.eventfd_write(self.fd, 1)

    def woken(self) -> None:
        """Note that the round has begun: what comes from now on starts another one."""
        self._woken = False

    def run(self) -> None:
        """Run the commands that wait, or some of them."""
        until = monotonic() + LONGEST_COMMANDS
        for _ in range(min(len(self.waiting), MOST_COMMANDS)):
            self.waiting.popleft()()
            if monotonic() >= until:
                break

    def close(self) -> None:
        """Forget what waits, and release the descriptor."""
        self.waiting.clear()
        os.close(self.fd)
