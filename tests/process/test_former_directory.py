"""The state directory of a server that has another name now."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import pytest

from zeroscale.errors import StateError
from zeroscale.process import inherited_lock
from zeroscale.process.former_directory import MARKER, take_over
from zeroscale.process.group import mark_of
from zeroscale.process.record import ProcessRecord, load_record
from zeroscale.system.lock_file import Lock
from zeroscale.system.privileges import Owner, acting_as

LOCK = "lock"


@pytest.fixture
def former(tmp_path: Path) -> Path:
    """The directory as an earlier version has left it, with a server running."""
    directory = tmp_path / "minecraft-25575"
    directory.mkdir(mode=0o700)
    (directory / "record.json").write_text('{"starts": [40.0]}')
    ProcessRecord(4321, 1, "boot", ("java",)).save(directory / "process.json")
    return directory


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "minecraft-25565"


def test_it_is_renamed_with_all_that_is_in_it(former: Path, directory: Path) -> None:
    mark = mark_of(former)
    take_over(former, directory, LOCK)
    assert not former.exists()
    assert (directory / "record.json").read_text() == '{"starts": [40.0]}'
    record = load_record(directory / "process.json")
    assert record is not None
    assert (record.pid, record.mark) == (4321, mark)
    lock = Lock(directory / LOCK)
    lock.acquire()
    lock.release()


def test_the_mark_of_the_first_name_stays(former: Path, directory: Path, tmp_path: Path) -> None:
    mark = mark_of(former)
    take_over(former, directory, LOCK)
    (directory / MARKER).unlink()
    take_over(directory, tmp_path / "survival", LOCK)
    record = load_record(tmp_path / "survival" / "process.json")
    assert record is not None and record.mark == mark


def test_one_that_was_interrupted_is_done_again(former: Path, directory: Path) -> None:
    """Between the steps: the record has its mark; or all is renamed, and the new directory has no marker yet."""
    mark = mark_of(former)
    record = load_record(former / "process.json")
    assert record is not None
    record.with_mark(mark).save(former / "process.json")
    (former / LOCK).write_text("4711\n")
    take_over(former, directory, LOCK)
    (directory / MARKER).unlink()
    take_over(former, directory, LOCK)
    assert (directory / MARKER).exists() and not former.exists()
    again = load_record(directory / "process.json")
    assert again is not None and again.mark == mark


def test_there_is_none(former: Path, directory: Path) -> None:
    take_over(former.with_name("minecraft-1"), directory, LOCK)
    assert [path.name for path in directory.iterdir()] == [MARKER]
    assert directory.stat().st_mode & 0o777 == 0o700


def test_the_new_one_counts_and_the_other_is_named(
    former: Path, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory.mkdir()
    (directory / "record.json").write_text("{}")
    take_over(former, directory, LOCK)
    assert (directory / "record.json").read_text() == "{}"
    [warning] = caplog.messages
    assert (
        warning == f"{directory} is used, not {former}, which has the same server's state under its former name: "
        "remove that"
    )
    assert not (former / LOCK).exists()


def test_a_server_that_runs_from_the_other_is_named(
    former: Path, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory.mkdir()
    (directory / "record.json").write_text("{}")
    lock = inherited_lock.acquire(former / "alive")
    take_over(former, directory, LOCK)
    assert caplog.messages[0].endswith(": stop the server that still runs from it, and remove that")
    os.close(lock)


def test_an_empty_new_one_is_replaced(former: Path, directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    directory.mkdir()
    take_over(former, directory, LOCK)
    assert (directory / "record.json").exists()
    assert [each.levelno for each in caplog.records if each.levelno > logging.INFO] == []


def test_an_earlier_zeroscale_still_runs(former: Path, directory: Path) -> None:
    lock = Lock(former / LOCK)
    lock.acquire()
    with pytest.raises(StateError, match=r"^minecraft-25565 was called minecraft-25575 by an earlier version; .*holds"):
        take_over(former, directory, LOCK)
    assert former.exists() and not directory.exists()
    lock.release()


def test_what_another_server_is_called_now_is_not_taken(tmp_path: Path, former: Path, directory: Path) -> None:
    """One listens on 25575, the other has its real server there: the former name of one is the name of the other."""
    take_over(tmp_path / "minecraft-6380", former, LOCK)
    lock = Lock(former / LOCK)
    lock.acquire()
    take_over(former, directory, LOCK)
    assert (former / "record.json").exists() and not (directory / "record.json").exists()
    lock.release()


def test_the_same_name_changes_nothing(former: Path) -> None:
    before = sorted(former.iterdir())
    take_over(former, former, LOCK)
    assert sorted(former.iterdir()) == before


@pytest.mark.parametrize("kind", ["file", "link"])
def test_only_a_directory_is_taken(kind: str, former: Path, directory: Path) -> None:
    other = former.with_name("other")
    former.rename(other)
    if kind == "link":
        former.symlink_to(other)
    else:
        former.write_text("")
    take_over(former, directory, LOCK)
    assert [path.name for path in directory.iterdir()] == [MARKER]


def test_a_damaged_record_is_no_obstacle(former: Path, directory: Path) -> None:
    (former / "process.json").write_text("{")
    take_over(former, directory, LOCK)
    assert (directory / "process.json.damaged").exists()


def test_a_record_of_an_earlier_version_has_no_mark(former: Path) -> None:
    path = former / "process.json"
    content = json.loads(path.read_text())
    del content["mark"]
    path.write_text(json.dumps(content))
    record = load_record(path)
    assert record is not None and record.mark is None


@pytest.mark.skipif(os.geteuid() != 0, reason="another user's directory")
def test_one_of_another_user_is_left(
    former: Path, directory: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tmp_path.chmod(0o755)
    with acting_as(Owner(65534, 65534)):
        take_over(former, directory, LOCK)
    assert former.exists()
    assert "cannot be taken over: Permission denied" in caplog.text
