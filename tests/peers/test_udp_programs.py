"""Real servers that speak UDP: woken from zero by real clients, used through zeroscale, and stopped when idle."""

from __future__ import annotations

import getpass
import json
import shlex
import socket
import struct
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from peers.harness import HERE, PeerHarness
from peers.programs import Program, wait_until
from peers.udp_proxy import UdpProxy

pytestmark = pytest.mark.slow

LUANTI = "/usr/games/minetest"
LUANTI_SERVER = "/usr/lib/minetest/minetestserver"
"""Debian has them on nobody's PATH but a player's."""

DNS = """\
server:
  interface: 127.0.0.1@{port}
  access-control: 127.0.0.0/8 allow
  do-daemonize: no
  chroot: ""
  username: ""
  directory: "{directory}"
  pidfile: ""
  use-syslog: no
  local-zone: "example.org." static
  local-data: "game.example.org. 60 IN A 192.0.2.7"
remote-control:
  control-enable: no
"""

WORLD = (
    "gameid = devtest\nbackend = dummy\nplayer_backend = dummy\nauth_backend = sqlite3\nmod_storage_backend = dummy\n"
)
PLAYER = "video_driver = null\nenable_sound = false\nenable_ipv6 = false\nfps_max = 10\nfps_max_unfocused = 10\n"


@pytest.mark.peers("unbound", "dig")
def test_a_resolver_answers_the_questions_that_wake_it(harness: PeerHarness, tmp_path: Path) -> None:
    settings = tmp_path / "unbound.conf"
    command = ["sh", "-c", f"exec unbound -dd -c {shlex.quote(str(settings))}"]
    more = 'wake_on = "datagrams:1"\nhold = true\nsession_timeout = "1s"'
    proxy = harness.track(UdpProxy(tmp_path, command, more))
    settings.write_text(DNS.format(port=proxy.server_port, directory=tmp_path / "server"))
    for wakes in (1, 2):
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: dig(proxy.port), range(8)))
        assert answers == ["192.0.2.7"] * 8
        assert proxy.wakes() == wakes
        proxy.wait_until_asleep()
    proxy.end()


def dig(port: int) -> str:
    """Ask the resolver with dig, which does not repeat its question."""
    command = ["dig", "@127.0.0.1", "-p", str(port), "+short", "+tries=1", "+timeout=10", "game.example.org", "A"]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False).stdout.strip()


@pytest.mark.peers(LUANTI, LUANTI_SERVER)
def test_a_player_of_luanti_wakes_its_server_and_keeps_it_up(harness: PeerHarness, tmp_path: Path) -> None:
    world = tmp_path / "server" / "world"
    world.mkdir(parents=True)
    (world / "world.mt").write_text(WORLD)
    (tmp_path / "server.conf").write_text("bind_address = 127.0.0.1\nenable_ipv6 = false\nmg_name = singlenode\n")
    (tmp_path / "player.conf").write_text(PLAYER)
    words = [
        "--config",
        str(tmp_path / "server.conf"),
        "--world",
        str(world),
        "--gameid",
        "devtest",
        "--port",
        "{port}",
    ]
    proxy = harness.track(UdpProxy(tmp_path, ["env", "HOME=.", LUANTI_SERVER, *words], 'session_timeout = "5s"'))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(b"\x4f\x45\x74\x03\0\0\0\1", ("127.0.0.1", proxy.port))
    assert proxy.status()["status"] == "stopped"
    player = harness.track(Program(player_command(proxy.port, "Steve"), tmp_path))
    wait_until(lambda: "Steve [127.0.0.1] joins" in proxy.console(), "the player has joined", program=proxy)
    assert (proxy.wakes(), proxy.status()["ports"][0]["clients"]) == (1, 1)
    with pytest.raises(AssertionError, match="passed without"):  # longer than it may be idle
        proxy.wait_for(": stopping: ", within=4, after=len(proxy.lines))
    assert "leaves game" not in proxy.console()
    player.terminate()
    proxy.wait_until_asleep()
    assert "Steve leaves game" in proxy.console()
    proxy.end()


def player_command(port: int, name: str) -> list[str]:
    """The command line of the game itself, without a screen."""
    words = ["--config", "player.conf", "--address", "127.0.0.1", "--port", str(port), "--name", name]
    return ["env", "HOME=.", LUANTI, *words, "--password", "x", "--go"]


@pytest.mark.peers("murmurd", "node")
@pytest.mark.usefixtures("npm_packages")
def test_voice_by_udp_beside_the_connection_that_wakes(harness: PeerHarness, tmp_path: Path) -> None:
    work = tmp_path / "server"
    work.mkdir()
    command = ["sh", "-c", "exec murmurd -fg -ini murmur.ini"]
    port = '[[servers.game.ports]]\nlisten = "udp:{port}"\nserver = {server_port}\nsession_timeout = "2s"'
    proxy = harness.track(UdpProxy(tmp_path, command, f'wake_on = "tls"\n{port}', listen="tcp:{port}"))
    settings = (
        f"uname={getpass.getuser()}\ndatabase=murmur.sqlite\nhost=127.0.0.1\nport={proxy.server_port}\nlogfile=\n"
    )
    (work / "murmur.ini").write_text(f"{settings}host=127.0.0.1\nport={proxy.server_port}\n")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as browser:
        browser.connect(("127.0.0.1", proxy.port))
        browser.settimeout(0.2)
        question = struct.pack("!IQ", 0, 77)  # its server list asks for the number of users
        for _ in range(5):
            browser.send(question)
            with pytest.raises(TimeoutError):
                browser.recv(1024)
        assert proxy.is_asleep()
        for name in ("Steve", "Alex"):
            spoken = subprocess.run(
                ["node", HERE / "mumble_voice.mjs", str(proxy.port), str(proxy.port), name],
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert spoken.returncode == 0, spoken.stderr
            assert json.loads(spoken.stdout) == {"name": name, "ping": [32, 7], "heard": list(range(20))}
            browser.send(question)
            browser.settimeout(10)
            _, sent, users, most, _ = struct.unpack("!IQIII", browser.recv(1024))
            assert (sent, users < most) == (77, True)
            proxy.wait_until_asleep()
    assert proxy.wakes() == 2
    proxy.end()
