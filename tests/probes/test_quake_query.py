"""Probing a server by the query of Quake 3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from datagram_server import quake
from probes.udp_server import udp_server
from pytest_twisted import ensureDeferred
from twisted.internet import reactor

from zeroscale.probes.quake_query import QuakeProbe
from zeroscale.protocols.quake_query import parse_info, parse_status
from zeroscale.reactor import Reactor
from zeroscale.status import ProbeResult


def with_player(datagram: bytes) -> Sequence[bytes]:
    """Answer as a server on which a player is, beside the bot Sarge."""
    return [
        each.replace(b"g_humanplayers\\0", b"g_humanplayers\\1").removesuffix(b"\n") + b'\n7 48 "^1Ada"\n'
        if b"statusResponse" in each
        else each.replace(b"g_humanplayers\\0", b"g_humanplayers\\1")
        for each in quake(datagram)
    ]


@ensureDeferred
async def test_players_by_name_and_what_a_sleeping_server_repeats() -> None:
    stored: dict[str, bytes] = {}
    async with udp_server(with_player) as server:
        probe = QuakeProbe(cast("Reactor", reactor), "127.0.0.1", server.port, store=stored.__setitem__)
        assert await probe.ask() == ProbeResult(players=1, player_names=("Ada",))
    info, status = parse_info(stored["info"]), parse_status(stored["status"])
    assert (info.players, info.maximum, info.variables["hostname"]) == (0, 8, "^1Red ^7Arena")
    assert status.variables["mapname"] == "oa_dm1"
    assert not status.players
    assert b"Ada" not in stored["status"]


@ensureDeferred
async def test_the_same_answer_is_stored_as_the_same_bytes() -> None:
    stored: list[bytes] = []
    async with udp_server(lambda datagram: list(quake(datagram))) as server:
        probe = QuakeProbe(cast("Reactor", reactor), "127.0.0.1", server.port, store=lambda _, raw: stored.append(raw))
        assert await probe.ask() == ProbeResult(players=0)
        await probe.ask()
    assert len(stored) == 4
    assert stored[:2] == stored[2:]
