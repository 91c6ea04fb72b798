"""Locks that are released when their holder dies, that no other user can hold, and that write to no other file."""

from __future__ import annotations

import errno
import fcntl
import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from zeroscale.errors import StateError
from zeroscale.system import lock_file
from zeroscale.system.lock_file import Lock, LockHeldError
from zeroscale.system.privileges import Owner, acting_as

HOLDER = """
import sys
from pathlib import Path
from zeroscale.system.lock_file import Lock
lock = Lock(Path(sys.argv[1]))
lock.acquire()
print("held", flush=True)
sys.stdin.read()
"""


class Holder:
    """Another process that holds the lock until it is ended or killed."""

    def __init__(self, path: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"held\n"

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


def listing(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


def test_a_lock_names_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    holder = Holder(path)
    try:
        with pytest.raises(StateError) as refused:
            Lock(path).acquire()
    finally:
        holder.kill()
    owner = f"another zeroscale (process {holder.process.pid})"
    advice = "stop it first, or give each server its own directory and port"
    assert str(refused.value) == f"{owner} holds {path}: {advice}"


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    Holder(path).kill()
    assert path.exists()
    lock = Lock(path)
    lock.acquire()
    assert lock.held
    assert path.read_text() == f"{os.getpid()}\n"
    lock.release()


def test_two_servers_of_one_process_do_not_share_a_lock(tmp_path: Path) -> None:
    first, second = Lock(tmp_path / "lock"), Lock(tmp_path / "lock")
    first.acquire()
    with pytest.raises(StateError, match="another server of this zeroscale holds"):
        second.acquire()
    first.release()
    second.acquire()
    second.release()


def test_a_released_lock_leaves_no_file_and_may_be_taken_again(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "lock")
    for _ in range(2):
        lock.acquire()
        lock.acquire()
        lock.release()
        lock.release()
        assert not lock.held
        assert listing(tmp_path) == []


def test_a_file_removed_between_opening_and_locking_is_not_taken_for_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lock"
    opened = os.open
    before: list[int] = []

    def remove_after_opening(*arguments: object, **keywords: object) -> int:
        descriptor = opened(*arguments, **keywords)  # type: ignore[arg-type]  # passed on as they came
        if not before:
            before.append(descriptor)
            path.unlink()
        return descriptor

    monkeypatch.setattr(os, "open", remove_after_opening)
    lock = Lock(path)
    lock.acquire()
    with pytest.raises(StateError):
        Lock(path).acquire()
    lock.release()


def test_a_lock_file_is_private_and_not_inherited(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    descriptor = lock_file.acquire(path)
    try:
        assert not os.get_inheritable(descriptor)
        assert path.stat().st_mode & 0o777 == 0o600
        assert lock_file.is_held(path)
        with pytest.raises(LockHeldError):
            lock_file.acquire(path)
        lock_file.remove(path)
        assert path.exists(), "a held lock is not removed"
    finally:
        os.close(descriptor)
    assert not lock_file.is_held(path)
    lock_file.remove(path)
    assert listing(tmp_path) == []


def test_a_file_that_others_can_open_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_bytes(b"")
    path.chmod(0o644)
    opened_by_others = os.open(path, os.O_RDONLY)
    try:
        descriptor = lock_file.acquire(path)
        fcntl.flock(opened_by_others, fcntl.LOCK_EX | fcntl.LOCK_NB)  # has no effect on the new file
        os.close(descriptor)
        os.close(lock_file.acquire(path))
    finally:
        os.close(opened_by_others)
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_open_file_of_an_earlier_version_is_still_held(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_bytes(b"12\n")
    path.chmod(0o644)
    with path.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(StateError, match="process 12"):
            Lock(path).acquire()


def test_another_name_of_the_file_is_never_written_to(tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"mine")
    (tmp_path / "victim").chmod(0o600)
    (tmp_path / "lock").hardlink_to(tmp_path / "victim")
    lock = Lock(tmp_path / "lock")
    lock.acquire()
    assert (tmp_path / "victim").read_bytes() == b"mine"
    assert (tmp_path / "lock").read_bytes() == b"%d\n" % os.getpid()
    lock.release()
    assert listing(tmp_path) == ["victim"]


@pytest.mark.parametrize("kind", ["directory", "fifo", "symlink", "dangling symlink"])
def test_whatever_is_in_the_place_of_a_lock_is_replaced(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "lock"
    (tmp_path / "target").write_bytes(b"mine")
    match kind:
        case "directory":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)
        case "symlink":
            path.symlink_to(tmp_path / "target")
        case _:
            path.symlink_to(tmp_path / "nothing")
    lock = Lock(path)
    lock.acquire()
    assert path.read_bytes() == b"%d\n" % os.getpid()
    lock.release()
    assert (tmp_path / "target").read_bytes() == b"mine"
    assert not (tmp_path / "nothing").exists()


def test_a_lock_that_may_not_be_opened_names_its_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lock"
    path.write_bytes(b"")

    def refuse(*_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")  # root may open anything

    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(StateError, match=rf"{path}, which belongs to user \w+: .*remove it"):
        lock_file.acquire(path)
    path.unlink()
    with pytest.raises(PermissionError):
        lock_file.acquire(path)


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to act as another user")

STRANGER = """
import fcntl, sys
file = open(sys.argv[1], sys.argv[2])
file.write("1\\n")  # as if process 1 held it
file.flush()
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A directory in which every user may create files, and remove only their own."""
    for directory in (tmp_path, *tmp_path.parents[:-2]):
        directory.chmod(0o755)
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    return shared


@as_root
@pytest.mark.parametrize("owner", [0, 65534])
def test_the_process_of_another_user_that_holds_the_lock_is_named(shared: Path, owner: int) -> None:
    path = shared / "lock"
    path.touch()
    path.chmod(0o666)
    os.chown(path, owner, owner)
    command = ["/usr/bin/python3", "-c", STRANGER, str(path), "w"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, user=65534, group=65534, extra_groups=()
    ) as stranger:
        assert stranger.stdout is not None
        assert stranger.stdout.readline() == b"held\n"
        with pytest.raises(StateError) as refused:
            Lock(path).acquire()
        stranger.kill()
    name = pwd.getpwuid(65534).pw_name
    of = f", which belongs to user {name}" if owner else ""
    assert (
        str(refused.value)
        == f"process {stranger.pid} of user {name} holds the lock {path}{of}: stop it, and remove the file"
    )
    Lock(path).acquire()


@as_root
def test_a_lock_that_an_unknown_process_holds_names_the_files_owner(shared: Path) -> None:
    """The process that took the lock has ended, and left it to a child: nobody knows that one's number."""
    path = shared / "lock"
    path.touch()
    path.chmod(0o666)
    os.chown(path, 65534, 65534)
    with path.open() as file:
        subprocess.run(["flock", "-x", str(file.fileno())], pass_fds=[file.fileno()], check=True)
        with pytest.raises(StateError, match=f"cannot use the lock {path}, which belongs to user nobody: stop what"):
            Lock(path).acquire()


@as_root
def test_a_lock_of_our_own_that_we_may_not_open(shared: Path) -> None:
    path = shared / "lock"
    path.touch()
    os.chown(path, 65534, 65534)
    path.chmod(0)
    with acting_as(Owner(65534, 65534)), pytest.raises(StateError) as refused:
        lock_file.acquire(path)
    assert str(refused.value) == f"cannot open the lock {path}: run chmod 600 on it"


@as_root
@pytest.mark.parametrize("kind", ["file", "symlink", "directory"])
def test_another_user_is_refused_with_the_owners_name(shared: Path, kind: str) -> None:
    path = shared / "lock"
    match kind:
        case "file":
            path.touch(mode=0o600)
        case "symlink":
            path.symlink_to("/dev/null")
        case _:
            path.mkdir()
    with acting_as(Owner(65534, 65534)), pytest.raises(StateError) as refused:
        lock_file.acquire(path)
    assert str(refused.value).startswith(f"cannot use the lock {path}, which belongs to user root")


def test_a_lock_whose_file_was_removed_is_acquired_again(tmp_path: Path) -> None:
    lock, other = Lock(tmp_path / "lock"), Lock(tmp_path / "lock")
    lock.acquire()
    (tmp_path / "lock").unlink()
    lock.acquire()
    with pytest.raises(StateError):
        other.acquire()
    (tmp_path / "lock").unlink()
    other.acquire()
    with pytest.raises(StateError):
        lock.acquire()
    lock.release()
    assert lock_file.is_held(tmp_path / "lock")
    other.release()


@pytest.mark.parametrize(("code", "held"), [(errno.EMFILE, True), (errno.ENFILE, True), (errno.EACCES, False)])
def test_without_a_free_descriptor_a_lock_counts_as_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, held: bool
) -> None:
    """Else a server that runs would be taken for one that has ended."""

    def fail(path: Path, flags: int) -> int:
        raise OSError(code, os.strerror(code), str(path))

    monkeypatch.setattr(os, "open", fail)
    assert lock_file.is_held(tmp_path / "lock") is held
