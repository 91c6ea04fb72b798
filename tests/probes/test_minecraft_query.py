"""Probing a server by Minecraft's own query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from datagram_server import minecraft
from probes.udp_server import udp_server
from protocols.udp_captures import SERVERS
from pytest_twisted import ensureDeferred
from twisted.internet import reactor

from zeroscale.probes.minecraft_query import MinecraftQueryProbe
from zeroscale.protocols.gamespy_query import parse_statistics
from zeroscale.reactor import Reactor
from zeroscale.status import ProbeResult


@ensureDeferred
async def test_players_by_name_and_what_a_sleeping_server_repeats() -> None:
    stored: dict[str, bytes] = {}
    async with udp_server(lambda datagram: list(minecraft(datagram))) as server:
        probe = MinecraftQueryProbe(cast("Reactor", reactor), "127.0.0.1", server.port, store=stored.__setitem__)
        assert await probe.ask() == ProbeResult(players=2, player_names=("Ada", "Bob"))
    statistics = parse_statistics(stored["full"])
    assert (statistics.players, statistics.names) == (0, ())
    assert statistics.variables["hostname"] == "\xa7aA Minecraft Server"


@ensureDeferred
async def test_the_basic_answer_of_an_old_server_is_not_stored() -> None:
    basic = SERVERS["nukkit basic"][5:]

    def nukkit(datagram: bytes) -> Sequence[bytes]:
        kind, session = datagram[2:3], datagram[3:7]
        return [kind + session + (b"9513307\0" if kind == b"\x09" else basic)]

    stored: dict[str, bytes] = {}
    async with udp_server(nukkit) as server:
        probe = MinecraftQueryProbe(cast("Reactor", reactor), "127.0.0.1", server.port, store=stored.__setitem__)
        assert (await probe.ask()).player_names == ()
    assert stored == {}
