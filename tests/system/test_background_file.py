"""Small files are written in a thread: the latest content, also after the disk was full or no thread could be had."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from zeroscale.system import background_file
from zeroscale.system.background_file import BackgroundFile, FileWriter
from zeroscale.system.files import write_atomically


@pytest.fixture
def writer() -> Iterator[FileWriter]:
    writer = FileWriter()
    yield writer
    writer.close()


def refuse_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)


def fail_with(monkeypatch: pytest.MonkeyPatch, code: int | None) -> None:
    def write(path: Path, content: bytes) -> None:
        if code is not None:
            raise OSError(code, os.strerror(code))
        write_atomically(path, content)

    monkeypatch.setattr(background_file, "write_atomically", write)


def test_a_file_has_the_latest_content(tmp_path: Path, writer: FileWriter) -> None:
    files = [BackgroundFile(tmp_path / name, writer) for name in ("one", "two")]
    for number in range(100):
        for file in files:
            file.write(b"%d" % number)
    for file in files:
        file.flush()
        assert file.path.read_bytes() == b"99"


def test_all_files_are_written_by_one_thread_that_ends_with_the_writer(tmp_path: Path) -> None:
    before = threading.active_count()
    writer = FileWriter()
    writer.start()
    for number in range(5):
        writer.write(tmp_path / str(number), b"")
    assert threading.active_count() == before + 1
    for number in range(5):
        writer.flush(tmp_path / str(number))
    writer.close()
    assert threading.active_count() == before


def test_writing_does_not_wait_for_the_disk(
    tmp_path: Path, writer: FileWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[bytes] = []
    begun, go_on = threading.Event(), threading.Event()

    def slow(_: Path, content: bytes) -> None:
        begun.set()
        assert go_on.wait(10)
        written.append(content)

    monkeypatch.setattr(background_file, "write_atomically", slow)
    file = BackgroundFile(tmp_path / "file", writer)
    file.write(b"first")
    assert begun.wait(10)
    file.write(b"skipped")
    file.write(b"last")
    assert written == []
    go_on.set()
    file.flush()
    assert written == [b"first", b"last"]


def test_each_kind_of_failure_is_one_line_until_a_write_succeeds(
    tmp_path: Path, writer: FileWriter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file = BackgroundFile(tmp_path / "file", writer)
    lines = []
    for failing in (errno.ENOSPC, errno.ENOSPC, errno.EACCES, errno.ENOSPC, None, errno.ENOSPC):
        fail_with(monkeypatch, failing)
        file.write(b"content")
        file.flush()
        lines.append(len(caplog.records))
    assert lines == [1, 1, 2, 2, 2, 3]
    assert "No space left on device" in caplog.text


@pytest.mark.parametrize("count", [1, 12])
def test_files_that_could_not_be_written_are_written_soon_after_the_disk_has_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(background_file, "FIRST_RETRY", 0.02)
    paths = {tmp_path / f"file {number}" for number in range(count)}
    failed, written = set[Path](), set[Path]()
    done = threading.Event()

    def full_at_first(path: Path, content: bytes) -> None:
        if path not in failed:
            failed.add(path)
            raise OSError(errno.ENOSPC, "No space left on device")
        write_atomically(path, content)
        written.add(path)
        if written == paths:
            done.set()

    monkeypatch.setattr(background_file, "write_atomically", full_at_first)
    writer = FileWriter()
    for path in paths:
        writer.write(path, b"content")
    try:
        assert done.wait(10)
    finally:
        writer.close()


def test_a_flush_tries_once_more(tmp_path: Path, writer: FileWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    file = BackgroundFile(tmp_path / "file", writer)
    fail_with(monkeypatch, errno.ENOSPC)
    file.write(b"content")
    file.flush()
    fail_with(monkeypatch, None)
    file.flush()
    assert file.path.read_bytes() == b"content"


def test_without_a_thread_the_content_is_kept_and_written_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    writer = FileWriter()
    file = BackgroundFile(tmp_path / "file", writer)
    with monkeypatch.context() as limited:
        refuse_threads(limited)
        writer.start()
        file.write(b"one")
        file.write(b"two")
        assert [record.levelname for record in caplog.records] == ["ERROR"]
        assert "can't start new thread" in caplog.text
        assert not file.path.exists()
        file.flush()
        assert file.path.read_bytes() == b"two"
        file.write(b"three")
    file.write(b"four")
    file.flush()
    assert file.path.read_bytes() == b"four"
    writer.close()


def test_a_disk_that_does_not_answer_delays_the_end_for_a_limited_time(
    tmp_path: Path, writer: FileWriter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(background_file, "LONGEST_FLUSH", 0.01)
    go_on = threading.Event()
    monkeypatch.setattr(background_file, "write_atomically", lambda *_: go_on.wait(10))
    file = BackgroundFile(tmp_path / "file", writer)
    file.write(b"content")
    file.flush()
    assert "the disk does not answer" in caplog.text
    writer.close()
    go_on.set()
