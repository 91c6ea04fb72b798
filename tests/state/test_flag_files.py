from __future__ import annotations

from pathlib import Path

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
    (tmp_path / KEEP_ASLEEP).unlink()
    (tmp_path / KEEP_ASLEEP).mkdir()
    assert files.lockout() == ""
