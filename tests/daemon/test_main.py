"""The `zeroscale` command as a process: its exit codes, a line for every mistake, and what it leaves out."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ports import free_port
from processes import DEADLINE, TELL_MODULES, Program, modules_of, python, wait_until

from zeroscale.build_info import version_line


def zeroscale(*words: str) -> Program:
    return Program(python("-m", "zeroscale", *words))


@pytest.fixture
def state(tmp_path: Path) -> list[str]:
    return ["--state_directory", str(tmp_path)]


def test_every_mistake_of_a_command_line_is_a_line_of_its_own() -> None:
    words = [
        "generic",
        "0",
        "25575",
        "--no-such-option",
        "--idle_timeout=5",
        "-t",
        "soon",
        "-a",
        "redis",
        "-a",
        "stp=1",
    ]
    with zeroscale(*words, "--text", "sleping=x", "--info=yes", "--join") as program:
        assert program.wait() == 2
    starts = [
        "--info takes no value: leave out =yes",
        "unrecognized arguments: --no-such-option; see 'zeroscale --help'",
        "unrecognized arguments: --idle-timeout=5; did you mean --idle-shutdown?",
        'listen_port: "0" is not a port',
        '--idle-shutdown: "soon" is not a duration',
        "--join: a value must follow",
        "texts has no text 'sleping'",
        "zeroscale.plugins.generic: it has no argument 'stp'",
    ]
    assert [line[: len("zeroscale: error: " + start)] for line, start in zip(program.lines, starts, strict=True)] == [
        f"zeroscale: error: {start}" for start in starts
    ]


def test_mistakes_of_a_file_and_of_its_plugins_are_reported_in_one_run(tmp_path: Path) -> None:
    file = tmp_path / "zeroscale.toml"
    file.write_text(
        f'state_directory = "{tmp_path}/state"\n'
        '[servers.a]\nplugin = "demo"\nlisten = 1\nserver = 2\nidle-shutdown = "soon"\n'
        "plugin_arguments = {start_second = 1}\n"
        '[servers.b]\nplugin = "generic"\nlisten = 3\nserver = 4\ntexts = {sleping = "x"}\nplugin_arguments = 5\n'
    )
    with zeroscale("--config", str(file), "--relay", "fast") as program:
        assert program.wait() == 2
    assert [line.removeprefix("zeroscale: error: ").rpartition(": ")[0][:80] for line in program.lines] == [
        "--relay",
        *(
            f"{file}: {path}"[:80]
            for path in (
                'servers.a.idle_shutdown: "soon" is not a duration',
                "servers.b.plugin_arguments",
                "servers.a.plugin_arguments: zeroscale.plugins.demo: it has no argument",
                "servers.b.texts.sleping: texts has no text",
            )
        ),
    ]


@pytest.mark.parametrize("port", ["99999", None])
def test_the_plugins_arguments_are_checked_beside_a_port_that_is_wrong_or_missing(port: str | None) -> None:
    arguments = [word for argument in ("foo=3", "foo=4", "start_seconds=1q") for word in ("-a", argument)]
    with zeroscale("demo", "25565", *([port] if port else []), *arguments) as program:
        assert program.wait() == 2
    assert "; start_seconds='1q' is not a duration" in program.lines[-1]
    assert [line.removeprefix("zeroscale: error: ")[:50] for line in program.lines] == [
        "server_port: 99999 is not a whole number from 1 to"
        if port
        else "the following arguments are required: server_port;",
        "--plugin-argument/-a: foo is given twice",
        "zeroscale.plugins.demo: it has no argument 'foo'; ",
    ]


def test_a_command_line_without_words() -> None:
    with zeroscale() as program:
        assert program.wait() == 2
    assert program.lines == [
        "zeroscale: error: the following arguments are required: server_plugin, listen_port, server_port; "
        "see 'zeroscale --help'"
    ]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["demo", "25565", "25575", "-a", "start_second=4"], 2),
        (["demo", "25565", "25575", "--text", "sleping=x"], 2),
        (["docker_engine", "25565", "25575"], 2),
        (["demo", "25565", "25575", "-w", "gone"], 1),
        (["--config", "gone.toml"], 1),
        (["--config", "gone.toml", "--relay", "fast"], 2),
    ],
)
def test_exit_codes(words: list[str], code: int) -> None:
    with zeroscale(*words) as program:
        assert program.wait() == code


def test_every_mistake_of_a_file_is_a_line_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "zeroscale.toml"
    file.write_text('relay = "fast"\nlog.format = 5\n')
    with zeroscale("--config", str(file)) as program:
        assert program.wait() == 2
    assert program.lines == [
        f'zeroscale: error: {file}: relay: "fast" is not "auto", "splice" or "transport"',
        f'zeroscale: error: {file}: log.format: 5 is not "json", "plain" or "text"',
        f"zeroscale: error: {file}: servers: there is none; describe one in a table [servers.NAME]",
    ]


def test_a_umask_of_ours_is_that_of_servers(tmp_path: Path, state: list[str]) -> None:
    port, server_port = free_port(), free_port()
    script = "sh -c 'umask > new; mv new umask; exec sleep 600'"
    words = ["generic", str(port), str(server_port), "-a", script, "--umask", "037", *state]
    with Program(python("-m", "zeroscale", *words, "-w", str(tmp_path), "--debug")) as program:
        program.wait_for("Ready")
        with socket.create_connection(("127.0.0.1", port), DEADLINE):
            wait_until((tmp_path / "umask").exists, lambda: program.output)
        assert (tmp_path / "umask").read_text() == "0037\n"
        program.signal(signal.SIGTERM)
        assert program.wait() == 0


def test_version_and_help() -> None:
    with zeroscale("--version") as program:
        assert program.wait() == 0
    assert program.lines == [version_line("zeroscale")]
    with zeroscale("--help") as program:
        assert program.wait() == 0
    assert program.lines[0].startswith("usage: zeroscale ")


@pytest.mark.parametrize("name", ["zeroscale", "zeroscalectl"])
def test_the_installed_command(name: str) -> None:
    command = shutil.which(name, path=str(Path(sys.executable).parent))
    if command is None:
        pytest.skip(f"{name} is not installed for this interpreter: pip install .")
    with Program([command, "--version"]) as program:
        assert program.wait() == 0
    assert program.lines == [version_line(name)]


MAIN = """
from zeroscale.build_info import version_line
from zeroscale.daemon.main import main
sys.exit(main())
"""

UNUSED = {
    "OpenSSL": "Twisted's TLS",
    "_hashlib": "OpenSSL's libcrypto",
    "_ssl": "OpenSSL's libssl",
    "aiohttp": "plugin docker, plugin kubernetes",
    "cronsim": "restart",
    "cryptography": "Twisted's TLS",
    "dbus_fast": "plugin systemd_unit",
    "email": "HTTP clients",
    "http.client": "HTTP clients",
    "prometheus_client": "metrics",
    "quarry": "plugin demo",
    "regex": "wake_on regex",
    "service_identity": "Twisted's TLS",
    "shtab": "zeroscalectl",
    "twisted.internet.endpoints": "listen with an endpoint string, and a server that is awake",
    "twisted.web": "metrics",
    "urllib.request": "HTTP clients",
    "zeroscale.control.handlers": "zeroscalectl",
    "zeroscale.control.metrics": "metrics",
    "zeroscale.frontend.http_page": "wake_on http",
    "zeroscale.notify": "notify",
    "zeroscale.plugins.docker": "plugin docker",
    "zeroscale.plugins.generic": "plugin generic",
    "zeroscale.plugins.kubernetes": "plugin kubernetes",
    "zeroscale.probes.busy_command": "busy_command",
    "zeroscale.probes.query": "server browsers",
    "zeroscale.proxy.answer_capture": "server browsers",
    "zeroscale.proxy.config_watch": 'reload = "auto"',
    "zeroscale.proxy.discovery": "discovery",
    "zeroscale.proxy.planned_stops": "restart, and planned stops",
    "zeroscale.proxy.query_factory": "server browsers",
    "zeroscale.proxy.reload_plan": "reload",
    "zeroscale.proxy.server_schedule": "keep_awake and keep_asleep",
    "zeroscale.schedule": "schedules",
    "zeroscale.state.answer_cache": "server browsers, Bedrock",
    "zoneinfo": "timezone",
}
"""Modules that a sleeping Minecraft server needs none of, and what does need them."""

RESIDENT = 40.0
"""MiB of resident memory that a sleeping Minecraft server may have. It has 33; with TLS it had 57."""


@pytest.fixture
def asleep(tmp_path: Path, state: list[str]) -> Iterator[Program]:
    """A sleeping Minecraft server that the command line describes."""
    words = ["minecraft", str(free_port()), str(free_port()), "-a", "sleep 600", "-w", str(tmp_path), *state]
    with Program(python("-c", TELL_MODULES + MAIN, *words, "--info")) as program:
        program.wait_for("Ready")
        yield program


def test_a_sleeping_server_has_imported_only_what_it_uses(asleep: Program) -> None:
    imported = modules_of(asleep)
    assert {"zeroscale.proxy.service", "zeroscale.plugins.minecraft.server", "twisted.internet.tcp"} <= imported
    assert sorted(imported & set(UNUSED)) == []


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_sleeping_server_is_small(asleep: Program) -> None:
    status = Path(f"/proc/{asleep.process.pid}/status").read_text()
    [kilobytes] = re.findall(r"VmRSS:\s+(\d+) kB", status)
    assert int(kilobytes) / 1024 < RESIDENT, status


ECHO = """
import socket, sys
listening = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    client, _ = listening.accept()
    while data := client.recv(65536):
        client.sendall(data)
"""


class ProxyWithFile:
    """A proxy for echo servers that a file describes."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._servers: list[str] = []
        self.file = directory / "zeroscale.toml"
        (directory / "echo.py").write_text(ECHO)

    def add(self, listen: str) -> None:
        """Add a server to the file."""
        port = free_port()
        command = f"{sys.executable} {self._directory / 'echo.py'} {port}"
        self._servers.append(
            f'[servers.s{port}]\nplugin = "generic"\nlisten = "{listen}"\nserver = {port}\nwake_on = "data"\n'
            f'plugin_arguments = {{command = "{command}"}}\n'
        )
        self.file.write_text(f'state_directory = "{self._directory}/state"\n' + "".join(self._servers))

    def run(self) -> Program:
        return Program(python("-m", "zeroscale", "--config", str(self.file), "--info"))


def echoed_by_tls(port: int, data: bytes) -> bytes:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), DEADLINE) as plain, context.wrap_socket(plain) as client:
        client.sendall(data)
        return client.recv(len(data))


def by_tls(port: int, certificate: Path) -> str:
    return f"ssl:{port}:privateKey={certificate}/key.pem:certKey={certificate}/cert.pem"


def test_tls_works_where_it_is_configured_and_after_a_reload(tmp_path: Path, certificate: Path) -> None:
    first, second = free_port(), free_port()
    proxy = ProxyWithFile(tmp_path)
    proxy.add(by_tls(first, certificate))
    with proxy.run() as program:
        program.wait_for("Ready")
        assert echoed_by_tls(first, b"hello") == b"hello"
        proxy.add(by_tls(second, certificate))
        program.signal(signal.SIGHUP)
        program.wait_for("Reloaded")
        assert echoed_by_tls(second, b"hello") == b"hello"
        program.signal(signal.SIGTERM)
        assert program.wait() == 0


def test_a_reload_with_tls_is_refused_where_it_was_left_out(tmp_path: Path, certificate: Path) -> None:
    first, second, third = free_port(), free_port(), free_port()
    proxy = ProxyWithFile(tmp_path)
    proxy.add(str(first))
    with proxy.run() as program:
        program.wait_for("Ready")
        proxy.add(str(second))
        proxy.add(by_tls(third, certificate))
        program.signal(signal.SIGHUP)
        line = program.wait_for("Not reloaded")
        assert (
            line.endswith("as nothing needed it: run 'zeroscalectl check' on the file, then restart zeroscale")
            and by_tls(third, certificate) in line
        )
        for port in (second, third):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port), DEADLINE)
        with socket.create_connection(("127.0.0.1", first), DEADLINE) as client:
            client.sendall(b"hello")
            assert client.recv(5) == b"hello"
        program.signal(signal.SIGTERM)
        assert program.wait() == 0
