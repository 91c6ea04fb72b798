"""Server browsers that others wrote: what they show of a server that sleeps and of one that runs, and who is on."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import a2s
import pytest
from mcstatus import JavaServer
from peers import quake_client
from peers.harness import HERE, ROOT, PeerHarness
from peers.programs import Program, processes_in, wait_until
from ports import free_port

pytestmark = pytest.mark.slow

SLEEPING = "zZz Asleep. Join to wake it"

OPENARENA = Path(os.environ.get("ZEROSCALE_OPENARENA", "/usr/lib"))
"""The directory with Debian's ioquake3 and openarena-server; another one has the unpacked packages."""


class Game(Program):
    """A `zeroscale` with a server over UDP behind it.

    :ivar port: where its clients send datagrams.
    :ivar server_port: where the real server receives them.
    """

    def __init__(self, directory: Path, protocol: str, command: str, server_port: int, more: str = "") -> None:
        self.directory = directory
        self.port, self.server_port = free_port(), server_port
        self.work = directory / "work"
        self.work.mkdir(parents=True)
        self.file = directory / "zeroscale.toml"
        self.file.write_text(f"""
state_directory = "{directory}/state"
[control]
listen = "unix:{directory}/control.sock"
[servers.game]
plugin = "generic"
plugin_arguments.command = {json.dumps(command)}
protocol = "{protocol}"
listen = "udp:{self.port}"
server = {server_port}
working_directory = "{self.work}"
session_timeout = "1s"
idle_shutdown = "1s"
{more}
""")
        super().__init__([sys.executable, "-m", "zeroscale", "--config", str(self.file), "--debug"], ROOT)
        self.wait_until_ready(lambda: self.status() != "", "the proxy answers")

    def runs(self) -> bool:
        """Return whether the server has a process."""
        return bool(processes_in(self.work))

    def ctl(self, *words: str) -> str:
        """Run `zeroscalectl`; return what it prints."""
        command = [sys.executable, "-m", "zeroscale.ctl.main", "--socket", f"{self.directory}/control.sock", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode in (0, 3), done.stderr
        return done.stdout

    def status(self) -> str:
        """Return the server's status; "": the proxy does not answer yet."""
        answer = self.ctl("status", "--json")
        return str(json.loads(answer)["servers"][0]["status"]) if answer else ""

    def ping(self, scheme: str) -> Any:
        """Return the entry as `zeroscalectl ping --json` prints it."""
        return json.loads(self.ctl("ping", "--json", f"{scheme}://127.0.0.1:{self.port}"))

    def send(self, text: str) -> bytes:
        """Send a datagram as a player, and again until it is echoed; return the echo."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.connect(("127.0.0.1", self.port))
            udp.settimeout(0.5)
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline:
                udp.send(text.encode())
                try:
                    return udp.recv(65535)
                except TimeoutError:
                    continue
        raise AssertionError(f"no echo; the proxy's output:\n{self.text()}")

    def wait_until_asleep(self) -> None:
        """Wait until the server has no process, and the proxy knows that."""
        wait_until(lambda: not self.runs(), "the server is gone", program=self)
        wait_until(lambda: self.status() == "stopped", "it is known", program=self)

    def end(self) -> None:
        """Stop it as an operator does."""
        assert self.terminate() == 0, self.text()
        assert not [line for line in self.lines if "Traceback" in line or "Unhandled" in line], self.text()

    def discard(self) -> None:
        """Also end the server that a test that failed has left."""
        left = processes_in(self.work)
        super().discard()
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def gamedig(protocol: str, port: int) -> dict[str, Any]:
    """Ask with npm's gamedig."""
    done = subprocess.run(
        ["node", HERE / "query_client.mjs", protocol, str(port)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def python_a2s(port: int) -> dict[str, Any]:
    """Ask with PyPI's python-a2s."""
    address = ("127.0.0.1", port)
    info: Any = a2s.info(address)
    players: Any = a2s.players(address)
    rules: Any = a2s.rules(address)
    return {
        "name": info.server_name,
        "map": info.map_name,
        "maximum": info.max_players,
        "online": info.player_count,
        "players": [player.name for player in players],
        "rules": rules or None,
    }


def mcstatus(port: int) -> dict[str, Any]:
    """Ask with PyPI's mcstatus."""
    found: Any = JavaServer("127.0.0.1", port, query_port=port).query()
    return {
        "name": found.motd.to_plain(),
        "map": found.map_name,
        "maximum": found.players.max,
        "online": found.players.online,
        "players": list(found.players.list),
        "rules": None,
    }


Ask = Callable[[int], Mapping[str, Any]]

CLIENTS: Mapping[str, tuple[str, list[Ask]]] = {
    "source": ("source-query", [lambda port: gamedig("valve", port), python_a2s]),
    "quake": ("quake-query", [lambda port: gamedig("quake3", port)]),
    "minecraft": ("minecraft-query", [lambda port: gamedig("gamespy3", port), mcstatus]),
}


@pytest.mark.peers("node")
@pytest.mark.usefixtures("npm_packages")
@pytest.mark.parametrize("server", CLIENTS)
def test_what_server_browsers_show(server: str, harness: PeerHarness, tmp_path: Path) -> None:
    """Asleep, woken, asked who is on, idle, stopped, and shown as it was."""
    protocol, clients = CLIENTS[server]
    server_port = free_port()
    command = f"{sys.executable} {HERE / 'query_server.py'} {server} {server_port}"
    game = harness.track(Game(tmp_path / "game", protocol, command, server_port))
    for ask in clients * 2:
        first = ask(game.port)
        assert (first["name"], first["online"], first["players"]) == (f"game - {SLEEPING}", 0, [])
    assert not game.runs(), "a query does not wake"

    assert game.send("play Ada") == b"play Ada"
    seen = [ask(game.port) for ask in clients]
    for ask, real in zip(clients, seen, strict=True):
        assert (real["online"], real["players"]) == (1, ["Ada"])
        assert real == ask(game.server_port)

    # Ada sends nothing more, and the browsers that ask do not keep the server running; but it says that she is on.
    game.wait_for(r"players that zeroscale does not relay: 1 \(Ada\)")
    assert game.runs()
    assert "1 (Ada)" in game.ctl("status", "game"), game.text()
    game.send("leave Ada")
    asked = 0
    deadline = time.monotonic() + 30
    while game.runs() and time.monotonic() < deadline:
        clients[-1](game.port)
        asked += 1
        time.sleep(0.2)
    assert not game.runs(), f"asked {asked} times, and it still runs; the proxy's output:\n{game.text()}"

    game.wait_until_asleep()
    for ask, real in zip(clients, seen, strict=True):
        shown = ask(game.port)
        assert shown["name"].startswith(f"{real['name']} - {SLEEPING}")
        assert {**shown, "name": ""} == {**real, "name": "", "online": 0, "players": []}
    game.end()


@pytest.mark.openarena
def test_openarena(harness: PeerHarness, tmp_path: Path) -> None:
    """A real game: a player connects to the sleeping server, falls silent, is dropped by it, and it stops."""
    program = OPENARENA / "ioquake3" / "ioq3ded"
    data = OPENARENA / "openarena-server"
    if not program.exists() or not (data / "baseoa").is_dir():
        pytest.skip("not installed: openarena-server")
    server_port = free_port()
    settings = {
        "fs_basepath": data,
        "fs_homepath": tmp_path / "home",
        "com_basegame": "baseoa",
        "com_protocol": 71,
        "net_port": server_port,
        "net_ip": "127.0.0.1",
        "dedicated": 1,
        "vm_game": 0,
        "sv_timeout": 6,
        "sv_hostname": "Arena",
    }
    words = " ".join(f"+set {key} {value}" for key, value in settings.items())
    game = harness.track(Game(tmp_path / "game", "quake-query", f"{program} {words} +map oa_dm1", server_port))
    assert game.ping("quake")["name"] == f"game - {SLEEPING}"
    assert not game.runs()

    with quake_client.connect(game.port, "Ada", 71, within=40):
        entry = game.ping("quake")
        assert (entry["name"], entry["map"], entry["players"]) == (
            "Arena",
            "oa_dm1",
            {"online": 1, "max": 8, "names": ["Ada"]},
        )
    game.wait_for(r"players that zeroscale does not relay: 1 \(Ada\)")
    game.wait_until_asleep()
    asleep = game.ping("quake")
    assert asleep["name"].startswith(f"Arena - {SLEEPING}")
    assert (asleep["map"], asleep["players"]) == ("oa_dm1", {"online": 0, "max": 8, "names": []})
    game.end()
