"""The work and the timer of a lifecycle's current state: leaving the state cancels both.

Uses no status and no plugin.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

T = TypeVar("T")


class StateTask:
    """At most one call that is awaited, and one timer. Neither calls back any more once `cancel` was called.

    :param clock: monotonic.
    :param timed_out: called when the timer has run out.
    """

    def __init__(self, clock: IReactorTime, timed_out: Callable[[], None]) -> None:
        self._clock = clock
        self._timed_out = timed_out
        self._timer: IDelayedCall | None = None
        self._cancel_call: Callable[[], None] | None = None

    @property
    def deadline(self) -> float | None:
        """When the timer runs out; None while none is set."""
        return self._timer.getTime() if self._timer is not None and self._timer.active() else None

    def run(self, call: Deferred[T], succeeded: Callable[[T], None], failed: Callable[[Failure], None]) -> None:
        """Await a call; the result of an earlier one is ignored from now on.

        :param succeeded: called with its result.
        :param failed: called with its failure, unless that is a cancellation.
        """
        # Set before the callbacks are added: they may be called, and leave the state, at once.
        cancel = self._cancel_call = call.cancel

        # A cancelled call may end with any error: Twisted's connectors have one of their own.
        def on_success(result: T) -> None:
            if self._cancel_call is cancel:
                succeeded(result)

        def on_failure(failure: Failure) -> None:
            if self._cancel_call is cancel and not failure.check(CancelledError):
                failed(failure)

        call.addCallbacks(on_success, on_failure)

    def set_timer(self, seconds: float | None) -> None:
        """Start the timer anew; with None, stop it."""
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
        if seconds is not None:
            self._timer = self._clock.callLater(seconds, self._timed_out)

    def extend_timer(self, deadline: float) -> None:
        """Let a timer that is set run until `deadline`, where that is later."""
        if self._timer is not None and self._timer.active() and deadline > self._timer.getTime():
            self._timer.reset(deadline - self._clock.seconds())

    def cancel(self) -> None:
        """Stop the timer and cancel the call."""
        self.set_timer(None)
        cancel, self._cancel_call = self._cancel_call, None
        if cancel is not None:
            cancel()
