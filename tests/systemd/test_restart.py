"""A whole zeroscale with socket activation and notifications: a restart does not lose waiting players."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from ports import free_port
from processes import DEADLINE, Program, python
from socket_parent import SocketParent

pytestmark = pytest.mark.slow

SERVER = """\
import os
import socketserver
import sys

HEIRLOOMS = [key for key in os.environ if key.startswith(("LISTEN_", "NOTIFY_", "WATCHDOG_"))]


class Greeting(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(f"{os.getpid()} {HEIRLOOMS}\\n".encode())
        self.request.recv(1)


socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer.daemon_threads = True
with socketserver.ThreadingTCPServer(("127.0.0.1", int(sys.argv[1])), Greeting) as server:
    server.serve_forever()
"""

CONFIG = """\
state_directory = "state"
control.listen = "unix:{directory}/control.sock"

[servers.game]
plugin = "generic"
listen = "systemd:game"
server = {port}
on_exit = "leave"
idle_shutdown = "1h"
plugin_arguments.command = ["{python}", "server.py", "{port}"]
"""

TWISTD = "from twisted.scripts.twistd import run; run()"
PROGRAMS = {"zeroscale": ("-m", "zeroscale"), "twistd": ("-c", TWISTD, "-n", "--pidfile=", "zeroscale")}


class Harness:
    """:ivar environment: what systemd would add to it."""

    def __init__(self, directory: Path, parent: SocketParent, manager: socket.socket, program: str) -> None:
        self.directory = directory
        self.environment = {"NOTIFY_SOCKET": str(manager.getsockname()), "WATCHDOG_USEC": "200000"}
        self._parent = parent
        self._manager = manager
        self._program = program

    def start(self) -> Program:
        command = python(*PROGRAMS[self._program], "--config", "zeroscale.toml", "--info")
        return self._parent.start(command, self.directory, self.environment)

    def receive(self, text: str) -> list[str]:
        """Waits for a datagram with this in it; returns all until then."""
        notifications: list[str] = []
        while not notifications or text not in notifications[-1]:
            try:
                notifications.append(self._manager.recv(4096).decode())
            except TimeoutError:
                raise AssertionError(f"no {text!r} in {DEADLINE:g} s, but {notifications}") from None
        return notifications

    @contextlib.contextmanager
    def player(self) -> Iterator[socket.socket]:
        """One that joins, and waits for as long as need be."""
        with socket.create_connection(("127.0.0.1", self._parent.port("game")), DEADLINE) as player:
            yield player


def greeting(player: socket.socket) -> tuple[int, str]:
    """The server's process, and what it has inherited that is not for it."""
    with player.makefile() as lines:
        number, rest = lines.readline().strip().split(" ", 1)
    return int(number), rest


@pytest.fixture(params=sorted(PROGRAMS))
def harness(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Harness]:
    (tmp_path / "server.py").write_text(SERVER)
    [interpreter] = python()[:1]
    config = CONFIG.format(directory=tmp_path, port=free_port(), python=interpreter)
    (tmp_path / "zeroscale.toml").write_text(config)
    with SocketParent("game") as parent, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(DEADLINE)
        manager.bind(str(tmp_path / "notify"))
        yield Harness(tmp_path, parent, manager, request.param)


def test_a_restart_with_a_player_in_the_backlog(harness: Harness) -> None:
    with contextlib.ExitStack() as stack:
        with harness.start() as first:
            assert harness.receive("READY=1") == ["READY=1\nSTATUS=game sleeping"]
            with harness.player() as player:
                server, inherited = greeting(player)
                stack.callback(os.kill, server, signal.SIGKILL)
                assert inherited == "[]"
                harness.receive("STATUS=game running, 1 player")
                assert "WATCHDOG=1" in harness.receive("WATCHDOG=1")
                first.signal(signal.SIGTERM)
                harness.receive("STOPPING=1")
                first.wait()
        with harness.player() as waiting, harness.start() as second:
            # found, but perhaps not asked yet whether it is well, and the player may be let in already
            found = ("game starting", "game running", "game running, 1 player")
            assert harness.receive("READY=1")[-1].endswith(found), "found before it said ready"
            assert greeting(waiting) == (server, "[]"), "it is the same server, and the player got in"
            second.signal(signal.SIGTERM)
            harness.receive("STOPPING=1")
            second.wait()


def test_a_reload_is_notified(harness: Harness) -> None:
    with harness.start() as program:
        harness.receive("READY=1")
        program.signal(signal.SIGHUP)
        harness.receive("RELOADING=1\nMONOTONIC_USEC=")
        harness.receive("READY=1")
        with (harness.directory / "zeroscale.toml").open("a") as file:
            file.write("nonsense = 1\n")
        program.signal(signal.SIGHUP)
        harness.receive("RELOADING=1")
        harness.receive("READY=1")
        program.wait_for("Not reloaded: ")
        program.signal(signal.SIGTERM)
        program.wait()


def test_without_its_socket_it_says_what_is_missing(harness: Harness) -> None:
    with Program(python("-m", "zeroscale", "--config", "zeroscale.toml"), harness.directory) as program:
        assert program.wait() == 1
    [line] = program.lines
    assert line.endswith(
        "cannot listen on 'systemd:game': systemd passed no socket of this name to the process (it passed: none); "
        "start it by its socket unit, with this name as FileDescriptorName="
    )
