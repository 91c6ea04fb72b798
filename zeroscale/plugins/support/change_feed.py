"""Report the servers that labels or annotations describe whenever they change, and each mistake in them once.

It neither reads labels nor interprets the tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from zeroscale.plugins.support.labels import Table


class ChangeFeed:
    """Compare each new set of tables and mistakes with the one before.

    :param on_change: called with all tables by server name, with the first set and whenever a set differs from the
        one before.
    :param on_mistake: called with each mistake, one line; once for as long as it is there.
    """

    def __init__(self, on_change: Callable[[Mapping[str, Table]], None], on_mistake: Callable[[str], None]) -> None:
        self._on_change = on_change
        self._on_mistake = on_mistake
        self._tables: Mapping[str, Table] | None = None
        self._mistakes: Sequence[str] = ()

    def update(self, tables: Mapping[str, Table], mistakes: Sequence[str]) -> None:
        """Take the set that was read now."""
        for mistake in mistakes:
            if mistake not in self._mistakes:
                self._on_mistake(mistake)
        self._mistakes = mistakes
        if tables != self._tables:
            self._tables = tables
            self._on_change(tables)
