"""How connections ended: each is told to the log in one line, within bounds.

A flood of connections from one peer would otherwise be a flood of lines: beyond its share of a second they are only
summed up. Knows no connection; the clock is handed in.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Protocol

logger = logging.getLogger(__name__)

LINES = 10
"""Connections of one peer that are told one by one in a window: no player comes near, and nobody reads faster."""

WINDOW = 1.0
"""Seconds."""

MOST_PEERS = 1000
"""Peers told apart in one window; whoever comes then is one of `OTHERS`."""

OTHERS = "other addresses"


class Clock(Protocol):
    """What is needed of Twisted's reactor."""

    def callLater(self, delay: float, callable: Callable[[], object], /) -> object:
        """Calls in so many seconds."""
        ...


class Outcomes:
    """Tells."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told: Counter[str] = Counter()
        self._untold: dict[str, Counter[str]] = {}

    def tell(
        self, peer: str, word: str, line: str, level: int = logging.INFO, fields: Mapping[str, object] | None = None
    ) -> None:
        """Logs one connection's end, if its peer has not had its share of lines yet.

        :param peer: what the peer's connections have in common.
        :param word: the outcome.
        :param line: the whole line.
        :param fields: what it says, for logs whose lines have fields.
        """
        if not self._told:
            self._clock.callLater(WINDOW, self._sum_up)
        peer = self._known(peer)
        if self._told[peer] < LINES:
            self._told[peer] += 1
            logger.log(level, "%s", line, extra=fields)
        else:
            self._untold.setdefault(peer, Counter())[word] += 1

    def has_room(self, peer: str) -> bool:
        """Whether the log will be told of one more connection of this peer; else no word of it."""
        return self._told[self._known(peer)] < LINES

    def _known(self, peer: str) -> str:
        return peer if peer in self._told or len(self._told) < MOST_PEERS else OTHERS

    def _sum_up(self) -> None:
        untold, self._untold = self._untold, {}
        self._told.clear()
        for peer, words in untold.items():
            listed = ", ".join(f"{count} {word}" for word, count in words.most_common())
            fields = {"peer": peer, "connections": words.total()}
            logger.info("%s: %d more connections within a second: %s", peer, words.total(), listed, extra=fields)
