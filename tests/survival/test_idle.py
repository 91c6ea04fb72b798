"""Clients that are no players do not keep a server running, however often they come back."""

from __future__ import annotations

import shlex
import socket
import sys
import time
from pathlib import Path

import pytest
from peers.programs import DEADLINE, Program, wait_until
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

STRANGER = Endpoint("203.0.113.7", 4000)

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
    small_server = Path(__file__).with_name("small_server.py")
    words = [sys.executable, "-S", "-E", str(small_server), str(harness.server_port), str(harness.record)]
    file = harness.directory / "zeroscale.toml"
    file.write_text(f"""state_directory = "{harness.state}"
    [servers.survival]
    plugin = "minecraft"
    listen = {harness.port}
    server = {harness.server_port}
    working_directory = "{harness.world}"
    idle_shutdown = "{IDLE:g}s"
    plugin_arguments.command = "{shlex.join([*words, "--online-mode"])}"
    proxy_protocol.accept_from = ["127.0.0.2"]
    admission = {{ wake = "nobody", allow = ["Ada"] }}
    """)
    proxy = harness.run_configured(file)
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


def is_stopping(proxy: Program, within: float) -> bool:
    """Return whether the server is being stopped for being idle, within so many seconds."""
    try:
        proxy.wait_for("Stopping (generic|survival)", within)
    except AssertionError:
        return False
    return True


def stranger_is_asked_for_an_encryption(port: int) -> bool:
    """Begin a login that is never finished, hold it open, and close it; return whether the server has answered it."""
    login = LoginClient("localhost", port, PROTOCOL, "Mallory").request()
    header = encode("v2", STRANGER, Endpoint("192.0.2.200", 25565))
    with socket.create_connection(("127.0.0.1", port), DEADLINE, ("127.0.0.2", 0)) as client:
        client.sendall(header + login)
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


def run_line_server(harness: SurvivalHarness, greeting: str, *, idle: float, wake_on: str) -> Program:
    """Start a zeroscale in front of `LINE_SERVER`."""
    command = [sys.executable, "-S", "-E", "-c", LINE_SERVER, str(harness.server_port), greeting]
    words = [word for argument in command for word in ("-a", argument)]
    return harness.run("generic", "-t", f"{idle:g}", "--wake_on", wake_on, *words)


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
