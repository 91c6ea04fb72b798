"""`zeroscalectl systemd`, as far as it can be tried without systemd; tests/systemd/test_nspawn.py does the rest."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from zeroscale.ctl import setup_steps
from zeroscale.ctl.commands import systemd
from zeroscale.ctl.commands.example import EXAMPLES
from zeroscale.ctl.directory_scan import scan_directory
from zeroscale.ctl.main import main
from zeroscale.ctl.setup_steps import MakeLink, WriteFile
from zeroscale.ctl.unit_plan import Install, Places, install_steps
from zeroscale.process import listeners


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    places = Places(
        prefix=tmp_path / "opt",
        examples=EXAMPLES,
        python=Path("/usr/bin/python3"),
        package=tmp_path / "opt",
        units=tmp_path / "units",
        programs=tmp_path / "bin",
        share=tmp_path / "share",
        config=tmp_path / "zeroscale.toml",
    )
    (tmp_path / "opt" / "bin").mkdir(parents=True)
    for name in ("zeroscale", "zeroscalectl"):
        (tmp_path / "opt" / "bin" / name).write_text("")
    monkeypatch.setattr(systemd, "here", lambda: places)
    monkeypatch.setattr(listeners, "describe", lambda _port: None)
    directory = tmp_path / "survival"
    directory.mkdir()
    (directory / "server.jar").write_text("")
    (directory / "eula.txt").write_text("eula=true\n")
    (directory / "server.properties").write_text("server-port=25575\n")
    return directory


def test_a_dry_run_prints_the_steps_and_does_nothing(
    server: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(tmp_path.rglob("*"))
    assert main(["systemd", "install", "--server", str(server), "--user", "gamers", "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "Would make the system user gamers" in lines
    assert f"Would write {tmp_path}/units/zeroscale.service" in lines
    assert "Would run systemctl start zeroscale.service" in lines
    assert sorted(tmp_path.rglob("*")) == before


def test_what_the_operator_must_do_first_is_said_and_it_is_not_started(
    server: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (server / "eula.txt").unlink()
    assert main(["systemd", "install", "--server", str(server), "--user", "gamers", "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "Would run systemctl start zeroscale.service" not in lines
    assert any(line.startswith("To do: accept Minecraft's EULA") for line in lines)


def test_without_a_server_and_a_configuration_there_is_nothing_to_install(
    server: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["systemd", "install", "--dry-run"]) == 1
    assert "give --server DIR" in capsys.readouterr().err


def test_it_needs_a_system_with_systemd(
    server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(systemd, "BOOTED", tmp_path / "not there")
    assert main(["systemd", "install", "--server", str(server), "--user", "gamers"]) == 1
    assert "systemd does not run here" in capsys.readouterr().err


def test_uninstalling_says_what_is_left(server: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["systemd", "uninstall", "--dry-run"]) == 0
    assert "Left: the servers' directories" in capsys.readouterr().out


def test_a_dry_run_of_uninstalling_leaves_nothing_that_it_would_remove(
    server: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install([str(server)])
    capsys.readouterr()
    assert main(["systemd", "uninstall", "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert f"Would remove {tmp_path}/units/zeroscale.service\n" in printed
    assert "a file that is not of" not in printed


def install(servers: Sequence[str]) -> None:
    """Do all steps but the commands, as any user."""
    plan = Install([scan_directory(Path(each)) for each in servers], "gamers")
    for step in install_steps(plan, systemd.here()):
        if isinstance(step, WriteFile | MakeLink):
            step.do()


@pytest.mark.parametrize("group", ["0::/system.slice/minecraft.service\n", "0::/user.slice/session-1.scope\n", None])
def test_the_port_of_another_program_is_refused_before_the_first_step(
    server: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    group: str | None,
) -> None:
    monkeypatch.setattr(systemd, "PROC", tmp_path)
    monkeypatch.setattr(listeners, "describe", lambda _port: "process 71 (java)")
    monkeypatch.setattr(listeners, "processes", lambda _port: [71])
    (tmp_path / "71").mkdir()
    if group is not None:
        (tmp_path / "71" / "cgroup").write_text(group)
    assert main(["systemd", "install", "--server", str(server), "--user", "gamers", "--dry-run"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "process 71 (java) listens on port 25565: stop it " in printed.err
    assert ("systemctl disable --now minecraft.service" in printed.err) == (group is not None and "minecraft" in group)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give the directory away")
def test_a_second_time_says_whether_anything_has_changed(
    server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(systemd, "BOOTED", tmp_path)
    monkeypatch.setattr(setup_steps, "run", lambda _words: "")
    command = ["systemd", "install", "--server", str(server), "--user", "nobody"]
    for path in (server, *server.iterdir()):
        shutil.chown(path, "nobody")
    assert main(command) == 0
    assert "Nothing has changed" not in capsys.readouterr().out
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "Nothing has changed" in printed and "systemctl restart" not in printed
    (tmp_path / "units" / "zeroscale.service").write_text("# Written by 'zeroscalectl systemd install'.\n")
    assert main(command) == 0
    assert "until: systemctl restart zeroscale.service" in capsys.readouterr().out


def test_a_second_server_has_to_be_added_by_hand(
    server: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "zeroscale.toml").write_text('[servers.other]\nworking_directory = "other"\n')
    assert main(["systemd", "install", "--server", str(server), "--dry-run"]) == 0
    assert f"To do: add the server in {server} to {tmp_path}/zeroscale.toml" in capsys.readouterr().out


def test_a_link_to_a_server_is_followed(server: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "link").symlink_to(server)
    assert main(["systemd", "install", "--server", str(tmp_path / "link"), "--user", "gamers", "--dry-run"]) == 0
    assert f"check that the user gamers may use {server}\n" in capsys.readouterr().out
