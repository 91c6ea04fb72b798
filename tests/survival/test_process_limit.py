"""A user that may have hardly any processes or threads: the proxy serves what it can, and always ends when asked."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ports import free_port
from processes import DEADLINE, Program, python, wait_until

USER = 1_000_000 + os.getpid()
"""An unused user id, also if these tests run twice at once: the limit counts all processes of a user, root has none."""

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")

START = f"""
import os, resource, sys
# Imported before the switch: the user may not be able to read them.
import encodings.ascii, encodings.idna, encodings.latin_1
import twisted.internet.asyncioreactor, twisted.internet.endpoints, zeroscale.daemon.foreground
import zeroscale.proxy.service, zeroscale.frontend.http_page, zeroscale.probes.command
import zeroscale.probes.tcp, zeroscale.protocols.http, zeroscale.plugins.generic
from zeroscale.daemon.main import main
os.setgroups([])
os.setgid({USER})
os.setuid({USER})
limit = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_NPROC, (limit, limit))
sys.exit(main())
"""


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory of the user."""
    directory = Path(tempfile.mkdtemp(prefix="zeroscale-"))
    os.chown(directory, USER, USER)
    yield directory
    shutil.rmtree(directory)


def zeroscale(
    directory: Path,
    limit: int,
    port: int,
    command: str,
    *more: str,
    host: str = "127.0.0.1",
    server_port: int | None = None,
) -> Program:
    words = ["generic", str(port), str(server_port or free_port()), "-a", command, "-w", str(directory), "--debug"]
    words += ["--server-host", host, *more]
    return Program(python("-c", START, str(limit), *words, "--state-directory", str(directory / "state")), directory)


def waits(port: int) -> None:
    """Connect a client, and wait until it is closed."""
    with socket.create_connection(("127.0.0.1", port), DEADLINE) as client:
        client.settimeout(DEADLINE)
        while client.recv(100):
            pass


@contextlib.contextmanager
def other_processes(count: int) -> Iterator[None]:
    """So many more processes of the user."""
    others = [subprocess.Popen(["sleep", "600"], user=USER, group=USER, extra_groups=()) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


@as_root
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("limit", [1, 2, 3])
def test_sigterm_ends_it_where_hardly_a_thread_can_be_had(directory: Path, limit: int, host: str) -> None:
    port = free_port()
    with zeroscale(directory, limit, port, "sleep 600", host=host) as program:
        program.wait_for("Ready: players come to")
        for _ in range(2):
            waits(port)
        program.wait_for("no more processes or threads are allowed: raise TasksMax=")
        began = time.monotonic()
        program.signal(signal.SIGTERM)
        assert program.wait() == 0, program.output
        assert time.monotonic() - began < 5
    assert "Traceback" not in program.output
    assert "crash" not in program.output


@as_root
def test_a_server_that_runs_is_stopped_when_no_process_is_left(directory: Path) -> None:
    port = free_port()
    script = "sh -c 'trap \"echo stopped > stopped; exit 0\" TERM; sleep 600 & echo on > started; wait'"
    with zeroscale(directory, 12, port, script) as program:
        program.wait_for("Ready: players come to")
        with socket.create_connection(("127.0.0.1", port), DEADLINE):
            wait_until((directory / "started").exists, lambda: program.output)
            with other_processes(12):
                program.signal(signal.SIGTERM)
                assert program.wait() == 0, program.output
    assert (directory / "stopped").exists(), program.output
    assert "Traceback" not in program.output


GREETING = """
use IO::Socket::INET;
alarm 300;
$listener = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => {port}, Listen => 9, ReuseAddr => 1);
while ($client = $listener->accept) {{ <$client>; print $client "hello"; close $client }}
"""
"""A server in Perl, which every user can run, unlike this interpreter."""


@as_root
def test_the_name_of_a_running_server_is_looked_up_when_no_thread_is_left(directory: Path) -> None:
    port, server_port = free_port(), free_port()
    (directory / "server.pl").write_text(GREETING.format(port=server_port))
    command = "perl server.pl"
    with zeroscale(directory, 12, port, command, host="localhost", server_port=server_port) as program:
        program.wait_for("Ready: players come to")

        def greeting() -> bytes:
            with socket.create_connection(("127.0.0.1", port), DEADLINE) as client:
                client.settimeout(DEADLINE)
                client.sendall(b"?\n")
                return b"".join(iter(lambda: client.recv(100), b""))

        assert greeting() == b"hello", program.output
        with other_processes(12):
            for _ in range(3):
                assert greeting() == b"hello", program.output
            program.signal(signal.SIGTERM)
            assert program.wait() == 0, program.output
    assert "Traceback" not in program.output
    assert "failed" not in program.output


@pytest.mark.slow
@as_root
def test_a_server_that_runs_is_kept_where_its_name_cannot_be_looked_up(directory: Path) -> None:
    port, server_port = free_port(), free_port()
    (directory / "server.pl").write_text(GREETING.format(port=server_port))
    more = ("--start-timeout", "2")
    with zeroscale(directory, 100, port, "perl server.pl", *more, host="localhost", server_port=server_port) as first:
        first.wait_for("Ready: players come to")
        with socket.create_connection(("127.0.0.1", port), DEADLINE) as client:
            client.sendall(b"?\n")
            first.wait_for(": ready")
        first.signal(signal.SIGKILL)
        first.wait()
    with zeroscale(directory, 1, port, "perl server.pl", *more, host="localhost", server_port=server_port) as second:
        for _ in range(3):
            second.wait_for("not known whether")
        with socket.create_connection(("127.0.0.1", server_port), DEADLINE) as client:
            client.sendall(b"?\n")
            assert client.recv(100) == b"hello"
        second.signal(signal.SIGTERM)
        assert second.wait() == 0, second.output
    assert "Traceback" not in second.output
    assert "failed" not in second.output
