"""PROXY headers from a real HAProxy in front, and to a real HAProxy or nginx behind: all see the client's address."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from peers.harness import NEWEST_VERSION, ROOT, PeerHarness, Record, server_command
from peers.programs import Program, answers, processes_in, wait_until
from ports import free_port

from zeroscale.protocols.proxy_protocol import Endpoint, Version, encode, local_header

pytestmark = [pytest.mark.slow]

SENDERS: dict[Version, str] = {"v1": "127.0.0.3", "v2": "127.0.0.4"}
"""Where HAProxy connects from: an address for each version, neither of them a client's."""

CLIENT = "127.0.0.2"
BANNED = "127.0.0.5"
STRANGER = "127.0.0.6"
CLIENT_END = Endpoint("203.0.113.9", 5000)
PUBLIC = Endpoint("198.51.100.1", 25565)

LOG = "receiver.log"
COMPLAINT = "PROXY protocol"
"""In every line that HAProxy and nginx log for a client that did not begin with a whole header."""

TRUST = [word for sender in SENDERS.values() for word in ("--proxy_protocol_from", sender)]

DEFAULTS = """
global
    log stdout format raw local0
defaults
    timeout connect 2s
    timeout client 30s
    timeout server 30s
"""


class Front(Program):
    """An HAProxy that sends headers and looks, five times a second, whether zeroscale is there.

    :ivar ports: where its clients connect, by the version of the headers.
    """

    def __init__(self, directory: Path, target: int):
        self.ports: dict[Version, int] = {version: free_port() for version in SENDERS}
        words = {"v1": "send-proxy", "v2": "send-proxy-v2 check-send-proxy"}
        listeners = "".join(
            f"""
listen {version}
    mode tcp
    bind 127.0.0.1:{port}
    bind [::1]:{port}
    server zeroscale 127.0.0.1:{target} source {SENDERS[version]} {words[version]} check inter 200ms
"""
            for version, port in self.ports.items()
        )
        file = directory / f"front-{target}.cfg"
        file.write_text(DEFAULTS + listeners)
        super().__init__(["haproxy", "-db", "-f", file], directory)
        self.wait_until_ready(lambda: all(map(answers, self.ports.values())), "HAProxy listens")


def haproxy_receiver(directory: Path, port: int) -> str:
    """The command of an HTTP server that wants headers and answers with the client's address as it has it."""
    file = directory / "receiver.cfg"
    file.write_text(f"""{DEFAULTS}
listen receiver
    mode http
    log global
    bind 127.0.0.1:{port} accept-proxy
    http-request return status 200 content-type text/plain lf-string "%[src] %[src_port]"
""")
    return f"sh -c 'exec haproxy -db -f {file} >{directory}/{LOG} 2>&1'"


def nginx_receiver(directory: Path, port: int) -> str:
    """Another one."""
    file = directory / "receiver.conf"
    file.write_text(f"""
daemon off;
pid {directory}/nginx.pid;
error_log {directory}/{LOG} info;
events {{}}
http {{
    access_log off;
    client_body_temp_path {directory};
    server {{
        listen 127.0.0.1:{port} proxy_protocol;
        location / {{ return 200 "$proxy_protocol_addr $proxy_protocol_port"; }}
    }}
}}
""")
    return f"nginx -p {directory} -e stderr -c {file}"


RECEIVERS = {"haproxy": haproxy_receiver, "nginx": nginx_receiver}


@pytest.mark.peers("haproxy", "nginx")
@pytest.mark.parametrize(("receiver", "version"), [("haproxy", "v2"), ("haproxy", "v1"), ("nginx", "v2")])
def test_the_real_server_sees_the_clients_address(receiver: str, version: Version, harness: PeerHarness) -> None:
    directory = harness.directory / f"{receiver}-{version}"
    directory.mkdir()
    server_port = free_port()
    command = RECEIVERS[receiver](directory, server_port)
    proxy = harness.proxy(
        "generic",
        directory.name,
        [command],
        server_port,
        options=[*TRUST, "--send_proxy_protocol", version, "--ready", "http"],
    )
    front = harness.track(Front(harness.directory, proxy.port))
    for sender in SENDERS.values():
        seen = 0
        for _ in range(3):
            seen = proxy.wait_for(rf"{re.escape(sender)}:\d+: health-check after", after=seen)
    proxy.assert_asleep()
    assert ": starting: " not in proxy.text()
    for port in front.ports.values():
        for host, source in (("127.0.0.1", CLIENT), ("::1", "::1")):
            address, answer = ask(host, port, source)
            assert answer == f"{address.host} {address.port}"
            shown = f"[{address.host}]" if ":" in address.host else address.host
            proxy.wait_for(rf"{re.escape(f'{shown}:{address.port}')}: closed after")
    for incoming, sender in SENDERS.items():
        _, answer = ask("127.0.0.1", proxy.port, sender, encode(incoming, CLIENT_END, PUBLIC), drips=True)
        assert answer == f"{CLIENT_END.host} {CLIENT_END.port}"
    proxy.wait_until_asleep()  # though HAProxy goes on looking
    proxy.end()
    assert COMPLAINT not in (directory / LOG).read_text()


@pytest.mark.peers("haproxy", "node")
@pytest.mark.usefixtures("npm_packages")
def test_the_address_of_a_player_behind_haproxy_reaches_zeroscale_and_the_server(
    harness: PeerHarness, tmp_path: Path
) -> None:
    work, record, control = tmp_path / "survival", Record(tmp_path / "record"), tmp_path / "control.sock"
    port, server_port, hidden = free_port(), free_port(), free_port()
    work.mkdir()
    (work / "banned-ips.json").write_text(json.dumps([{"ip": BANNED, "reason": "griefing", "expires": "forever"}]))
    (work / "receiver.cfg").write_text(f"""{DEFAULTS}
listen receiver
    mode tcp
    log global
    option logasap
    log-format "receiver saw %ci:%cp"
    bind 127.0.0.1:{server_port} accept-proxy
    server minecraft 127.0.0.1:{hidden}
""")
    command = " ".join(server_command("minecraft-protocol", NEWEST_VERSION, hidden, record=record.path))
    (work / "start.sh").write_text(
        f"haproxy -db -f receiver.cfg >{LOG} 2>&1 & receiver=$!\n{command}\nkill $receiver\nwait\n"
    )
    file = tmp_path / "zeroscale.toml"
    file.write_text(f"""
state_directory = "{tmp_path}/state"
control.listen = "unix:{control}"
[servers.survival]
plugin = "minecraft"
listen = {port}
server = {server_port}
working_directory = "{work}"
idle_shutdown = "5m"
plugin_arguments.command = "sh start.sh"
proxy_protocol = {{ accept_from = {json.dumps([*SENDERS.values()])}, send = "v2" }}
""")
    proxy = harness.track(Program([sys.executable, "-m", "zeroscale", "--config", file, "--debug"], ROOT))
    wait_until(lambda: answers(port), "zeroscale listens", program=proxy)

    def ctl(*words: str) -> str:
        command = [sys.executable, "-m", "zeroscale.ctl.main", "--socket", str(control), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout

    front = harness.track(Front(tmp_path, port))
    for sender in SENDERS.values():
        proxy.wait_for(rf"{re.escape(sender)}:\d+: health-check after")

    banned = harness.player(NEWEST_VERSION, front.ports["v1"], "Griefer", "--from", BANNED)
    assert "griefing" in json.dumps(banned.wait_for_event("kicked"))
    proxy.wait_for(rf"Griefer \({re.escape(BANNED)}:\d+\): kicked after")
    assert record.starts() == 0

    for version in SENDERS:
        player = harness.player(NEWEST_VERSION, front.ports[version], "Steve", "--from", CLIENT)
        player.wait_for_event("joined")
        [reported] = json.loads(ctl("status", "--json"))["servers"][0]["players"]
        assert reported["name"] == "Steve" and reported["address"].startswith(f"{CLIENT}:")
        player.leave()
        proxy.wait_for(rf"Steve \({re.escape(reported['address'])}\): closed after")
        assert f"receiver saw {reported['address']}\n" in (work / LOG).read_text()
    ctl("sleep")
    wait_until(lambda: not processes_in(work), "the server sleeps again", program=proxy)
    assert (record.starts(), record.exit_codes()) == (1, [0])
    assert proxy.terminate() == 0
    assert "Traceback" not in proxy.text()
    assert COMPLAINT not in (work / LOG).read_text()


@pytest.mark.parametrize("plugin", ["generic", "minecraft"])
def test_which_addresses_may_send_a_header(plugin: str, harness: PeerHarness) -> None:
    proxy = harness.proxy(
        plugin,
        f"closed-{plugin}",
        ["false"],
        free_port(),
        options=[*TRUST, "--wake_timeout", "0.5"],
    )
    trusted = SENDERS["v2"]
    headers = [encode(version, CLIENT_END, PUBLIC) for version in SENDERS] + [
        local_header(version) for version in SENDERS
    ]
    cases = [(STRANGER, header + b"\x00", "accept_from") for header in headers]
    cases += [
        (trusted, b"PROXY TCP4 203.0.113.9 198.51.100.1 5000 99999\r\n", "an invalid port"),
        (trusted, b"PROXY TCP4 2001:db8::1 198.51.100.1 5000 25565\r\n", "an invalid address"),
        (trusted, b"PROXY " + b"x" * 200, "longer than"),
        (trusted, headers[1][:12] + b"\x31" + headers[1][13:], "version and command"),
        (trusted, headers[1][:14] + b"\xff\xff", "at most"),
        (trusted, b"GET / HTTP/1.1\r\n\r\n", "no PROXY protocol header"),
        (trusted, b"\x10\x00\xfd\x05\x09localhost\x63\xdd\x02", "no PROXY protocol header"),
    ]
    for source, data, why in cases:
        with socket.create_connection(("127.0.0.1", proxy.port), 20, source_address=(source, 0)) as client:
            host, port = client.getsockname()
            client.sendall(data)
            assert not received(client)
        at = proxy.wait_for(f"{re.escape(f'{host}:{port}')}: ")
        assert f"{host}:{port}: refused after" in proxy.lines[at - 1]
        assert why in proxy.lines[at - 1]
        assert proxy.text().count(f"{host}:{port}: ") == 1
    if plugin == "generic":
        with socket.create_connection(("127.0.0.1", proxy.port), 20, source_address=(trusted, 0)) as client:
            client.sendall(headers[0][:20])
            assert not received(client)
        proxy.wait_for(rf"{re.escape(trusted)}:\d+: too-slow after .*no whole PROXY protocol header")
    proxy.assert_asleep()
    assert ": starting: " not in proxy.text()
    proxy.end()


def ask(host: str, port: int, source: str, header: bytes = b"", *, drips: bool = False) -> tuple[Endpoint, str]:
    """An HTTP request from that address; returns where it really came from, and what the server answered."""
    with socket.create_connection((host, port), 20, source_address=(source, 0)) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        request = header + b"GET / HTTP/1.0\r\n\r\n"
        for at in range(len(request)) if drips else ():
            client.sendall(request[at : at + 1])
        if not drips:
            client.sendall(request)
        name = client.getsockname()
        head, _, body = received(client).partition(b"\r\n\r\n")
        assert b" 200 " in head.splitlines()[0], head
        return Endpoint(name[0], name[1]), body.decode()


def received(client: socket.socket) -> bytes:
    """All that comes, until the other side closes or breaks off."""
    data = b""
    try:
        while more := client.recv(4096):
            data += more
    except ConnectionResetError:
        pass
    return data
