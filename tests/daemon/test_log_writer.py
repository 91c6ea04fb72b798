"""Log lines are written in a thread: bounded, in their order, and never waited for."""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections.abc import Iterator

import pytest

from zeroscale.daemon import log_writer
from zeroscale.daemon.log_file import DescriptorOutput
from zeroscale.daemon.log_writer import LINES, LONGEST_QUEUE, Handler, LogWriter


class Disk:
    """An output that can stall or fail."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self.rotated: list[int] = []
        self.ready = threading.Event()
        self.ready.set()
        self.begun = threading.Event()
        self.error: OSError | None = None
        self.failures = threading.Semaphore(0)

    def write(self, data: bytes) -> None:
        self.begun.set()
        assert self.ready.wait(10)
        if self.error is not None:
            self.failures.release()
            raise self.error
        self.written.append(data.decode())

    def write_now(self, data: bytes) -> bool:
        if self.ready.is_set():
            self.write(data)
        return self.ready.is_set()

    def rotate(self) -> None:
        self.rotated.append(len(self.written))


@pytest.fixture
def disk() -> Iterator[Disk]:
    disk = Disk()
    yield disk
    disk.ready.set()


@pytest.fixture
def writer(disk: Disk) -> Iterator[LogWriter]:
    writer = LogWriter(disk)
    yield writer
    disk.ready.set()
    writer.close()


def test_lines_are_written_in_their_order_before_and_after_the_start(disk: Disk, writer: LogWriter) -> None:
    writer.write("one\n")
    assert disk.written == ["one\n"], "at once, until a daemon has forked"
    writer.start()
    for number in range(100):
        writer.write(f"{number}\n")
    writer.close()
    assert disk.written == ["one\n", *(f"{number}\n" for number in range(100))]
    writer.write("last\n")
    assert disk.written[-1] == "last\n"


def test_a_reader_that_does_not_read_stops_nothing_and_is_told_what_it_missed(
    disk: Disk, writer: LogWriter, caplog: pytest.LogCaptureFixture
) -> None:
    writer.start()
    disk.ready.clear()
    line = "x" * 1023 + "\n"
    for _ in range(LONGEST_QUEUE // 1024 + 300):
        writer.write(line)
    disk.ready.set()
    writer.close()
    lost = LONGEST_QUEUE // 1024 + 300 - len(disk.written)
    assert 299 <= lost <= 300
    assert [record.getMessage().split()[0] for record in caplog.records] == [str(lost)]


def test_the_end_does_not_wait_for_a_reader_that_does_not_read(
    disk: Disk, writer: LogWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_writer, "LONGEST_CLOSE", 0.01)
    writer.start()
    disk.ready.clear()
    writer.write("one\n")
    assert disk.begun.wait(10)
    handler = Handler(writer.write)
    logging.getLogger("zeroscale.test").addHandler(handler)
    logging.getLogger("zeroscale.test").removeHandler(handler)
    writer.close()
    writer.write("after the end\n")
    handler.acquire()  # as logging.shutdown() does
    handler.release()


def ended(name: str = "zeroscale-log") -> bool:
    """Wait for the end of the thread."""
    for thread in threading.enumerate():
        if thread.name == name:
            thread.join(10)
            return not thread.is_alive()
    return True


def test_what_is_written_while_the_thread_is_stuck_at_the_end_follows_its_lines(
    disk: Disk, writer: LogWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_writer, "LONGEST_CLOSE", 0.01)
    monkeypatch.setattr(disk, "write_now", lambda data: pytest.fail("two threads write at once"))
    writer.start()
    disk.ready.clear()
    writer.write("one\n")
    assert disk.begun.wait(10)
    writer.write("two\n")
    writer.close()
    monkeypatch.setattr(log_writer, "LONGEST_CLOSE", 60.0)
    writer.write("after the end\n")
    writer.close()  # has waited once
    writer.rotate()
    disk.ready.set()
    assert ended()
    assert disk.written == ["one\n", "two\n", "after the end\n"]
    assert disk.rotated == [3]
    monkeypatch.undo()
    writer.write("last\n")
    assert disk.written[-1] == "last\n"


def test_a_thread_that_dies_is_replaced_by_direct_writes(
    disk: Disk, writer: LogWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    died: list[object] = []
    monkeypatch.setattr(threading, "excepthook", died.append)
    monkeypatch.setattr(disk, "rotate", lambda: 1 / 0)
    writer.start()
    writer.rotate()
    assert ended()
    assert died
    writer.write("line\n")
    assert disk.written == ["line\n"]


def test_rotation_is_after_the_lines_that_wait(disk: Disk, writer: LogWriter) -> None:
    writer.rotate()
    writer.start()
    writer.write("one\n")
    writer.rotate()
    writer.write("two\n")
    writer.close()
    assert disk.rotated == [0, 1]


def test_without_a_thread_only_lines_that_would_wait_are_lost(
    disk: Disk, writer: LogWriter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    writer.start()
    assert "can't start new thread" in caplog.text
    writer.write("one\n")
    disk.ready.clear()
    handler = Handler(lambda line: writer.write(f"{line}\n"))
    log_writer.logger.addHandler(handler)  # as in the program: the line about lost lines has the same way
    try:
        for _ in range(3):
            writer.write("lost\n")
        disk.ready.set()
        writer.write("two\n")
    finally:
        log_writer.logger.removeHandler(handler)
    report = "3 lines of the log were lost: its reader did not read, there were too many, or the disk was full\n"
    assert disk.written == ["one\n", "two\n", report]


def test_a_thread_that_could_not_be_had_is_tried_again(
    disk: Disk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    now, tried_at = 1000.0, list[float]()
    writer = LogWriter(disk, lambda: now)

    def refuse(_: threading.Thread) -> None:
        tried_at.append(now - 1000)
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        writer.start()
        for _ in range(60):
            now += 10
            writer.write("line\n")
    assert tried_at == [0, 10, 30, 70, 150, 310]
    now += 300
    disk.ready.clear()
    writer.write("in the thread\n")
    assert disk.begun.wait(10)
    writer.write("the next\n")
    disk.ready.set()
    writer.close()
    assert disk.written[-2:] == ["in the thread\n", "the next\n"]
    assert [each.getMessage() for each in caplog.records] == [
        "No thread can write the log (can't start new thread): lines may be lost",
        "A thread writes the log now",
    ]
    writer.write("after the end\n")
    assert ended()


def test_a_pipe_without_a_reader_that_reads_is_not_waited_for() -> None:
    reading, writing = os.pipe()
    try:
        output = DescriptorOutput(writing)
        written = 0
        while output.write_now(b"x" * 9999 + b"\n"):
            written += 1
        assert written > 1
        os.read(reading, 65536)
        assert output.write_now(b"again\n")
    finally:
        os.close(reading)
        os.close(writing)


def test_each_kind_of_error_is_one_line_on_stderr(
    disk: Disk, writer: LogWriter, capfd: pytest.CaptureFixture[str]
) -> None:
    for code in (errno.ENOSPC, errno.ENOSPC, errno.EIO, None, errno.ENOSPC):
        disk.error = None if code is None else OSError(code, os.strerror(code))
        writer.write("line\n")
    full, broken = "No space left on device", "Input/output error"
    prefix = "zeroscale: log lines are lost: "
    assert capfd.readouterr().err.splitlines() == [prefix + full, prefix + broken, prefix + full]


@pytest.mark.parametrize("threaded", [False, True])
def test_lines_that_a_full_disk_has_cost_are_counted_and_reported_when_it_is_not_full(
    disk: Disk, writer: LogWriter, threaded: bool
) -> None:
    handler = Handler(lambda line: writer.write(f"{line}\n"))
    log_writer.logger.addHandler(handler)
    try:
        if threaded:
            writer.start()
        disk.error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        for _ in range(4):
            writer.write("lost\n")
            assert disk.failures.acquire(timeout=10)
        disk.error = None
        writer.write("two\n")
        writer.close()
    finally:
        log_writer.logger.removeHandler(handler)
    assert disk.written[0] == "two\n"
    assert "4 lines of the log were lost" in disk.written[1]
    assert len(disk.written) == 2


def record(level: int, text: str = "line", logger: str = "zeroscale") -> logging.LogRecord:
    return logging.LogRecord(logger, level, "", 0, text, (), None)


def test_a_flood_of_one_logger_or_level_leaves_out_no_line_of_another() -> None:
    lines: list[str] = []
    handler = Handler(lines.append, lambda: 100.0)
    for _ in range(LINES + 50):
        handler.emit(record(logging.INFO, logger="zeroscale.access"))
        handler.emit(record(logging.DEBUG, logger="zeroscale.server"))
    handler.emit(record(logging.INFO, "survival: starting", logger="zeroscale.server"))
    assert lines == ["line"] * 2 * LINES + ["survival: starting"]


def test_the_lines_of_a_second_are_bounded_but_for_warnings() -> None:
    now, lines = 100.0, list[str]()
    handler = Handler(lines.append, lambda: now)
    for _ in range(LINES + 50):
        handler.emit(record(logging.INFO))
    handler.emit(record(logging.WARNING, "a warning"))
    handler.emit(record(logging.ERROR, "an error"))
    assert lines == ["line"] * LINES + ["a warning", "an error"]
    lines.clear()
    now += 1.0
    handler.emit(record(logging.INFO, "next"))
    assert lines == ["50 more lines of the log within a second were left out", "next"]
    now += 1.0
    handler.emit(record(logging.INFO, "last"))
    assert lines[2:] == ["last"]
