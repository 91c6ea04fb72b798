"""One delayed call that can be started again and cancelled."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Timer:
    """A timer, at first not running."""

    __slots__ = ("_call", "_clock")

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._call: IDelayedCall | None = None

    def start(self, seconds: float, function: Callable[..., object], *arguments: object) -> None:
        """Call a function after `seconds`, instead of the call that is still waiting."""
        self.cancel()
        self._call = self._clock.callLater(seconds, function, *arguments)

    def cancel(self) -> None:
        """Stop the timer, if it is running."""
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None
