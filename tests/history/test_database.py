"""The SQLite file: damaged, of a newer version, on a full disk, too large."""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from history.times import DAY, START, Times, entry

from zeroscale.errors import ControlError
from zeroscale.history import database
from zeroscale.history.database import SUFFIXES, VERSION, open_to_read, reading
from zeroscale.history.values import FILE, Row

HOUR = 3600.0


def events(path: Path, table: str = "entries", column: str = "event") -> list[object]:
    """Return a column of a table, in the order of time."""
    connection = open_to_read(path)
    if connection is None:
        return []
    with closing(connection):
        return [value for (value,) in connection.execute(f"SELECT {column} FROM {table} ORDER BY at, id")]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "survival" / FILE


def test_what_is_written_is_private_and_one_file(tmp_path: Path, path: Path) -> None:
    Times().file(tmp_path / "survival").write([entry(START, "woken"), entry(START + 1, "stopped")])
    assert events(path) == ["woken", "stopped"]
    assert list(path.parent.iterdir()) == [path], "neither a write-ahead log nor what reading left"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_a_row_is_written_again_until_it_is_final(tmp_path: Path, path: Path) -> None:
    file = Times().file(tmp_path / "survival")

    def period(seconds: float, key: int, *, final: bool) -> Row:
        return Row("periods", key, (START, seconds, "awake"), final)

    file.write([period(1.0, 1, final=False), period(2.0, 1, final=False)])
    file.write([period(3.0, 1, final=True), period(4.0, 2, final=True)])
    file.write([period(5.0, 1, final=True)])
    assert events(path, "periods", "seconds") == [3.0, 4.0, 5.0]


def test_sessions_that_a_killed_zeroscale_left_open(tmp_path: Path, path: Path) -> None:
    session = (START, 10.0, "open", "Ada", "", 0, 0, 1)
    Times().file(path.parent).write([Row("sessions", 1, session, final=False)])
    assert events(path, "sessions", "state") == ["open"]
    Times().file(path.parent).write([Row("sessions", 1, session, final=False)])
    assert events(path, "sessions", "state") == ["lost", "open"]


def test_text_of_any_kind(tmp_path: Path, path: Path) -> None:
    Times().file(path.parent).write([entry(START, detail="lone \ud800, '); DROP TABLE entries; --\0")])
    [detail] = events(path, column="detail")
    assert str(detail).startswith("lone ?, '); DROP")


@pytest.mark.parametrize("content", [b"no database" * 1000, b"SQLite format 3\0" + bytes(2000)])
def test_a_damaged_file_is_set_aside(path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    (path.parent / f"{FILE}-wal").write_bytes(b"log")
    file = Times().file(path.parent)
    file.write([entry(START)])
    file.write([entry(START)])
    assert events(path) == ["stopped", "stopped"]
    assert (path.parent / f"{FILE}.damaged").read_bytes() == content
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert "is damaged" in record.message
    assert record.message.endswith(f"it is now {FILE}.damaged")


def test_one_that_is_damaged_while_it_is_used(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = Times().file(path.parent)
    file.write([entry(START + number, name="x" * 1000) for number in range(200)])
    content = bytearray(path.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    path.write_bytes(content)
    file.write([entry(START, "woken")])
    assert events(path) == ["woken"]
    assert len(caplog.records) == 1


def test_one_that_was_damaged_in_the_middle_is_noticed_at_the_start(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Times().file(path.parent).write([entry(START + number, name="x" * 1000) for number in range(200)])
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 8192] = bytes(8192)
    path.write_bytes(content)
    Times().file(path.parent).write([entry(START, "woken")])
    assert events(path) == ["woken"]
    assert "is damaged" in caplog.text


def test_a_schema_that_is_not_utf_8_is_damage(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """SQLite's message quotes it."""
    Times().file(path.parent).write([entry(START, "old")])
    content = path.read_bytes()
    path.write_bytes(content.replace(b"entries_at", b"\xff\xfe\xe1ries_at").replace(b"CREATE INDEX", b"CREATE INDXX"))
    with pytest.raises(ControlError, match="cannot read"), reading(path):
        events(path)
    Times().file(path.parent).write([entry(START, "new")])
    assert events(path) == ["new"]
    assert "is damaged" in caplog.text


def test_a_text_that_is_damaged_hides_no_other_row(path: Path) -> None:
    Times().file(path.parent).write([entry(START, "one", name="x" * 50), entry(START + 1, "two")])
    path.write_bytes(path.read_bytes().replace(b"x" * 50, b"\xff" + b"x" * 49))
    assert events(path, column="name") == ["\ufffd" + "x" * 49, ""]


@pytest.mark.parametrize("kind", ["link", "dangling link", "hard link", "directory", "fifo"])
def test_what_is_no_file_of_ours(tmp_path: Path, path: Path, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    path.parent.mkdir()
    other = tmp_path / "other"
    other.write_bytes(b"")
    match kind:
        case "link":
            path.symlink_to(other)
        case "dangling link":
            path.symlink_to(tmp_path / "nowhere")
        case "hard link":
            path.hardlink_to(other)
        case "directory":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)
    Times().file(path.parent).write([entry(START)])
    assert events(path) == ["stopped"]
    assert stat.S_ISREG(path.lstat().st_mode)
    assert (other.read_bytes(), (tmp_path / "nowhere").exists()) == (b"", False)
    assert len(caplog.records) == 1


def test_a_link_in_place_of_the_log_is_not_followed(tmp_path: Path, path: Path) -> None:
    path.parent.mkdir()
    for suffix in SUFFIXES:
        (path.parent / f"{FILE}{suffix}").symlink_to(tmp_path / "other")
    Times().file(path.parent).write([entry(START)])
    assert events(path) == ["stopped"]
    assert not (tmp_path / "other").exists()


def test_one_of_a_newer_zeroscale_is_left_alone(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    content = path.read_bytes()
    file = Times().file(path.parent)
    file.write([entry(START)])
    file.write([entry(START)])
    assert path.read_bytes() == content
    assert [record.message for record in caplog.records] == [
        f"{path} was written by a newer zeroscale; no history of this server is kept"
    ]
    with pytest.raises(ControlError, match="newer zeroscale"):
        open_to_read(path)


def test_a_removed_directory_is_made_again(path: Path) -> None:
    file = Times().file(path.parent)
    file.write([entry(START, "woken")])
    path.unlink()
    path.parent.rmdir()
    file.write([entry(START)])
    assert events(path) == ["stopped"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "disk"
    directory.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root may mount")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", directory], check=False).returncode:
        pytest.skip("tmpfs cannot be mounted here")
    yield directory
    subprocess.run(["umount", directory], check=True)


def test_a_full_disk_costs_entries(small_disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = Times().file(small_disk)
    file.write([entry(START, "woken")])
    (small_disk / "filler").write_bytes(bytes(os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_bsize))
    many = [entry(START + 1, name="x" * 200) for _ in range(500)]
    file.write(many)
    assert "disk I/O" not in caplog.text
    file.write(many)
    assert file.lost == 1000
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "entries of the history are lost" in caplog.text
    (small_disk / "filler").unlink()
    file.write([entry(START + 2, "found")])
    assert events(small_disk / FILE) == ["woken", "found"]
    assert "is written again; 1000 entries of the history were lost" in caplog.records[-1].message


def test_a_locked_file_costs_entries_after_a_while(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT", 0.01)
    file = Times().file(path.parent)
    file.write([entry(START, "woken")])
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    file.write([entry(START)])
    other.close()
    file.write([entry(START, "found")])
    assert events(path) == ["woken", "found"]
    assert "locked" in caplog.records[0].message


def test_old_rows_are_deleted_once_a_day(path: Path) -> None:
    times = Times()
    file = times.file(path.parent, keep=10 * DAY)
    file.write([entry(START - 11 * DAY, "old"), entry(START - 9 * DAY, "kept"), entry(START, "new")])
    times.advance(HOUR)
    file.write([entry(START, "newer")])
    assert events(path) == ["kept", "new", "newer"], "after an hour"
    times.advance(2 * DAY)
    file.write([entry(START + 2 * DAY, "newest")])
    assert events(path) == ["new", "newer", "newest"]


@pytest.mark.parametrize("begin", [0.0, HOUR, 5 * HOUR])
def test_a_clock_that_is_set_deletes_nothing_before_it_runs_evenly(path: Path, begin: float) -> None:
    times = Times()
    file = times.file(path.parent, keep=10 * DAY)
    file.write([entry(START - 9 * DAY, "kept")])
    times.advance(begin)
    times.jumped = 365 * DAY
    for _ in range(50):
        file.write([entry(times.wall(), "wrong")])
        times.advance(60.0)
    times.jumped = 0.0
    file.write([entry(times.wall(), "right")])
    times.advance(2 * HOUR)
    file.write([entry(times.wall(), "right")])
    assert events(path) == ["kept", "right", "right", *["wrong"] * 50]


def test_a_start_with_a_wrong_clock_deletes_nothing(path: Path) -> None:
    times = Times()
    times.file(path.parent, keep=10 * DAY).write([entry(START, "kept")])
    times.jumped = 365 * DAY
    file = times.file(path.parent, keep=10 * DAY)
    file.write([entry(times.wall(), "wrong")])
    times.jumped = 0.0
    times.advance(2 * HOUR)
    file.write([entry(times.wall(), "right")])
    assert events(path) == ["kept", "right", "wrong"]


def test_a_clock_that_is_set_back_does_not_put_off_the_next_look(path: Path) -> None:
    times = Times()
    times.jumped = 365 * DAY
    file = times.file(path.parent, keep=10 * DAY)
    file.write([entry(START - 9 * DAY, "old")])
    times.jumped = 0.0
    for _ in range(3):
        times.advance(2 * DAY)
        file.write([entry(times.wall(), "new")])
    assert events(path) == ["new"] * 3


def test_the_oldest_rows_are_deleted_when_the_file_is_too_large(path: Path) -> None:
    times = Times()
    Times().file(path.parent).write(
        [entry(START + number, name="x" * 1000, event=str(number)) for number in range(3000)]
    )
    large = path.stat().st_size
    assert large > 3_000_000
    times.file(path.parent, max_size=1_000_000).write([Row("periods", 1, (START + 5000, 1.0, "awake"))])
    assert path.stat().st_size <= 1_000_000
    kept = events(path)
    assert len(kept) > 500
    assert kept == [str(number) for number in range(3000 - len(kept), 3000)]


def test_many_rows_are_pruned_within_a_day(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "PRUNE_ROWS", 1000)
    file = Times().file(path.parent, max_size=500_000)
    for batch in range(20):
        file.write([entry(START + batch * 500 + number, name="x" * 200) for number in range(500)])
    assert path.stat().st_size < 1_000_000


def test_reading_creates_nothing(path: Path) -> None:
    Times().file(path.parent).write([entry(START)])
    connection = open_to_read(path)
    assert connection is not None
    assert connection.execute("SELECT count(*) FROM entries").fetchone() == (1,)
    assert list(path.parent.iterdir()) == [path]
    connection.close()


def test_reading_while_it_is_written(path: Path) -> None:
    Times().file(path.parent).write([entry(START)])
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("INSERT INTO entries (at, event) VALUES (1, 'woken')")
    assert events(path) == ["woken", "stopped"], "also what is only in the write-ahead log"
    other.close()


def test_reading_what_is_not_there_or_cannot_be_read(tmp_path: Path, path: Path) -> None:
    assert open_to_read(path) is None
    path.parent.mkdir()
    path.touch()
    assert open_to_read(path) is None
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(ControlError, match="not a database"):
        open_to_read(path)
    path.unlink()
    path.symlink_to(tmp_path / "other")
    with pytest.raises(ControlError, match=str(path)):
        open_to_read(path)


def test_killed_in_the_middle(path: Path) -> None:
    script = f"""
import os, signal
from pathlib import Path
from zeroscale.history import database
from zeroscale.history.values import Row
file = database.HistoryFile(Path({str(path.parent)!r}), 1e9, 10**8)
def row(event): return Row("entries", 0, (2e9, event, "", "", "", "", "", None, 1))
file.write([row("before")])
database._put = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
file.write([row("lost")])
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -9
    assert events(path) == ["before"]
    Times().file(path.parent).write([entry(2e9 + 1)])
    assert events(path) == ["before", "stopped"]


def test_a_hundred_thousand_events_take_seconds_and_megabytes(path: Path) -> None:
    file = Times().file(path.parent)
    began = time.process_time()
    for batch in range(100):
        file.write(
            [entry(START + batch * 1000 + number, name="Ada", detail="no players for 15 min") for number in range(1000)]
        )
    assert time.process_time() - began < 15.0
    assert path.stat().st_size < 20_000_000
