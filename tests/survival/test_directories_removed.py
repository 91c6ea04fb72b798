"""The directories of a running zeroscale are removed: it makes them again, and always ends when asked."""

from __future__ import annotations

import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ports import free_port
from processes import DEADLINE, Program, python

SOCKETS = ("control.sock", "metrics.sock", "players.sock")

SERVER = """
trap "echo stopped > stopped; exit 0" TERM; echo on > started; while [ -e started ]; do sleep 0.1; done
""".strip()


@pytest.fixture
def root() -> Iterator[Path]:
    """A directory with a path that is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="zs-") as name:
        yield Path(name)


@pytest.fixture
def program(root: Path) -> Iterator[Program]:
    config = root / "zeroscale.toml"
    config.write_text(f"""
state_directory = "{root}/state"
control.listen = "unix:{root}/state/control.sock:mode=600"
metrics.listen = "unix:{root}/state/metrics.sock"
[servers.game]
plugin = "generic"
listen = "unix:{root}/state/players.sock"
server = {free_port()}
working_directory = "{root}"
plugin_arguments.command = '''sh -c '{SERVER}' '''
""")
    with Program(python("-m", "zeroscale", "--config", str(config), "--debug"), root) as program:
        program.wait_for("Ready: players come to")
        yield program


def appears(path: Path, program: Program) -> None:
    deadline = time.monotonic() + DEADLINE
    while not path.exists():
        assert program.process.poll() is None, program.output
        assert time.monotonic() < deadline, f"{path} does not appear"
        time.sleep(0.01)


def player(root: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(root / "state" / "players.sock"))
    return client


def remove_state(root: Path) -> None:
    """Remove the state directory at once: zeroscale may be writing to it."""
    shutil.rmtree((root / "state").rename(root / "removed"))


def ctl(root: Path, *words: str) -> str:
    command = python("-m", "zeroscale.ctl.main", *words, "--socket", str(root / "state" / "control.sock"))
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=DEADLINE, cwd=root).stdout


def test_it_stops_its_servers_after_its_sockets_were_removed(root: Path, program: Program) -> None:
    with player(root):
        appears(root / "started", program)
        remove_state(root)
        program.signal(signal.SIGTERM)
        assert program.wait() == 0, program.output
    assert (root / "stopped").exists(), program.output
    assert "Traceback" not in program.output


@pytest.mark.slow
def test_its_sockets_are_made_again(root: Path, program: Program) -> None:
    before = {name: stat.S_IMODE((root / "state" / name).stat().st_mode) for name in SOCKETS}
    remove_state(root)
    for name, mode in before.items():
        appears(root / "state" / name, program)
        assert stat.S_IMODE((root / "state" / name).stat().st_mode) == mode
    assert stat.S_IMODE((root / "state").stat().st_mode) == 0o700
    assert "game" in ctl(root, "status")
    with player(root):
        appears(root / "started", program)
        remove_state(root)
        appears(root / "state" / "control.sock", program)
        assert "starting" in ctl(root, "status")
        program.signal(signal.SIGTERM)
        assert program.wait() == 0, program.output
    assert (root / "stopped").exists(), program.output
    assert "Traceback" not in program.output
