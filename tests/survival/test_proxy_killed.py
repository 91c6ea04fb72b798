"""SIGKILL of the proxy in every state, then a new one: never two servers at a time, and no damage to the world."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path

import pytest
from peers.programs import Program, answers, wait_until
from survival.harness import SurvivalHarness, kill_proxy, state_of, without_delay


def assert_saved(harness: SurvivalHarness, *proxies: Program, runs: int) -> None:
    """Assert that nothing runs, and that as many servers have run one after the other and saved their world."""
    assert harness.servers() == set()
    for proxy in proxies:
        assert "Traceback" not in proxy.text(), proxy.text()
    report = harness.journal()
    assert report.consistent
    assert report.closed
    assert (report.runs, report.saves) == (runs, runs)


@pytest.mark.slow
def test_proxy_killed_while_the_server_is_stopped(harness: SurvivalHarness) -> None:
    old = harness.run_demo()
    kill_proxy(old)
    new = harness.run_demo()
    assert "Asleep" in harness.motd()
    harness.player().is_greeted()
    assert new.terminate() == 0
    assert_saved(harness, old, new, runs=1)


@pytest.mark.slow
def test_proxy_killed_while_the_server_starts(harness: SurvivalHarness) -> None:
    # It ignores SIGTERM: that it stops shows that the new proxy writes to the console that the old one has made.
    switches = "--ignore-term"
    old = harness.run_demo(start=4, switches=switches)
    waiting = harness.player()
    old.wait_for("Preparing level")
    server = harness.server()
    kill_proxy(old)
    waiting.is_closed()
    new = harness.run_demo(start=4, switches=switches, idle=0.3)
    new.wait_for("found running")
    assert "Waking up" in harness.motd()
    harness.player().is_greeted()
    assert harness.server() == server
    harness.server_is_gone(new)  # idle
    new.wait_for(": stopped( after|:)")
    assert new.terminate() == 0
    assert_saved(harness, old, new, runs=1)


def test_proxy_killed_with_players(harness: SurvivalHarness) -> None:
    switches = "--echo --ignore-term"
    old = harness.run_demo(switches=switches)
    on = harness.player()
    on.is_joined()
    server = harness.server()
    with without_delay():
        kill_proxy(old)
        on.is_closed()
    new = harness.run_demo(switches=switches, idle=2)
    new.wait_for(": ready")
    staying = harness.player("Staying")
    staying.is_joined()
    assert harness.server() == server
    assert harness.status()["players"] == {"online": 1, "max": 20}
    at = new.wait_for("Total clients: 1")
    staying.leave()
    new.wait_for("Lost connection, total clients: 0", after=at)
    harness.server_is_gone(new)
    new.wait_for(": stopped( after|:)")
    again = harness.player("Again")
    again.is_joined()
    assert harness.server() != server
    assert new.terminate() == 0
    assert_saved(harness, old, new, runs=2)


@pytest.mark.slow
def test_proxy_killed_while_the_server_stops(harness: SurvivalHarness) -> None:
    """While it saves, it still accepts connections."""
    switches = "--echo --ignore-term --slow-stop 4"
    old = harness.run_demo(switches=switches, idle=0)
    first = harness.player()
    first.is_joined()
    first.leave()
    wait_until(lambda: "Saving worlds" in harness.console(), "it saves", program=old)
    server = harness.server()
    kill_proxy(old)
    new = harness.run_demo(switches=switches)
    new.wait_for("stopping: an earlier zeroscale or another program")
    assert "Going to sleep" in harness.motd()
    joining = harness.player("Next")
    joining.is_joined()
    assert harness.server() != server
    new.wait_for("Total clients: 1")
    offline, online, relayed = (new.text().index(text) for text in (": stopped after", ": ready", "Total clients: 1"))
    assert offline < online < relayed, "nobody was connected to the server that was about to end"
    joining.leave()
    assert new.terminate() == 0
    assert_saved(harness, old, new, runs=2)


COMMANDS = {
    "start": """
rm -f in; mkfifo in
setsid {python} -P -m zeroscale.plugins.demo.program --port {port} --start-seconds 0 --journal journal --echo \\
  --ignore-term --slow-stop 4 <>in >output 2>&1 & echo $! >pid""",
    "status": "test -s pid && readlink /proc/$(cat pid)/exe >/dev/null || exit 3",  # a zombie has no exe
}


@pytest.mark.slow
@pytest.mark.parametrize("stop", ["echo stop >in", "echo stop >in; while ./status; do sleep 0.1; done"])
def test_proxy_killed_while_a_command_stops_the_server(harness: SurvivalHarness, stop: str) -> None:
    """A server that is not a process of zeroscale, whether its stop command waits for its end or not."""
    for name, work in {**COMMANDS, "stop": stop}.items():
        script = harness.world / name
        script.write_text(f"#!/bin/sh\n{work.format(python=sys.executable, port=harness.server_port)}\n")
        script.chmod(0o700)
    arguments = [word for name in ("start", "stop", "status") for word in ("-a", f"{name}=./{name}")]
    arguments += ["-a", "protocol=minecraft", "-a", "status_every=0.2"]
    old = harness.run("command", "-t", "0", *arguments)
    first = harness.player()
    first.is_joined()
    first.leave()
    wait_until(lambda: "Saving worlds" in (harness.world / "output").read_text(), "it saves", program=old)
    kill_proxy(old)
    new = harness.run("command", *arguments)
    new.wait_for("stopping: an earlier zeroscale or another program")
    assert "Going to sleep" in harness.motd()
    joining = harness.player("Next")
    joining.is_joined()
    new.wait_for("Total clients: 1")
    offline, online, relayed = (new.text().index(text) for text in (": stopped after", ": ready", "Total clients: 1"))
    assert offline < online < relayed, "nobody was connected to the server that was about to end"
    joining.leave()
    assert new.terminate() == 0
    assert_saved(harness, old, new, runs=2)


@pytest.mark.slow
def test_proxy_killed_while_the_server_is_paused(harness: SurvivalHarness) -> None:
    switches = "--ignore-term"
    old = harness.run_demo("--idle_action", "pause", switches=switches, idle=0)
    harness.player().is_greeted()
    wait_until(lambda: state_of(harness.server()) == "T", "it is paused", program=old)
    server = harness.server()
    kill_proxy(old)
    new = harness.run_demo(switches=switches)
    new.wait_for(": ready")
    harness.player().is_greeted()
    assert harness.server() == server
    assert new.terminate() == 0
    assert_saved(harness, old, new, runs=1)


@pytest.mark.slow
def test_a_player_who_joins_while_an_adopted_server_stops_gets_a_new_one(harness: SurvivalHarness) -> None:
    """As the real server does, it has closed its port, and goes on saving."""
    old = harness.run_small_server(idle=0, stop=4)
    harness.player().is_greeted()
    old.wait_for(": stopping: ")
    wait_until(lambda: not answers(harness.server_port), "it stops", program=old)
    kill_proxy(old)
    new = harness.run_small_server()
    new.wait_for("stopping: an earlier zeroscale or another program")
    harness.player("Next").is_greeted()
    assert len(harness.times_of("started")) == 2
    assert harness.times_of("started")[1] > harness.times_of("stopped")[0]
    assert new.terminate() == 0
    assert "failed" not in new.text()


@pytest.mark.slow
def test_an_adopted_server_is_stopped_when_the_proxy_exits(harness: SurvivalHarness) -> None:
    old = harness.run_demo(start=1.5, switches="--ignore-term")
    harness.player()
    old.wait_for("Preparing level")
    kill_proxy(old)
    new = harness.run_demo(switches="--ignore-term")
    new.wait_for("found running")
    assert new.terminate() == 0
    assert_saved(harness, old, new, runs=1)


@pytest.mark.slow
def test_a_second_proxy_for_the_same_server_is_refused(harness: SurvivalHarness, tmp_path: Path) -> None:
    first = harness.run_demo()
    harness.player().is_greeted()
    for state in (harness.state, tmp_path / "another"):
        second = harness.run_demo(state=state, listens=False)
        assert second.wait() == 1
        (line,) = [line for line in second.lines if not re.match(r"\S+ (DEBUG|INFO):", line)]
        found = re.fullmatch(r"zeroscale: error: another zeroscale \(process (\d+)\) holds (\S+): stop .*", line)
        assert found is not None, line
        assert int(found[1]) == first.process.pid
        assert Path(found[2]).exists()
    harness.player().is_greeted()
    assert first.terminate() == 0
    assert_saved(harness, first, runs=1)


@pytest.mark.parametrize(
    ("moment", "start"),
    [
        # Its port is not bound yet, and no world is open: only the lock of zeroscale shows that it runs.
        pytest.param("Starting minecraft", 60, marks=pytest.mark.slow),
        pytest.param("Preparing level", 3, marks=pytest.mark.slow),
        pytest.param(": ready", 0, marks=pytest.mark.slow),
    ],
)
def test_no_second_server_is_started_beside_one_of_another_state_directory(
    harness: SurvivalHarness, tmp_path: Path, moment: str, start: float
) -> None:
    old = harness.run_demo(start=start)
    harness.player()
    old.wait_for(moment)
    wait_until(lambda: bool(harness.servers()), "its process runs", program=old)
    server = harness.server()
    kill_proxy(old)
    new = harness.run_demo(state=tmp_path / "another")
    assert "could not be started" in harness.player().kick_message()
    assert "Something went wrong" in harness.motd()
    new.wait_for("failed: (process .* already answers on the server's port|.* holds )")
    assert harness.server() == server
    assert new.terminate() == 0
    assert harness.server() == server, "the new proxy must not stop it"
    os.kill(server, signal.SIGTERM)
    harness.server_is_gone()
    assert_saved(harness, old, new, runs=1)
