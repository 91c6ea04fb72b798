"""Pass what happens to one server to observers: the values of `events`."""

from __future__ import annotations

from collections.abc import Callable

from twisted.python.failure import Failure

from zeroscale.events import ServerEvent
from zeroscale.lifecycle.observers import Observers


class EventSource:
    """The events of one server.

    :param wall_clock: returns seconds since 1970.
    :param on_error: called with the failure of an observer that has raised.
    """

    def __init__(self, wall_clock: Callable[[], float], on_error: Callable[[Failure], None]) -> None:
        self._wall_clock = wall_clock
        self._observers: Observers[ServerEvent] = Observers(on_error)
        self.wanted = False

    def add_observer(self, callback: Callable[[ServerEvent], None], *, clients: bool = True) -> None:
        """Register `callback`, to be called with each event from now on.

        :param clients: whether it needs the events that may come for each connection; it may get them all the same.
        """
        self._observers.add(callback)
        self.wanted = self.wanted or clients

    @property
    def now(self) -> float:
        """The time of an event that happens now."""
        return self._wall_clock()

    def emit(self, event: ServerEvent) -> None:
        """Pass an event to all observers.

        An event that may come for each connection is to be made only if `wanted`.
        """
        self._observers.notify(event)
