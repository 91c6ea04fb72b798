"""A whole zeroscale with a server that needs another one: order of starts and stops, crashes, a killed zeroscale."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from pathlib import Path
from subprocess import run

import pytest
from peers.programs import DEADLINE, Program, processes_in, wait_until
from ports import free_ports
from survival.harness import Player, SurvivalHarness

SERVER = Path(__file__).with_name("small_server.py")


class Two:
    """Two small servers, `app` and `db`, which it needs.

    :ivar app: where players of `app` connect.
    """

    def __init__(self, harness: SurvivalHarness, **switches: str) -> None:
        self.harness = harness
        self.file = harness.directory / "zeroscale.toml"
        self.socket = harness.directory / "control"
        self.app, self.db, *private = free_ports(4)
        text = f'state_directory = "{harness.state}"\ncontrol.listen = "unix:{self.socket}"\n'
        for name, port, own in zip(("app", "db"), (self.app, self.db), private, strict=True):
            self.world(name).mkdir()
            words = [sys.executable, "-S", "-E", str(SERVER), str(own), str(self.record(name))]
            words += switches.get(name, "").split()
            text += f"""
            [servers.{name}]
            plugin = "minecraft"
            listen = {port}
            server = {own}
            working_directory = "{self.world(name)}"
            plugin_arguments.command = {json.dumps(words)}
            idle_shutdown = 60
            minimum_online_time = 0
            {'needs = ["db"]' if name == "app" else ""}
            """
        self.file.write_text(text)

    def world(self, name: str) -> Path:
        return self.harness.world / name

    def record(self, name: str) -> Path:
        return self.harness.directory / f"record-{name}"

    def start(self) -> Program:
        return self.harness.run_configured(self.file)

    def player(self) -> Player:
        return Player(self.app, "Steve")

    def pid(self, name: str) -> int:
        (pid,) = processes_in(self.world(name))
        return pid

    def ctl(self, *words: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "zeroscale.ctl.main", *words, "--socket", str(self.socket)]
        done = run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
        return done.returncode, done.stdout + done.stderr

    def events(self) -> list[str]:
        """What has happened in both servers, in its order."""
        found = []
        for name in ("app", "db"):
            lines = self.record(name).read_text().splitlines() if self.record(name).exists() else []
            found += [(json.loads(line)["at"], f"{name} {json.loads(line)['event']}") for line in lines]
        kept = ("started", "ready", "stopped")
        return [event for _, event in sorted(found) if event.split()[1] in kept]

    def are_gone(self) -> None:
        assert not processes_in(self.world("app")) and not processes_in(self.world("db"))


def story(proxy: Program) -> list[str]:
    """What the log says of both servers at INFO and above, with seconds as `N`."""
    lines = [re.match(r"^\S+ (?:INFO|WARNING|ERROR):zeroscale\.server:(.*)", line) for line in proxy.lines]
    return [re.sub(r"[0-9.]+ s\b", "N s", match[1]) for match in lines if match]


@pytest.mark.slow
def test_a_player_waits_for_both_and_they_are_stopped_in_the_reverse_order(harness: SurvivalHarness) -> None:
    two = Two(harness, db="--start 0.6", app="--start 0.3 --stop 0.5")
    proxy = two.start()
    two.player().is_greeted()
    code, text = two.ctl("status", "db")
    assert (code, "needed by app" in text) == (0, True), text
    code, text = two.ctl("sleep", "db")
    assert code != 0 and "db is not stopped: needed by app; use --now to stop that first" in text
    assert two.ctl("sleep", "db", "--now")[0] == 0
    proxy.wait_for("db: stopped after")
    two.player().is_greeted()
    assert proxy.terminate() == 0
    run_of_both = ["db started", "db ready", "app started", "app ready", "app stopped", "db stopped"]
    assert two.events() == run_of_both * 2
    two.are_gone()
    assert "Traceback" not in proxy.text()
    operator = [line for line in story(proxy) if "operator" in line]
    assert len(operator) == 2 and operator[1].startswith(
        "app: stopping: db, which it needs, stops: stopped by operator"
    )
    assert story(proxy)[:4] == [
        "app: starting: Steve (127.0.0.1) joined",
        "db: starting: needed by app",
        "db: ready after N s",
        "app: ready after N s, 1 player waiting",
    ]
    ends = ["app: stopping: zeroscale exits", "db: stopping: zeroscale exits", "db: is stopped once app has stopped"]
    assert story(proxy)[-5:] == [*ends, "app: stopped after N s", "db: stopped after N s"]


@pytest.mark.slow
def test_a_second_sigterm_makes_each_stop_quicker_in_the_same_order(harness: SurvivalHarness) -> None:
    two = Two(harness, app="--stop 30", db="--stop 30")
    proxy = two.start()
    two.player().is_greeted()
    proxy.process.send_signal(signal.SIGTERM)
    proxy.wait_for("db: is stopped once app has stopped")
    proxy.process.send_signal(signal.SIGTERM)
    assert proxy.wait() == 0
    ends = [line for line in story(proxy) if "sending SIGTERM" in line or ": stopped" in line]
    assert [re.sub(":.*(SIGTERM|stopped).*", r" \1", line) for line in ends] == [
        "app SIGTERM",
        "app stopped",
        "db SIGTERM",
        "db stopped",
    ]
    two.are_gone()


@pytest.mark.slow
def test_what_a_running_server_needs_is_started_again(harness: SurvivalHarness) -> None:
    two = Two(harness)
    proxy = two.start()
    two.player().is_greeted()
    app = two.pid("app")
    os.kill(two.pid("db"), signal.SIGKILL)
    at = proxy.wait_for("db: crashed")
    at = proxy.wait_for("db: starting: needed by app", after=at)
    proxy.wait_for("db: ready", after=at)
    # The same after zeroscale and the database have gone together, as on a machine that has run out of memory.
    proxy.process.kill()
    proxy.wait()
    os.kill(two.pid("db"), signal.SIGKILL)
    wait_until(lambda: not processes_in(two.world("db")), "it is gone")
    proxy = two.start()
    proxy.wait_for("db: starting: needed by app")
    proxy.wait_for("db: ready after")
    assert two.pid("app") == app
    assert proxy.terminate() == 0
    two.are_gone()


@pytest.mark.slow
def test_a_player_reads_why_what_is_needed_does_not_start(harness: SurvivalHarness) -> None:
    two = Two(harness)
    two.file.write_text(two.file.read_text().replace(f'"{two.record("db")}"', '"--no-such-switch"'))
    proxy = two.start()
    message = two.player().kick_message()
    assert "db, which it needs, is not available: it ended while it started" in message
    proxy.wait_for("app: start failed: db, which it needs, is not available: .*arguments are required: record")
    assert "arguments" not in message
    assert two.events() == []
    assert proxy.terminate() == 0
