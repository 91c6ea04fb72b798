"""The lock that a server holds on its directory."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest

from zeroscale.errors import PluginError
from zeroscale.process.directory_lock import LOCK_NAME, DirectoryLock


def taken(directory: Path) -> int:
    descriptor = DirectoryLock(directory).acquire()
    assert descriptor is not None
    return descriptor


def test_only_one_process_holds_it(tmp_path: Path) -> None:
    held = taken(tmp_path)
    with pytest.raises(PluginError, match=f"runs in this directory already: it holds {tmp_path / LOCK_NAME}"):
        DirectoryLock(tmp_path).acquire()
    os.close(held)
    os.close(taken(tmp_path))


def test_a_server_holds_it_while_it_lives_and_is_named(tmp_path: Path) -> None:
    held = taken(tmp_path)
    with subprocess.Popen(["sleep", "60"], pass_fds=[held]) as server:
        os.close(held)
        with pytest.raises(PluginError, match=rf"\(pid {server.pid}\)"):
            DirectoryLock(tmp_path).acquire()
        server.kill()
    os.close(taken(tmp_path))


def test_it_is_not_removed_while_it_is_held(tmp_path: Path) -> None:
    lock = DirectoryLock(tmp_path)
    held = taken(tmp_path)
    lock.remove()
    assert (tmp_path / LOCK_NAME).exists()
    os.close(held)
    lock.remove()
    assert list(tmp_path.iterdir()) == []
    lock.remove()


def test_a_file_that_was_removed_before_the_lock_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = taken(tmp_path)
    monkeypatch.setattr("fcntl.flock", _removing_once(tmp_path / LOCK_NAME, first))
    second = taken(tmp_path)
    monkeypatch.undo()
    with pytest.raises(PluginError):
        DirectoryLock(tmp_path).acquire()
    os.close(second)


def _removing_once(path: Path, held: int) -> object:
    import fcntl

    flock, todo = fcntl.flock, [held]

    def removing(descriptor: int, operation: int) -> None:
        while todo:
            path.unlink()
            os.close(todo.pop())
        flock(descriptor, operation)

    return removing


def test_a_directory_that_cannot_be_locked_is_reported_and_used_without(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert DirectoryLock(tmp_path / "missing").acquire() is None
    assert "No such file" in caplog.text


def test_no_other_file_is_written_through_a_link_in_its_place(tmp_path: Path) -> None:
    (tmp_path / LOCK_NAME).symlink_to(tmp_path / "elsewhere")
    descriptor = DirectoryLock(tmp_path).acquire()
    assert descriptor is not None
    os.close(descriptor)
    assert not (tmp_path / "elsewhere").exists()


def test_a_lock_that_belongs_to_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / LOCK_NAME).touch()

    def refuse(*_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")  # root may open anything

    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(PluginError, match="which belongs to user"):
        DirectoryLock(tmp_path).acquire()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to run a program as another user")
def test_another_user_cannot_hold_it(tmp_path: Path) -> None:
    for directory in (tmp_path, *tmp_path.parents[:-2]):
        directory.chmod(0o755)
    descriptor = DirectoryLock(tmp_path).acquire()
    assert descriptor is not None
    done = subprocess.run(
        ["flock", "-n", str(tmp_path / LOCK_NAME), "true"], user=65534, group=65534, extra_groups=(), check=False
    )
    assert done.returncode != 0
    os.close(descriptor)
    again = DirectoryLock(tmp_path).acquire()
    assert again is not None
    os.close(again)
