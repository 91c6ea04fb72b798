"""Callbacks for a change; their errors do not reach the code that makes the change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from twisted.python.failure import Failure

T = TypeVar("T")


class Observers(Generic[T]):
    """The observers of one thing.

    :param on_error: called with the failure of an observer that has raised.
    """

    def __init__(self, on_error: Callable[[Failure], None]) -> None:
        self._on_error = on_error
        self._callbacks: list[Callable[[T], object]] = []

    def add(self, callback: Callable[[T], object]) -> Callable[[], None]:
        """Register `callback`, to be called at every change; return a function that ends that."""
        self._callbacks.append(callback)

        def remove() -> None:
            if callback in self._callbacks:
                self._callbacks.remove(callback)

        return remove

    def notify(self, value: T) -> None:
        """Call all observers, in the order in which they were added; one that raises does not stop the others."""
        for callback in list(self._callbacks):
            try:
                callback(value)
            except Exception:
                self._on_error(Failure())
