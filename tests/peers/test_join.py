"""A real server that sleeps, a real client that joins it: the whole main job, for each era of the game, twice.

The rounds run a few at a time in threads, because most of a round is waiting; each test awaits its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from mcstatus import JavaServer
from peers.harness import NEWEST_VERSION, PeerHarness, Proxy, Record

pytestmark = [pytest.mark.slow, pytest.mark.peers("node"), pytest.mark.usefixtures("npm_packages")]

ENGINES = {
    "1.8.8": "flying-squid",
    "1.12.2": "flying-squid",
    "1.16.5": "flying-squid",
    "1.20.4": "flying-squid",
    "1.21.4": "flying-squid",
    NEWEST_VERSION: "minecraft-protocol",
}
AT_ONCE = 3


@pytest.fixture(scope="module")
def rounds(harness: PeerHarness, request: pytest.FixtureRequest) -> Iterator[dict[str, Future[None]]]:
    """The rounds of all versions that this run of pytest has selected, under way."""
    nodes = [item for item in request.session.items if item.parent is request.node]
    versions = [str(item.callspec.params["version"]) for item in nodes if isinstance(item, pytest.Function)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {version: pool.submit(two_rounds, harness, version) for version in versions}


@pytest.mark.parametrize("version", ENGINES)
def test_a_sleeping_server_wakes_for_a_player_and_sleeps_again(version: str, rounds: dict[str, Future[None]]) -> None:
    rounds[version].result(timeout=120)


def two_rounds(harness: PeerHarness, version: str) -> None:
    proxy, record = harness.minecraft(ENGINES[version], version, f"join-{version}")
    for number in (1, 2):
        ping_does_not_wake(proxy, record, number - 1)
        join_and_leave(harness, proxy, version)
        proxy.wait_until_asleep()
        assert record.exit_codes() == [0] * number, proxy.text()
    proxy.end()
    assert record.starts() == 2, "something other than the two joins has started the server"


def ping_does_not_wake(proxy: Proxy, record: Record, starts: int) -> None:
    server = JavaServer("127.0.0.1", proxy.port, timeout=5)
    status = server.status()
    assert status.players.online == 0
    assert status.motd.to_plain().strip()
    server.ping()
    proxy.assert_asleep()
    assert record.starts() == starts


def join_and_leave(harness: PeerHarness, proxy: Proxy, version: str) -> None:
    player = harness.player(version, proxy.port)
    joined = player.wait_for_event("joined")
    assert not player.events("kicked")
    assert not player.events("error")
    assert joined["at"] > player.events("login_success")[0]["at"]
    assert proxy.server_processes()
    player.leave()
