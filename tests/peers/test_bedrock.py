"""Real Bedrock servers and clients: a sleeping server is shown, woken by a join, joined again, and stopped when empty.

The clients are those of npm's bedrock-protocol, by native RakNet and by jsp-raknet, and mcstatus.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mcstatus import BedrockServer
from peers.harness import HERE, PeerHarness, Player
from peers.programs import DEADLINE, Program, processes_in, wait_until
from ports import free_ports

pytestmark = [
    pytest.mark.slow,
    pytest.mark.peers("node"),
    pytest.mark.usefixtures("native_raknet"),
    pytest.mark.filterwarnings(
        "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
    ),  # mcstatus
]

NEW, OLD = "1.21.80", "1.18.30"
"""After and before 1.19.30, since when a join begins with Request Network Settings; jsp-raknet is older."""

JAVA = "1.21.4"

JOIN_NOW = "The server is awake"


@pytest.fixture(scope="module")
def native_raknet(npm_packages: None) -> None:
    """Make native RakNet usable: its package looks for a build for the kernel's major version, and has one for 5."""
    if platform.machine() != "x86_64":
        pytest.skip("raknet-native has no build for this machine")
    builds = HERE / "node_modules" / "raknet-native" / "prebuilds"
    if not builds.is_dir():
        pytest.skip(f"the npm packages are not installed: run `npm ci` in {HERE}")
    wanted = builds / f"linux-{platform.release().partition('.')[0]}-x64"
    if not wanted.exists():
        copy = builds / f"copy-{os.getpid()}"  # several processes may do this at once
        shutil.copytree(builds / "linux-5-x64", copy)
        try:
            copy.rename(wanted)
        except OSError:
            shutil.rmtree(copy)


class Clients(Program):
    """Bedrock clients in one process."""

    def __init__(self) -> None:
        super().__init__(["node", HERE / "bedrock.js", "clients"], HERE)
        self.wait_for('"ready"')

    def join(self, name: str, port: int, version: str, **options: Any) -> None:
        """Let a client join; its events have this name."""
        self.write_line(json.dumps({"id": name, "name": name, "port": port, "version": version, **options}))

    def wait_for_event(self, name: str, event: str, within: float = DEADLINE) -> dict[str, Any]:
        """Wait for an event of a client's; return it."""
        at = self.wait_for(f'^{{"event":"{event}","id":"{name}"', within)
        found: dict[str, Any] = json.loads(self.lines[at - 1])
        return found

    def told(self, name: str) -> str:
        """Wait until a client is kicked; return what it was told, without codes."""
        message: str = self.wait_for_event(name, "kicked")["message"]
        return message.replace("\n", " ")

    def leave(self, name: str) -> None:
        """Let a client disconnect."""
        self.write_line(json.dumps({"id": name, "quit": True}))


class Proxy(Program):
    """A zeroscale with one server."""

    def __init__(self, directory: Path, table: str, *, javascript: str, work: Path) -> None:
        self.work = work
        work.mkdir(parents=True)
        file = directory / "zeroscale.toml"
        file.write_text(
            f"""
state_directory = "{directory}/state"
[control]
listen = ""
[servers.game]
plugin = "generic"
working_directory = "{work}"
idle_shutdown = "1s"
minimum_online_time = 0
plugin_arguments.command = {json.dumps(f"node {HERE}/bedrock.js server {javascript}")}
{table}
"""
        )
        super().__init__([sys.executable, "-m", "zeroscale", "--config", str(file), "--debug"], directory)

    def is_asleep(self) -> bool:
        """Nothing runs in the server's directory."""
        return not processes_in(self.work)

    def wait_until_asleep(self) -> None:
        """Wait until nothing runs in the server's directory."""
        wait_until(self.is_asleep, "the server is gone", 2 * DEADLINE, self)

    def starts(self) -> int:
        """How often the server was started."""
        return sum("starting: " in line for line in self.lines)

    def end(self) -> None:
        """Stop it as an operator does."""
        assert self.terminate() == 0, self.text()
        assert self.is_asleep()
        assert "Traceback" not in self.text()


MakeProxy = Callable[[str, str], Proxy]


@pytest.fixture(scope="module")
def clients(harness: PeerHarness, native_raknet: None) -> Clients:
    return harness.track(Clients())


@pytest.fixture
def proxies(harness: PeerHarness, tmp_path: Path) -> MakeProxy:
    def make(table: str, javascript: str) -> Proxy:
        return harness.track(Proxy(tmp_path, table, javascript=javascript, work=tmp_path / "work"))

    return make


def shown(port: int) -> Any:
    """What mcstatus shows of a server."""
    return BedrockServer("127.0.0.1", port, timeout=5).status()


def wait_until_shown(proxy: Proxy, port: int) -> Any:
    """Wait until zeroscale answers; return what mcstatus shows."""
    proxy.wait_for("Receiving datagrams on")
    return shown(port)


@pytest.mark.parametrize(("version", "backend"), [(NEW, "raknet-native"), (OLD, "jsp-raknet")])
def test_asleep_woken_told_joined_again_and_stopped(
    version: str, backend: str, clients: Clients, proxies: MakeProxy
) -> None:
    port, server_port = free_ports(2)
    table = f"""
listen = "udp:{port}:interface=127.0.0.1"
server = {server_port}
protocol = "bedrock"
session_timeout = "3s"
cookie = {"false" if backend == "jsp-raknet" else "true"}
"""
    proxy = proxies(table, f"--port {server_port} --version {version}")
    before = wait_until_shown(proxy, port)
    assert "Asleep" in before.motd.to_plain()
    assert (before.players.online, before.version.protocol) == (0, 2225)
    assert proxy.is_asleep(), "a ping wakes nothing"
    clients.join(name := f"{backend}-{version}", port, version, backend=backend)
    assert JOIN_NOW in clients.told(name), "its start takes less time than the client can wait"
    running = shown(port)
    assert (running.motd.to_plain(), running.players.max) == ("A Bedrock server", 7)
    clients.join(again := f"{name}-again", port, version, backend=backend, follow=backend == "raknet-native")
    clients.wait_for_event(again, "world")
    wait_until(lambda: shown(port).players.online == 1, "the player is counted", program=proxy, every=0.5)
    clients.leave(again)
    proxy.wait_until_asleep()
    wait_until(lambda: "Asleep" in shown(port).motd.to_plain(), "it is shown as asleep", program=proxy, every=0.5)
    after = shown(port)
    assert (after.players.online, after.players.max) == (0, 7)
    assert (after.version.name, after.version.protocol) == (running.version.name, running.version.protocol)
    assert proxy.starts() == 1
    proxy.end()


def test_a_player_who_may_not_wake_the_server_reads_why(clients: Clients, proxies: MakeProxy) -> None:
    port, server_port = free_ports(2)
    table = f"""
listen = "udp:{port}:interface=127.0.0.1"
server = {server_port}
protocol = "bedrock"
admission.lockout = "Back at noon."
"""
    proxy = proxies(table, f"--port {server_port} --version {NEW}")
    assert "Back at noon." in wait_until_shown(proxy, port).motd.to_plain()
    clients.join("refused", port, NEW)
    assert "Back at noon." in clients.told("refused")
    assert proxy.is_asleep()
    proxy.end()


def test_java_and_bedrock_players_share_one_lifecycle(
    clients: Clients, proxies: MakeProxy, harness: PeerHarness
) -> None:
    java_port, java_server, port, server_port = free_ports(4)
    table = f"""
listen = {java_port}
server = {java_server}
protocol = "minecraft"
[[servers.game.ports]]
listen = "udp:{port}:interface=127.0.0.1"
server = {server_port}
protocol = "bedrock"
wakes = true
session_timeout = "3s"
"""
    script = f"--port {server_port} --version {NEW} --java-port {java_server} --java-version {JAVA}"
    proxy = proxies(table, script)
    wait_until_shown(proxy, port)
    clients.join("first", port, NEW)
    assert JOIN_NOW in clients.told("first")
    java = harness.track(Player(JAVA, java_port, "Alex"))
    java.wait_for_event("joined")
    clients.join("second", port, NEW)
    clients.wait_for_event("second", "world")
    java.leave()
    clients.leave("second")
    proxy.wait_until_asleep()
    harness.track(Player(JAVA, java_port, "Alex")).wait_for_event("joined")
    assert shown(port).motd.to_plain() == "A Bedrock server"
    assert proxy.starts() == 2
    proxy.end()
