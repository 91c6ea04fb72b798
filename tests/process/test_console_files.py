"""Output through a file that others may empty, and input through a FIFO that may be full."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from zeroscale.errors import PluginError
from zeroscale.process import console_files as console
from zeroscale.process.console_files import InputFifo, OutputFile, plain_text
from zeroscale.system.files import create_own


class Reader:
    """A file of output, and the lines read from it."""

    def __init__(self, path: Path) -> None:
        self.lines: list[str] = []
        self.file = OutputFile(path, self.lines.append)
        self.file.open()
        self._writing = self.file.open_for_child()

    def write(self, data: bytes) -> None:
        os.write(self._writing, data)

    def read(self) -> list[str]:
        """The new lines."""
        self.lines.clear()
        while self.file.read():
            pass
        return list(self.lines)


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    return Reader(tmp_path / "console.log")


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"plain", "plain"),
        (b"\x1b[0;33m[WARN]\x1b[m careful\x1b[K", "[WARN] careful"),
        (b"\x1b]0;a title\x07after", "after"),
        (b"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        (b"> \r\x1b[2KDone (3.2s)!\r", "> Done (3.2s)!"),
        (b"a\tb\x00\x07\x7f\xc2\x9b31m", "a\tb31m"),
        (b"not \xff utf-8", "not \ufffd utf-8"),
        ("Gr\u00fc\u00dfe \u00a7a".encode(), "Gr\u00fc\u00dfe \u00a7a"),
    ],
)
def test_lines_are_made_readable(line: bytes, text: str) -> None:
    assert plain_text(line) == text


def test_lines_are_whole_however_they_were_written(reader: Reader) -> None:
    text = "first\n\nGr\u00fc\u00dfe\r\nlast\n".encode()
    for index in range(len(text)):
        reader.write(text[index : index + 1])
        reader.file.read()
    assert reader.lines == ["first", "", "Gr\u00fc\u00dfe", "last"]


def test_an_unended_line_waits_for_its_end(reader: Reader) -> None:
    reader.write(b"begun")
    assert reader.read() == []
    reader.write(b" and ended\nnext")
    assert reader.read() == ["begun and ended"]
    reader.file.finish()
    assert reader.lines == ["begun and ended", "next"]


def test_a_long_line_is_cut(reader: Reader) -> None:
    reader.write(b"x" * 100_000 + b"\nnext\n")
    cut, following = reader.read()
    assert cut == "x" * console.LONGEST_LINE
    assert following == "next"
    assert reader.file.last_lines[0] == "x" * console.KEPT_CHARACTERS


def test_a_line_without_end_is_reported_once_and_not_kept(reader: Reader) -> None:
    reports = []
    for _ in range(100):
        reader.write(b"x" * 5000)
        reports += reader.read()
    assert reports == ["x" * console.LONGEST_LINE]
    reader.write(b"\nnext\n")
    assert reader.read() == ["next"]


def test_only_the_last_lines_are_kept(reader: Reader) -> None:
    reader.write(b"".join(b"%d\n" % number for number in range(1000)))
    reader.read()
    assert list(reader.file.last_lines) == [str(number) for number in range(950, 1000)]


def test_output_is_not_written_to_an_earlier_file_that_has_both_names(tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    path.write_bytes(b"earlier\n")
    (tmp_path / "console.log.1").hardlink_to(path)
    OutputFile(path, lambda line: None).rotate()
    reader = Reader(path)
    reader.write(b"now\n")
    assert reader.read() == ["now"]
    assert (tmp_path / "console.log.1").read_bytes() == b"earlier\n"


def test_a_file_that_others_truncate(reader: Reader) -> None:
    reader.write(b"before, and more of it\nhalf a li")
    reader.read()
    os.truncate(reader.file.path, 0)
    reader.write(b"after\n")
    assert reader.read() == ["after"]


def test_a_script_that_writes_to_dev_stderr_empties_the_file(reader: Reader) -> None:
    reader.write(b"before, and more of it\n")
    reader.read()
    reader.file.path.write_bytes(b"x\n")  # as `> /dev/stderr` does: truncated, and written from the beginning
    reader.write(b"after\n")
    assert reader.read() == ["x", "after"]


def test_a_file_that_others_remove(reader: Reader) -> None:
    reader.file.path.unlink()
    reader.write(b"still heard\n")
    assert reader.read() == ["still heard"]


def test_a_large_file_is_rotated_and_nothing_of_it_is_lost(
    reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "LARGEST_FILE", 1000)
    reports = []
    for number in range(100):
        reader.write(b"%050d\n" % number)
        reports += reader.read()
        assert reader.file.path.stat().st_size <= 1051
    assert reports == [f"{number:050}" for number in range(100)]
    older = (tmp_path / "console.log.1").read_text().splitlines()
    newer = reader.file.path.read_text().splitlines()
    assert older + newer == reports[-len(older + newer) :]


def test_on_a_full_disk_the_file_is_truncated_without_a_copy(
    reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(console, "LARGEST_FILE", 1000)

    def fill_disk(path: Path, flags: int) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    reports, warnings = [], []
    for is_full in (False, True, True, False, True):
        with monkeypatch.context() as disk:
            if is_full:
                disk.setattr(console, "create_own", fill_disk)
            for number in range(40):
                reader.write(b"%050d\n" % number)
                reports += reader.read()
                assert reader.file.path.stat().st_size <= 1051
        warnings.append(len(caplog.records))
    assert reports == [f"{number:050}" for number in range(40)] * 5
    assert warnings == [0, 1, 1, 1, 2]
    assert "No space left on device" in caplog.text


def test_output_is_read_while_the_file_cannot_be_truncated(
    reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(console, "LARGEST_FILE", 1000)
    copies: list[Path] = []

    def counted(path: Path, flags: int) -> int:
        copies.append(path)
        return create_own(path, flags)

    def refuse(descriptor: int, size: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(console, "create_own", counted)
    reports = []
    with monkeypatch.context() as disk:
        disk.setattr(os, "ftruncate", refuse)
        for number in range(100):
            reader.write(b"%050d\n" % number)
            reports += reader.read()
    assert len(copies) == 5, "not at each read"
    for number in range(100, 130):
        reader.write(b"%050d\n" % number)
        reports += reader.read()
    assert reports == [f"{number:050}" for number in range(130)]
    assert reader.file.path.stat().st_size <= 1051
    [warning] = caplog.records
    assert "cannot be truncated" in warning.getMessage()
    older = (tmp_path / "console.log.1").read_text().splitlines()
    newer = reader.file.path.read_text().splitlines()
    assert older + newer == reports[-len(older + newer) :]


def test_a_reader_far_behind_skips_output_and_the_file_stays_small(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "LARGEST_FILE", 10_000)
    monkeypatch.setattr(console, "READ_SIZE", 1000)
    reader.write(b"".join(b"%09d\n" % number for number in range(2000)))
    assert reader.read() == [f"{number:09}" for number in range(1901, 2000)], "and the line it fell into is not told"
    assert reader.file.path.stat().st_size == 0
    older = reader.file.path.with_name("console.log.1").read_text().splitlines()
    assert older == [f"{number:09}" for number in range(900, 2000)]


@pytest.mark.parametrize("written", [900, 1000, 1001, 1200, 5000])
def test_a_file_that_grows_as_fast_as_it_is_read_is_truncated(
    reader: Reader, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    monkeypatch.setattr(console, "LARGEST_FILE", 10_000)
    monkeypatch.setattr(console, "READ_SIZE", 1000)
    largest = 0
    reader.write(b"x" * 5000)
    for _ in range(1000):
        reader.write(b"x" * (written - 1) + b"\n")
        reader.file.read()
        largest = max(largest, reader.file.path.stat().st_size)
    assert largest <= 2 * 10_000 + written


def test_at_the_end_only_the_end_is_read(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "READ_AT_END", 100)
    reader.write(b"".join(b"%09d\n" % number for number in range(2000)))
    reader.file.finish()
    assert reader.lines == [f"{number:09}" for number in range(1991, 2000)]


def test_reading_from_near_the_end_begins_with_a_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    path.write_text("".join(f"line {number}\n" for number in range(100)))
    lines: list[str] = []
    file = OutputFile(path, lines.append)
    file.open(from_end=20)
    file.finish()
    assert lines == ["line 98", "line 99"]
    lines.clear()
    file.open(from_end=1_000_000)
    file.finish()
    assert len(lines) == 100


def test_rotation_keeps_one_older_file(tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    file = OutputFile(path, print)
    file.rotate()
    for run in ("one", "two"):
        path.write_text(run)
        file.rotate()
    assert not path.exists()
    assert (tmp_path / "console.log.1").read_text() == "two"


def test_a_run_without_output_replaces_no_older_file(tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    file = OutputFile(path, print)
    path.write_text("the last run")
    for _refused_start in range(2):
        file.rotate()
        file.open()
        file.close()
    file.rotate()
    assert not path.exists()
    assert (tmp_path / "console.log.1").read_text() == "the last run"


@pytest.fixture
def fifo(tmp_path: Path) -> InputFifo:
    fifo = InputFifo(tmp_path / "stdin")
    fifo.create()
    return fifo


def test_a_line_reaches_the_server(fifo: InputFifo) -> None:
    child = fifo.open_for_child()
    fifo.send("say h\u00e9")
    assert os.read(child, 100) == "say h\u00e9\n".encode()
    os.close(child)
    fifo.remove()
    assert not fifo.path.exists()


def test_a_new_fifo_is_empty(fifo: InputFifo) -> None:
    fifo.send("stop")
    fifo.create()
    child = fifo.open_for_child()
    os.set_blocking(child, False)
    with pytest.raises(BlockingIOError):
        os.read(child, 100)
    os.close(child)
    fifo.remove()


@pytest.mark.parametrize("line", ["two\nlines", "a\rb", "x" * 4096])
def test_what_is_not_one_line_is_refused(fifo: InputFifo, line: str) -> None:
    with pytest.raises(PluginError, match="one line of at most 4095 bytes"):
        fifo.send(line)
    fifo.send("x" * 4095)
    fifo.remove()


def test_a_full_fifo_takes_whole_lines_only(fifo: InputFifo) -> None:
    sent = 0
    with pytest.raises(PluginError, match="does not read its console"):
        while True:
            fifo.send("x" * 1000)
            sent += 1
    child = fifo.open_for_child()
    received = b""
    while len(received) < sent * 1001:
        received += os.read(child, 65536)
    assert received == (b"x" * 1000 + b"\n") * sent
    os.close(child)
    fifo.remove()


def test_a_fifo_that_does_not_exist(tmp_path: Path) -> None:
    fifo = InputFifo(tmp_path / "stdin")
    with pytest.raises(OSError, match="No such file"):
        fifo.open()
    with pytest.raises(PluginError, match="takes no input"):
        fifo.send("stop")
    (tmp_path / "stdin").write_text("no FIFO")
    with pytest.raises(OSError, match="no FIFO"):
        fifo.open()
