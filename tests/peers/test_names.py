"""Real clients with names that are not plain ASCII: they wake a sleeping server, and get into a running one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from peers.harness import NEWEST_VERSION, PeerHarness

pytestmark = [pytest.mark.slow, pytest.mark.peers("node"), pytest.mark.usefixtures("npm_packages")]

NAMES = ["Миряев", "Jürgen", "名前", "has space", "\U0001f600" * 8, "\u202eevetS\u200f", "\x1b[2J'\"\\"]


@pytest.mark.parametrize(
    ("engine", "version"),
    [
        ("minecraft-protocol", "1.7.10"),
        ("flying-squid", "1.12.2"),
        ("flying-squid", "1.20.4"),
        ("minecraft-protocol", NEWEST_VERSION),
    ],
)
def test_any_name_wakes_and_joins(harness: PeerHarness, engine: str, version: str) -> None:
    proxy, record = harness.minecraft(engine, version, f"names-{version}", start_delay=1, idle_shutdown=20)
    first, *others = NAMES
    players = [harness.player(version, proxy.port, first)]
    players[0].wait_for_event("joined")
    assert record.starts() == 1
    players += [harness.player(version, proxy.port, name) for name in others]
    for player in players:
        player.wait_for_event("joined")
        assert not player.events("kicked")
    assert sorted(str(login.name) for login in record.logins()) == sorted(NAMES)
    for player in players:
        player.leave()
    for name in ("Миряев", "'has space'", r"'\u202eevetS\u200f'"):
        shown = name.replace("\\", "\\\\")
        proxy.wait_for(rf":zeroscale.access:[^ ]+: {shown} \(127.0.0.1:\d+\): closed")
    assert "\x1b" not in proxy.text()
    proxy.end()


def test_a_name_that_is_too_long_is_a_kick(harness: PeerHarness) -> None:
    proxy, record = harness.minecraft("minecraft-protocol", "1.20.4", "long-name")
    player = harness.player("1.20.4", proxy.port, "я" * 17)
    kicked = player.wait_for_event("kicked")
    reason: Any = json.loads(kicked["reason"]) if isinstance(kicked["reason"], str) else kicked["reason"]
    assert "1 to 16 characters" in json.dumps(reason)
    assert record.starts() == 0
    proxy.end()
