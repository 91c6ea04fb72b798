"""Real players at awkward moments: many at once, one that gives up, one that comes while the server stops."""

from __future__ import annotations

import socket
import struct

import pytest
from peers.harness import PeerHarness

pytestmark = [pytest.mark.slow, pytest.mark.peers("node"), pytest.mark.usefixtures("npm_packages")]

VERSION = "1.16.5"


def test_waiting_players_wake_it_once_and_enter_in_order(harness: PeerHarness) -> None:
    proxy, record = harness.minecraft("minecraft-protocol", VERSION, "together", start_delay=6)
    names = [f"Player{number}" for number in range(5)]
    players = []
    for name in names:
        players.append(harness.player(VERSION, proxy.port, name))
        players[-1].wait_for_event("connected")
    for player in players:
        player.wait_for_event("joined")
    assert [login.name for login in record.logins()] == names
    for player in players:
        player.leave()
    proxy.wait_until_asleep()
    assert record.starts() == 1
    proxy.end()


def test_a_player_that_leaves_does_not_cancel_the_start(harness: PeerHarness) -> None:
    proxy, record = harness.minecraft("minecraft-protocol", VERSION, "gives-up", start_delay=4)
    player = harness.player(VERSION, proxy.port, "Hasty")
    player.wait_for_event("connected")
    proxy.wait_for(": starting: Hasty ")
    player.leave()
    proxy.wait_for(r"INFO:zeroscale.access:.*: Hasty .*: left after", 2)
    proxy.wait_for("INFO:.*: ready")
    proxy.wait_until_asleep()
    assert record.logins() == []
    assert record.exit_codes() == [0]
    proxy.end()


def test_a_player_during_the_stop_waits_for_stop_and_start(harness: PeerHarness) -> None:
    proxy, record = harness.minecraft("minecraft-protocol", VERSION, "stopping", stop_delay=6)
    early = harness.player(VERSION, proxy.port, "Early")
    early.wait_for_event("joined")
    early.leave()
    proxy.wait_for("INFO:.*: stopping: ")
    late = harness.player(VERSION, proxy.port, "Late")
    late.wait_for_event("connected")
    assert record.exit_codes() == [], "it was not put to the test"
    late.wait_for_event("joined")
    assert record.exit_codes() == [0], "the stop was cut short"
    assert record.starts() == 2
    late.leave()
    proxy.wait_until_asleep()
    proxy.end()


def test_a_legacy_login_wakes_it_and_is_kicked_in_its_own_format(harness: PeerHarness) -> None:
    proxy, record = harness.minecraft("minecraft-protocol", VERSION, "legacy")
    with socket.create_connection(("127.0.0.1", proxy.port), 5) as client:
        client.sendall(b"\x02\x3d" + string16("Notch") + string16("localhost") + struct.pack(">i", proxy.port))
        received = b""
        while more := client.recv(4096):
            received += more
    assert received[0] == 0xFF
    (units,) = struct.unpack(">H", received[1:3])
    assert received[3:].decode("utf-16-be").strip()
    assert len(received) == 3 + 2 * units
    proxy.wait_for("INFO:.*: ready")
    proxy.wait_until_asleep()
    assert record.starts() == 1
    proxy.end()


def string16(text: str) -> bytes:
    """A string as the game had it before 1.7: its length in UTF-16 units, then these."""
    return struct.pack(">H", len(text)) + text.encode("utf-16-be")
