"""Bounded reads that do not follow links, atomic writes, and damaged files that are set aside."""

from __future__ import annotations

import errno
import json
import os
import socket
from pathlib import Path

import pytest

from zeroscale.errors import ConfigError
from zeroscale.system.files import (
    create_own,
    directory_problem,
    load,
    open_other,
    open_own,
    read_bounded,
    read_configured,
    read_own,
    resolved,
    server_directory,
    set_aside,
    write_atomically,
)

OBSTACLES = ("directory", "full directory", "fifo", "socket", "symlink", "dangling symlink")


def obstruct(path: Path, kind: str) -> None:
    """Put something at a path that is no file of ours."""
    match kind:
        case "directory" | "full directory":
            path.mkdir()
            if kind == "full directory":
                (path / "file").touch()
        case "fifo":
            os.mkfifo(path)
        case "socket":
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(str(path))
        case "symlink":
            (path.parent / "target").write_text("{}")
            path.symlink_to(path.parent / "target")
        case _:
            path.symlink_to(path.parent / "nothing")


def listing(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


@pytest.mark.parametrize("name", ["survival", "minecraft-25575", "my.plugins.Server-1", "_", "a" * 100, "0+1@home"])
def test_a_server_s_name_is_its_directory_s(name: str) -> None:
    assert server_directory(Path("/state"), name) == Path("/state") / name


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "/", "a\\b", "a b", "-rf", ".hidden", "a\n", "a\0", "a" * 101, "\u00fcber"]
)
def test_a_name_that_is_no_directory_s_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="server name"):
        server_directory(Path("/state"), name)


def test_a_written_file_replaces_the_old_one_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert listing(tmp_path) == ["file"]
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_disk_that_refuses_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(*{"fsync": (os, "fsync", refuse), "replace": (Path, "replace", refuse)}[step])
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert listing(tmp_path) == ["file"]


def test_what_a_crash_left_behind_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "file"
    (tmp_path / "file.new").write_bytes(b"half of a longer fi")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"


def test_a_link_in_the_way_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    (tmp_path / "file.new").symlink_to(victim)
    write_atomically(tmp_path / "file", b"new")
    (tmp_path / "file.new").hardlink_to(victim)
    write_atomically(tmp_path / "file", b"newer")
    assert (victim.read_bytes(), (tmp_path / "file").read_bytes()) == (b"mine", b"newer")


@pytest.mark.parametrize("kind", OBSTACLES)
@pytest.mark.parametrize("name", ["file", "file.new"])
def test_whatever_is_in_the_way_does_not_prevent_a_write(tmp_path: Path, name: str, kind: str) -> None:
    obstruct(tmp_path / name, kind)
    (tmp_path / "file.damaged").mkdir()
    write_atomically(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert not (tmp_path / "file").is_symlink()


def test_a_directory_that_was_removed_is_made_again(tmp_path: Path) -> None:
    write_atomically(tmp_path / "state" / "one" / "file", b"new")
    assert (tmp_path / "state" / "one" / "file").read_bytes() == b"new"
    for directory in ("state", "state/one"):
        assert (tmp_path / directory).stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("kind", OBSTACLES)
def test_a_damaged_file_costs_its_content_and_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    path = tmp_path / "file.json"
    for earlier in (False, True):
        if earlier:
            (tmp_path / "file.json.damaged.2").mkdir(exist_ok=True)
        obstruct(path, kind)
        caplog.clear()
        assert load(path, 1000, json.loads, "the settings are lost") is None
        [record] = caplog.records
        assert str(path) in record.message
        assert "the settings are lost; it is now file.json.damaged" in record.message
        assert not os.path.lexists(path)
        assert load(path, 1000, json.loads, "nothing") is None
        assert len(caplog.records) == 1


@pytest.mark.parametrize("content", [b"[" * 8000, b"{", b"\xff", b"1" * 1001, b""])
def test_any_error_of_a_parser_means_a_damaged_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    def decode(data: bytes) -> object:
        if not data:
            raise ZeroDivisionError("a defect of the parser")
        return json.loads(data)

    (tmp_path / "file").write_bytes(content)
    assert load(tmp_path / "file", 1000 if content.startswith(b"1") else 10000, decode, "all is lost") is None
    assert len(caplog.records) == 1
    assert (tmp_path / "file.damaged").read_bytes() == content


def test_a_sound_file_is_loaded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_bytes(b"[1]")
    assert load(tmp_path / "file", 3, json.loads, "nothing") == [1]
    assert caplog.records == []


@pytest.mark.parametrize("name", ["file.damaged", "other"])
def test_a_file_with_two_names_is_set_aside(tmp_path: Path, name: str) -> None:
    """rename(2) does nothing where both are names of one file, as tools make them that save space."""
    (tmp_path / "file").write_bytes(b"{")
    (tmp_path / name).hardlink_to(tmp_path / "file")
    set_aside(tmp_path / "file")
    assert not (tmp_path / "file").exists()
    assert (tmp_path / "file.damaged").read_bytes() == b"{"


def test_links_in_a_circle_are_no_error(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "here").symlink_to(tmp_path)
    assert resolved(tmp_path / "loop") == tmp_path / "loop"
    assert resolved(tmp_path / "here" / "x") == tmp_path / "x"


def test_nothing_can_be_set_aside_in_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        set_aside(tmp_path / "missing")


def test_only_files_of_others_are_read_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1234")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert read_bounded(tmp_path / "link", 4) == b"1234"
    assert read_own(tmp_path / "file", 4) == b"1234"
    with pytest.raises(OSError) as raised:
        read_own(tmp_path / "link", 4)
    assert raised.value.errno == errno.ELOOP
    with pytest.raises(OSError):
        open_own(tmp_path / "link", os.O_RDWR)


def test_a_new_file_is_private_and_no_other_name_of_an_old_one(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"mine")
    (tmp_path / "file").hardlink_to(tmp_path / "old")
    os.close(create_own(tmp_path / "file", os.O_WRONLY | os.O_TRUNC))
    assert (tmp_path / "old").read_bytes() == b"mine"
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600


def test_part_of_a_file_of_others(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"0123456789")
    (tmp_path / "link").symlink_to("target")
    with open_other(tmp_path / "link") as file:
        file.seek(8)
        assert file.read() == b"89"
    with pytest.raises(FileNotFoundError):
        open_other(tmp_path / "gone")
    for kind in ("directory", "fifo", "socket"):
        obstruct(tmp_path / kind, kind)
        with pytest.raises(ValueError, match="it is not a regular file"):
            open_other(tmp_path / kind)


def test_reading_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert read_bounded(path, 4) is None
    path.write_bytes(b"1234")
    assert read_bounded(path, 4) == b"1234"
    path.write_bytes(b"12345")
    with pytest.raises(ValueError, match="longer than 4 bytes"):
        read_bounded(path, 4)


@pytest.mark.parametrize("kind", ["fifo", "socket", "directory"])
def test_what_is_no_file_is_refused_and_keeps_no_descriptor(tmp_path: Path, kind: str) -> None:
    obstruct(tmp_path / "file", kind)
    descriptors = listing(Path("/proc/self/fd"))
    for read in (read_bounded, read_own):
        with pytest.raises(ValueError, match="not a regular file"):
            read(tmp_path / "file", 4)
    assert listing(Path("/proc/self/fd")) == descriptors


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("missing", "No such file or directory"),
        ("fifo", "it is not a regular file"),
        ("socket", "it is not a regular file"),
        ("directory", "it is not a regular file"),
        ("dangling symlink", "No such file or directory"),
        ("long", "it is longer than 4 bytes"),
    ],
)
def test_a_file_that_the_configuration_names_is_read_or_the_reason_is_given(
    tmp_path: Path, kind: str, reason: str
) -> None:
    path = tmp_path / "file"
    if kind == "long":
        path.write_bytes(b"12345")
    elif kind != "missing":
        obstruct(path, kind)
    with pytest.raises(ConfigError) as raised:
        read_configured(path, 4)
    assert str(raised.value) == f"cannot read {path}: {reason}"


def test_a_file_that_the_configuration_names_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "..data").mkdir()
    (tmp_path / "..data" / "token").write_bytes(b"1234")
    (tmp_path / "token").symlink_to("..data/token")
    assert read_configured(tmp_path / "token", 4) == b"1234"


def test_why_a_path_is_no_usable_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert directory_problem(tmp_path) is None
    assert directory_problem(tmp_path / "none") == "does not exist"
    assert directory_problem(tmp_path / "file") == "is not a directory"
    assert directory_problem(tmp_path / "file" / "x") == "does not exist"
    assert directory_problem(tmp_path / ("x" * 300)) == "cannot be used: File name too long"
