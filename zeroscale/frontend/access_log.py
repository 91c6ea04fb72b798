"""One line in the log for each connection that has ended, at a bounded rate for each peer.

A flood of connections from one peer would otherwise be a flood of lines: beyond its share of a second they are only
summed up. Uses no connection; the clock is an argument.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping

from twisted.internet.interfaces import IReactorTime

logger = logging.getLogger("zeroscale.access")
"""The access log. Its name is public, and so independent of the module's."""

LINES = 10
"""Lines for one peer in a window; players stay far below it."""

WINDOW = 1.0
"""Seconds."""

MOST_PEERS = 1000
"""Peers counted separately in one window; all further ones are counted together as `OTHERS`."""

OTHERS = "other addresses"


class AccessLog:
    """Logs how connections ended, at most `LINES` lines per peer and window, and one line for the rest."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._logged: Counter[str] = Counter()
        self._suppressed: dict[tuple[str, int], Counter[str]] = {}

    def log(
        self, peer: str, outcome: str, line: str, level: int = logging.INFO, fields: Mapping[str, object] | None = None
    ) -> None:
        """Log the end of one connection, or count it if its peer has had its lines in this window.

        :param peer: what the connections of one peer have in common, see `rate_limit_key`.
        :param outcome: how it ended, in one word.
        :param line: the whole line.
        :param fields: the line's facts, for log formats with fields.
        """
        if not self._logged:
            self._clock.callLater(WINDOW, self._sum_up)
        peer = self._key(peer)
        if self._logged[peer] < LINES:
            self._logged[peer] += 1
            logger.log(level, "%s", line, extra=fields)
        else:
            self._suppressed.setdefault((peer, level), Counter())[outcome] += 1

    def is_enabled_for(self, level: int) -> bool:
        """Return whether lines of this level are written anywhere."""
        return logger.isEnabledFor(level)

    def accepts(self, peer: str) -> bool:
        """Return whether the next connection of this peer gets a line of its own."""
        return self._logged[self._key(peer)] < LINES

    def _key(self, peer: str) -> str:
        return peer if peer in self._logged or len(self._logged) < MOST_PEERS else OTHERS

    def _sum_up(self) -> None:
        suppressed, self._suppressed = self._suppressed, {}
        self._logged.clear()
        for (peer, level), outcomes in suppressed.items():
            listed = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())
            fields = {"peer": peer, "connections": outcomes.total()}
            text = "%s: %d more connections within a second: %s"
            logger.log(min(level, logging.INFO), text, peer, outcomes.total(), listed, extra=fields)
