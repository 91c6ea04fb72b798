"""Probe a server by the Source query protocol (A2S), as Steam's server browser does."""

from __future__ import annotations

from msgspec.structs import replace

from zeroscale.probes.query import MOST_NAMES, QueryProbe
from zeroscale.protocols.source_query import (
    InfoReceived,
    PlayersReceived,
    Question,
    RulesReceived,
    SourceQuery,
    without_players,
)
from zeroscale.status import ProbeResult


class SourceProbe(QueryProbe):
    """Checks a server by A2S_INFO, which also counts its players; bots are no players.

    It stores `info` and `rules` (see `protocols.source_query.SleepingSource`).
    """

    async def _result(self) -> ProbeResult:
        answer = await self._answer(SourceQuery(Question.info))
        assert isinstance(answer, InfoReceived)
        self._store("info", without_players(answer.raw))
        return ProbeResult(players=answer.info.people)

    async def _with_names(self, result: ProbeResult) -> ProbeResult:
        rules = await self._extra(SourceQuery(Question.rules))
        if isinstance(rules, RulesReceived):
            self._store("rules", rules.raw)
        players = await self._extra(SourceQuery(Question.players)) if result.players else None
        if not isinstance(players, PlayersReceived):
            return result
        names = [player.name for player in players.players if player.name]
        return replace(result, player_names=tuple(names[:MOST_NAMES]))
