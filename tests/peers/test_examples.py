"""The examples of docs/generic.md, as they stand there but for ports and directories, with the servers' real clients.

Each is scanned first, which must wake nothing, and then woken from zero.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shlex
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from pages import block
from peers.harness import HERE, ROOT, Proxy
from peers.programs import Program, answers, wait_until
from peers.test_generic import sshd_command, through_ssh
from ports import free_port

GARBAGE = b"\x00\x01\r\n\r\nHELP\r\n" + bytes(range(256)) * 8
SCANNED = "too-slow|refused|left"
LATE = 1
"""Seconds a client has to show itself, in place of 5."""

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="the example becomes another user, which only root can")


def example(first_words: str) -> list[str]:
    """The words of the command that begins so."""
    commands = block("docs/generic.md", first_words).commands
    program, *words = shlex.split(
        commands.replace("\\\n", "")
    )  # which shlex, unlike a shell, does not take for nothing
    assert program == "zeroscale"
    return words


class Example(Proxy):
    """A zeroscale with one of the examples behind it.

    :param directory: in the place of the example's working directory; it exists.
    :param replaced: what else has another name here.
    """

    def __init__(self, first_words: str, directory: Path, replaced: Sequence[tuple[str, str]] = ()) -> None:
        words = example(first_words)
        plugin, public, private, *rest = words
        self.port, self.server_port = free_port(), free_port()
        self.directory = directory
        self.state = directory.parent / "state"
        idle_at, directory_at = rest.index("-t") + 1, rest.index("-w") + 1
        rest[idle_at] = "1"
        names = [(rest[directory_at], str(directory)), *replaced]
        for old, new in names:
            rest = [word.replace(old, new) for word in rest]
        rest = [re.sub(rf"\b{private}\b", str(self.server_port), word) for word in rest]
        args = ["--debug", "--state_directory", str(self.state), "--wake_timeout", str(LATE)]
        command = [sys.executable, "-m", "zeroscale", plugin, str(self.port), str(self.server_port), *rest, *args]
        Program.__init__(self, command, ROOT)
        wait_until(lambda: self.process.poll() is not None or answers(self.port), "the proxy listens", program=self)
        assert public.isdigit() and self.process.poll() is None, self.text()

    def wakes(self) -> int:
        """How often it was woken."""
        return sum(": starting: " in line for line in self.lines)

    def output(self) -> str:
        """The server's own output."""
        [console] = self.state.rglob("console.log")
        return console.read_text(errors="replace")


@pytest.fixture
def directory() -> Iterator[Path]:
    """One that users without privileges reach, too."""
    above = Path(tempfile.mkdtemp(prefix="zeroscale-example-"))
    above.chmod(0o755)
    (above / "srv").mkdir()
    yield above / "srv"
    shutil.rmtree(above)


def scan(proxy: Proxy, garbage: bytes = GARBAGE) -> None:
    """Does what port scanners do; nothing may be woken by it."""
    assert b"open" in run("nmap", "-n", "-Pn", "-sT", "-p", str(proxy.port), "127.0.0.1"), proxy.text()
    connect(proxy).close()
    with connect(proxy) as reset:
        reset.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    waiting = connect(proxy)
    with connect(proxy) as talking:
        if garbage:
            talking.sendall(garbage)
            assert ended(talking)
    with waiting:  # until the proxy has had enough of it
        assert ended(waiting)
    seen = 5 if garbage else 4
    wait_until(
        lambda: sum(re.search(f": ({SCANNED}) after", line) is not None for line in proxy.lines) >= seen,
        "each of them is told of",
        program=proxy,
    )
    assert ": starting: " not in proxy.text()
    proxy.assert_asleep()


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), 20)


def ended(client: socket.socket) -> bool:
    """Whether the other end closes, without a word."""
    with suppress(ConnectionResetError):
        return client.recv(1) == b""
    return True


def run(*command: str | Path, stdin: bytes = b"") -> bytes:
    """Runs a client; returns what it prints."""
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout


@pytest.mark.slow
@pytest.mark.peers("redis-server", "redis-cli", "nmap")
def test_redis(directory: Path) -> None:
    value = secrets.token_hex(1 << 19).encode()
    with Example("zeroscale generic 6379 ", directory) as proxy:
        scan(proxy)
        assert run("redis-cli", "-p", str(proxy.port), "-x", "SET", "key", stdin=value) == b"OK\n"
        proxy.wait_until_asleep()
        assert run("redis-cli", "-p", str(proxy.port), "GET", "key") == value + b"\n"
        proxy.wait_until_asleep()
        assert proxy.wakes() == 2
        proxy.end()


@pytest.mark.slow
@needs_root
@pytest.mark.peers("psql", "setpriv", "nmap")
def test_postgresql(directory: Path) -> None:
    binaries = max(Path("/usr/lib/postgresql").glob("*/bin/postgres")).parent
    shutil.chown(directory, "postgres")
    directory.chmod(0o700)
    become = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
    made = ["-D", str(directory / "data"), "-A", "trust", "-U", "postgres", "--no-sync", "--data-checksums"]
    subprocess.run([*become, str(binaries / "initdb"), *made], check=True, capture_output=True, cwd=directory)
    with Example("zeroscale generic 5432 5433 -w", directory, [("/usr/lib/postgresql/15/bin", str(binaries))]) as proxy:
        scan(proxy)
        settings = ["-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(proxy.port), "-U", "postgres"]
        client = [str(binaries / "psql"), "-qAt", *settings, "-c"]
        rows = "".join(f"{secrets.token_hex(500)}\n" for _ in range(1000)).encode()
        run(*client, "create table t (line text)", "-c", "copy t from stdin", stdin=rows)
        proxy.wait_until_asleep()
        assert stopped_cleanly(binaries, directory)
        assert run(*client, "copy t to stdout") == rows
        # Stopped with a transaction under way, it is as clean.
        with Program([*client, "begin; delete from t; select pg_sleep(60)"], directory) as busy:
            wait_until(lambda: b"1" in run(*client, ACTIVE), "it is under way", program=proxy)
            proxy.end()
            assert busy.wait() != 0
        assert "received fast shutdown request" in proxy.output()
        assert proxy.output().rstrip().endswith("database system is shut down")
        assert stopped_cleanly(binaries, directory)
        assert proxy.wakes() == 2


ACTIVE = "select count(*) from pg_stat_activity where query like 'begin; delete%' and wait_event = 'PgSleep'"


def stopped_cleanly(binaries: Path, directory: Path) -> bool:
    """Whether everything is on disk, and each page's checksum right."""
    state = run(binaries / "pg_controldata", "-D", directory / "data")
    run(binaries / "pg_checksums", "--check", "-D", directory / "data")
    return re.search(rb"cluster state:\s+shut down\n", state) is not None


@pytest.mark.slow
@pytest.mark.peers("sshd", "ssh", "ssh-keygen", "nmap")
def test_sshd(directory: Path) -> None:
    directory.rmdir()
    sshd, *_ = sshd_command(directory, 1)
    data = secrets.token_bytes(1 << 20)
    with Example("zeroscale generic 22 ", directory, [("/usr/sbin/sshd", sshd)]) as proxy:
        scan(proxy)
        assert through_ssh(proxy, directory, data) == data
        proxy.wait_until_asleep()
        assert through_ssh(proxy, directory, b"again") == b"again"
        # While it runs, waiting clients are served at once.
        with connect(proxy) as client:
            assert client.recv(8) == b"SSH-2.0-"
        proxy.wait_until_asleep()
        assert proxy.wakes() == 2
        proxy.end()


def browse(proxy: Proxy, form: bytes | None = None) -> tuple[int, str]:
    """What a browser sees."""
    request = urllib.request.Request(f"http://127.0.0.1:{proxy.port}/", form, {"Accept": "text/html,*/*;q=0.8"})
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@pytest.mark.slow
@pytest.mark.peers("curl", "nmap")
def test_a_web_application(directory: Path) -> None:
    content = secrets.token_bytes(1 << 20)
    (directory / "file").write_bytes(content)
    with Example(
        "zeroscale generic 80 8080 -w /srv/www -t 600 --protocol http --waiting",
        directory,
        [("python3", sys.executable)],
    ) as proxy:
        scan(proxy)
        status, page = browse(proxy)
        assert status == 503 and "<title>Waking up" in page and 'http-equiv="refresh"' in page
        seen = [page]

        def reloaded() -> bool:
            seen.append(browse(proxy)[1])
            return "Directory listing" in seen[-1]

        wait_until(reloaded, "the page has become the application's", program=proxy)
        proxy.wait_until_asleep()
        # A script waits for the application.
        assert run("curl", "-sSf", f"http://127.0.0.1:{proxy.port}/file") == content
        proxy.wait_until_asleep()
        # A form waits for the application, which in this case has no use for it.
        status, page = browse(proxy, b"a=b")
        assert status == 501 and "Unsupported method" in page
        proxy.wait_until_asleep()
        proxy.end()


@pytest.mark.slow
@pytest.mark.peers("murmurd", "node", "nmap")
def test_mumble(directory: Path, npm_packages: None) -> None:
    settings = directory / "murmur.ini"
    settings.write_text("database=murmur.sqlite\nhost=127.0.0.1\nport=64739\nlogfile=\nwelcometext=Welcome\n")
    if os.geteuid() == 0:
        shutil.chown(directory, "mumble-server")
    with Example("zeroscale generic 64738 ", directory) as proxy:
        settings.write_text(settings.read_text().replace("64739", str(proxy.server_port)))
        scan(proxy)
        for name in ("Steve", "Alex"):
            reply = json.loads(run("node", HERE / "mumble_client.mjs", str(proxy.port), name))
            assert reply == {"welcome": "Welcome", "name": name, "channel": "Root"}
            proxy.wait_until_asleep()
        assert proxy.wakes() == 2
        proxy.end()


@pytest.mark.slow
@pytest.mark.peers("nmap")
def test_any_bytes_wake_a_server_that_wakes_on_data(directory: Path) -> None:
    port, server_port = free_port(), free_port()
    options = ["--wake_on", "data", "--wake_timeout", str(LATE)]
    command = [sys.executable, "-m", "http.server", str(server_port), "--bind", "127.0.0.1"]
    with Proxy("generic", directory, command, port=port, server_port=server_port, options=options) as proxy:
        scan(proxy, garbage=b"")
        with connect(proxy) as client:
            client.sendall(b"anything\r\n\r\n")
            assert b"400" in client.recv(1000)
        proxy.wait_until_asleep()
        proxy.end()
