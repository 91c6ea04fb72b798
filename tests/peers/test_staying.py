"""Real players who stay: nobody is cut off, however long, and the server sleeps soon after the last one has left."""

from __future__ import annotations

import time

import pytest
from peers.harness import NEWEST_VERSION, PeerHarness

pytestmark = [pytest.mark.slow, pytest.mark.peers("node"), pytest.mark.usefixtures("npm_packages")]

ENGINES = {"1.8.8": "flying-squid", "1.21.4": "flying-squid", NEWEST_VERSION: "minecraft-protocol"}
HEADERS_FROM = "127.0.0.2"
ADDRESS = "203.0.113.7"
"""Not on this machine: addresses of loopback have no limits."""

IDLE = 2.0
LONGER = 60.0 + IDLE + 8.0
"""Seconds: longer than a connection that is no player's keeps a server running."""


def test_players_of_one_address_are_never_cut_off(harness: PeerHarness) -> None:
    options = ["--proxy_protocol_from", HEADERS_FROM]
    servers = {
        version: harness.minecraft(engine, version, f"staying-{version}", idle_shutdown=IDLE, options=options)
        for version, engine in ENGINES.items()
    }
    words = ["--from", HEADERS_FROM, "--header", ADDRESS]
    players = {
        version: [harness.player(version, proxy.port, name, *words) for name in ("Ada", "Bob")]
        for version, (proxy, _) in servers.items()
    }
    for each in players.values():
        for player in each:
            player.wait_for_event("joined", 2 * IDLE + 60)
    until = time.monotonic() + LONGER
    for version, (proxy, record) in servers.items():
        for player in players[version]:
            with pytest.raises(AssertionError, match="passed without a line"):  # and has not ended
                player.wait_for_event("ended", max(0.0, until - time.monotonic()))
            assert not player.events("kicked")
        assert (record.starts(), record.exit_codes()) == (1, [])
        assert "No clients online" not in proxy.text(), "they count by their bytes: the server need not even be asked"
    for version, (proxy, record) in servers.items():
        for player in players[version]:
            player.leave()
        proxy.wait_until_asleep()
        assert (record.starts(), record.exit_codes()) == (1, [0])
        proxy.end()
