"""A call that must run to its end, whoever stops waiting for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

T = TypeVar("T")


class ShieldedCall(Generic[T]):
    """One such call. How it ends is told to all who wait, or ask later; if nobody does, it is nobody's business.

    :param running: what the call returned.
    """

    def __init__(self, running: Deferred[T]) -> None:
        self._waiting: dict[Deferred[T], None] = {}
        self._said_again: Callable[[], Deferred[T]] | None = None
        running.addCallbacks(self._succeeded, self._failed)

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self._said_again is not None

    def wait(self) -> Deferred[T]:
        """Fires as the call does; cancelling it leaves the call alone."""
        if self._said_again is not None:
            return self._said_again()
        waiting: Deferred[T] = Deferred(self._leaves)
        self._waiting[waiting] = None
        return waiting

    def _succeeded(self, result: T) -> None:
        self._said_again = lambda: succeed(result)
        for waiting in self._told():
            if not waiting.called:  # one that was told before may have cancelled it
                waiting.callback(result)

    def _failed(self, failure: Failure) -> None:
        self._said_again = lambda: fail(failure)
        for waiting in self._told():
            if not waiting.called:
                waiting.errback(failure)

    def _told(self) -> list[Deferred[T]]:
        waiting, self._waiting = self._waiting, {}
        return list(waiting)

    def _leaves(self, waiting: Deferred[T]) -> None:
        self._waiting.pop(waiting, None)
