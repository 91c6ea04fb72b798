"""Real clients wait for a server that takes 40 s to start, though they give up after 30 s of silence.

All of them wait at the same time, each for a server of its own; the tests await them one by one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from peers.harness import NEWEST_VERSION, PeerHarness

pytestmark = [pytest.mark.slow, pytest.mark.peers("node"), pytest.mark.usefixtures("npm_packages")]

START_DELAY = 40.0
CLIENT_LIMIT = 30.0
"""Seconds without a byte after which the game's client gives up, from 1.8 on (docs/protocol.md, "Holding a client");
client.js does the same."""

WAITING = ("1.13.2", "1.16.5", "1.20.1", "1.20.4", "1.21.4", "1.21.11", NEWEST_VERSION)
KICKED = ("1.8.8", "1.12.2")


@pytest.fixture(scope="module")
def holds(harness: PeerHarness, request: pytest.FixtureRequest) -> Iterator[dict[str, Future[None]]]:
    """The holds of all versions that this run of pytest has selected, under way."""
    nodes = [item for item in request.session.items if item.parent is request.node]
    versions = [str(item.callspec.params["version"]) for item in nodes if isinstance(item, pytest.Function)]
    scenarios: dict[str, Callable[[PeerHarness, str], None]] = {
        **dict.fromkeys(WAITING, waits_and_plays),
        **dict.fromkeys(KICKED, is_kicked_and_comes_again),
    }
    with ThreadPoolExecutor(len(versions)) as pool:
        yield {version: pool.submit(scenarios[version], harness, version) for version in versions}


@pytest.mark.parametrize("version", WAITING)
def test_a_client_waits_longer_than_its_own_limit(version: str, holds: dict[str, Future[None]]) -> None:
    holds[version].result(timeout=180)


@pytest.mark.parametrize("version", KICKED)
def test_a_client_that_cannot_wait_is_kicked_and_joins_again(version: str, holds: dict[str, Future[None]]) -> None:
    holds[version].result(timeout=180)


def waits_and_plays(harness: PeerHarness, version: str) -> None:
    proxy, record = harness.minecraft("minecraft-protocol", version, f"hold-{version}", start_delay=START_DELAY)
    player = harness.player(version, proxy.port)
    connected = player.wait_for_event("connected")
    joined = player.wait_for_event("joined", START_DELAY + 30)
    assert joined["at"] - connected["at"] > CLIENT_LIMIT + 5, "it was not put to the test"
    assert len(player.events("held")) >= 3
    # The server sends its first keep alive some seconds after the join; it kicks clients that do not answer it.
    player.wait_for_event("keep_alive", 30)
    assert not player.events("kicked")
    player.leave()
    proxy.wait_until_asleep()
    (login,) = record.logins()
    assert login.packets[:2] == ["set_protocol", "login_start"]
    assert "login_plugin_response" not in login.packets
    assert login.frames() == 2
    proxy.end()


def is_kicked_and_comes_again(harness: PeerHarness, version: str) -> None:
    proxy, record = harness.minecraft(
        "minecraft-protocol", version, f"hold-{version}", start_delay=START_DELAY, idle_shutdown=10
    )
    began = time.monotonic()
    player = harness.player(version, proxy.port)
    connected = player.wait_for_event("connected")
    kicked = player.wait_for_event("kicked", CLIENT_LIMIT + 5)
    assert 10 < kicked["at"] - connected["at"] < CLIENT_LIMIT
    assert plain_text(kicked["reason"]).strip()
    assert not player.events("idle_timeout")
    player.wait()
    proxy.wait_for("INFO:.*: ready", START_DELAY + 30)
    assert time.monotonic() - began > START_DELAY
    second = harness.player(version, proxy.port)
    connected = second.wait_for_event("connected")
    joined = second.wait_for_event("joined")
    assert joined["at"] - connected["at"] < 5
    second.leave()
    proxy.wait_until_asleep(40)
    (login,) = record.logins()
    assert login.frames() == 2
    proxy.end()


def plain_text(reason: str) -> str:
    """The plain text of a JSON component."""

    def plain(component: object) -> str:
        match component:
            case str():
                return component
            case list():
                return "".join(map(plain, component))
            case dict():
                return str(component.get("text", "")) + plain(component.get("extra", []))
        return ""

    return plain(json.loads(reason))
