"""Several web servers on one port, by Host and by SNI: each client wakes only the server that it names."""

from __future__ import annotations

import json
import os
import random
import re
import socket
import ssl
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from broken_messages import OTHER_PROTOCOLS, mutated
from client_hellos import client_hello
from peers.harness import HERE, ROOT, PeerHarness
from peers.programs import Program, answers, processes_in, wait_until
from peers.strangers import deliver
from ports import free_port

pytestmark = [pytest.mark.slow, pytest.mark.peers("curl", "node", "openssl")]

HOSTS = {"wiki": "wiki.example.org", "shop": "localhost"}
"""Node's WebSocket takes the name from the URL, and looks it up."""

HTTP = 'protocol = "http"\nhealth_path = "/healthz"'


class WebServers(Program):
    """A zeroscale with two web servers on one port.

    :ivar certificates: each server's certificate with its key, where they speak TLS.
    """

    def __init__(self, directory: Path, *, tls: bool):
        self.directory = directory
        self.port = free_port()
        self.socket = directory / "control.sock"
        self.certificates = {name: self._certificate(name) for name in HOSTS} if tls else {}
        file = directory / "zeroscale.toml"
        head = f'state_directory = "{directory}/state"\ncontrol.listen = "unix:{self.socket}"\n'
        file.write_text(head + "".join(self._table(name) for name in HOSTS))
        super().__init__([sys.executable, "-m", "zeroscale", "--config", str(file), "--debug"], ROOT)
        self.wait_until_ready(lambda: answers(self.port), "the proxy listens")

    def _certificate(self, name: str) -> Path:
        file, host = self.directory / f"{name}.pem", HOSTS[name]
        words = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
        names = ["-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}"]
        subprocess.run([*words.split(), *names, "-keyout", file, "-out", file], capture_output=True, check=True)
        return file

    def _table(self, name: str) -> str:
        work = self.directory / name
        work.mkdir()
        server_port = free_port()
        command = ["node", str(HERE / "web_server.mjs"), str(server_port), "0.3", "--name", name]
        if self.certificates:
            command += ["--tls", str(self.certificates[name])]
        return f"""
[servers.{name}]
plugin = "generic"
plugin_arguments.command = {json.dumps(command)}
listen = {self.port}
hosts = ["{HOSTS[name]}"]
server = {server_port}
{'wake_on = "tls"' if self.certificates else HTTP}
working_directory = "{work}"
idle_shutdown = "5s"
wake_timeout = "2s"
"""

    def running(self) -> set[str]:
        """The servers that have a process."""
        return {name for name in HOSTS if processes_in(self.directory / name)}

    def wait_until_asleep(self) -> None:
        """Wait until no server has one."""
        wait_until(lambda: not self.running(), "all sleep", program=self)

    def starts(self) -> list[str]:
        """The servers that were started, in this order."""
        return [found[1] for line in self.lines if (found := re.search(r"(\w+): starting: ", line))]

    def ctl(self, *words: str) -> str:
        """Run `zeroscalectl`; return what it prints."""
        command = [sys.executable, "-m", "zeroscale.ctl.main", "--socket", str(self.socket), *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def curl(self, name: str, *words: str) -> Any:
        """Ask a server by its name with curl; return its answer."""
        done = self.curl_any(HOSTS[name], *words, trusts=self.certificates.get(name))
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def curl_any(self, host: str, *words: str, trusts: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Ask for any host with curl."""
        scheme = "https" if self.certificates else "http"
        command = ["curl", "-sS", "--resolve", f"{host}:{self.port}:127.0.0.1", *words]
        command += ["--cacert", str(trusts)] if trusts else []
        command.append(f"{scheme}://{host}:{self.port}/api")
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)

    def websocket(self, name: str) -> Any:
        """Send a text to a server with Node's WebSocket; return what it got."""
        url = f"{'wss' if self.certificates else 'ws'}://{HOSTS[name]}:{self.port}/socket"
        script = ["--no-warnings", "--experimental-websocket", str(HERE / "web_client.mjs")]
        trusts = {"NODE_EXTRA_CA_CERTS": str(self.certificates[name])} if self.certificates else {}
        done = subprocess.run(
            ["node", *script, "websocket", str(self.port), url],
            capture_output=True,
            timeout=30,
            check=False,
            env={**os.environ, **trusts},
        )
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        return json.loads(done.stdout)


def test_http_servers_by_host(harness: PeerHarness, tmp_path: Path) -> None:
    web = harness.track(WebServers(tmp_path, tls=False))

    def status(host: str, *words: str) -> str:
        return web.curl_any(host, "-o", str(tmp_path / "reply"), "-w", "%{http_code}", *words).stdout

    assert [status("other.example.org"), status("127.0.0.1"), status("wiki.example.org.evil.example")] == ["421"] * 3
    assert (tmp_path / "reply").read_text().startswith("Not here\n")
    assert status("wiki.example.org", "--http1.0", "-H", "Host:") == "421"
    assert status("wiki.example.org", "--http1.1", "-H", "Host:") == "400"
    assert status("127.0.0.1", "--request-target", "/healthz") == "200"
    assert web.curl_any("wiki.example.org", "--http2-prior-knowledge").returncode != 0
    with socket.create_connection(("127.0.0.1", web.port)) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: wiki.example.org\r\nHost: localhost\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 400 ")
    assert web.running() == set() and web.starts() == []

    answer = web.curl("wiki", "-H", "Host: WIKI.Example.org.")
    assert (answer["name"], answer["host"]) == ("wiki", "WIKI.Example.org.")
    assert web.running() == {"wiki"}
    assert web.websocket("shop") == {"text": "hello"}
    assert web.running() == {"wiki", "shop"}
    with ThreadPoolExecutor() as threads:  # both run now
        asked = [threads.submit(web.curl, name) for name in ("wiki", "shop") * 5]
        assert [each.result()["name"] for each in asked] == ["wiki", "shop"] * 5
    assert web.websocket("shop") == {"text": "hello"}
    assert status("other.example.org") == "421"
    target = f"http://wiki.example.org:{web.port}/absolute"
    assert web.curl("shop", "--request-target", target)["name"] == "wiki"
    listed = web.ctl("status")
    assert "wiki.example.org" in listed and "localhost" in listed
    assert json.loads(web.ctl("status", "--json"))["unrouted"] == {"unknown-host": 6, "refused": 2, "health-check": 1}
    web.wait_until_asleep()
    assert web.starts() == ["wiki", "shop"]
    assert web.terminate() == 0


def test_tls_servers_by_server_name(harness: PeerHarness, tmp_path: Path) -> None:
    web = harness.track(WebServers(tmp_path, tls=True))
    for host in ("other.example.org", "127.0.0.1"):  # curl sends no server name with an address
        refused = web.curl_any(host, trusts=web.certificates["wiki"])
        assert refused.returncode == 35 and "unrecognized name" in refused.stderr
    assert web.running() == set() and web.starts() == []

    answer = web.curl("wiki", "--http2")
    expected = {"name": "wiki", "http": "2.0", "alpnProtocol": "h2", "servername": "wiki.example.org"}
    assert answer | expected == answer
    assert web.running() == {"wiki"}
    assert web.websocket("shop") == {"text": "hello"}
    assert web.running() == {"wiki", "shop"}
    for _ in range(2):
        answer = web.curl("shop", "--http1.1")
        assert answer | {"name": "shop", "http": "1.1", "alpnProtocol": "http/1.1", "servername": "localhost"} == answer
        assert web.curl("wiki", "--http2", "--tls-max", "1.2")["alpnProtocol"] == "h2"
    web.wait_until_asleep()
    assert web.starts() == ["wiki", "shop"]

    with socket.create_connection(("127.0.0.1", web.port), timeout=20) as client:
        assert long_hello(client, "wiki.example.org", web.certificates["wiki"]) == "h2"
        assert web.running() == {"wiki"}
    assert web.terminate() == 0


def long_hello(client: socket.socket, host: str, trusts: Path) -> str | None:
    """Do a TLS handshake whose ClientHello has several records, in small pieces; return the protocol agreed on."""
    context = ssl.create_default_context(cafile=str(trusts))
    context.set_alpn_protocols(["h2", *(f"{number:0240}" for number in range(80))])
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    connection = context.wrap_bio(incoming, outgoing, server_hostname=host)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while True:
        try:
            connection.do_handshake()
        except ssl.SSLWantReadError:
            sent = outgoing.read()
            assert connection.version() or len(sent) > 16384, "a record has less"
            for at in range(0, len(sent), 99):
                client.sendall(sent[at : at + 99])
            incoming.write(client.recv(65536))
        else:
            return connection.selected_alpn_protocol()


MESSAGES = 2000
MEBIBYTE = 1 << 20


@pytest.mark.parametrize("kind", ["http", "tls"])
def test_no_stranger_disturbs_the_sleep(kind: str, harness: PeerHarness, tmp_path: Path) -> None:
    web = harness.track(WebServers(tmp_path, tls=kind == "tls"))
    chance = random.Random(17)
    names = ["other.example.org", "org", f"{'x' * 60}.{'y' * 60}.example.org"]
    whole = [client_hello(name) for name in [*names, None]] if kind == "tls" else [request(name) for name in names]
    messages = [mutated(chance, chance.choice([*whole, *OTHER_PROTOCOLS])) for _ in range(2 * MESSAGES)] + whole
    deliver(web.port, messages[:MESSAGES])
    before = web.resident_bytes()
    deliver(web.port, messages[MESSAGES:])
    grown = web.resident_bytes() - before
    assert web.running() == set() and web.starts() == []
    assert grown < 4 * MEBIBYTE, f"{grown / MEBIBYTE:.1f} MiB more after {MESSAGES} messages"
    assert [line for line in web.lines if line.startswith(("ERROR", "CRITICAL", "Traceback"))] == []
    assert web.terminate() == 0


def request(host: str) -> bytes:
    return f"POST /x HTTP/1.1\r\nHost: {host}\r\nAccept: text/html\r\nContent-Length: 9\r\n\r\nbody=body".encode()
