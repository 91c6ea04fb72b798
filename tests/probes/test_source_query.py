"""Probing a server by Source queries."""

from __future__ import annotations

from typing import cast

import pytest
from datagram_server import INFO, RULES, source
from probes.udp_server import udp_server
from pytest_twisted import ensureDeferred
from twisted.internet import reactor

from zeroscale.probes.source_query import SourceProbe
from zeroscale.protocols.source_query import parse_info
from zeroscale.reactor import Reactor
from zeroscale.status import ProbeResult


@ensureDeferred
async def test_players_by_name_and_what_a_sleeping_server_repeats() -> None:
    stored: dict[str, bytes] = {}
    answer = source()
    async with udp_server(lambda datagram: list(answer(datagram))) as server:
        probe = SourceProbe(cast("Reactor", reactor), "127.0.0.1", server.port, store=stored.__setitem__)
        assert await probe.ask() == ProbeResult(players=2, player_names=("Ada", "Bob\ufffd"))
    info = parse_info(stored.pop("info"))
    assert (info.name, info.map, info.players, info.bots, info.maximum) == ("Meadows", "Midgard", 0, 0, 32)
    assert stored == {"rules": RULES}


@pytest.mark.parametrize(("players", "bots"), [(0, 0), (5, 5), (3, 7)])
@ensureDeferred
async def test_bots_are_no_players(players: int, bots: int) -> None:
    answer = source(INFO.replace(b"\x03\x20\x01", bytes((players, 32, bots))))
    async with udp_server(lambda datagram: list(answer(datagram))) as server:
        assert await SourceProbe(cast("Reactor", reactor), "127.0.0.1", server.port).ask() == ProbeResult(players=0)
