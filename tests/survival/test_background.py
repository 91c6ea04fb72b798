"""Start scripts that leave the server in the background: one world, one server, saved whole."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from peers.programs import Program, wait_until
from survival.harness import SurvivalHarness, kill_proxy

pytestmark = [pytest.mark.slow, pytest.mark.peers("tmux", "screen")]

IDLE = 1.0


@pytest.fixture(autouse=True)
def _own_multiplexers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "screens").mkdir(mode=0o700)
    monkeypatch.setenv("TMUX_TMPDIR", str(tmp_path))
    monkeypatch.setenv("SCREENDIR", str(tmp_path / "screens"))
    for name in ("TMUX", "TMUX_PANE", "STY", "WINDOW"):
        monkeypatch.delenv(name, raising=False)
    yield
    subprocess.run(["tmux", "kill-server"], check=False, capture_output=True)
    subprocess.run(["screen", "-X", "quit"], check=False, capture_output=True)


def run(harness: SurvivalHarness, script: str) -> Program:
    """Start a zeroscale whose start script is this; {} stands for the demo server's command."""
    program = [sys.executable, "-P", "-m", "zeroscale.plugins.demo.program", "--host", "127.0.0.1"]
    program += [
        "--port",
        str(harness.server_port),
        "--start-seconds",
        "1.5",
        "--slow-stop",
        "1",
        "--journal",
        "journal",
    ]
    line = script.format(shlex.quote(shlex.join(program)))
    return harness.run("minecraft", "-t", f"{IDLE:g}", "-a", "sh", "-a", "-c", "-a", line)


SCRIPTS = {
    "tmux": "tmux new-session -d -s mc {}",
    "screen": "screen -dmS mc sh -c {}",
    "nohup": "nohup sh -c {} >/dev/null 2>&1 &",
}


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
@pytest.mark.parametrize("before", [False, True], ids=["", "after others"])
def test_it_wakes_sleeps_and_wakes_again(harness: SurvivalHarness, script: str, before: bool) -> None:
    if before:
        subprocess.run(["tmux", "new-session", "-d", "-s", "other", "sleep 600"], check=True)
        subprocess.run(["screen", "-dmS", "other", "sleep", "600"], check=True)
    proxy = run(harness, script)
    harness.player().is_greeted()
    proxy.wait_for("runs in the background .* Have the command run it in the foreground")
    stopping = proxy.wait_for(": stopping: ")
    late = harness.player("Late")
    offline = proxy.wait_for(": stopped( after|:)", after=stopping)
    assert harness.journal().consistent
    assert harness.journal().saves == 1
    late.is_greeted()
    proxy.wait_for(": stopped( after|:)", after=offline)
    assert proxy.terminate() == 0
    harness.server_is_gone(proxy)
    report = harness.journal()
    assert (report.consistent, report.closed, report.saves) == (True, True, 2)


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_it_outlives_a_killed_proxy_and_is_adopted(harness: SurvivalHarness, script: str) -> None:
    old = run(harness, script)
    harness.player().is_greeted()
    kill_proxy(old)
    new = run(harness, script)
    new.wait_for("found running")
    harness.player().is_greeted()
    new.wait_for(": stopped( after|:)")
    assert new.terminate() == 0
    report = harness.journal()
    assert (report.consistent, report.closed, report.saves) == (True, True, 1)


def test_a_server_that_was_started_by_hand_is_named_and_left_alone(harness: SurvivalHarness) -> None:
    script = "import socket, sys, time; s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-S", "-c", script, str(harness.server_port)]) as other:
        try:
            wait_until(lambda: accepts(harness.server_port), "the other server listens")
            proxy = run(harness, "exec {}")
            assert "could not be started" in harness.player().kick_message()
            proxy.wait_for(rf"process {other.pid} \(\S+\) already answers on the server's port")
            assert proxy.terminate() == 0
            assert other.poll() is None
        finally:
            other.kill()


def test_a_listener_that_cannot_be_identified_is_named(harness: SurvivalHarness) -> None:
    """The script has the server started by something else, as a container engine or a service manager does."""
    script = "import socket, sys, time; s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); time.sleep(600)"
    go = harness.directory / "go"
    os.mkfifo(go)
    waits = f"read -r line <{go}; exec {shlex.join([sys.executable, '-S', '-c', script, str(harness.server_port)])}"
    with subprocess.Popen(["sh", "-c", waits]) as other:
        try:
            proxy = harness.run("minecraft", "-a", "sh", "-a", "-c", "-a", f"echo >{go}; sleep 1")
            assert "ended while it started" in harness.player().kick_message()
            proxy.wait_for(
                rf"its command has ended, and process {other.pid} \(\S+\) listens on the server's port, but is"
            )
            at = len(proxy.lines)
            harness.player().kick_message()
            proxy.wait_for(rf"process {other.pid} \(\S+\) already answers on the server's port", after=at)
            assert proxy.terminate() == 0
            assert other.poll() is None
        finally:
            other.kill()


def accepts(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
