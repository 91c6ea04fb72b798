"""Log what happens to one server, and pass it to observers: the values of `events`."""

from __future__ import annotations

import logging
from collections.abc import Callable

from twisted.python.failure import Failure

from zeroscale.event_text import event_fields, event_text
from zeroscale.events import CauseKind, Failed, GivenUp, Joined, Left, ServerEvent, Stopping
from zeroscale.lifecycle.interfaces import Logger
from zeroscale.lifecycle.observers import Observers
from zeroscale.status import ClientInfo


class EventSource:
    """The events of one server.

    :param log: the server's log.
    :param wall_clock: returns seconds since 1970.
    :param on_error: called with the failure of an observer that has raised.
    """

    def __init__(self, log: Logger, wall_clock: Callable[[], float], on_error: Callable[[Failure], None]) -> None:
        self._log = log
        self._wall_clock = wall_clock
        self._observers: Observers[ServerEvent] = Observers(on_error)
        self._is_observed = False

    def add_observer(self, callback: Callable[[ServerEvent], None], *, clients: bool = True) -> None:
        """Register `callback`, to be called with each event from now on.

        :param clients: whether it needs the events that may come for each connection; it may get them all the same.
        """
        self._observers.add(callback)
        self._is_observed = self._is_observed or clients

    def wants_client(self, client: ClientInfo) -> bool:
        """Return whether there is a reader of events about this client.

        They come for each connection, and are to be made only then. Those about clients without a name are logged at
        DEBUG only: a web server has a thousand a second, and the access log has a bounded number of lines for them.
        """
        return self._is_observed or self._log.isEnabledFor(logging.INFO if client.name else logging.DEBUG)

    @property
    def now(self) -> float:
        """The time of an event that happens now."""
        return self._wall_clock()

    def emit(self, event: ServerEvent) -> None:
        """Log an event, and pass it to all observers."""
        level = _level(event)
        if self._log.isEnabledFor(level):
            self._log.log(level, "%s", event_text(event), extra=event_fields(event))
        self._observers.notify(event)


def _level(event: ServerEvent) -> int:
    match event:
        case Failed() | GivenUp():
            return logging.ERROR
        case Stopping(cause=cause) if cause.kind is CauseKind.start_failed:
            return logging.WARNING
        case Joined(client=client) | Left(client=client) if not client.name:
            return logging.DEBUG
    return logging.INFO
