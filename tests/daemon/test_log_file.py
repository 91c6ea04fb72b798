"""The log file: rotation, and what is not opened as one."""

from __future__ import annotations

import errno
import os
import resource
import socket
from pathlib import Path

import pytest

from zeroscale.daemon import log_file
from zeroscale.daemon.log_file import FileOutput
from zeroscale.errors import ConfigError


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A directory that other users can write to."""
    directory = tmp_path / "shared"
    directory.mkdir()
    directory.chmod(0o777)
    return directory


def contents(directory: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in directory.iterdir()}


def test_lines_are_appended_to_a_private_file(tmp_path: Path) -> None:
    path = tmp_path / "log"
    FileOutput(path).write(b"one\n")
    output = FileOutput(path)
    output.write(b"two\n")
    assert output.write_now(b"three\n")
    assert path.read_text() == "one\ntwo\nthree\n"
    assert path.stat().st_mode & 0o777 == 0o600


def test_rotation_keeps_the_older_files(tmp_path: Path) -> None:
    path = tmp_path / "log"
    (tmp_path / "log.gz").write_text("of another program")
    output = FileOutput(path)
    for number in range(12):
        output.write(b"%d" % number)
        output.rotate()
    found = contents(tmp_path)
    assert found.pop("log.gz") == "of another program"
    assert found == {"log": "", **{f"log.{12 - number}": str(number) for number in range(12)}}


def test_a_file_that_was_moved_away_is_opened_anew(tmp_path: Path) -> None:
    output = FileOutput(tmp_path / "log")
    output.write(b"one")
    (tmp_path / "log").rename(tmp_path / "yesterday")
    output.rotate()
    output.write(b"two")
    assert contents(tmp_path) == {"yesterday": "one", "log": "two"}


def test_a_large_file_is_rotated_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_file, "ROTATE_AT", 8)
    output = FileOutput(tmp_path / "log")
    for number in range(6):
        output.write(b"%04d" % number)
    assert contents(tmp_path) == {"log.2": "00000001", "log.1": "00020003", "log": "00040005"}


def test_a_line_that_a_full_disk_has_cut_does_not_spoil_the_next_one(tmp_path: Path) -> None:
    output = FileOutput(tmp_path / "log")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    output.write(b"one\n")
    resource.setrlimit(resource.RLIMIT_FSIZE, (6, hard))  # as of a full disk: a write is cut, and the next one fails
    try:
        for line in (b"two\n", b"three\n"):
            with pytest.raises(OSError, match="File too large"):
                output.write(line)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    output.write(b"four\n")
    output.write(b"five\n")
    assert (tmp_path / "log").read_text() == "one\ntw\nfour\nfive\n"


def test_a_directory_that_cannot_be_written_does_not_end_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_file, "ROTATE_AT", 4)

    def refuse(_: Path, to: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    output = FileOutput(tmp_path / "log")
    monkeypatch.setattr(Path, "rename", refuse)  # root may rename everywhere
    output.write(b"0000")
    output.write(b"0001")
    assert contents(tmp_path) == {"log": "00000001"}


def test_a_link_is_followed_only_where_nobody_else_could_have_made_it(tmp_path: Path, shared: Path) -> None:
    (tmp_path / "elsewhere").write_text("")
    (tmp_path / "log").symlink_to(tmp_path / "elsewhere")
    (shared / "log").symlink_to(tmp_path / "elsewhere")
    FileOutput(tmp_path / "log").write(b"line")
    with pytest.raises(ConfigError, match="or that others could have made"):
        FileOutput(shared / "log")
    assert (tmp_path / "elsewhere").read_text() == "line"


def test_a_link_into_a_directory_of_others_is_not_followed(tmp_path: Path, shared: Path) -> None:
    (tmp_path / "secret").write_text("mine")
    (shared / "log").symlink_to(tmp_path / "secret")
    (tmp_path / "log").symlink_to(shared / "log")
    (tmp_path / "direct").symlink_to(shared / "new")
    for name in ("log", "direct"):
        with pytest.raises(ConfigError, match=f"cannot open the log file {tmp_path / name}: "):
            FileOutput(tmp_path / name)
    assert (tmp_path / "secret").read_text() == "mine"


def test_a_link_that_was_made_later_is_not_followed_by_a_rotation(tmp_path: Path, shared: Path) -> None:
    (tmp_path / "elsewhere").write_text("mine")
    output = FileOutput(shared / "log")
    (shared / "log").unlink()
    (shared / "log").symlink_to(tmp_path / "elsewhere")
    output.rotate()
    output.write(b"line")
    assert (tmp_path / "elsewhere").read_text() == "mine"
    assert (shared / "log").read_text() == "line"


def test_a_link_that_leads_in_a_circle_is_called_that(tmp_path: Path) -> None:
    (tmp_path / "log").symlink_to("log")
    with pytest.raises(ConfigError, match="it is a link that leads in a circle, or that others could have made"):
        FileOutput(tmp_path / "log")


def test_only_files_and_devices_are_opened(tmp_path: Path) -> None:
    FileOutput(Path(os.devnull)).write(b"line")
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
    (tmp_path / "directory").mkdir()
    for name in ("fifo", "socket", "directory", "missing/log"):
        with pytest.raises(ConfigError, match=f"cannot open the log file {tmp_path / name}: "):
            FileOutput(tmp_path / name)
