"""A lock's file is opened without waiting and not through a link, and a replaced file is noticed."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from zeroscale.system import lock_file


def test_a_file_that_is_not_there_is_made(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    descriptor = lock_file.open_lock_file(path)
    try:
        assert not os.get_inheritable(descriptor)
        assert lock_file.is_named(path, descriptor)
        path.unlink()
        assert not lock_file.is_named(path, descriptor)
        path.write_bytes(b"")
        assert not lock_file.is_named(path, descriptor), "it is another file"
    finally:
        os.close(descriptor)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError) as raised:
        lock_file.open_lock_file(tmp_path / "lock")
    assert raised.value.errno == errno.ELOOP
    assert not (tmp_path / "elsewhere").exists()


def test_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "lock")
    os.close(lock_file.open_lock_file(tmp_path / "lock", os.O_RDONLY))


def test_a_file_that_may_not_be_written_is_opened_for_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lock").write_bytes(b"words")
    real = os.open

    def refusing(path: Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_RDWR:
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, flags, mode)

    monkeypatch.setattr(os, "open", refusing)  # root may write anything
    descriptor = lock_file.open_lock_file(tmp_path / "lock")
    try:
        assert os.read(descriptor, 10) == b"words"
    finally:
        os.close(descriptor)
