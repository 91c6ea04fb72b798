"""The history of whole zeroscale processes, as `zeroscalectl` shows it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from peers.programs import DEADLINE, wait_until
from survival.harness import SurvivalHarness, kill_proxy

from zeroscale.history.values import FILE

PLAYER_SIGN = b"x" * 5000
"""What the echoing server sends back, so that the connection counts as a player's."""


def ask(*words: str) -> str:
    """Run zeroscalectl, and return its output."""
    command = [sys.executable, "-m", "zeroscale.ctl.main", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def history(*words: str) -> list[str]:
    """Return the lines of the history, without time and name."""
    return [line.split("  ", 2)[2] for line in ask("history", *words).splitlines()]


@pytest.fixture
def config(harness: SurvivalHarness) -> Path:
    """A configuration of the demo server, which echoes, and stops after six seconds without players."""
    file = harness.directory / "zeroscale.toml"
    file.write_text(f"""
state_directory = "{harness.state}"
control.listen = "unix:{harness.directory}/control.sock"
[servers.survival]
plugin = "demo"
listen = {harness.port}
server = {harness.server_port}
working_directory = "{harness.world}"
idle_shutdown = 6
minimum_online_time = 0
plugin_arguments = {{ start_seconds = 0, switches = "--journal journal --echo" }}
""")
    return file


@pytest.mark.slow
def test_a_wake_a_join_a_refusal_and_a_stop(harness: SurvivalHarness, config: Path) -> None:
    socket = ["--socket", str(harness.directory / "control.sock")]
    proxy = harness.run_configured(config)
    player = harness.player("Ada")
    player.is_joined()
    player.send(PLAYER_SIGN)
    wait_until(lambda: any("Ada (127.0.0.1) is on" in line for line in history(*socket)), "she is on")
    player.leave()
    wait_until(lambda: any("Ada (127.0.0.1) was on" in line for line in history(*socket)), "she was on")
    harness.server_is_gone(proxy)
    wait_until(lambda: "stopped" in ask("history", *socket), "it has stopped")
    ask(*socket, "lockout", "survival")
    harness.player("Bob").is_closed()
    expected = [
        r"woken: Ada \(127\.0\.0\.1\) joined; ready after \d\.\d s",
        r"Ada \(127\.0\.0\.1\) was on for \d+ s; 4\.9 KiB to the server, 4\.9 KiB back",
        r"stopped: no players for 6 s; took \d\.\d s",
        r"Bob \(127\.0\.0\.1\) refused: .*",
    ]
    wait_until(lambda: len(history(*socket)) == len(expected), "all of it is there")
    lines = history(*socket)
    assert [line for line, pattern in zip(lines, expected, strict=True) if not re.fullmatch(pattern, line)] == []
    sums = ask("stats", "survival", *socket)
    assert re.search(r"  Wakes        1\n", sums)
    assert re.search(r"  Players      \d s in 1 session; 1 player\n", sums)
    assert re.search(r"  Idle use     \d+\.\d% of a processor, \d+\.\d MiB of memory \(measured for \d s\)\n", sums)
    assert re.search(r"  Saved        0\.0 processor hours, ", sums)
    [stats] = json.loads(ask("stats", "--json", *socket))
    assert stats["asleep"] > 0
    assert 5 < stats["awake"] < DEADLINE
    assert proxy.terminate() == 0
    assert history("--state-directory", str(harness.state)) == lines, "also while no zeroscale runs"
    assert [line for line in proxy.lines if "WARNING" in line or "ERROR" in line] == []


@pytest.mark.slow
def test_zeroscale_is_killed_while_a_player_is_on(harness: SurvivalHarness, config: Path) -> None:
    socket = ["--socket", str(harness.directory / "control.sock")]
    old = harness.run_configured(config)
    player = harness.player("Ada")
    player.is_joined()
    player.send(PLAYER_SIGN)
    wait_until(lambda: any("Ada (127.0.0.1) is on" in line for line in history(*socket)), "she is on")
    kill_proxy(old)
    files = ["--state-directory", str(harness.state)]
    assert len(history(*files)) == 2
    new = harness.run_configured(config)
    new.wait_for("ready: it ran already")
    wait_until(lambda: "found running" in history(*socket), "it was found")
    woken, session, _found = history(*socket)
    assert woken.startswith("woken: Ada")
    assert re.fullmatch(r"Ada \(127\.0\.0\.1\) was on for \d+ s or longer: zeroscale ended before", session)
    harness.server_is_gone(new)
    assert new.terminate() == 0


@pytest.mark.slow
def test_a_sleeping_zeroscale_has_neither_the_thread_nor_sqlite(harness: SurvivalHarness, config: Path) -> None:
    proxy = harness.run_configured(config)
    harness.status()
    tasks = Path(f"/proc/{proxy.process.pid}/task")
    maps = Path(f"/proc/{proxy.process.pid}/maps")
    assert "sqlite" not in maps.read_text()
    threads = len(list(tasks.iterdir()))
    assert not list(harness.state.glob(f"*/{FILE}"))
    harness.player().is_joined()
    wait_until(lambda: "sqlite" in maps.read_text(), "it is loaded")
    assert len(list(tasks.iterdir())) > threads
    os.kill(proxy.process.pid, signal.SIGTERM)
    assert proxy.wait() == 0
