"""Real servers that read no console: they are stopped by a signal, and players are not locked out."""

from __future__ import annotations

import shlex
import time

import pytest
from mcstatus import JavaServer
from peers.harness import NEWEST_VERSION, PeerHarness, Proxy, Record, server_command
from ports import free_port

pytestmark = [pytest.mark.slow, pytest.mark.peers("node"), pytest.mark.usefixtures("npm_packages")]

SERVERS = [("flying-squid", "1.21.4"), ("minecraft-protocol", "1.8.8"), ("minecraft-protocol", NEWEST_VERSION)]

SCRIPT = """#!/bin/sh
trap 'wait $server; exit 0' TERM
{} &
server=$!
wait $server
"""

IN_AGAIN_WITHIN = 30.0
"""Seconds: a stop and a start of the slowest of these servers on a busy machine, and far less than --stop-timeout."""


def begin(harness: PeerHarness, plugin: str, engine: str, version: str, *arguments: str) -> tuple[Proxy, Record]:
    """Start a proxy whose server is run by a shell script in the background, so that it has no input."""
    name = f"{plugin}-{engine}-{version}"
    record, server_port = Record(harness.directory / f"{name}.record"), free_port()
    script = harness.directory / name / "start.sh"
    script.parent.mkdir()
    script.write_text(SCRIPT.format(shlex.join(server_command(engine, version, server_port, record=record.path))))
    script.chmod(0o755)
    return harness.proxy(plugin, name, ["./start.sh", *arguments], server_port, idle_shutdown=1), record


@pytest.mark.parametrize(("plugin", "argument"), [("minecraft", "stop=SIGTERM"), ("generic", "protocol=minecraft")])
@pytest.mark.parametrize(("engine", "version"), SERVERS)
def test_a_player_who_comes_when_it_stops_is_in_soon(
    harness: PeerHarness, plugin: str, argument: str, engine: str, version: str
) -> None:
    proxy, record = begin(harness, plugin, engine, version, argument)
    assert JavaServer("127.0.0.1", proxy.port, timeout=5).status().players.online == 0
    assert record.starts() == 0, "a ping does not wake it"
    first = harness.player(version, proxy.port)
    first.wait_for_event("joined")
    first.leave()
    at = proxy.wait_for(": stopping: ")
    began = time.monotonic()
    second = harness.player(version, proxy.port)
    second.wait_for_event("joined", IN_AGAIN_WITHIN)
    assert time.monotonic() - began < IN_AGAIN_WITHIN
    assert record.exit_codes() == [143]
    second.leave()
    proxy.wait_for(": stopped( after|:)", after=proxy.wait_for(": stopping: ", after=at))
    proxy.wait_until_asleep()
    assert (record.starts(), record.exit_codes()) == (2, [143, 143])
    proxy.end()


def test_a_player_who_does_not_come_through_the_proxy_keeps_it_running(harness: PeerHarness) -> None:
    version = NEWEST_VERSION
    server_port = free_port()
    command = server_command("minecraft-protocol", version, server_port)
    proxy = harness.proxy("generic", "direct", [*command, "protocol=minecraft"], server_port, idle_shutdown=1)
    visitor = harness.player(version, proxy.port, "Visitor")
    visitor.wait_for_event("joined")
    direct = harness.player(version, server_port, "Direct")
    direct.wait_for_event("joined")
    visitor.leave()
    proxy.wait_for("players that zeroscale does not relay: 1")
    direct.leave()
    proxy.wait_until_asleep()
    proxy.end()
