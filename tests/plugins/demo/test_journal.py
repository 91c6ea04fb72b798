"""The demo server's journal."""

from __future__ import annotations

from pathlib import Path

import pytest

from zeroscale.plugins.demo.journal import RECORDS_PER_SAVE, Journal, verify_journal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "world"


def whole_run(path: Path) -> None:
    journal = Journal(path)
    journal.tick()
    journal.begin_save()
    for _ in range(RECORDS_PER_SAVE):
        journal.save_part()
    journal.end_save()


def test_clean_runs(path: Path) -> None:
    whole_run(path)
    whole_run(path)
    report = verify_journal(path)
    assert report.consistent and report.closed
    assert (report.runs, report.saves) == (2, 2)


def test_a_kill_between_saves_cuts_no_save(path: Path) -> None:
    killed = Journal(path)
    killed.tick()
    assert verify_journal(path).consistent
    assert not verify_journal(path).closed
    killed.close()
    whole_run(path)
    assert verify_journal(path).consistent


def test_a_cut_save(path: Path) -> None:
    killed = Journal(path)
    killed.begin_save()
    killed.save_part()
    killed.close()
    assert verify_journal(path).cut_saves == 1
    whole_run(path)
    report = verify_journal(path)
    assert (report.cut_saves, report.saves, report.closed) == (1, 1, True)
    assert not report.consistent


def test_two_servers_at_once_are_detected(path: Path) -> None:
    first = Journal(path)
    second = Journal(path)
    assert verify_journal(path).overlapped
    first.close()
    second.close()


def test_a_torn_and_a_changed_record(path: Path) -> None:
    whole_run(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-3])
    assert verify_journal(path).damaged
    path.write_bytes(whole.replace(b"tick", b"tock"))
    assert verify_journal(path).damaged
    whole_run(path)
    assert verify_journal(path).damaged


def test_a_lost_record(path: Path) -> None:
    whole_run(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2] + lines[3:]))
    assert not verify_journal(path).consistent


def test_a_missing_journal(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        verify_journal(path)
