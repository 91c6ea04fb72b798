"""A whole zeroscale as a process of its own, with plugins written by others."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from peers.programs import Program, answers, processes_in, wait_until
from ports import free_port

PLUGIN = """\
import asyncio, logging, sys

from zeroscale import Status

log = logging.getLogger(__name__)


class Server:
    # Keeps a status of its own, and ignores a call that does not fit it.
    status = Status.stopped

    def __init__(self, port, working_directory=None):
        self.port, self.working_directory = port, working_directory

    async def start(self):
        if self.status == Status.stopped:
            self.status = Status.starting
            log.info("launching the echo server")
            {start}
            self.status = Status.running
            log.info("launched it")

    async def stop(self):
        if self.status == Status.running:
            self.status = Status.stopping
            log.info("ending the echo server")
            self.process.terminate()
            await self.process.wait()
            self.status = Status.stopped
            log.info("ended it")

    def fake_status(self):
        return {fake_status}
"""

START = """self.process = await asyncio.create_subprocess_exec(
                sys.executable, 'echo.py', self.port, cwd=self.working_directory)"""

ECHO = """\
import socketserver
import sys


class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        try:
            self.request.sendall(b"hello ")
            while data := self.request.recv(65536):
                self.request.sendall(data)
        except ConnectionError:
            pass  # the client has reset it


socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer.daemon_threads = True
with socketserver.ThreadingTCPServer(("127.0.0.1", int(sys.argv[1])), Echo) as server:
    server.serve_forever()
"""


class Harness:
    """A zeroscale with a third-party plugin."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.server_port = free_port()
        self.programs: list[Program] = []
        (directory / "echo.py").write_text(ECHO)

    def plugin(self, source: str) -> None:
        (self.directory / "thirdparty").mkdir(exist_ok=True)
        (self.directory / "thirdparty" / "plugin.py").write_text(source)

    def echo_plugin(self, start: str = START, fake_status: str = "") -> None:
        """Write a plugin that keeps a `status`, as those for the older zeroscale do."""
        self.plugin(PLUGIN.format(start=start, fake_status=fake_status))

    def run(self, *options: str, listens: bool = True) -> Program:
        state = ["--state_directory", str(self.directory / "state"), "-w", str(self.directory)]
        where = [str(self.port), str(self.server_port)]
        command = [sys.executable, "-m", "zeroscale", *state, "--debug", *options, "thirdparty.plugin", *where]
        program = Program(command, self.directory)
        self.programs.append(program)
        if listens:
            program.wait_for(r"Listening on \('0\.0\.0\.0'")
        return program

    def servers(self) -> list[int]:
        ours = {program.process.pid for program in self.programs}
        return [pid for pid in processes_in(self.directory) if pid not in ours]

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    harness = Harness(tmp_path)
    yield harness
    for program in harness.programs:
        program.discard()
    assert harness.servers() == []


def receive(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            break
        data += more
    return data


def test_a_plugin_with_a_status_of_its_own_runs(harness: Harness) -> None:
    harness.echo_plugin()
    proxy = harness.run("-t", "1", "-a", str(harness.server_port))
    assert harness.servers() == []
    for _ in range(2):
        with harness.connect() as client:
            client.sendall(b"world")
            assert receive(client, 11) == b"hello world"
            assert len(harness.servers()) == 1
        wait_until(lambda: not harness.servers(), "it is stopped", program=proxy)
    # The plugin logs "launching", "launched", "ending" and "ended"; zeroscale logs the others.
    at = 0
    for pattern in (
        r"DEBUG:zeroscale\.\S+:Listening on \('::', \d+, 0, 0\)",
        r"DEBUG:zeroscale\.\S+:Listening on \('0\.0\.0\.0', \d+\)",
        r"DEBUG:zeroscale\.access:.*: New connection .*server is stopped",
        r"INFO:zeroscale\.server:.*: starting: 127\.0\.0\.1 connected",
        r"INFO:thirdparty\.plugin:launching the echo server",
        r"INFO:thirdparty\.plugin:launched it",
        r"INFO:zeroscale\.server:.*: ready after",
        r"DEBUG:.*[Tt]otal clients: 1",
        r"DEBUG:.*[Ll]ost connection, total clients: 0",
        r"DEBUG:.*Scheduling the stop",
        r"DEBUG:.*No clients online for 1 seconds",
        r"INFO:zeroscale\.server:.*: stopping: no connections for 1 s",
        r"INFO:thirdparty\.plugin:ending the echo server",
        r"INFO:thirdparty\.plugin:ended it",
        r"INFO:zeroscale\.server:.*: stopped after",
    ):
        at = proxy.wait_for(pattern, after=at)
    assert proxy.terminate() == 0
    assert "Traceback" not in proxy.text()


def test_a_fake_status_is_sent_and_the_connection_closed_and_it_wakes(harness: Harness) -> None:
    harness.echo_plugin(fake_status="b'asleep, come again'")
    proxy = harness.run("-t", "1", "-a", str(harness.server_port))
    with harness.connect() as client:
        assert receive(client, 100) == b"asleep, come again"
    proxy.wait_for(": ready")
    with harness.connect() as client:
        assert receive(client, 6) == b"hello "
    assert proxy.terminate() == 0


@pytest.mark.slow
def test_a_start_that_raises_closes_the_connection_and_the_next_client_gets_a_new_server(harness: Harness) -> None:
    broken = "import pathlib; marker = pathlib.Path(self.working_directory, 'marker')\n"
    broken += "            if not marker.exists(): marker.touch(); raise OSError('out of luck')\n            " + START
    harness.echo_plugin(start=broken)
    proxy = harness.run("-a", str(harness.server_port))
    with harness.connect() as client:
        assert receive(client, 1) == b""
    proxy.wait_for(r"ERROR:zeroscale\.server:.*: start failed: \S+: start\(\) raised OSError: out of luck")
    with harness.connect() as client:
        assert receive(client, 6) == b"hello "
    assert proxy.terminate() == 0
    assert "Traceback" not in proxy.text()


@pytest.mark.slow
def test_the_client_after_a_crash_gets_a_new_server(harness: Harness) -> None:
    harness.echo_plugin()
    proxy = harness.run("-a", str(harness.server_port))
    with harness.connect() as client:
        assert receive(client, 6) == b"hello "
        (server,) = harness.servers()
        os.kill(server, signal.SIGKILL)
        # while it dies, the kernel may still take a connection for it, only to reset it
        wait_until(lambda: not answers(harness.server_port), "it is gone")
        assert receive(client, 1) == b""
    with harness.connect() as client:
        client.sendall(b"again")
        assert receive(client, 11) == b"hello again"
        (fresh,) = harness.servers()
        assert fresh != server
    assert proxy.terminate() == 0


def test_a_plugin_that_raises_in_its_constructor_gives_one_line_without_traceback(harness: Harness) -> None:
    methods = "    async def start(self): ...\n    async def stop(self): ...\n"
    harness.plugin(f"class Server:\n    def __init__(self):\n        raise ValueError('no\\nluck')\n{methods}")
    proxy = harness.run(listens=False)
    assert proxy.wait() == 2
    (line,) = proxy.lines
    assert line.startswith("zeroscale: error: ")
    assert "ValueError: no luck" in line


def test_a_minecraft_directory_without_a_server_is_an_error_at_startup(harness: Harness) -> None:
    where = ["--state_directory", str(harness.directory / "state"), "-w", str(harness.directory)]
    ports = [str(harness.port), str(harness.server_port)]
    with Program([sys.executable, "-m", "zeroscale", *where, "minecraft", *ports], harness.directory) as proxy:
        assert proxy.wait() == 1
        (line,) = proxy.lines
    assert line.startswith("zeroscale: error: ")
    assert "server.jar" in line


@pytest.mark.slow
def test_a_server_whose_players_have_no_names_cannot_be_woken_by_name(harness: Harness) -> None:
    file = harness.directory / "zeroscale.toml"
    file.write_text(
        f"""state_directory = "state"
        [servers.cache]
        plugin = "generic"
        listen = {harness.port}
        server = "127.0.0.1:{harness.server_port}"
        plugin_arguments.command = "sleep 60"
        admission.wake = "known"
        """
    )
    with Program([sys.executable, "-m", "zeroscale", "--config", str(file)], harness.directory) as proxy:
        assert proxy.wait() == 2
        (line,) = proxy.lines
    assert "server 'cache': admission.wake 'known' needs a Minecraft server" in line


@pytest.mark.slow
@pytest.mark.parametrize(("tick_time", "warns"), [("60000", True), ("-1", False)])
def test_pausing_a_minecraft_server_with_its_watchdog_gives_a_warning(
    harness: Harness, tick_time: str, warns: bool
) -> None:
    (harness.directory / "server.properties").write_text(
        f"server-port={harness.server_port}\nmax-tick-time={tick_time}\n"
    )
    state = ["--state_directory", str(harness.directory / "state"), "-w", str(harness.directory), "--debug"]
    words = ["--idle_action", "pause", "-a", "sleep 60", "minecraft", str(harness.port), str(harness.server_port)]
    with Program([sys.executable, "-m", "zeroscale", *state, *words], harness.directory) as proxy:
        proxy.wait_for(r"Listening on \('0\.0\.0\.0'")
        assert proxy.terminate() == 0
    warnings = [line for line in proxy.lines if " WARNING:" in line]
    assert any("write max-tick-time=-1 there" in line for line in warnings) is warns


@pytest.mark.parametrize("signals", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "state",
    [
        pytest.param("stopped", marks=pytest.mark.slow),
        "starting",
        "running",
        "stopping",
        pytest.param("failed", marks=pytest.mark.slow),
    ],
)
def test_a_signal_ends_it_cleanly_from_every_state(
    harness: Harness, state: str, number: signal.Signals, signals: int
) -> None:
    # Starting: it never listens. Stopping: it takes its time. Both end at SIGTERM.
    slow = "import signal, time; signal.signal(signal.SIGTERM, lambda *_: (time.sleep(1), sys.exit(0)))\n"
    (harness.directory / "echo.py").write_text("import sys\n" + (slow if state == "stopping" else "") + ECHO)
    if state == "starting":
        (harness.directory / "echo.py").write_text("import signal\nsignal.pause()\n")
    start = "raise OSError('no')" if state == "failed" else START
    harness.echo_plugin(start=start)
    proxy = harness.run("-t", "0" if state == "stopping" else "60", "-a", str(harness.server_port))
    marks = {
        "starting": "launching",
        "running": "total clients: 0",
        "stopping": "ending the echo server",
        "failed": "failed:",
    }
    if state in marks:
        with harness.connect() as client:
            if state in ("running", "stopping"):
                receive(client, 6)
                if state == "stopping":
                    wait_until(lambda: bool(harness.servers()), "it runs")
            elif state == "starting":
                wait_until(lambda: bool(harness.servers()), "it runs")
        proxy.wait_for(marks[state])
    proxy.process.send_signal(number)
    if signals == 2:
        proxy.wait_for(f"{number.name}: ")
        if proxy.process.poll() is None:
            proxy.process.send_signal(number)
    assert proxy.wait() == 0
    assert harness.servers() == []
    assert "Traceback" not in proxy.text()
