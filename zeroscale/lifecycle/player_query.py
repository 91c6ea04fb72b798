"""Ask a running server for the number of its players, and for its status."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

from zeroscale.errors import BackendError, ZeroscaleError
from zeroscale.lifecycle.interfaces import AdaptedPlugin, LifecycleDependencies
from zeroscale.status import ProbeResult

CACHE_EVERY = 180.0
"""Seconds after which the status of a running server is stored in the status cache again."""


class PlayerQuery:
    """Asks one server.

    :param clock: monotonic.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._cached_at = float("-inf")

    async def busy_reason(
        self, plugin: AdaptedPlugin, dependencies: LifecycleDependencies, *, ask_server: bool
    ) -> str | None:
        """Return why a server without relayed players must not be stopped, as text for the log; None: it may be.

        :param ask_server: also ask the server itself, if its plugin reports no players.
        """
        try:
            players = await plugin.players()
            if not players and ask_server:
                answer = await dependencies.probe.ask()
                if self._clock.seconds() - self._cached_at >= CACHE_EVERY:
                    self.cache_status(answer, dependencies)
                players = answer.players
                if players is None and not answer.status_disabled:
                    raise BackendError("its status does not say how many are on")
        except (ZeroscaleError, TimeoutError) as error:
            return f"its players could not be counted ({error})"
        return f"players online that did not join through the proxy: {players}" if players else None

    def cache_status(self, answer: ProbeResult, dependencies: LifecycleDependencies) -> None:
        """Store the status of an answer that has one."""
        if answer.status is not None:
            self._cached_at = self._clock.seconds()
            dependencies.status_cache.store(answer.status)
