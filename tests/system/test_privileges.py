"""Directories that root creates for another user, and twistd, which switches to one."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ports import free_port
from processes import DEADLINE, Program, python

from zeroscale.system.privileges import Owner, make_directories, owner

NOBODY_USER = pwd.getpwnam("nobody")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
TWISTD = "from twisted.scripts.twistd import run; run()"

CONFIG = """\
state_directory = "{directory}/state/zeroscale"
control.listen = "unix:{directory}/run/control.sock"

[servers.game]
plugin = "generic"
listen = "tcp:{port}:interface=127.0.0.1"
server = {server_port}
working_directory = "{directory}/daemon"
plugin_arguments.command = ["/bin/sh", "-c", "id -u > me; mv me who; exec sleep 600"]
"""


def test_owner_by_user_and_group() -> None:
    assert owner(None, None) is None
    assert owner(NOBODY_USER.pw_uid, None) == Owner(NOBODY_USER.pw_uid, NOBODY_USER.pw_gid)
    assert owner(None, 7) == Owner(None, 7)
    assert owner(987654, None) == Owner(987654, None)


@as_root
def test_what_is_made_is_the_owners(tmp_path: Path) -> None:
    make_directories([tmp_path / "a" / "b", tmp_path / "a"], Owner(NOBODY_USER.pw_uid, NOBODY_USER.pw_gid))
    for made in (tmp_path / "a", tmp_path / "a" / "b"):
        assert (made.stat().st_uid, made.stat().st_gid) == (NOBODY_USER.pw_uid, NOBODY_USER.pw_gid)
    assert tmp_path.stat().st_uid == 0, "it was there before"


def test_what_cannot_be_made_is_left_to_others(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    make_directories([tmp_path / "file" / "below"], Owner(None, None))
    assert [*tmp_path.iterdir()] == [tmp_path / "file"]


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """One that everybody may enter, which pytest's own are not."""
    directory = Path(tempfile.mkdtemp(prefix="zeroscale-"))
    directory.chmod(0o755)
    yield directory
    pid_file = directory / "daemon" / "zeroscale.pid"
    if pid_file.exists():
        os.kill(int(pid_file.read_text()), signal.SIGKILL)
    shutil.rmtree(directory)


def low_port() -> int:
    """A port that only root may listen on, in most places."""
    for number in range(1023, 600, -1):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", number))
            except OSError:
                continue
            return number
    raise AssertionError("all ports below 1024 are taken")


def until(condition: object, message: object) -> None:
    assert callable(condition) and callable(message)
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, message()
        time.sleep(0.01)


@pytest.mark.slow
@as_root
def test_twistd_switches_to_another_user(open_directory: Path) -> None:
    base = open_directory
    (base / "daemon").mkdir()
    os.chown(base / "daemon", NOBODY_USER.pw_uid, NOBODY_USER.pw_gid)
    port, server_port = low_port(), free_port()
    (base / "zeroscale.toml").write_text(CONFIG.format(directory=base, port=port, server_port=server_port))
    log, pid_file = base / "daemon" / "zeroscale.log", base / "daemon" / "zeroscale.pid"
    args = ["--uid", "nobody", "--pidfile", str(pid_file), "--logfile", str(log), "--rundir", str(base / "daemon")]
    config = ["zeroscale", "--config", str(base / "zeroscale.toml"), "--debug"]
    with Program(python("-c", TWISTD, *args, *config), base) as starter:
        assert starter.wait() == 0, starter.output
    until((base / "run" / "control.sock").exists, log.read_text)
    pid = int(pid_file.read_text())
    uids = "\t".join(["Uid:", *[str(NOBODY_USER.pw_uid)] * 4])
    assert uids in Path(f"/proc/{pid}/status").read_text()
    lines = log.read_text()
    assert lines.index(f"Listening on ('127.0.0.1', {port})") < lines.index("set uid/gid"), "while still root"
    for path in ("state/zeroscale", "state/zeroscale/game", "run", "run/control.sock", "daemon/zeroscale.log"):
        assert (base / path).stat().st_uid == NOBODY_USER.pw_uid, path
    with socket.create_connection(("127.0.0.1", port), DEADLINE):
        until((base / "daemon" / "who").exists, log.read_text)
    assert (base / "daemon" / "who").read_text() == f"{NOBODY_USER.pw_uid}\n", "the server is nobody's as well"
    os.kill(pid, signal.SIGUSR1)
    until((base / "daemon" / "zeroscale.log.1").exists, log.read_text)
    os.kill(pid, signal.SIGHUP)
    until(lambda: "nothing has changed" in log.read_text(), log.read_text)
    os.kill(pid, signal.SIGTERM)
    until(lambda: not Path(f"/proc/{pid}").exists(), log.read_text)
    assert not pid_file.exists()
    assert "Traceback" not in log.read_text()
