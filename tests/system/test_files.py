"""Atomic writes, and locks that are released when their holder dies."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from zeroscale.errors import ConfigError, StateError
from zeroscale.system import files as storage
from zeroscale.system.files import BackgroundFile, Lock, read_bounded, server_directory, write_atomically

HOLDER = """
import sys
from pathlib import Path
from zeroscale.system.files import Lock
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


@pytest.mark.parametrize("name", ["survival", "minecraft-25575", "my.plugins.Server-1", "_", "a" * 100, "0+1@home"])
def test_a_server_s_name_is_its_directory_s(name: str) -> None:
    assert server_directory(Path("/state"), name) == Path("/state") / name


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "/", "a\\b", "a b", "-rf", ".hidden", "a\n", "a\0", "a" * 101, "\u00fcber"]
)
def test_a_name_that_is_no_directory_s_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="server name"):
        server_directory(Path("/state"), name)


def test_a_written_file_replaces_the_old_one_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert listing(tmp_path) == ["file"]
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_disk_that_refuses_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(*{"fsync": (os, "fsync", refuse), "replace": (Path, "replace", refuse)}[step])
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert listing(tmp_path) == ["file"]


def test_what_a_crash_left_behind_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "file"
    (tmp_path / "file.new").write_bytes(b"half of a longer fi")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"


def test_a_link_in_the_way_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    (tmp_path / "file.new").symlink_to(victim)
    with pytest.raises(OSError):
        write_atomically(tmp_path / "file", b"new")
    assert victim.read_bytes() == b"mine"


def test_reading_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert read_bounded(path, 4) is None
    path.write_bytes(b"1234")
    assert read_bounded(path, 4) == b"1234"
    path.write_bytes(b"12345")
    with pytest.raises(ValueError, match="longer than 4 bytes"):
        read_bounded(path, 4)


def test_reading_a_fifo_neither_blocks_nor_succeeds(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ValueError, match="not a regular file"):
        read_bounded(tmp_path / "fifo", 4)


def test_a_kept_file_has_the_latest_content(tmp_path: Path) -> None:
    kept = BackgroundFile(tmp_path / "file")
    for number in range(100):
        kept.write(b"%d" % number)
    kept.flush()
    assert (tmp_path / "file").read_bytes() == b"99"
    assert [thread.name for thread in threading.enumerate() if "writes" in thread.name] == []


def test_writing_does_not_wait_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []
    let_go = threading.Event()

    def slow(_: Path, content: bytes) -> None:
        assert let_go.wait(10)
        written.append(content)

    monkeypatch.setattr(storage, "write_atomically", slow)
    kept = BackgroundFile(tmp_path / "file")
    for content in (b"first", b"skipped", b"last"):
        kept.write(content)
        while kept._next == b"first":  # taken up by the thread
            time.sleep(0.001)
    assert written == []
    let_go.set()
    kept.flush()
    assert written == [b"first", b"last"]


def test_each_kind_of_refusal_is_one_line_until_the_disk_takes_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    kept = BackgroundFile(tmp_path / "file")
    lines = []
    for failing in (errno.ENOSPC, errno.ENOSPC, errno.EACCES, errno.ENOSPC, None, errno.ENOSPC):

        def write(path: Path, content: bytes, code: int | None = failing) -> None:
            if code is not None:
                raise OSError(code, os.strerror(code))

        monkeypatch.setattr(storage, "write_atomically", write)
        kept.write(b"content")
        kept.flush()
        lines.append(len(caplog.records))
    assert lines == [1, 1, 2, 2, 2, 3]
    assert "No space left on device" in caplog.text


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
