"""Ask a running server for the number of its players, and for its status."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.interfaces import IReactorTime

from zeroscale.errors import BackendError, ZeroscaleError
from zeroscale.event_text import quoted_name
from zeroscale.lifecycle.console_list import ConsoleList
from zeroscale.lifecycle.interfaces import AdaptedPlugin, LifecycleDependencies
from zeroscale.status import ProbeResult

CACHE_EVERY = 180.0
"""Seconds after which the status of a running server is stored in the status cache again."""

MOST_NAMES = 5
"""Players whom the log names."""

LONGEST_NAME = 32
"""Characters of such a name."""


class PlayerQuery:
    """Asks one server.

    :param clock: monotonic.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._cached_at = float("-inf")
        self._console_list = ConsoleList(clock)

    async def busy_reason(
        self, plugin: AdaptedPlugin, dependencies: LifecycleDependencies, *, ask_server: bool
    ) -> str | None:
        """Return why a server without relayed players must not be stopped, as text for the log; None: it may be.

        Where several can tell, the larger number counts. Where the status cannot, the plugin's word is enough, or that
        of the console. Where nothing can the server must not be stopped, unless its operator has turned its status off.

        :param ask_server: also ask the server itself, if its plugin reports no players.
        """
        names: Sequence[str] = ()
        try:
            players = await plugin.players()
            if not players and ask_server:
                players, names = await self._count(plugin, dependencies)
        except (ZeroscaleError, TimeoutError) as error:
            return f"it does not say who is on ({error})"
        return f"players that zeroscale does not relay: {players}{_shown(names)}" if players else None

    def cache_status(self, answer: ProbeResult, dependencies: LifecycleDependencies) -> None:
        """Store the status of an answer that has one."""
        if answer.status is not None:
            self._cached_at = self._clock.seconds()
            dependencies.status_cache.store(answer.status)

    def output_received(self, line: str) -> None:
        """Look for an answer of the server's console in a line of its output."""
        self._console_list.output_received(line)

    async def _count(
        self, plugin: AdaptedPlugin, dependencies: LifecycleDependencies
    ) -> tuple[int | None, Sequence[str]]:
        """Return the number of players by the status, else by the plugin, else by the console.

        :returns: None: it is not known, and need not be; and the names of some of them.
        """
        problem: BackendError | TimeoutError = BackendError("its status does not say how many are on")
        may_be_unknown = False
        try:
            answer = await dependencies.probe.ask()
        except (BackendError, TimeoutError) as error:
            problem = error
        else:
            if self._clock.seconds() - self._cached_at >= CACHE_EVERY:
                self.cache_status(answer, dependencies)
            if answer.players is not None:
                return answer.players, answer.player_names
            may_be_unknown = answer.status_disabled
        reported = await plugin.players()  # again: a player may have joined while the status was waited for
        if reported is None and dependencies.player_list is not None:
            reported = await self._console_list.count(plugin, dependencies.player_list)
        if reported is None and not may_be_unknown:
            raise problem
        return reported, ()


def _shown(names: Sequence[str]) -> str:
    if not names:
        return ""
    shown = [quoted_name(name[:LONGEST_NAME]) for name in names[:MOST_NAMES]]
    return f" ({', '.join(shown)}{', ...' if len(names) > MOST_NAMES else ''})"
