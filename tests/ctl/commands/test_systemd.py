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
    monkeypatch.setattr(listeners, "describe", lambda _port, datagrams: None)
    monkeypatch.setattr(systemd, "is_active", lambda _unit: False)
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


def taken(monkeypatch: pytest.MonkeyPatch, proc: Path, group: str | None, port: int, *, udp: bool = False) -> None:
    """Has process 71 of a control group listen on a port."""
    monkeypatch.setattr(systemd, "PROC", proc)
    monkeypatch.setattr(
        listeners, "describe", lambda p, datagrams: "process 71 (java)" if (p, datagrams) == (port, udp) else None
    )
    monkeypatch.setattr(listeners, "processes", lambda _port, datagrams: [71])
    (proc / "71").mkdir()
    if group is not None:
        (proc / "71" / "cgroup").write_text(group)


@pytest.mark.parametrize(
    ("group", "unit"),
    [
        ("0::/system.slice/minecraft.service\n", "minecraft.service"),
        ("0::/system.slice/minecraft.service/java\n", "minecraft.service"),
        ("0::/system.slice/system-mc.slice/mc@a.service\n", "mc@a.service"),
        ("4:cpu:/\n1:name=systemd:/system.slice/minecraft.service\n", "minecraft.service"),
        ("0::/system.slice/cron.service\n", None),
        ("0::/system.slice/docker.service\n", None),
        ("0::/user.slice/session-1.scope\n", None),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/mc.service\n", None),
        (None, None),
    ],
)
def test_the_port_of_another_program_is_refused_before_the_first_step(
    server: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    group: str | None,
    unit: str | None,
) -> None:
    taken(monkeypatch, tmp_path, group, 25565)
    assert main(["systemd", "install", "--server", str(server), "--user", "gamers", "--dry-run"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    what = "stop it and disable the service that starts it first"
    if unit is not None:
        what = f"stop it first, for good: systemctl disable --now {unit}"
    assert printed.err.endswith(f"process 71 (java) listens on port 25565: {what}\n")


@pytest.mark.parametrize(("port", "udp", "shown"), [(25599, False, "port 25599"), (34197, True, "UDP port 34197")])
@pytest.mark.parametrize("state", ["other", "active", "ours"])
def test_the_ports_of_the_configuration_are_tested_unless_the_service_has_them(
    server: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    port: int,
    udp: bool,
    shown: str,
    state: str,
) -> None:
    install([str(server)])
    (tmp_path / "zeroscale.toml").write_text(
        f'[servers.survival]\nworking_directory = "{server}"\nlisten = 25599\nserver = 25575\n'
        '[[servers.survival.ports]]\nlisten = "udp:34197"\nserver = 34198\n'
    )
    taken(
        monkeypatch, tmp_path, f"0::/system.slice/{'zeroscale' if state == 'ours' else 'mc'}.service\n", port, udp=udp
    )
    monkeypatch.setattr(systemd, "is_active", lambda _unit: state == "active")
    assert main(["systemd", "install", "--user", "gamers", "--dry-run"]) == (1 if state == "other" else 0)
    assert (f"listens on {shown}: stop it first" in capsys.readouterr().err) == (state == "other")


@pytest.mark.parametrize("unit", ["minecraft", "zeroscale"])
def test_a_server_that_runs_is_refused_with_its_unit(
    server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], unit: str
) -> None:
    taken(monkeypatch, tmp_path, f"0::/system.slice/{unit}.service\n", 1)
    monkeypatch.setattr(systemd, "session_lock_holder", lambda _level: 71)
    refused = unit != "zeroscale"
    command = ["systemd", "install", "--server", str(server), "--user", "gamers", "--dry-run"]
    assert main(command) == (1 if refused else 0), "zeroscale adopts a server that it has left running"
    assert (
        "its world open): stop it first, for good: systemctl disable --now minecraft.service" in capsys.readouterr().err
    ) == refused


def test_an_old_unit_that_is_enabled_is_to_be_disabled(
    server: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "units" / "multi-user.target.wants").mkdir(parents=True)
    (tmp_path / "units" / "mc.service").write_text(f"[Service]\nWorkingDirectory={server}\n")
    (tmp_path / "units" / "multi-user.target.wants" / "mc.service").symlink_to(tmp_path / "units" / "mc.service")
    assert main(["systemd", "install", "--server", str(server), "--user", "gamers", "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("To do: systemctl disable mc.service (") for line in lines)
    assert "Would run systemctl start zeroscale.service" in lines


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
    printed = capsys.readouterr().out
    assert "Nothing has changed" not in printed and "Done: run systemctl start zeroscale.service\n" in printed
    monkeypatch.setattr(systemd, "is_active", lambda _unit: True)
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "Nothing has changed.\n" in printed
    assert "systemctl restart" not in printed and "systemctl start" not in printed
    (tmp_path / "units" / "zeroscale.service").write_text("# Written by 'zeroscalectl systemd install'.\n")
    assert main(command) == 0
    assert "until: systemctl restart zeroscale.service" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("active", "rewritten", "options", "verb"),
    [
        (True, False, [], "reload"),
        (True, True, [], "restart"),
        (False, False, [], "reload"),
        (False, False, ["--no-start"], "start"),
    ],
)
def test_what_makes_the_service_read_a_further_server(
    server: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    active: bool,
    rewritten: bool,
    options: list[str],
    verb: str,
) -> None:
    other = tmp_path / "creative"
    shutil.copytree(server, other)
    install([str(server), str(other)])
    if rewritten:
        (tmp_path / "units" / "zeroscale.service.d" / "10-install.conf").write_text(
            "# Of before\n[Service]\nUser=gamers\n"
        )
    monkeypatch.setattr(systemd, "is_active", lambda _unit: active)
    command = ["systemd", "install", "--server", str(server), "--server", str(other), "--user", "gamers", "--dry-run"]
    assert main([*command, *options]) == 0
    printed = capsys.readouterr().out
    assert f"To do: add the server in {other} to " in printed
    assert f"\nThen: systemctl {verb} zeroscale.service\n" in printed


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
