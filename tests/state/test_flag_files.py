from __future__ import annotations

import os
from pathlib import Path

import pytest

from zeroscale.state.flag_files import KEEP_ASLEEP, KEEP_AWAKE, LONGEST_TEXT, FlagFiles


def test_without_the_files(tmp_path: Path) -> None:
    files = FlagFiles(tmp_path)
    assert files.keep_awake_reason() is None
    assert files.lockout() is None


def test_keep_awake_while_the_file_exists(tmp_path: Path) -> None:
    files = FlagFiles(tmp_path)
    (tmp_path / KEEP_AWAKE).touch()
    assert KEEP_AWAKE in str(files.keep_awake_reason())
    (tmp_path / KEEP_AWAKE).unlink()
    assert files.keep_awake_reason() is None


def test_keep_asleep_with_the_text_of_the_file(tmp_path: Path) -> None:
    files = FlagFiles(tmp_path)
    (tmp_path / KEEP_ASLEEP).write_text("  Backup until 5 o'clock.\n")
    assert files.lockout() == "Backup until 5 o'clock."
    (tmp_path / KEEP_ASLEEP).write_text("")
    assert files.lockout() == ""
    (tmp_path / KEEP_ASLEEP).unlink()
    assert files.lockout() is None


def test_keep_asleep_with_an_unusable_text(tmp_path: Path) -> None:
    files = FlagFiles(tmp_path)
    (tmp_path / KEEP_ASLEEP).write_bytes(b"x" * (LONGEST_TEXT + 1))
    assert files.lockout() == ""
    (tmp_path / KEEP_ASLEEP).write_bytes(b"\xff caf\xe9")
    assert files.lockout() == "\ufffd caf\ufffd"


def test_another_name_of_a_file_keeps_asleep_without_its_text(tmp_path: Path) -> None:
    """Another user may have made it, to have players shown what is in the other file; or a backup has."""
    (tmp_path / "secret").write_text("a password")
    (tmp_path / KEEP_ASLEEP).hardlink_to(tmp_path / "secret")
    assert FlagFiles(tmp_path).lockout() == ""


@pytest.mark.parametrize("name", [KEEP_AWAKE, KEEP_ASLEEP])
def test_only_a_regular_file_counts(tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str) -> None:
    (tmp_path / "secret").write_text("a password")
    files = FlagFiles(tmp_path)
    for make in (lambda path: path.symlink_to(tmp_path / "secret"), Path.mkdir, os.mkfifo):
        caplog.clear()
        make(tmp_path / name)
        for _ in range(2):
            assert (files.keep_awake_reason(), files.lockout()) == (None, None)
        assert [record.message for record in caplog.records] == [
            f"{tmp_path / name} has no effect: it must be a regular file, not a link or a directory"
        ]
        (tmp_path / name).rename(tmp_path / f"{name}-{len(list(tmp_path.iterdir()))}")
        assert files.lockout() is None
        assert files.keep_awake_reason() is None
