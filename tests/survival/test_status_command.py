"""A server of the plugin `command` whose `status=` always ends with 0."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from pathlib import Path

import pytest
from peers.programs import Program, wait_until
from survival.harness import AT_ONCE, SurvivalHarness, without_delay

START_TIMEOUT = 1.5


def begin(harness: SurvivalHarness, *options: str, status: str = "true") -> Program:
    """Start a zeroscale whose commands start and stop the small server."""
    program = Path(__file__).with_name("small_server.py")
    server = [sys.executable, "-S", "-E", str(program), str(harness.server_port), str(harness.record)]
    start = harness.world / "start"
    start.write_text(f"#!/bin/sh\n{shlex.join(server)} </dev/null >/dev/null 2>&1 &\necho $! >pid\n")
    stop = harness.world / "stop"
    stop.write_text("#!/bin/sh\nkill $(cat pid) && rm pid\n")
    for command in (start, stop):
        command.chmod(0o755)
    words = ["start=./start", "stop=./stop", f"status={status}", "status_every=0.2", "protocol=minecraft"]
    arguments = [word for argument in words for word in ("-a", argument)]
    return harness.run("command", "--start_timeout", f"{START_TIMEOUT}", *options, *arguments)


def crash(harness: SurvivalHarness) -> None:
    """Kill the server."""
    os.kill(int((harness.world / "pid").read_text()), signal.SIGKILL)
    harness.server_is_gone()


@pytest.mark.slow
def test_the_server_is_started_all_the_same_for_a_player_who_waits(harness: SurvivalHarness) -> None:
    proxy = begin(harness, "-t", "0.5", "--hold_limit", "20")
    proxy.wait_for("WARNING.*status= says that the server runs, but 127.0.0.1:[0-9]+ does not answer; waiting for it")
    player = harness.player()
    proxy.wait_for(r"WARNING.*status= \(true\) says that the server runs, but .* it is taken for stopped")
    player.is_greeted()
    proxy.wait_for(": stopped( after|:)", after=proxy.wait_for(": stopping: "))
    with without_delay():
        harness.player().is_greeted()
    assert len(harness.times_of("started")) == 2
    assert proxy.terminate() == 0
    assert harness.servers() == set()


@pytest.mark.slow
def test_a_player_who_does_not_wait_so_long_finds_it_started(harness: SurvivalHarness) -> None:
    proxy = begin(harness, "-t", "60", "--join", "kick")
    assert "waking" in harness.player().kick_message(AT_ONCE).lower()
    proxy.wait_for(": ready")
    harness.player().is_greeted()
    assert proxy.terminate() == 0
    assert harness.servers() == set()


@pytest.mark.slow
def test_without_players_nothing_is_started(harness: SurvivalHarness) -> None:
    proxy = begin(harness, "-t", "60")
    proxy.wait_for("is taken for stopped")
    proxy.wait_for(": stopped( after|:)")
    assert harness.times_of("started") == []
    with without_delay():
        harness.player().is_greeted()
    assert proxy.terminate() == 0


@pytest.mark.slow
def test_after_a_crash_the_next_player_starts_it(harness: SurvivalHarness) -> None:
    asked = harness.world / "asked"
    status = harness.world / "status"
    status.write_text("#!/bin/sh\necho >>asked\n")
    status.chmod(0o755)
    proxy = begin(harness, "-t", "60", "--hold_limit", "20", status="./status")
    harness.player().is_greeted()
    # Before its port was seen open, the plugin takes a server that does not answer for one that still starts.
    enough = len(asked.read_bytes()) + 2
    wait_until(lambda: len(asked.read_bytes()) >= enough, "it is asked again", program=proxy)
    crash(harness)
    proxy.wait_for("it exited by itself")
    harness.player().is_greeted()
    assert len(harness.times_of("started")) == 2
    assert proxy.terminate() == 0
    assert harness.servers() == set()
