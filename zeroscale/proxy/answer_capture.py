"""Ask a server that has become ready for what it answers to queries, to answer so while it sleeps."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from zeroscale.status import ServerSnapshot, Status

TIMES = (1.0, 10.0, 60.0)
"""Seconds after the server has become ready. Some answer their queries later than their players, or name their map."""


class AnswerCapture:
    """Serves one server, for all of its runs.

    :param clock: times the questions.
    :param ask: has the answers stored.
    """

    def __init__(self, clock: IReactorTime, ask: Callable[[], None]) -> None:
        self._clock = clock
        self._ask = ask
        self._calls: list[IDelayedCall] = []

    def status_changed(self, view: ServerSnapshot) -> None:
        """Note that the server has another status."""
        for call in self._calls:
            if call.active():
                call.cancel()
        running = view.status is Status.running
        self._calls = [self._clock.callLater(seconds, self._ask) for seconds in TIMES] if running else []
