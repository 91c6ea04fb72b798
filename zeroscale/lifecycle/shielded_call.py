"""A call that continues when one of its waiters is cancelled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

T = TypeVar("T")


class ShieldedCall(Generic[T]):
    """A call with any number of waiters. A failure without a waiter is not logged.

    :param call: fires with its result.
    """

    def __init__(self, call: Deferred[T]) -> None:
        self._waiting: dict[Deferred[T], None] = {}
        self._make_result: Callable[[], Deferred[T]] | None = None
        call.addCallbacks(self._succeeded, self._failed)

    @property
    def done(self) -> bool:
        """Whether the call has ended."""
        return self._make_result is not None

    def wait(self) -> Deferred[T]:
        """Wait for the call, also after it has ended.

        :returns: fires as the call does; cancelling it does not cancel the call.
        """
        if self._make_result is not None:
            return self._make_result()
        waiting: Deferred[T] = Deferred(self._remove)
        self._waiting[waiting] = None
        return waiting

    def _succeeded(self, result: T) -> None:
        self._make_result = lambda: succeed(result)
        for waiting in self._take_waiting():
            if not waiting.called:  # one that was called before may have cancelled it
                waiting.callback(result)

    def _failed(self, failure: Failure) -> None:
        self._make_result = lambda: fail(failure)
        for waiting in self._take_waiting():
            if not waiting.called:
                waiting.errback(failure)

    def _take_waiting(self) -> list[Deferred[T]]:
        waiting, self._waiting = self._waiting, {}
        return list(waiting)

    def _remove(self, waiting: Deferred[T]) -> None:
        self._waiting.pop(waiting, None)
