"""Many servers behind one port, from one file: each player wakes only the server of their host."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from mcstatus import JavaServer
from peers.harness import NEWEST_VERSION, ROOT, PeerHarness, Record, server_command
from peers.programs import Program, answers, descendants, processes_in, wait_until
from ports import free_port

pytestmark = [pytest.mark.slow, pytest.mark.peers("node"), pytest.mark.usefixtures("npm_packages")]

SERVERS = {
    "classic": ("1.8.8", "flying-squid", ["classic.example.org"]),
    "modern": ("1.21.4", "flying-squid", ["*.modern.example.org", "modern.example.org"]),
    "newest": (NEWEST_VERSION, "minecraft-protocol", []),
}
HOSTS = {"classic": "Classic.Example.ORG.", "modern": "eu.modern.example.org", "newest": "whatever.example.com"}


class Many(Program):
    """A zeroscale with a file, and what its servers say of themselves."""

    def __init__(self, directory: Path):
        self.directory = directory
        self.port = free_port()
        self.records = {name: Record(directory / f"{name}.record") for name in SERVERS}
        self.file = directory / "zeroscale.toml"
        self.socket = directory / "control.sock"
        self.tables = {name: self._table(name) for name in SERVERS}
        self.write(list(SERVERS))
        super().__init__([sys.executable, "-m", "zeroscale", "--config", str(self.file), "--debug"], ROOT)
        self.wait_until_ready(lambda: answers(self.port), "the proxy listens")

    def _table(self, name: str) -> str:
        version, engine, hosts = SERVERS[name]
        work = self.directory / name
        work.mkdir()
        server_port = free_port()
        command = server_command(engine, version, server_port, record=self.records[name].path)
        return f"""
[servers.{name}]
plugin = "minecraft"
listen = {self.port}
hosts = {json.dumps(hosts)}
server = "127.0.0.1:{server_port}"
working_directory = "{work}"
idle_shutdown = "2s"
minimum_online_time = 0
plugin_arguments.command = {json.dumps(command)}
"""

    def write(self, names: list[str], more: str = "") -> None:
        """Makes the file describe these servers."""
        head = f'state_directory = "{self.directory}/state"\ncontrol.listen = "unix:{self.socket}"\n'
        self.file.write_text(head + "".join(self.tables[name] for name in names) + more)

    def running(self) -> set[str]:
        """The servers that have a process."""
        return {name for name in SERVERS if processes_in(self.directory / name)}

    def ctl(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs `zeroscalectl`."""
        command = [sys.executable, "-m", "zeroscale.ctl.main", "--socket", str(self.socket), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    def status(self, name: str) -> dict[str, Any]:
        """What `zeroscalectl status --json` says of one of them."""
        servers = json.loads(self.ctl("status", "--json").stdout)["servers"]
        found: dict[str, Any] = next(server for server in servers if server["name"] == name)
        return found


@pytest.fixture
def many(harness: PeerHarness, tmp_path: Path) -> Many:
    return harness.track(Many(tmp_path))


def test_each_player_wakes_only_the_server_of_its_host(harness: PeerHarness, many: Many) -> None:
    assert JavaServer("127.0.0.1", many.port, timeout=5).status().players.online == 0
    assert many.running() == set()
    for name, (version, _, _) in SERVERS.items():
        player = harness.player(version, many.port, "Steve", "--fake-host", HOSTS[name])
        player.wait_for_event("joined")
        assert many.running() == {name}, many.text()
        [reported] = many.status(name)["players"]
        assert reported["name"] == "Steve"
        player.leave()
        wait_until(lambda: many.running() == set(), f"{name} sleeps again", program=many)
    assert {name: record.starts() for name, record in many.records.items()} == dict.fromkeys(SERVERS, 1)
    assert all(record.exit_codes() == [0] for record in many.records.values())


def test_all_join_at_once_during_a_reload(harness: PeerHarness, many: Many) -> None:
    with ThreadPoolExecutor(len(SERVERS)) as pool:
        players = {
            name: pool.submit(harness.player, version, many.port, "Alex", "--fake-host", HOSTS[name])
            for name, (version, _, _) in SERVERS.items()
        }
    for player in players.values():
        player.result().wait_for_event("joined")
    assert many.running() == set(SERVERS)
    many.write(["classic", "newest"])
    many.process.send_signal(signal.SIGHUP)
    many.wait_for("Reloaded: modern: removed")
    many.write(["classic", "newest"], "\n[servers.wrong]\nplugin = 'minecarft'\n")
    refused = many.ctl("reload")
    assert refused.returncode != 0
    assert "servers.wrong.listen: is missing" in refused.stderr and "servers.wrong.server: is missing" in refused.stderr
    draining = {name: many.status(name)["draining"] for name in SERVERS}
    assert draining == {"classic": False, "modern": True, "newest": False}
    for name in ("modern", "classic", "newest"):
        assert not players[name].result().events("kicked")
    players["modern"].result().leave()
    wait_until(lambda: many.running() == {"classic", "newest"}, "the removed server is stopped", program=many)
    players["classic"].result().leave()
    players["newest"].result().leave()
    wait_until(lambda: many.running() == set(), "all sleep", program=many)
    assert many.terminate() == 0
    assert descendants(many.process.pid) == set()
