"""The thread that writes: it is not there before the first row, and nobody waits for it."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from history.times import START, entry

from zeroscale.history import writer as limits
from zeroscale.history.database import HistoryFile
from zeroscale.history.queries import read_history
from zeroscale.history.values import Row
from zeroscale.history.writer import HistoryWriter

DEADLINE = 20.0


@pytest.fixture
def writer() -> Iterator[HistoryWriter]:
    writer = HistoryWriter(1e9, 10**8, pace=0.0)
    yield writer
    writer.close()


def names(directory: Path) -> list[str]:
    return [each.name for each in read_history([("s", directory)], START - 1, 10**6).entries]


def run_in(writer: HistoryWriter) -> threading.Event:
    """Return an event that is set once the thread has come so far."""
    done = threading.Event()
    assert writer.read(done.set)
    return done


def test_what_is_written_can_be_read_after_it(writer: HistoryWriter, tmp_path: Path) -> None:
    writer.write(tmp_path / "a", [entry(START, name="one")])
    writer.write(tmp_path / "b", [entry(START, name="two")])
    found: list[list[str]] = []
    assert writer.read(lambda: found.append(names(tmp_path / "a")))
    assert run_in(writer).wait(DEADLINE)
    assert found == [["one"]]
    writer.close()
    assert names(tmp_path / "b") == ["two"]


def test_the_end_writes_the_rest_and_ends_the_thread(tmp_path: Path) -> None:
    writer = HistoryWriter(1e9, 10**8)  # at its usual pace: the end does not wait for it
    for number in range(100):
        writer.write(tmp_path, [entry(START + number, name=str(number))])
    began = time.monotonic()
    writer.close()
    assert time.monotonic() - began < limits.PACE
    assert names(tmp_path) == [str(number) for number in range(100)]
    assert "zeroscale-history" not in {thread.name for thread in threading.enumerate()}
    writer.write(tmp_path, [entry(START)])
    assert not writer.read(lambda: None)


def test_a_blocked_thread_delays_nobody_and_the_queue_is_bounded(
    writer: HistoryWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(limits, "MOST_QUEUED", 100)
    blocked = threading.Event()
    started = threading.Event()

    def block() -> None:
        started.set()
        blocked.wait(DEADLINE)

    assert writer.read(block)
    assert started.wait(DEADLINE)
    began = time.monotonic()
    for number in range(1000):
        writer.write(tmp_path, [entry(START + number, name=str(number))] * 2)
    assert time.monotonic() - began < DEADLINE / 2
    assert [record.message for record in caplog.records] == ["The disk is too slow for the history: entries are lost"]
    blocked.set()
    assert run_in(writer).wait(DEADLINE)
    assert len(names(tmp_path)) == 100
    assert caplog.records[-1].message == "1900 entries of the history were lost"


def test_a_disk_that_does_not_answer_does_not_prevent_the_end(
    writer: HistoryWriter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(limits, "LONGEST_CLOSE", 0.05)
    blocked = threading.Event()
    assert writer.read(lambda: bool(blocked.wait(DEADLINE)))  # type: ignore[arg-type]
    writer.close()
    assert "the disk does not answer" in caplog.text
    blocked.set()


def test_a_slow_disk_is_waited_for_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(limits, "LONGEST_CLOSE", 1.0)
    write = HistoryFile.write

    def slow(file: HistoryFile, rows: Sequence[Row]) -> None:
        time.sleep(0.1)
        write(file, rows)

    monkeypatch.setattr(HistoryFile, "write", slow)
    writer = HistoryWriter(1e9, 10**8)
    for number in range(12):
        writer.write(tmp_path / str(number), [entry(START)])
    writer.close()
    assert not caplog.records
    assert len(names(tmp_path / "11")) == 1


def test_a_fault_of_ours_costs_one_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write = HistoryFile.write

    def faulty(file: HistoryFile, rows: Sequence[Row]) -> None:
        if file.path.parent.name == "one":
            raise KeyError
        write(file, rows)

    monkeypatch.setattr(HistoryFile, "write", faulty)
    writer = HistoryWriter(1e9, 10**8)
    writer.write(tmp_path / "one", [entry(START)])
    writer.write(tmp_path / "two", [entry(START)])
    assert run_in(writer).wait(DEADLINE)
    assert len(names(tmp_path / "two")) == 1
    assert "A fault in zeroscale itself" in caplog.text
    writer.close()


def test_no_thread_can_be_started(
    writer: HistoryWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        writer.write(tmp_path, [entry(START, name="early")])
        writer.write(tmp_path, [entry(START, name="early")])
        assert not writer.read(lambda: None)
    assert len(caplog.records) == 1
    writer.write(tmp_path, [entry(START, name="late")])
    assert run_in(writer).wait(DEADLINE)
    assert names(tmp_path) == ["early", "early", "late"]


def test_a_burst_is_few_transactions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[int] = []
    write = HistoryFile.write
    first = threading.Event()

    def counted(file: HistoryFile, rows: Sequence[Row]) -> None:
        write(file, rows)
        batches.append(len(rows))
        first.set()

    monkeypatch.setattr(HistoryFile, "write", counted)
    writer = HistoryWriter(1e9, 10**8, pace=DEADLINE)
    writer.write(tmp_path, [entry(START, name="first")])
    assert first.wait(DEADLINE), "the first row does not wait"
    for number in range(50):
        writer.write(tmp_path, [entry(START + 1 + number, name=str(number))])
        assert names(tmp_path) == ["first"]
    assert batches == [1]
    writer.close()
    assert batches == [1, 50]


def test_neither_sqlite_nor_a_thread_before_the_first_row(tmp_path: Path) -> None:
    script = f"""
import sys, threading
from pathlib import Path
from zeroscale.history import journal
from zeroscale.history.values import Row
from zeroscale.history.writer import HistoryWriter
writer = HistoryWriter(1e9, 10**8)
writer.write(Path({str(tmp_path)!r}), [])
print("sqlite3" in sys.modules, threading.active_count())
writer.close()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False 1\n"


def test_a_python_without_sqlite(
    writer: HistoryWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "zeroscale.history.database", None)
    for _ in range(2):
        writer.write(tmp_path, [entry(START)])
        assert run_in(writer).wait(DEADLINE)
    assert len(caplog.records) == 1
    assert "this Python has no sqlite3" in caplog.text
