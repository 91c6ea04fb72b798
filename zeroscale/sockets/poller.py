"""One epoll object that watches many sockets, and that the reactor watches as a single reader. Linux only.

A socket that is watched here costs neither a Twisted transport nor a turn of the reactor for each event.
"""

from __future__ import annotations

import logging
import select
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Protocol

from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from zeroscale.reactor import Reactor

logger = logging.getLogger("zeroscale.system")

MOST_EVENTS = 64
"""Events read from epoll at once."""

TURN = 0.002
"""Seconds after which the remaining events wait for the reactor's next turn: others have to run, too."""

STAY = 0.001
"""Seconds to wait for more events: a turn of the reactor costs a multiple of what an event costs here, and a busy
connection has its next event soon. Everything else waits no longer than that."""


class EventHandler(Protocol):
    """Handles the events of one socket."""

    def handle(self, events: int, /) -> None:
        """Handle events of epoll(7)."""
        ...


@implementer(IReadDescriptor)
class SocketPoller:
    """Watches sockets. It is among the reactor's readers while it watches any.

    All methods are called in the reactor's thread.
    """

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self._epoll = select.epoll()
        self._handlers: dict[int, EventHandler] = {}
        self._after_events: list[Callable[[], object]] = []
        self._later: deque[Callable[[], object]] = deque()
        self._handling = False
        self._turn_ends = 0.0

    def watch(self, descriptor: int, events: int, handler: EventHandler) -> None:
        """Begin to watch a socket for these events.

        :raises OSError: the kernel has no memory for it.
        """
        self._epoll.register(descriptor, events)
        if not self._handlers:
            self._reactor.addReader(self)
        self._handlers[descriptor] = handler

    def change(self, descriptor: int, events: int) -> None:
        """Watch a socket for other events from now on."""
        self._epoll.modify(descriptor, events)

    def forget(self, descriptor: int, *, closed: bool = False) -> None:
        """Stop watching a socket.

        :param closed: it is closed already, which has ended the kernel's part.
        """
        del self._handlers[descriptor]
        if not closed:
            self._epoll.unregister(descriptor)
        if not self._handlers:
            self._reactor.removeReader(self)

    def soon(self, call: Callable[[], object]) -> None:
        """Call `call` when what is being done now is over, before the next event."""
        self._later.append(call)
        if not self._handling and len(self._later) == 1:
            self._reactor.callLater(0, self._run_later_alone)

    def after_events(self, call: Callable[[], object]) -> None:
        """Call `call` when the events of this moment have been handled; of equal calls only the first one counts."""
        if not self._handling:
            call()
        elif call not in self._after_events:
            self._after_events.append(call)

    def doRead(self) -> None:
        """Handle events until there are none; called by the reactor."""
        self._turn_ends = monotonic() + TURN
        self._handling = True
        try:
            wait = 0.0
            while self._handle_events(wait) and not self.turn_is_over():
                wait = STAY
        finally:
            self._handling = False

    def _handle_events(self, wait: float) -> int:
        """Handle the events that there are, wait for the first one, and return their number."""
        found = [(each, self._handlers.get(each), events) for each, events in self._epoll.poll(wait, MOST_EVENTS)]
        for descriptor, handler, events in found:
            # Else it was closed for an earlier event, and another socket may have its number.
            if handler is not None and self._handlers.get(descriptor) is handler:
                self._call(handler.handle, events)
            if self._later:
                self._run_later()
            if self.turn_is_over():
                break
        self._run_after_events()
        return len(found)

    def _run_after_events(self) -> None:
        while self._after_events:
            self._call(self._after_events.pop())
            self._run_later()

    def turn_is_over(self) -> bool:
        """Return whether what can wait has to wait for the reactor's next turn."""
        return monotonic() >= self._turn_ends

    def _run_later_alone(self) -> None:
        self._handling = True
        self._run_later()
        self._run_after_events()
        self._handling = False

    def _run_later(self) -> None:
        while self._later:
            self._call(self._later.popleft())

    def _call(self, call: Callable[..., object], *arguments: object) -> None:
        try:
            call(*arguments)
        except Exception:  # an exception would make the reactor drop this reader: every port would be deaf
            logger.exception("A fault in zeroscale itself")

    def fileno(self) -> int:
        """Return the descriptor that the reactor watches."""
        return self._epoll.fileno()

    def logPrefix(self) -> str:
        """Return the name in Twisted's log."""
        return "sockets"

    def connectionLost(self, reason: Failure) -> None:
        """Do nothing: called by the reactor when it ends."""
