"""Directories that root creates for another user, and twistd, which switches to one."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from ports import free_port
from processes import DEADLINE, Program, python, wait_until
from twisted.python import usage

from zeroscale.daemon import tap
from zeroscale.daemon.options import Invocation, examine
from zeroscale.system.files import read_bounded
from zeroscale.system.privileges import (
    Owner,
    acting_as,
    is_trusted,
    make_directories,
    owner,
    python_problem,
    switch_later,
)

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
def test_what_is_made_is_the_owners(open_directory: Path) -> None:
    base = open_directory
    make_directories([base / "a" / "b", base / "a"], Owner(NOBODY_USER.pw_uid, NOBODY_USER.pw_gid))
    for made in (base / "a", base / "a" / "b"):
        assert (made.stat().st_uid, made.stat().st_gid) == (NOBODY_USER.pw_uid, NOBODY_USER.pw_gid)
    assert base.stat().st_uid == 0, "it was there before"


@as_root
def test_rights_are_those_of_the_owner_inside_the_block_only(open_directory: Path) -> None:
    (open_directory / "secret").touch(mode=0o600)
    nobody = Owner(NOBODY_USER.pw_uid, NOBODY_USER.pw_gid)
    before = (os.geteuid(), os.getegid(), os.getgroups())
    with acting_as(nobody), pytest.raises(PermissionError):
        (open_directory / "secret").read_text()
    with pytest.raises(ZeroDivisionError), acting_as(nobody):
        assert os.geteuid() == NOBODY_USER.pw_uid
        raise ZeroDivisionError
    assert (os.geteuid(), os.getegid(), os.getgroups()) == before


@as_root
def test_only_directories_that_nobody_else_can_change_are_trusted(open_directory: Path) -> None:
    theirs = open_directory / "theirs"
    (theirs / "root").mkdir(parents=True)
    assert is_trusted(theirs / "root")
    assert not is_trusted(open_directory / "missing")
    os.chown(theirs, NOBODY_USER.pw_uid, 0)
    assert not is_trusted(theirs)
    assert not is_trusted(theirs / "root")
    os.chown(theirs, 0, 0)
    for mode, inner in ((0o775, False), (0o757, False), (0o1777, True), (0o755, True)):
        theirs.chmod(mode)
        assert is_trusted(theirs / "root") is inner, oct(mode)
        assert is_trusted(theirs) is (mode == 0o755), oct(mode)
    (open_directory / "link").symlink_to(theirs)
    assert is_trusted(open_directory / "link")
    os.chown(open_directory / "link", NOBODY_USER.pw_uid, 0, follow_symlinks=False)
    assert not is_trusted(open_directory / "link")


@as_root
def test_no_directory_of_root_is_made_or_given_through_a_link(open_directory: Path) -> None:
    theirs, target = open_directory / "theirs", open_directory / "target"
    theirs.mkdir()
    target.mkdir()
    os.chown(theirs, NOBODY_USER.pw_uid, NOBODY_USER.pw_gid)
    (theirs / "state").symlink_to(target)
    make_directories([theirs / "state" / "zeroscale"], Owner(NOBODY_USER.pw_uid, NOBODY_USER.pw_gid))
    assert list(target.iterdir()) == []
    make_directories([theirs / "own" / "zeroscale"], Owner(NOBODY_USER.pw_uid, NOBODY_USER.pw_gid))
    assert (theirs / "own" / "zeroscale").stat().st_uid == NOBODY_USER.pw_uid


@as_root
def test_root_opens_no_file_that_the_user_could_not_open(open_directory: Path) -> None:
    theirs, secret = open_directory / "theirs", open_directory / "secret"
    theirs.mkdir()
    os.chown(theirs, NOBODY_USER.pw_uid, NOBODY_USER.pw_gid)
    secret.write_text("root:x:0:0")
    secret.chmod(0o600)
    (theirs / "icon.png").symlink_to(secret)
    (theirs / "list.json").write_text("[]")
    switch_later(Owner(NOBODY_USER.pw_uid, NOBODY_USER.pw_gid))
    try:
        with pytest.raises(PermissionError):
            read_bounded(theirs / "icon.png", 100)
        assert read_bounded(theirs / "list.json", 100) == b"[]"
        assert read_bounded(secret, 100) == b"root:x:0:0", "as a key of TLS, which only root may read"
    finally:
        switch_later(None)
    assert read_bounded(theirs / "icon.png", 100) == b"root:x:0:0"


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
    pid_file = directory / "zeroscale.pid"
    if pid_file.exists() and not pid_file.is_symlink():
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


@pytest.mark.slow
@as_root
def test_twistd_switches_to_another_user(open_directory: Path) -> None:
    base = open_directory
    (base / "daemon").mkdir()
    os.chown(base / "daemon", NOBODY_USER.pw_uid, NOBODY_USER.pw_gid)
    port, server_port = low_port(), free_port()
    (base / "zeroscale.toml").write_text(CONFIG.format(directory=base, port=port, server_port=server_port))
    log, pid_file = base / "daemon" / "zeroscale.log", base / "zeroscale.pid"
    args = ["--uid", "nobody", "--pidfile", str(pid_file), "--logfile", str(log), "--rundir", str(base / "daemon")]
    config = ["zeroscale", "--config", str(base / "zeroscale.toml"), "--debug"]
    with Program(python("-c", TWISTD, *args, *config), base) as starter:
        assert starter.wait() == 0, starter.output
    wait_until((base / "run" / "control.sock").exists, log.read_text)
    pid = int(pid_file.read_text())
    uids = "\t".join(["Uid:", *[str(NOBODY_USER.pw_uid)] * 4])
    assert uids in Path(f"/proc/{pid}/status").read_text()
    lines = log.read_text()
    assert lines.index(f"Listening on ('127.0.0.1', {port})") < lines.index("set uid/gid"), "while still root"
    for path in ("state/zeroscale", "state/zeroscale/game", "run", "run/control.sock", "daemon/zeroscale.log"):
        assert (base / path).stat().st_uid == NOBODY_USER.pw_uid, path
    with socket.create_connection(("127.0.0.1", port), DEADLINE):
        wait_until((base / "daemon" / "who").exists, log.read_text)
    assert (base / "daemon" / "who").read_text() == f"{NOBODY_USER.pw_uid}\n", "the server is nobody's as well"
    os.kill(pid, signal.SIGUSR1)
    wait_until((base / "daemon" / "zeroscale.log.1").exists, log.read_text)
    os.kill(pid, signal.SIGHUP)
    wait_until(lambda: "nothing has changed" in log.read_text(), log.read_text)
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), log.read_text)
    assert "Traceback" not in log.read_text()
    assert pid_file.exists(), "only root may remove it"
    pid_file.unlink()


@pytest.mark.slow
@as_root
def test_a_daemon_of_another_user_reloads_a_changed_file_once_it_may_read_it(open_directory: Path) -> None:
    base = open_directory
    (base / "daemon").mkdir()
    os.chown(base / "daemon", NOBODY_USER.pw_uid, NOBODY_USER.pw_gid)
    file, log, pid_file = base / "zeroscale.toml", base / "daemon" / "zeroscale.log", base / "zeroscale.pid"
    text = 'reload = "auto"\n' + CONFIG.format(directory=base, port=free_port(), server_port=free_port())
    file.write_text(text)
    file.chmod(0o600)
    args = ["--uid", "nobody", "--pidfile", str(pid_file), "--logfile", str(log), "--rundir", str(base / "daemon")]
    with Program(python("-c", TWISTD, *args, "zeroscale", "--config", str(file), "--info"), base) as starter:
        assert starter.wait() == 0, starter.output
    unreadable = f"cannot read {file}: Permission denied as user {NOBODY_USER.pw_uid}"
    wait_until(lambda: unreadable in log.read_text(), log.read_text)
    file.write_text('unknown_host = "answer"\n' + text)
    wait_until(lambda: f"Not reloaded: cannot read {file}: Permission denied" in log.read_text(), log.read_text)
    file.chmod(0o644)
    wait_until(lambda: "Reloaded: unknown_host: changed" in log.read_text(), log.read_text)
    file.write_text(text)
    wait_until(lambda: log.read_text().count("Reloaded: unknown_host: changed") == 2, log.read_text)
    pid = int(pid_file.read_text())
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), log.read_text)
    assert "Traceback" not in log.read_text()
    pid_file.unlink()


def start_as_nobody(base: Path, log: Path, pid_file: Path, *words: str) -> str:
    """Start twistd as root for user nobody, and return its output; it must not start."""
    args = ["--uid", "nobody", "--pidfile", str(pid_file), "--logfile", str(log), "--rundir", str(base)]
    with Program(python("-c", TWISTD, *args, "zeroscale", *words), base) as starter:
        assert starter.wait() == 1, starter.output
    assert "Traceback" not in starter.output
    return starter.output


@pytest.mark.slow
@as_root
@pytest.mark.parametrize("kind", ["symlink", "link to a directory", "hard link"])
@pytest.mark.parametrize("words", [("generic", "25565", "25575", "-a", "sleep 9"), ("unknown", "25565", "25575")])
def test_no_file_of_root_is_given_to_the_user(open_directory: Path, kind: str, words: tuple[str, ...]) -> None:
    theirs, target = open_directory / "theirs", open_directory / "target"
    theirs.mkdir()
    target.mkdir(mode=0o700)
    secret = target / "zeroscale.log"
    secret.write_text("root:x:0:0")
    secret.chmod(0o600)
    log = theirs / "zeroscale.log"
    match kind:
        case "symlink":
            log.symlink_to(secret)
        case "hard link":
            log.hardlink_to(secret)
        case _:
            (theirs / "logs").symlink_to(target)
            log = theirs / "logs" / "zeroscale.log"
    os.chown(theirs, NOBODY_USER.pw_uid, NOBODY_USER.pw_gid)
    state = ("--state-directory", str(theirs / "state"))
    output = start_as_nobody(open_directory, log, open_directory / "zeroscale.pid", *words, *state)
    if words[0] == "generic":
        assert f"cannot open the log file {log}" in output
    found = secret.stat()
    assert (found.st_uid, found.st_mode & 0o777, secret.read_text()) == (0, 0o600, "root:x:0:0")
    assert [path.name for path in target.iterdir()] == ["zeroscale.log"]


@pytest.mark.slow
@as_root
@pytest.mark.parametrize("kind", ["directory of the user", "symlink"])
def test_a_pid_file_that_the_user_could_replace_is_refused(open_directory: Path, kind: str) -> None:
    theirs, target = open_directory / "theirs", open_directory / "target"
    theirs.mkdir()
    pid_file = theirs / "zeroscale.pid"
    if kind == "symlink":
        pid_file = open_directory / "zeroscale.pid"
        pid_file.symlink_to(target)
    else:
        os.chown(theirs, NOBODY_USER.pw_uid, NOBODY_USER.pw_gid)
    words = ("generic", "25565", "25575", "-a", "sleep 9")
    output = start_as_nobody(open_directory, open_directory / "log", pid_file, *words)
    assert f"other users can replace the pid file {pid_file}" in output
    assert not target.exists()
    assert not (open_directory / "log").exists()


@pytest.mark.slow
@as_root
@pytest.mark.parametrize("kind", ["a way back", "chroot"])
def test_the_pid_file_that_is_checked_is_the_one_that_twistd_writes(open_directory: Path, kind: str) -> None:
    """twistd removes `..` from the path by its text, and changes the root before it writes."""
    shared, target = open_directory / "shared", open_directory / "target"
    (open_directory / "deep" / "below").mkdir(parents=True)
    shared.mkdir()
    shared.chmod(0o1777)
    (shared / "way").symlink_to(open_directory / "deep" / "below")
    (shared / "zeroscale.pid").symlink_to(target)
    words = ["-n", "--pidfile", f"{shared}/way/../zeroscale.pid"]
    if kind == "chroot":
        words = ["-n", "--pidfile", "/zeroscale.pid", "--chroot", str(shared)]
    game = ["generic", str(free_port()), str(free_port()), "-a", "sleep 9", "--state-directory", "/proc/none"]
    with Program(python("-c", TWISTD, *words, "zeroscale", *game), open_directory) as starter:
        assert starter.wait() == 1
    assert f"other users can replace the pid file {shared}/zeroscale.pid" in starter.output
    assert not target.exists()


@pytest.mark.slow
@as_root
@pytest.mark.parametrize(
    ("kind", "advice"),
    [
        ("their directory", "move it to a directory that only root can write to, such as /etc, or start zeroscale as"),
        ("their file", "run chown root and chmod go-w on it"),
        ("writable file", "run chown root and chmod go-w on it"),
    ],
)
def test_a_configuration_that_the_user_could_change_is_refused(open_directory: Path, kind: str, advice: str) -> None:
    """It could have any file that only root can read shown to players."""
    config = open_directory / "theirs" / "zeroscale.toml"
    config.parent.mkdir()
    config.write_text(
        '[servers.a]\nplugin = "generic"\nlisten = 25565\nserver = 25575\ntexts.x = {file = "/etc/shadow"}\n'
    )
    match kind:
        case "their directory":
            os.chown(config.parent, NOBODY_USER.pw_uid, NOBODY_USER.pw_gid)
        case "their file":
            os.chown(config, NOBODY_USER.pw_uid, NOBODY_USER.pw_gid)
        case _:
            config.chmod(0o666)
    base = open_directory
    output = start_as_nobody(base, base / "log", base / "zeroscale.pid", "--config", str(config))
    assert f"other users can change the configuration {config}, which root reads" in output
    assert advice in output
    assert not (base / "log").exists()


@as_root
def test_a_configuration_that_the_user_removes_once_it_was_read_is_refused(
    open_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = open_directory / "theirs" / "zeroscale.toml"
    config.parent.mkdir()
    os.chown(config.parent, NOBODY_USER.pw_uid, NOBODY_USER.pw_gid)
    config.write_text('[servers.a]\nplugin = "generic"\nlisten = 25565\nserver = 25575\n')
    options, parent = tap.Options(), usage.Options()  # type: ignore[no-untyped-call]  # Twisted has no types here
    parent.update({"uid": NOBODY_USER.pw_uid, "gid": None, "pidfile": "", "rundir": str(open_directory)})
    options.parent = parent

    def read_and_remove(words: Sequence[str], program: str, directory: Path | None) -> Invocation:
        invocation = examine(words, program, directory)
        config.unlink()
        return invocation

    monkeypatch.setattr("zeroscale.daemon.tap.examine", read_and_remove)
    try:
        with pytest.raises(usage.UsageError, match=f"cannot read {config}"):
            options.parseOptions(["--config", str(config)])
    finally:
        switch_later(None)


@pytest.mark.slow
@as_root
def test_a_secret_in_a_directory_of_the_user_is_read_with_its_rights(open_directory: Path) -> None:
    base, theirs = open_directory, open_directory / "theirs"
    theirs.mkdir()
    os.chown(theirs, NOBODY_USER.pw_uid, NOBODY_USER.pw_gid)
    (theirs / "text").symlink_to("/etc/shadow")
    config = CONFIG.format(directory=base, port=free_port(), server_port=free_port())
    (base / "zeroscale.toml").write_text(config + f'texts.sleeping = {{ file = "{theirs}/text" }}\n')
    output = start_as_nobody(base, base / "log", base / "zeroscale.pid", "--config", str(base / "zeroscale.toml"))
    assert f"cannot read {theirs}/text: Permission denied" in output


@pytest.mark.slow
@as_root
def test_a_log_in_a_directory_of_root_is_the_users(open_directory: Path) -> None:
    log = open_directory / "zeroscale.log"
    words = ("generic", str(free_port()), str(free_port()), "-a", "sleep 9", "--state-directory", "/proc/none")
    start_as_nobody(open_directory, log, open_directory / "zeroscale.pid", *words)
    assert log.stat().st_uid == NOBODY_USER.pw_uid
    assert "/proc/none" in log.read_text()


@as_root
def test_a_python_that_the_new_user_cannot_read_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "os.py").touch()
    tmp_path.chmod(0o700)
    assert python_problem([str(tmp_path / "in an archive"), str(tmp_path / "os.py")]) is None
    os.seteuid(NOBODY_USER.pw_uid)
    try:
        problem = python_problem([str(tmp_path / "os.py")])
    finally:
        os.seteuid(0)
    assert problem is not None and problem.startswith(f"User {NOBODY_USER.pw_uid} cannot read {tmp_path}/os.py, ")


@pytest.mark.slow
@as_root
def test_twistd_warns_that_the_user_cannot_read_python(open_directory: Path) -> None:
    hidden = open_directory / "hidden"
    hidden.mkdir(mode=0o700)
    (hidden / "os.py").touch()
    game = ["generic", str(free_port()), str(free_port()), "-a", "sleep 9", "--state-directory", f"{open_directory}/s"]
    code = f"import os; os.__file__ = {str(hidden / 'os.py')!r}; {TWISTD}"
    words = ["-n", "--uid", "nobody", "--pidfile=", "zeroscale", *game]
    with Program(python("-c", code, *words), open_directory) as program:
        program.wait_for(f"User {NOBODY_USER.pw_uid} cannot read {hidden}/os.py, ")
