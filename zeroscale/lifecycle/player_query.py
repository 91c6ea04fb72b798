"""What a running server itself is asked: who is on it, and how it looks. Knows nothing of what hangs on the answer."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

from zeroscale.errors import ZeroscaleError
from zeroscale.lifecycle.interfaces import AdaptedPlugin, LifecycleDependencies
from zeroscale.status import ProbeResult

CACHE_EVERY = 180.0
"""Seconds between two looks at a running server's own status for keeping it."""


class PlayerQuery:
    """One server's.

    :param clock: monotonic.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._kept_at = float("-inf")

    async def busy_reason(self, plugin: AdaptedPlugin, parts: LifecycleDependencies, *, asks: bool) -> str | None:
        """Why it must not be stopped though nobody is relayed, in words for the log; None: nobody is on.

        :param asks: it can say so itself, as its plugin may, too.
        """
        try:
            players = await plugin.players()
            if not players and asks:
                answer = await parts.probe.ask()
                if self._clock.seconds() - self._kept_at >= CACHE_EVERY:
                    self.cache_status(answer, parts)
                players = answer.players
        except (ZeroscaleError, TimeoutError) as error:
            return f"it does not say who is on ({error})"
        return f"{players} on it that did not come through here" if players else None

    def cache_status(self, answer: ProbeResult, parts: LifecycleDependencies) -> None:
        """Keeps how it looks, where it has said so."""
        if answer.status is not None:
            self._kept_at = self._clock.seconds()
            parts.status_cache.store(answer.status)
