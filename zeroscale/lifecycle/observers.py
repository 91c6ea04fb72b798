"""Those who want to know of a change, and must not cost whoever tells them anything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from twisted.python.failure import Failure

T = TypeVar("T")


class Observers(Generic[T]):
    """All who watch one thing.

    :param fault: is told of one that has raised.
    """

    def __init__(self, fault: Callable[[Failure], None]) -> None:
        self._fault = fault
        self._watchers: list[Callable[[T], None]] = []

    def add(self, changed: Callable[[T], None]) -> None:
        """Has it called at every change."""
        self._watchers.append(changed)

    def notify(self, what: T) -> None:
        """It has changed."""
        for changed in list(self._watchers):
            try:
                changed(what)
            except Exception:  # the others are told all the same, and what is being done is done
                self._fault(Failure())
