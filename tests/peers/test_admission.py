"""Real clients that may not wake a server: each reads the reason."""

from __future__ import annotations

import json
from typing import Any

import pytest
from peers.harness import PeerHarness
from peers.programs import wait_for_changed_files

pytestmark = [pytest.mark.slow, pytest.mark.peers("node"), pytest.mark.usefixtures("npm_packages")]

WORDS = "You are not white-listed on this server!"
KEY = "multiplayer.disconnect.not_whitelisted"


def test_a_list_that_the_games_reader_takes(harness: PeerHarness) -> None:
    proxy, record = harness.minecraft("minecraft-protocol", "1.20.4", "lenient-list")
    (proxy.directory / "server.properties").write_text(f"white-list=true\nserver-port={proxy.server_port}\n")
    words = '\ufeff// friends\n[\n  {"name": "Миряев"}, # since 2019\n]\n'
    (proxy.directory / "whitelist.json").write_text(words)
    stranger = harness.player("1.20.4", proxy.port, "名前")
    assert WORDS in json.dumps(stranger.wait_for_event("kicked"))
    assert record.starts() == 0
    player = harness.player("1.20.4", proxy.port, "Миряев")
    player.wait_for_event("joined")
    player.leave()
    proxy.wait_until_asleep()
    (proxy.directory / "whitelist.json").unlink()
    (proxy.directory / "white-list.txt").write_text("名前\n")
    wait_for_changed_files()
    assert WORDS in json.dumps(harness.player("1.20.4", proxy.port, "Миряев").wait_for_event("kicked"))
    player = harness.player("1.20.4", proxy.port, "名前")
    player.wait_for_event("joined")
    player.leave()
    proxy.wait_until_asleep()
    assert record.starts() == 2
    proxy.end()


def test_refused_clients_of_every_version_read_why_and_wake_nothing(harness: PeerHarness) -> None:
    proxy, record = harness.minecraft("minecraft-protocol", "1.16.5", "whitelisted")
    (proxy.directory / "server.properties").write_text(f"white-list=true\nserver-port={proxy.server_port}\n")
    (proxy.directory / "whitelist.json").write_text("[]")
    players = {
        version: harness.player(version, proxy.port, "Steve") for version in ("1.8.8", "1.12.2", "1.16.5", "26.1")
    }
    for version, player in players.items():
        kicked = player.wait_for_event("kicked")
        reason: Any = json.loads(kicked["reason"]) if isinstance(kicked["reason"], str) else kicked["reason"]
        assert kicked["state"] == "login"
        assert (KEY in json.dumps(reason)) is (version not in ("1.8.8", "1.12.2")), reason
        assert WORDS in json.dumps(reason)
    (proxy.directory / "whitelist.json").write_text('[{"uuid": null, "name": "steve"}]')
    wait_for_changed_files()
    player = harness.player("1.16.5", proxy.port, "Steve")
    player.wait_for_event("joined")
    player.leave()
    proxy.wait_until_asleep()
    assert record.starts() == 1
    proxy.end()
