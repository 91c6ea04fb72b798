"""Probe a server by Minecraft's own query (GameSpy 4, `enable-query`)."""

from __future__ import annotations

import os

from zeroscale.probes.query import MOST_NAMES, QueryProbe
from zeroscale.protocols.gamespy_query import SESSION_SIZE, GameSpyQuery, without_players
from zeroscale.status import ProbeResult


class MinecraftQueryProbe(QueryProbe):
    """Checks a server by its statistics, which also name its players.

    It stores them as `full` (see `protocols.gamespy_query.SleepingGameSpy`).
    """

    async def _result(self) -> ProbeResult:
        answer = await self._answer(GameSpyQuery(os.urandom(SESSION_SIZE)))
        if full := without_players(answer):
            self._store("full", full)
        return ProbeResult(players=answer.players, player_names=answer.names[:MOST_NAMES])

    async def _with_names(self, result: ProbeResult) -> ProbeResult:
        return result
