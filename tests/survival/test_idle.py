"""Players keep a server running; clients that are none do not keep a server running, however often they come back."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import pytest
from hostile.zeroscale_process import has_tls, make_certificate
from peers.programs import DEADLINE, Program, wait_until
from ports import free_port
from survival.harness import AT_ONCE, PROTOCOL, SurvivalHarness

from zeroscale.protocols.minecraft.client import LoginClient
from zeroscale.protocols.proxy_protocol import Endpoint, encode

MINUTE = 60.0
"""Seconds for which all connections of one stranger together may keep a Minecraft server running."""

GRACE = 15.0
"""Seconds for which the first visit of a monitor may, where the server speaks first."""

IDLE = 5.0
HOLD, PAUSE = 8.0, 3.0
"""Seconds that a stranger keeps a login open, and seconds until the next one: never as long as the idle time."""

HEADERS_FROM = "127.0.0.2"
HEADER = encode("v2", Endpoint("203.0.113.7", 4000), Endpoint("192.0.2.200", 25565))
"""Of a client that is not on this machine: addresses of loopback have no limits."""

LINE_SERVER = """
import socketserver, sys
class Client(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(sys.argv[2].encode())
        for line in self.rfile:
            self.wfile.write(line)
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
Server(("127.0.0.1", int(sys.argv[1])), Client).serve_forever()
"""
"""Sends a greeting, and sends each line back."""


@pytest.mark.slow
def test_a_stranger_who_holds_logins_open_again_and_again_gets_a_minute_and_no_more(harness: SurvivalHarness) -> None:
    proxy = run_online_server(harness)
    ada = harness.player("Ada")
    wait_until(lambda: bool(harness.times_of("login")), "Ada is asked for an encryption", program=proxy)
    ada.leave()
    began = time.monotonic()
    visits = 0
    stopped_within = MINUTE + IDLE + 2 * AT_ONCE
    while not is_stopping(proxy, PAUSE):
        visits += stranger_is_asked_for_an_encryption(harness.port)
        assert time.monotonic() - began < stopped_within, f"after {visits} visits: {proxy.text()}"
    assert time.monotonic() - began > MINUTE - HOLD, "a player with a slow line needs that time"
    assert visits >= MINUTE // (HOLD + PAUSE)
    harness.server_is_gone(proxy)
    assert not stranger_is_asked_for_an_encryption(harness.port)
    assert len(harness.times_of("started")) == 1
    assert proxy.terminate() == 0


@pytest.mark.slow
def test_a_kicked_player_who_joins_again_finds_the_server_on(harness: SurvivalHarness) -> None:
    proxy = harness.run("demo", "--join", "kick", "-a", "start_seconds=0.2")
    assert "please join again in a little while" in harness.player().kick_message()
    proxy.wait_for(": ready")
    at = proxy.wait_for("Scheduling the stop in 60 s")
    harness.player().is_greeted()
    proxy.wait_for("Scheduling the stop in 15 s", after=at)
    assert proxy.terminate() == 0


@pytest.mark.slow
def test_in_a_file_a_minecraft_server_is_kept_for_its_players(harness: SurvivalHarness) -> None:
    file = harness.directory / "zeroscale.toml"
    file.write_text(f"""state_directory = "{harness.state}"
    control.listen = "unix:{harness.directory}/control"
    [servers.survival]
    plugin = "demo"
    listen = {harness.port}
    server = {harness.server_port}
    working_directory = "{harness.world}"
    plugin_arguments.start_seconds = 0
    """)
    proxy = harness.run_configured(file)
    harness.player().is_greeted()
    proxy.wait_for("Scheduling the stop in 900 s")
    file.write_text(file.read_text() + "idle_shutdown = 0\n")
    proxy.process.send_signal(signal.SIGHUP)
    proxy.wait_for("survival: changed: idle_shutdown")
    left = idle_in(harness)
    assert left is not None and MINUTE - DEADLINE < left <= MINUTE
    assert proxy.terminate() == 0


@pytest.mark.slow
@pytest.mark.skipif(not has_tls(), reason="needs twisted[tls] and openssl")
@pytest.mark.parametrize("relay", ["auto", "transport"])
def test_a_player_counts_by_the_bytes_of_the_server_on_every_kind_of_listener(
    harness: SurvivalHarness, relay: str
) -> None:
    make_certificate(harness.directory)
    tls_port, unix = free_port(), str(harness.directory / "socket")
    proxy = run_online_server(
        harness,
        listen=[
            str(harness.port),
            f"unix:{unix}",
            f"ssl:{tls_port}:privateKey={harness.directory}/key.pem:certKey={harness.directory}/cert.pem",
        ],
        relay=relay,
        idle=60.0,
    )
    login = LoginClient("localhost", harness.port, PROTOCOL, "Ada").request()
    connections: list[tuple[Callable[[], socket.socket], bytes]] = [
        (lambda: tcp_connection(harness.port), b""),
        (lambda: tcp_connection(harness.port, HEADERS_FROM), HEADER),
        (lambda: unix_connection(unix), b""),
        (lambda: tls_connection(tls_port), b""),
    ]
    for connect, header in connections:
        with connect() as client:
            client.settimeout(DEADLINE)
            client.sendall(header + login)
            receive(client, 300)
            assert idle_in(harness) is not None, "whoever does not answer is no player"
            client.sendall(b"the answer")
            receive(client, 4096)
            wait_until(lambda: idle_in(harness) is None, "the player counts", program=proxy)
        wait_until(lambda: idle_in(harness) is not None, "the player has left", program=proxy)
    assert proxy.terminate() == 0


@pytest.mark.slow
def test_a_monitor_that_sends_nothing_does_not_keep_a_server_running_whose_clients_speak_first(
    harness: SurvivalHarness,
) -> None:
    proxy = run_line_server(harness, "", idle=IDLE, wake_on="data")
    begun = exchange_a_line(harness.port, b"")
    while not is_stopping(proxy, 1):
        with socket.create_connection(("127.0.0.1", harness.port), DEADLINE) as client:
            client.settimeout(1)
            with pytest.raises(TimeoutError):
                client.recv(100)
        assert time.monotonic() - begun < IDLE + AT_ONCE + 2, proxy.text()
    harness.server_is_gone(proxy)
    assert proxy.terminate() == 0


@pytest.mark.slow
def test_monitors_of_a_server_that_speaks_first_get_one_grace_and_no_more(harness: SurvivalHarness) -> None:
    idle = GRACE + 1
    proxy = run_line_server(harness, "hello\n", idle=idle, wake_on="connect")
    begun = exchange_a_line(harness.port, b"hello\n")
    first_visit = None
    while not is_stopping(proxy, 4):
        with socket.create_connection(("127.0.0.1", harness.port), DEADLINE) as client:
            client.settimeout(DEADLINE)
            assert client.recv(100) == b"hello\n"
        first_visit = first_visit or time.monotonic()
        assert time.monotonic() - begun < idle + GRACE, proxy.text()
    assert first_visit is not None
    assert 0 <= time.monotonic() - first_visit - GRACE < AT_ONCE
    assert proxy.terminate() == 0


@pytest.mark.slow
@pytest.mark.parametrize("relay", ["auto", "transport"])
def test_health_checks_every_second_neither_wake_a_server_nor_keep_it_running(
    harness: SurvivalHarness, relay: str
) -> None:
    options = ["--health-path", "/healthz", "--relay", relay]
    proxy = run_line_server(harness, "", idle=IDLE, wake_on="http", options=options)
    request = b"GET /healthz HTTP/1.1\r\n\r\n"
    for _ in range(3):
        assert reply_to(harness.port, request).startswith(b"HTTP/1.1 200 OK\r\n")
        with pytest.raises(AssertionError, match="1 s passed"):
            proxy.wait_for(": starting: ", 1)
    with tcp_connection(harness.port) as client:
        client.settimeout(DEADLINE)
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        receive(client, 18)
        assert reply_to(harness.port, request).startswith(b"HTTP/1.1 200 OK\r\n")
    begun, checks = time.monotonic(), 0
    while not is_stopping(proxy, 1):
        assert reply_to(harness.port, request).startswith(b"HTTP/1.1 200 OK\r\n")
        checks += 1
        assert time.monotonic() - begun < IDLE + AT_ONCE + 2, proxy.text()
    assert checks >= IDLE - 2
    harness.server_is_gone(proxy)
    assert reply_to(harness.port, request).startswith(b"HTTP/1.1 200 OK\r\n")
    assert not harness.servers() and sum(": starting: " in line for line in proxy.lines) == 1
    assert proxy.terminate() == 0


def is_stopping(proxy: Program, within: float) -> bool:
    """Return whether the server is being stopped for being idle, within so many seconds."""
    try:
        proxy.wait_for(": stopping: ", within)
    except AssertionError:
        return False
    return True


def stranger_is_asked_for_an_encryption(port: int) -> bool:
    """Begin a login that is never finished, hold it open, and close it; return whether the server has answered it."""
    login = LoginClient("localhost", port, PROTOCOL, "Mallory").request()
    with tcp_connection(port, HEADERS_FROM) as client:
        client.sendall(HEADER + login)
        until = time.monotonic() + HOLD
        received = b""
        while (left := until - time.monotonic()) > 0:
            client.settimeout(left)
            try:
                data = client.recv(4096)
            except TimeoutError:
                break
            if not data:
                break
            received += data
    return b"xxx" in received


def run_online_server(
    harness: SurvivalHarness, listen: Sequence[str] = (), relay: str = "auto", idle: float = IDLE
) -> Program:
    """Start a zeroscale that only Ada may wake, in front of a server that asks its clients for an encryption."""
    small_server = Path(__file__).with_name("small_server.py")
    command = [sys.executable, "-S", "-E", str(small_server), str(harness.server_port), str(harness.record)]
    file = harness.directory / "zeroscale.toml"
    file.write_text(f"""state_directory = "{harness.state}"
    relay = "{relay}"
    control.listen = "unix:{harness.directory}/control"
    [servers.survival]
    plugin = "minecraft"
    listen = {json.dumps([*listen] or [str(harness.port)])}
    server = {harness.server_port}
    working_directory = "{harness.world}"
    idle_shutdown = "{idle:g}s"
    minimum_online_time = 0
    plugin_arguments.command = {json.dumps([*command, "--online-mode"])}
    proxy_protocol.accept_from = ["{HEADERS_FROM}"]
    admission = {{ wake = "nobody", allow = ["Ada"] }}
    """)
    return harness.run_configured(file)


def idle_in(harness: SurvivalHarness) -> float | None:
    """Return in how many seconds the server may stop, as `zeroscalectl status` has it; None: players are on it."""
    words = ["--socket", str(harness.directory / "control"), "status", "--json"]
    command = [sys.executable, "-m", "zeroscale.ctl.main", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=True)
    [server] = json.loads(done.stdout)["servers"]
    assert server["status"] == "running"
    return cast("float | None", server["idle_in"])


def tcp_connection(port: int, source: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), DEADLINE, (source, 0))


def unix_connection(path: str) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    return client


def tls_connection(port: int) -> socket.socket:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(tcp_connection(port))


def receive(client: socket.socket, count: int) -> None:
    """Receive at least so many bytes."""
    while count > 0:
        data = client.recv(count)
        assert data, "it was closed"
        count -= len(data)


def reply_to(port: int, request: bytes) -> bytes:
    """Send a request; return all that is received until the connection is closed."""
    with tcp_connection(port) as client:
        client.settimeout(DEADLINE)
        client.sendall(request)
        received = b""
        while data := client.recv(4096):
            received += data
    return received


def run_line_server(
    harness: SurvivalHarness, greeting: str, *, idle: float, wake_on: str, options: Sequence[str] = ()
) -> Program:
    """Start a zeroscale in front of `LINE_SERVER`."""
    command = [sys.executable, "-S", "-E", "-c", LINE_SERVER, str(harness.server_port), greeting]
    words = [word for argument in command for word in ("-a", argument)]
    return harness.run("generic", "-t", f"{idle:g}", "--wake_on", wake_on, *options, *words)


def exchange_a_line(port: int, greeting: bytes) -> float:
    """Be a client that counts; return when it has left."""
    with socket.create_connection(("127.0.0.1", port), DEADLINE) as client:
        client.settimeout(DEADLINE)
        client.sendall(b"line\n")
        received = b""
        while len(received) < len(greeting) + 5:
            received += client.recv(100)
        assert received == greeting + b"line\n"
    return time.monotonic()
