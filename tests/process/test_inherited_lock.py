"""Locks that a server inherits, and the multiplexers that inherit them with it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from zeroscale.process import inherited_lock
from zeroscale.system.lock_file import LockHeldError


@contextlib.contextmanager
def holder(path: Path, program: str) -> Iterator[int]:
    """Run a program that inherits the lock."""
    lock = inherited_lock.acquire(path)
    with subprocess.Popen([program, "60"], pass_fds=[lock]) as process:
        os.close(lock)
        yield process.pid
        process.kill()


def program_called(name: str, directory: Path) -> str:
    path = directory / name
    shutil.copy(shutil.which("sleep") or "sleep", path)
    return str(path)


def test_a_server_holds_it_until_its_end(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not inherited_lock.is_held(path)
    with holder(path, "sleep") as server:
        assert inherited_lock.is_held(path)
        assert inherited_lock.holders(path) == [server]
        with pytest.raises(LockHeldError):
            inherited_lock.acquire(path)
    assert not inherited_lock.is_held(path)
    assert inherited_lock.holders(path) == []


@pytest.mark.parametrize("name", ["screen", "tmux: server"])
def test_a_multiplexer_alone_does_not_keep_it(tmp_path: Path, name: str) -> None:
    """The script that started it has ended, and so has the server in its window; other windows are open."""
    path = tmp_path / "lock"
    with holder(path, program_called(name, tmp_path)):
        assert not inherited_lock.is_held(path)
        assert inherited_lock.holders(path) == []
        with holder(path, "sleep") as server:
            assert inherited_lock.holders(path) == [server]
