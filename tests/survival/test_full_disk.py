"""The disk of the state directory is full for a while: servers start, run and stop, and nothing is lost afterwards."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hostile.disturbances import fill
from hostile.run import small_disk
from peers.programs import DEADLINE, Program, wait_until
from survival.harness import AT_ONCE, SurvivalHarness

MEGABYTE = 1 << 20
DISK_SIZE = 40 * MEGABYTE
LARGEST_CONSOLE = 8 * MEGABYTE
"""A console file is truncated at that size; by then it may have grown by as much again, and a copy of it is kept."""


@pytest.fixture
def disk(harness: SurvivalHarness) -> Iterator[Path]:
    """A small file system, which has the state directory."""
    with small_disk(harness.directory, f"{DISK_SIZE}") as disk:
        if disk is None:
            pytest.skip("needs root, to mount a small file system")
        harness.state = disk / "state"
        yield disk
        harness.close()


@contextmanager
def full(disk: Path, spared: int = 0) -> Iterator[None]:
    """Fill the disk, except for so many bytes."""
    filling, rest = disk / "filling", disk / "rest"
    rest.write_bytes(b"\0" * spared)
    fill(filling)
    rest.unlink()
    yield
    filling.unlink()


def run_server(harness: SurvivalHarness, *switches: str) -> Program:
    """Start a zeroscale in front of `small_server.py`, with an admin socket that is not on the small disk."""
    small_server = Path(__file__).with_name("small_server.py")
    command = [sys.executable, "-S", "-E", str(small_server), str(harness.server_port), str(harness.record), *switches]
    file = harness.directory / "zeroscale.toml"
    file.write_text(f"""state_directory = "{harness.state}"
    control.listen = "unix:{harness.directory}/control"
    [servers.survival]
    plugin = "minecraft"
    listen = {harness.port}
    server = {harness.server_port}
    working_directory = "{harness.world}"
    idle_shutdown = "1h"
    plugin_arguments.command = {json.dumps(command)}
    """)
    return harness.run_configured(file)


def ctl(harness: SurvivalHarness, *words: str) -> None:
    """Run `zeroscalectl`."""
    command = [sys.executable, "-m", "zeroscale.ctl.main", "--socket", str(harness.directory / "control"), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == 0, done.stderr


def stop(harness: SurvivalHarness, proxy: Program) -> None:
    """Stop the server by a command, and assert that it stops as it is asked to."""
    stops = len(harness.times_of("stopped"))
    ctl(harness, "sleep", "--now")
    harness.server_is_gone(proxy)
    assert len(harness.times_of("stopped")) == stops + 1


@pytest.mark.slow
def test_servers_start_and_stop_and_what_could_not_be_written_is_written_later(
    harness: SurvivalHarness, disk: Path
) -> None:
    state = harness.state / "survival"
    state.mkdir(parents=True)
    with full(disk):
        proxy = run_server(harness)
        harness.player().is_greeted()
        stop(harness, proxy)
        harness.player().is_greeted()
        ctl(harness, "keep-awake", "--for", "1h")
        assert sorted(path.name for path in state.glob("*.json*")) == []
    names = ("operator", "process", "record", "status")
    wait_until(lambda: all((state / f"{name}.json").exists() for name in names), "they are written", program=proxy)
    assert len(json.loads((state / "record.json").read_text())["starts"]) == 2
    assert json.loads((state / "process.json").read_text())["pid"] == harness.server()
    harness.send_to_console("list")
    wait_until(lambda: "There are 0" in harness.console(), "output is written again", program=proxy)
    complaints = re.findall(r"(?:WARNING|ERROR):.*No space left on device.*", proxy.text())
    assert len(complaints) == len(names), complaints
    stop(harness, proxy)
    assert proxy.terminate() == 0


@pytest.mark.slow
def test_zeroscale_and_its_server_end_on_sigterm_while_the_disk_is_full(harness: SurvivalHarness, disk: Path) -> None:
    proxy = run_server(harness)
    harness.player().is_greeted()
    with full(disk):
        assert proxy.terminate() == 0
        assert len(harness.times_of("stopped")) == 1
    assert "Traceback" not in proxy.text()


@pytest.mark.slow
def test_a_server_that_floods_a_full_disk_is_read_and_leaves_it_room_afterwards(
    harness: SurvivalHarness, disk: Path
) -> None:
    state = harness.state / "survival"
    with full(disk, spared=LARGEST_CONSOLE + 4 * MEGABYTE):  # room for the console file, and none for a copy
        proxy = run_server(harness, "--flood", "--start", "9")
        player = harness.player()
        truncations(harness, 2, least_free=0)
        player.is_greeted()
        found = json.loads((state / "process.json").read_text())
        assert "Done" in found["ready"], "the line is seen, although output of the start was lost"
        truncations(harness, 2, least_free=0)
        assert not (state / "console.log.1").exists()
        harness.player().is_greeted(AT_ONCE)
    assert proxy.text().count("cannot be copied to console.log.1 (No space left on device)") == 1
    wait_until((state / "console.log.1").exists, "a copy is kept again", program=proxy)
    truncations(harness, 3, least_free=DISK_SIZE - 4 * LARGEST_CONSOLE)
    stop(harness, proxy)
    assert proxy.terminate() == 0


def truncations(harness: SurvivalHarness, count: int, least_free: int) -> None:
    """Wait until the console file was truncated so often: all in it was read. Assert that the disk is not filled."""
    console = harness.state / "survival" / "console.log"
    wait_until(console.exists, "it has output")
    deadline = time.monotonic() + DEADLINE
    size = 0
    while count:
        before, size = size, console.stat().st_size
        count -= size < before
        found = os.statvfs(console)
        assert found.f_bavail * found.f_frsize >= least_free
        assert time.monotonic() < deadline, f"{count} more truncations"
        time.sleep(0.02)


@pytest.mark.slow
def test_the_log_of_a_daemon_tells_how_many_lines_a_full_disk_has_cost(harness: SurvivalHarness, disk: Path) -> None:
    log = disk / "zeroscale.log"
    words = ["-n", "--pidfile", "", "--logfile", str(log), "zeroscale", "--debug", "generic"]
    words += [str(harness.port), str(harness.server_port), "-a", "false", "--wake_on", "data"]
    words += ["--state_directory", str(harness.directory / "elsewhere-state")]
    twistd = "from twisted.scripts.twistd import run; run()"
    with Program([sys.executable, "-c", twistd, *words], harness.other_directory) as proxy:
        wait_until(lambda: log.exists() and "Ready" in log.read_text(), "it listens", program=proxy)
        with full(disk):
            complaint = "zeroscale: log lines are lost: No space left on device"
            wait_until(lambda: visit(harness.port) and complaint in proxy.text(), "the log is full", program=proxy)
        visit(harness.port)
        wait_until(lambda: "lines of the log were lost" in log.read_text(), "it is told", program=proxy)
        proxy.process.send_signal(signal.SIGTERM)
        assert proxy.wait() == -signal.SIGTERM, "as twistd ends"
    assert all(re.match(r"\d{4}-", line) for line in log.read_text().splitlines()[-3:])


def visit(port: int) -> bool:
    """Connect and close, which costs some lines of the log; return True."""
    with socket.create_connection(("127.0.0.1", port), DEADLINE):
        return True
