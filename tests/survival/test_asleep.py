"""While all servers are stopped and nothing comes, no thread of zeroscale is woken by anything."""

from __future__ import annotations

import re
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from peers.programs import Program, wait_until
from ports import free_port
from survival.harness import SurvivalHarness, ask_status

QUIET = 12.0
"""Seconds without a wake-up: what is repeated is repeated more often than that, or takes minutes."""

SETTLED = 120.0
"""Seconds after the last connection by when everything that it has begun is over, such as timers and idle threads."""

ENOUGH_FILES = 2000

CONFIGURATION = """
state_directory = "{state}"
control = {{ listen = "unix:{directory}/admin.sock" }}
metrics = {{ listen = {metrics} }}

[servers.one]
plugin = "minecraft"
listen = {port}
hosts = "one.example.org"
server = {one}
working_directory = "{world}"
plugin_arguments = {{ command = "sleep 3600" }}

[servers.two]
plugin = "minecraft"
listen = {port}
server = {two}
working_directory = "{other}"
admission = {{ wake = "nobody" }}
plugin_arguments = {{ command = "sleep 3600" }}

[servers.three]
plugin = "generic"
listen = ["unix:{directory}/game.sock", "tcp:0:interface=127.0.0.1"]
server = {three}
plugin_arguments = {{ command = "sleep 3600" }}

[[servers.three.ports]]
listen = "udp:{voice}"
server = {three}
wakes = true
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="counts by /proc")
def test_a_sleeping_proxy_is_woken_by_nothing(harness: SurvivalHarness) -> None:
    of_one_server = harness.run_small_server()
    harness.status()
    configured, port, voice = run_configured(harness)
    ask_status(port)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as scanner:
        scanner.sendto(b"x", ("127.0.0.1", voice))
    harness.port = port
    assert harness.player().kick_message()
    admin = harness.directory / "admin.sock"

    began = time.monotonic()
    while woken := wakes_in_a_while([of_one_server, configured], admin.parent):
        assert time.monotonic() < began + SETTLED, f"wake-ups of each thread in {QUIET:g} s: {woken}"
    for path in (admin, admin.with_name("game.sock")):
        path.unlink()
        wait_until(path.is_socket, f"{path} is created again", program=configured)


def run_configured(harness: SurvivalHarness) -> tuple[Program, int, int]:
    port, metrics, one, two, three, voice = (free_port() for _ in range(6))
    for name in ("one", "two"):
        directory = harness.directory / name
        directory.mkdir()
        (directory / "eula.txt").write_text("eula=true\n")
    file = harness.directory / "zeroscale.toml"
    file.write_text(
        CONFIGURATION.format(
            state=harness.directory / "other-state",
            directory=harness.directory,
            world=harness.directory / "one",
            other=harness.directory / "two",
            **{"port": port, "metrics": metrics, "one": one, "two": two, "three": three, "voice": voice},
        )
    )
    return harness.run_configured(file), port, voice


def wakes_in_a_while(programs: list[Program], directory: Path) -> dict[str, int]:
    """Return how often each thread is woken while other programs' files come and go in a directory."""
    before = [counts(program) for program in programs]
    for number in range(ENOUGH_FILES):
        file = directory / f"other-{number}"
        file.write_text("x")
        file.unlink()
    time.sleep(QUIET)  # that nothing happens has no event
    after = [counts(program) for program in programs]
    return {
        thread: count - old.get(thread, 0)
        for old, new in zip(before, after, strict=True)
        for thread, count in new.items()
        if count != old.get(thread, 0)
    }


def counts(program: Program) -> dict[str, int]:
    """Return the voluntary context switches of each thread."""
    found = {}
    for thread in Path(f"/proc/{program.process.pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # an idle thread that ends
            match = re.search(r"^voluntary_ctxt_switches:\s*(\d+)", (thread / "status").read_text(), re.MULTILINE)
            assert match is not None
            found[thread.name] = int(match[1])
    return found
