"""One server with three ports: a game, a web map that is not worth waking it, and an operator's port."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from peers.programs import DEADLINE, wait_until
from ports import free_port
from survival.harness import AT_ONCE, SurvivalHarness, without_delay

THREE_PORTS = """
import http.server, os, socketserver, sys, threading, time
game, web, admin = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line)
class Map(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "7")
        self.end_headers()
        self.wfile.write(b"the map")
    def log_message(self, *_):
        pass
class Game(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
class Admin(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
def serve(make, delay):
    time.sleep(delay)
    make().serve_forever()
if os.path.exists(admin):
    os.unlink(admin)
threading.Thread(target=serve, args=(lambda: Admin(admin, Echo), 0), daemon=True).start()
threading.Thread(
    target=serve, args=(lambda: http.server.ThreadingHTTPServer(("127.0.0.1", web), Map), 0.3), daemon=True
).start()
serve(lambda: Game(("127.0.0.1", game), Echo), 0)
"""
"""The map's port opens later than the game's, as that of a plugin which loads slowly."""

IDLE = 1.5


class ThreePorts:
    """A zeroscale in front of such a server, with a file as its configuration."""

    def __init__(self, harness: SurvivalHarness) -> None:
        self.harness = harness
        self.web, self.admin, self.more = free_port(), free_port(), free_port()
        self.real_web = free_port()
        self.file = harness.other_directory / "zeroscale.toml"
        self.control = harness.other_directory / "control.sock"
        self.write(
            f'[[servers.game.ports]]\nlisten = {self.web}\nserver = {self.real_web}\nprotocol = "http"',
            f'[[servers.game.ports]]\nlisten = {self.admin}\nserver = "unix:{harness.world}/admin.sock"',
        )
        self.proxy = harness.run_configured(self.file)
        self.proxy.wait_for(f"Ready: players come to port {harness.port}$")

    def write(self, *ports: str) -> None:
        harness = self.harness
        program = harness.directory / "three_ports.py"
        program.write_text(THREE_PORTS)
        command = [sys.executable, "-S", "-E", str(program)]
        command += [str(harness.server_port), str(self.real_web), "admin.sock"]
        self.file.write_text(
            f"""
state_directory = "{harness.state}"
control.listen = "unix:{self.control}"
[servers.game]
plugin = "generic"
listen = {harness.port}
server = {harness.server_port}
working_directory = "{harness.world}"
idle_shutdown = {IDLE}
plugin_arguments = {{ command = {json.dumps(command)} }}
"""
            + "\n".join(ports)
        )

    def clients(self) -> dict[str, int]:
        """Return how many clients are on each port."""
        command = [sys.executable, "-m", "zeroscale.ctl.main", "status", "--json", "--socket", str(self.control)]
        done = subprocess.run(command, cwd=self.harness.other_directory, capture_output=True, check=True)
        [server] = json.loads(done.stdout)["servers"]
        return {port["listen"][0]: port["clients"] for port in server["ports"]}


def get(port: int, method: str = "GET") -> tuple[int, str | None, str]:
    """Return the status, Retry-After and the body of a browser's request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    connection.request(method, "/", headers={"Accept": "text/html"})
    reply = connection.getresponse()
    body = reply.read().decode()
    connection.close()
    return reply.status, reply.headers["Retry-After"], body


@contextmanager
def echoing(port: int) -> Iterator[socket.socket]:
    """Connect, and wait for an answer of the server."""
    with socket.create_connection(("127.0.0.1", port), DEADLINE) as client:
        echoes(client)
        yield client


def echoes(client: socket.socket) -> None:
    client.sendall(b"hello\n")
    assert client.recv(100) == b"hello\n"


def test_three_ports_of_one_server(harness: SurvivalHarness) -> None:
    three = ThreePorts(harness)
    proxy = three.proxy
    for method in ("GET", "POST"):
        status, retry_after, page = get(three.web, method)
        assert (status, retry_after, "<h1>Asleep</h1>" in page, "http-equiv" in page) == (503, "60", True, False)
    with socket.create_connection(("127.0.0.1", three.admin), DEADLINE) as client, without_delay():
        client.sendall(b"hello\n")
        assert client.recv(100) == b"", "closed in order"
    assert harness.servers() == set()

    with echoing(harness.port) as player:
        assert get(three.web) == (200, None, "the map"), "though it opens later"
        with echoing(three.admin) as operator:
            wait_until(
                lambda: three.clients() == {str(harness.port): 1, str(three.web): 0, str(three.admin): 1},
                "each port knows its clients",
                program=proxy,
            )
            player.close()
            with without_delay(IDLE + 2 * AT_ONCE):
                assert operator.recv(100) == b"", "the operator keeps it running for no moment longer"
    harness.server_is_gone(proxy)
    assert get(three.web)[0] == 503
    assert proxy.terminate() == 0


def test_ports_come_and_go_while_clients_are_on(harness: SurvivalHarness) -> None:
    three = ThreePorts(harness)
    with echoing(harness.port) as player, echoing(three.admin) as operator:
        three.write(
            f'[[servers.game.ports]]\nlisten = {three.more}\nserver = {three.real_web}\nprotocol = "http"',
            f'[[servers.game.ports]]\nlisten = "unix:local.sock"\nserver = "unix:{harness.world}/admin.sock"',
        )
        three.proxy.process.send_signal(signal.SIGHUP)
        three.proxy.wait_for("game: changed: ports")
        wait_until(lambda: get_or_none(three.more) == 200, "the new port is open", program=three.proxy)
        for port in (three.web, three.admin):
            assert get_or_none(port) is None, "a removed port is closed"
        echoes(player)
        echoes(operator)
        with socket.socket(socket.AF_UNIX) as local:
            local.settimeout(DEADLINE)
            local.connect(str(three.file.with_name("local.sock")))
            echoes(local)
    harness.server_is_gone(three.proxy)
    assert get(three.more)[0] == 503
    assert three.proxy.terminate() == 0


def get_or_none(port: int) -> int | None:
    try:
        return get(port)[0]
    except ConnectionError:
        return None
