"""Probe a server by the query of Quake 3 and its relatives."""

from __future__ import annotations

import os

from msgspec.structs import replace

from zeroscale.probes.query import MOST_NAMES, QueryProbe
from zeroscale.protocols.quake_query import (
    GET_INFO,
    GET_STATUS,
    QuakeInfoReceived,
    QuakeQuery,
    QuakeStatusReceived,
    without_players,
)
from zeroscale.status import ProbeResult


class QuakeProbe(QueryProbe):
    """Checks a server by `getinfo`, which also counts its players; bots are none where the server tells them apart.

    It stores `info` and `status` (see `protocols.quake_query.SleepingQuake`).
    """

    async def _result(self) -> ProbeResult:
        answer = await self._answer(QuakeQuery(GET_INFO, _word()))
        assert isinstance(answer, QuakeInfoReceived)
        self._store("info", without_players(answer))
        return ProbeResult(players=answer.players)

    async def _with_names(self, result: ProbeResult) -> ProbeResult:
        status = await self._extra(QuakeQuery(GET_STATUS, _word()))
        if not isinstance(status, QuakeStatusReceived):
            return result
        self._store("status", without_players(status))
        players = status.players
        if result.players is not None and result.players < len(players):
            players = tuple(player for player in players if player.ping)  # bots have none
        names = [player.name for player in players if player.name]
        return replace(result, player_names=tuple(names[:MOST_NAMES]))


def _word() -> bytes:
    return os.urandom(8).hex().encode()
