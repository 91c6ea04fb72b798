"""The UDP ports of a proxy: which are open, whose clients they serve, and a whole proxy in front of a real process."""

from __future__ import annotations

import re
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from harness import proxy_config, running_reactor, stub_config, until
from peers.programs import Program, processes_in, wait_until
from ports import free_port
from socket_parent import SocketParent

from zeroscale.errors import ConfigError
from zeroscale.frontend.connection_limits import PendingConnections
from zeroscale.frontend.context import FrontendContext
from zeroscale.frontend.waiting_places import WaitingPlaces
from zeroscale.proxy.managed_server import ManagedServer
from zeroscale.proxy.ports import PortManager, ports_by_listen
from zeroscale.relay.datagram_loop import DatagramLoop
from zeroscale.system.background_file import FileWriter

ECHO = """\
import socket, sys, time
time.sleep(float(sys.argv[2]))
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", int(sys.argv[1])))
print("bound", flush=True)
while True:
    datagram, client = server.recvfrom(65535)
    server.sendto(b"echo " + datagram, client)
"""

CONFIG = """\
state_directory = "state"
[control]
listen = ""
[servers.game]
plugin = "generic"
plugin_arguments = {{ command = "{python} echo.py {server_port} {delay}" }}
listen = "udp:{listen}"
server = "{host}:{server_port}"
idle_shutdown = 1
session_timeout = {timeout}
{more}
"""


def configure(
    directory: Path, listen: str, host: str, server_port: int, more: str = "", delay: float = 0.0, timeout: int = 1
) -> None:
    """Write the configuration, and the server's program."""
    (directory / "echo.py").write_text(ECHO)
    values = {"python": sys.executable, "listen": listen, "host": host, "server_port": server_port}
    (directory / "zeroscale.toml").write_text(CONFIG.format(**values, more=more, delay=delay, timeout=timeout))


class Game:
    """A zeroscale in a process of its own, with an echo server over UDP."""

    def __init__(
        self, directory: Path, more: str = "", delay: float = 0.0, host: str = "127.0.0.1", timeout: int = 1
    ) -> None:
        self.directory = directory
        self.port, self.server_port = free_port(), free_port()
        self._host = host
        self.configure(more, delay, timeout)
        self.program = Program([sys.executable, "-m", "zeroscale", "--debug", "--config", "zeroscale.toml"], directory)
        self.program.wait_for("Ready: players come to")
        self.client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.client.connect(("127.0.0.1", self.port))
        self.client.settimeout(0.1)

    def configure(self, more: str = "", delay: float = 0.0, timeout: int = 1) -> None:
        configure(self.directory, str(self.port), self._host, self.server_port, more, delay, timeout)

    def ask(self, datagram: bytes = b"x") -> bytes | None:
        self.client.send(datagram)
        try:
            return self.client.recv(65535)
        except TimeoutError:
            return None

    def play(self) -> None:
        """Send until the server answers."""
        wait_until(lambda: self.ask() == b"echo x", "an answer", program=self.program)

    def close(self) -> None:
        self.client.close()
        if self.program.process.poll() is None:
            self.program.terminate()
        self.program.discard()


@pytest.fixture
def games(tmp_path: Path) -> Iterator[list[Game]]:
    games: list[Game] = []
    yield games
    for game in games:
        game.close()
    assert not processes_in(tmp_path)


def test_a_server_is_woken_played_on_and_stopped_when_it_is_idle(games: list[Game], tmp_path: Path) -> None:
    game = Game(tmp_path)
    games.append(game)
    assert [game.ask(), game.ask()] == [None, None]
    assert len(processes_in(tmp_path)) == 1  # zeroscale's own
    for _ in range(2):
        game.play()
        for number in range(20):
            assert game.ask(b"%d" % number) == b"echo %d" % number
        at = game.program.wait_for("game: stopped after")
        assert re.search(r"game: 127\.0\.0\.1:\d+: idle after .*datagrams: ", game.program.text())
        del game.program.lines[:at]
    assert game.program.terminate() == 0
    assert "fault" not in game.program.text()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_what_came_while_it_started_is_sent_when_it_is_ready(games: list[Game], tmp_path: Path, host: str) -> None:
    game = Game(tmp_path, 'hold = true\nwake_on = "datagrams:1"', delay=0.3, host=host)
    games.append(game)
    for number in range(3):
        game.client.send(b"%d" % number)
    game.client.settimeout(20)
    assert [game.client.recv(100) for _ in range(3)] == [b"echo 0", b"echo 1", b"echo 2"]


def test_a_socket_of_a_socket_unit_is_read(tmp_path: Path) -> None:
    configure(tmp_path, "systemd:udp", "127.0.0.1", free_port(), 'hold = true\nwake_on = "datagrams:1"')
    command = [sys.executable, "-m", "zeroscale", "--config", "zeroscale.toml"]
    with SocketParent("udp") as parent, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(20)
        client.sendto(b"before it runs", ("127.0.0.1", parent.port("udp")))
        with parent.start(command, tmp_path) as program:
            assert client.recv(100) == b"echo before it runs"
            program.process.terminate()
            assert program.wait() == 0
    assert not processes_in(tmp_path)


def test_players_are_connected_until_the_server_has_ended_with_zeroscale(games: list[Game], tmp_path: Path) -> None:
    game = Game(tmp_path)
    games.append(game)
    game.play()
    assert game.program.terminate() == 0
    assert "game: stopped after" in game.program.text()


def test_a_reload_changes_a_port_in_place(games: list[Game], tmp_path: Path) -> None:
    game = Game(tmp_path, "stop_timeout = 5", timeout=600)
    games.append(game)
    game.play()
    other = free_port()
    game.configure(f'wake_on = "datagrams:1"\n[[servers.game.ports]]\nlisten = "udp:{other}"\nserver = {free_port()}')
    game.program.process.send_signal(signal.SIGHUP)
    game.program.wait_for(r"Reloaded: game: changed: .*wake_on")
    for _ in range(3):
        assert game.ask(b"still") == b"echo still"
    assert f"Receiving datagrams on ('0.0.0.0', {other})" in game.program.text()
    game.program.wait_for(r"game: 127\.0\.0\.1:\d+: idle after")
    game.program.wait_for("game: stopped after")
    game.client.send(b"one is enough")
    game.program.wait_for("game: starting", after=game.program.wait_for("game: stopped after"))


class World:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.reactor = running_reactor()
        self.crashes: list[Any] = []
        relays: Any = None
        self.context = FrontendContext(
            self.reactor,
            relays,
            PendingConnections(64, 1000),
            WaitingPlaces(64),
            5.0,
            relay_crashed=self.crashes.append,
        )
        self.manager = PortManager(self.reactor, self.context)

    def server(self, name: str, listen: str, **values: Any) -> ManagedServer:
        config = stub_config(name, listen, 2, self.directory, **values)
        return ManagedServer(config, proxy_config(self.directory, config), self.reactor, FileWriter())


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest_twisted.ensureDeferred
async def test_a_bare_port_is_opened_for_both_families_and_an_interface_alone(world: World) -> None:
    both, one = free_port(), free_port()
    servers = [world.server("both", f"udp:{both}"), world.server("one", f"udp:{one}:interface=127.0.0.1")]
    await world.manager.open(ports_by_listen([server.ports[0] for server in servers]))
    with pytest.raises(OSError, match="in use"), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as other:
        other.bind(("::1", both))
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as other:
        other.bind(("::1", one))
    await world.manager.heartbeat()
    await world.manager.close()
    await world.manager.end_datagrams()


@pytest_twisted.ensureDeferred
async def test_a_port_in_use_is_a_mistake_and_opens_none(world: World) -> None:
    free = free_port()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        taken = other.getsockname()[1]
        servers = [world.server("free", f"udp:{free}"), world.server("taken", f"udp:{taken}")]
        with pytest.raises(ConfigError, match=f"on 'udp:{taken}': Address already in use; another program"):
            await world.manager.open(ports_by_listen([server.ports[0] for server in servers]))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", free))


@pytest_twisted.ensureDeferred
async def test_a_port_that_is_removed_is_closed_and_one_that_gets_another_server_is_not(world: World) -> None:
    kept, removed = free_port(), free_port()
    first, second = world.server("first", f"udp:{kept}"), world.server("second", f"udp:{removed}")
    await world.manager.open(ports_by_listen([server.ports[0] for server in (first, second)]))
    other = world.server("other", f"udp:{kept}", wake_on="datagrams:1")
    await world.manager.route_to(ports_by_listen(other.ports))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
        again.bind(("127.0.0.1", removed))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"x", ("127.0.0.1", kept))
        await until(lambda: other.lifecycle.waiting)
        assert not first.lifecycle.waiting
    await world.manager.close()
    await world.manager.end_datagrams()
    assert world.crashes == []


@pytest_twisted.ensureDeferred
async def test_a_relay_that_dies_is_reported(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(loop: DatagramLoop) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(DatagramLoop, "run", dies)
    await world.manager.open(ports_by_listen(world.server("game", f"udp:{free_port()}").ports))
    await until(lambda: world.crashes)
    assert world.crashes[0].getErrorMessage() == "a fault"
    await world.manager.close()
    await world.manager.end_datagrams()
