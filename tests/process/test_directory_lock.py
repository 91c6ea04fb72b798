"""The lock that a server holds on its directory."""

from __future__ import annotations

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
    (tmp_path / LOCK_NAME).symlink_to(tmp_path / "elsewhere")
    assert DirectoryLock(tmp_path).acquire() is None
    assert not (tmp_path / "elsewhere").exists()
