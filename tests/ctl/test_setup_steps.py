"""Steps that change the machine: what they do, and that they do nothing twice."""

from __future__ import annotations

import getpass
import os
import stat
from pathlib import Path

import pytest

from zeroscale.ctl.setup_steps import (
    CheckAccess,
    GiveTo,
    MakeLink,
    MakeUser,
    Remove,
    Run,
    WriteFile,
    file_of_root,
    is_active,
    run,
    user_id,
)
from zeroscale.errors import ConfigError


def test_a_file_is_written_whole_and_once(tmp_path: Path) -> None:
    step = WriteFile(tmp_path / "new" / "unit", "text\n")
    step.do()
    assert (step.path.read_text(), stat.S_IMODE(step.path.stat().st_mode)) == ("text\n", 0o644)
    assert [each.name for each in step.path.parent.iterdir()] == ["unit"]
    assert step.is_done
    assert not WriteFile(step.path, "other").is_done


def test_a_file_to_keep_is_not_written_again(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    assert WriteFile(tmp_path / "file", "text", keep=True).is_done


def test_a_file_of_somebody_else_gets_another_name(tmp_path: Path) -> None:
    (tmp_path / "unit").write_text("mine")
    step = WriteFile(tmp_path / "unit", "# ours\n1", mark="# ours\n")
    assert step.describe().endswith("what is there becomes unit.old")
    step.do()
    WriteFile(step.path, "# ours\n2", mark="# ours\n").do()
    assert (step.path.read_text(), (tmp_path / "unit.old").read_text()) == ("# ours\n2", "mine")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_what_a_user_may_use(tmp_path: Path) -> None:
    CheckAccess("nobody", Path("/usr"), "a directory", "nothing").do()
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    with pytest.raises(ConfigError, match=f"the user nobody may not use the server, {private}: move it"):
        CheckAccess("nobody", private, "the server", "move it").do()
    with pytest.raises(ConfigError, match="may not use"):
        CheckAccess("nobody", Path("/usr"), "a directory", "nothing", may="-w").do()


def test_files_of_root(tmp_path: Path) -> None:
    assert file_of_root(tmp_path) is None
    (tmp_path / "world").mkdir()
    (tmp_path / "world" / "level.dat").write_text("")
    found = file_of_root(tmp_path)
    assert found == (tmp_path / "world" if os.geteuid() == 0 else None)


def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot write .*/file/unit: "):
        WriteFile(tmp_path / "file" / "unit", "text").do()


def test_a_link_replaces_another_link_and_nothing_else(tmp_path: Path) -> None:
    step = MakeLink(tmp_path / "bin" / "zeroscale", Path("/opt/zeroscale/bin/zeroscale"))
    step.do()
    assert step.path.readlink() == step.target
    MakeLink(step.path, Path("/elsewhere")).do()
    assert not step.is_done
    step.path.unlink()
    step.path.write_text("a program")
    with pytest.raises(ConfigError, match="exists and is no link"):
        step.do()


def test_removing_takes_an_empty_directory_along(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "d").mkdir(exist_ok=True)
        (tmp_path / "d" / name).write_text("")
    first, second = Remove(tmp_path / "d" / "a", with_directory=True), Remove(tmp_path / "d" / "b", with_directory=True)
    first.do()
    assert (first.is_done, (tmp_path / "d").exists()) == (True, True)
    second.do()
    assert not (tmp_path / "d").exists()


def test_users() -> None:
    assert MakeUser(getpass.getuser(), Path("/")).is_done
    assert not MakeUser("no-such-user", Path("/")).is_done
    assert user_id("no-such-user") is None


def test_only_what_is_roots_is_given_away(tmp_path: Path) -> None:
    step = GiveTo(tmp_path, "nobody")
    assert step.is_done == (os.geteuid() != 0)
    assert step.describe() == f"give {tmp_path} to the user nobody"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_links_are_not_followed_when_files_are_given_away(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("")
    server = tmp_path / "server"
    server.mkdir()
    (server / "link").symlink_to(tmp_path / "mine")
    GiveTo(server, "nobody").do()
    assert (server.stat().st_uid, (tmp_path / "mine").stat().st_uid) == (user_id("nobody"), 0)


def test_a_command_that_fails_says_why() -> None:
    assert run(["echo", "done"]) == "done\n"
    with pytest.raises(ConfigError, match=r"ls /nonexistent: .*No such file"):
        Run(["ls", "/nonexistent"]).do()
    with pytest.raises(ConfigError, match="false: exit code 1\nlast words"):
        Run(["false"], explain=["echo", "last words"]).do()
    with pytest.raises(ConfigError, match="no-such-program is not installed"):
        Run(["no-such-program"]).do()


@pytest.mark.parametrize("code", [0, 3])
def test_whether_a_unit_is_active(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    systemctl = tmp_path / "systemctl"
    systemctl.write_text(f'#!/bin/sh\n[ "$*" = "is-active zeroscale.service" ] && exit {code}\nexit 1\n')
    systemctl.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert is_active("zeroscale.service") == (code == 0)
