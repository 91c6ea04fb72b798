"""The environment of children: what they inherit, files of variables, and what is never passed on."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroscale.errors import PluginError
from zeroscale.process.environment import LARGEST_FILE, ChildEnvironment, read_environment_file


def write(path: Path, content: str | bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(mode)
    return path


def test_a_child_inherits_our_variables_without_those_of_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEPT", "ours")
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/notify")
    built = ChildEnvironment().build({"GIVEN": "too"})
    assert (built["KEPT"], built["GIVEN"], "NOTIFY_SOCKET" in built) == ("ours", "too", False)


def test_variables_come_before_the_file_and_the_file_before_inherited_ones(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("A", "B", "C", "D"):
        monkeypatch.setenv(name, "inherited")
    file = write(tmp_path / "env", "B=file\nC=file\nD=file\n")
    built = ChildEnvironment({"C": "variable", "D": "variable"}, file).build({"D": "plugin"})
    assert [built[name] for name in "ABCD"] == ["inherited", "file", "variable", "plugin"]


def test_only_basic_variables_are_inherited_if_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    basic = {"PATH": "/bin", "HOME": "/root", "LC_ALL": "C", "LC_TIME": "de", "TZ": "UTC", "XDG_RUNTIME_DIR": "/run"}
    for name, value in {**basic, "GAME_TOKEN": "x", "LCX": "x", "NOTIFY_SOCKET": "/n"}.items():
        monkeypatch.setenv(name, value)
    built = ChildEnvironment({"ADDED": "1"}, only_basic=True).build()
    assert built["ADDED"] == "1"
    assert basic.items() <= built.items()
    assert not {"GAME_TOKEN", "LCX", "NOTIFY_SOCKET"} & built.keys()


def test_the_lines_of_a_file(tmp_path: Path) -> None:
    text = "# comment\n\n A = b c \r\nexport B='x y'\nC=\"$A\"\nD=\nE=a=b#c\nF='\nexported=1\n"
    assert read_environment_file(write(tmp_path / "env", text)) == {
        "A": "b c",
        "B": "x y",
        "C": "$A",
        "D": "",
        "E": "a=b#c",
        "F": "'",
        "exported": "1",
    }


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("A=1\nsecret", "line 2 is not NAME=VALUE"),
        ("=secret", "line 1 is not NAME=VALUE"),
        ("a b=secret", "line 1 is not NAME=VALUE"),
        ("A=secret\0", "line 1 is not NAME=VALUE"),
        (b"A=secret\xff", "is not text in UTF-8"),
        ("A=" + "secret" * LARGEST_FILE, "is longer than"),
    ],
)
def test_a_mistake_in_a_file_names_the_line_and_not_its_content(
    tmp_path: Path, content: str | bytes, problem: str
) -> None:
    file = write(tmp_path / "env", content)
    with pytest.raises(PluginError, match=problem) as raised:
        read_environment_file(file)
    assert str(file) in str(raised.value)
    assert "secret" not in str(raised.value)


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"environment file: cannot read .*/missing: No such file"):
        ChildEnvironment(file=tmp_path / "missing").check()
    with pytest.raises(PluginError, match="regular file"):
        read_environment_file(tmp_path)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(PluginError, match="regular file"):
        read_environment_file(tmp_path / "fifo")


@pytest.mark.parametrize(("mode", "warns"), [(0o600, False), (0o400, False), (0o640, True), (0o604, True)])
def test_a_file_that_others_may_read_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int, warns: bool
) -> None:
    ChildEnvironment(file=write(tmp_path / "env", "A=secret", mode)).check()
    assert ("chmod 600" in caplog.text) is warns
    assert "secret" not in caplog.text.replace("secrets", "")


def test_the_warning_is_given_once_for_each_mode(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = write(tmp_path / "env", "A=secret")
    warnings = []
    for mode in (0o640, 0o640, 0o644, 0o600, 0o640):
        file.chmod(mode)
        caplog.clear()
        for _ in range(2):  # of each server and at each start
            ChildEnvironment(file=file).check()
            ChildEnvironment(file=file).build()
        warnings.append(len(caplog.records))
    assert warnings == [1, 0, 1, 0, 1]


def test_a_file_that_is_replaced_while_it_is_checked(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The mode that counts is that of the file whose variables are used."""
    open_file, private = write(tmp_path / "env", "A=1", 0o644), write(tmp_path / "private", "A=2")
    opened = os.open

    def replace_after(path: os.PathLike[str], flags: int, *args: int) -> int:
        descriptor = opened(path, flags, *args)
        private.replace(open_file)
        return descriptor

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", replace_after)
        ChildEnvironment(file=open_file).check()
    assert "chmod 600" in caplog.text
    assert ChildEnvironment(file=open_file).build()["A"] == "2"


@given(st.binary(max_size=60))
def test_no_content_of_a_file_raises_anything_else(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file = write(tmp_path_factory.getbasetemp() / "env", content)
    with contextlib.suppress(PluginError):
        read_environment_file(file)
