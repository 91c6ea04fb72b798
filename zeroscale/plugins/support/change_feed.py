"""Telling of the servers that describe themselves: when they are others than before, and what is wrong, once.

It knows neither who describes them nor what their tables mean.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from zeroscale.plugins.support.labels import Table


class Announcements:
    """All that is described now, told when it changes.

    :param changed: called with all tables by their servers' names, once they are known and whenever they change.
    :param complain: called with a line for each thing that is wrong, once for as long as it is.
    """

    def __init__(self, changed: Callable[[Mapping[str, Table]], None], complain: Callable[[str], None]) -> None:
        self._changed = changed
        self._complain = complain
        self._tables: Mapping[str, Table] | None = None
        self._wrong: Sequence[str] = ()

    def seen(self, tables: Mapping[str, Table], wrong: Sequence[str]) -> None:
        """What a look has found.

        :param wrong: a line for each thing that may not be said.
        """
        for line in wrong:
            if line not in self._wrong:
                self._complain(line)
        self._wrong = wrong
        if tables != self._tables:
            self._tables = tables
            self._changed(tables)
