"""What installing and removing the service does, and which mistakes are found before."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import msgspec
import pytest

from zeroscale.config import loader
from zeroscale.ctl.commands.example import EXAMPLES
from zeroscale.ctl.directory_scan import DirectoryScan, scan_directory
from zeroscale.ctl.setup_steps import MakeLink, Run, WriteFile
from zeroscale.ctl.unit_plan import (
    Install,
    Places,
    configured_directories,
    drop_in_text,
    enabled_units,
    install_steps,
    installed_user,
    left_behind,
    missing_in,
    needed_first,
    uninstall_steps,
    unit_text,
    user_for,
)
from zeroscale.errors import ConfigError
from zeroscale.minecraft.server_choice import ServerChoice


@pytest.fixture
def places(tmp_path: Path) -> Places:
    prefix = tmp_path / "opt" / "zeroscale"
    for path in (
        "bin/zeroscale",
        "bin/zeroscalectl",
        "share/man/man1/zeroscale.1",
        "share/bash-completion/completions/zeroscale",
    ):
        (prefix / path).parent.mkdir(parents=True, exist_ok=True)
        (prefix / path).write_text("")
    return Places(
        prefix=prefix,
        examples=EXAMPLES,
        python=Path("/usr/bin/python3"),
        package=prefix / "lib",
        units=tmp_path / "units",
        programs=tmp_path / "bin",
        share=tmp_path / "share",
        config=tmp_path / "zeroscale.toml",
        state=tmp_path / "state",
        control_groups=tmp_path / "cgroup",
    )


@pytest.fixture
def server(tmp_path: Path) -> DirectoryScan:
    directory = tmp_path / "survival"
    directory.mkdir()
    (directory / "server.jar").write_text("")
    (directory / "eula.txt").write_text("eula=true\n")
    return scan_directory(directory)


def changes(install: Install, places: Places) -> list[str]:
    """Carries out what changes files of the test's own only, and returns the rest."""
    others = []
    for step in install_steps(install, places):
        if isinstance(step, WriteFile | MakeLink):
            if not step.is_done:
                step.do()
        else:
            others.append(step.describe())
    return others


def test_installing(places: Places, server: DirectoryScan) -> None:
    assert changes(Install([server], "max"), places) == [
        "make the system user max",
        "check that the user max may use /usr/bin/python3",
        f"check that the user max may use {places.package}/zeroscale",
        f"check that the user max may use {server.directory.parent}",
        f"give {server.directory} to the user max",
        f"check that the user max may use {server.directory}",
        "run systemctl daemon-reload",
        "run systemctl enable zeroscale.service",
        "run systemctl start zeroscale.service",
    ]
    unit = places.unit.read_text()
    assert f"ExecStart={places.prefix}/bin/zeroscale --config {places.config} " in unit
    assert f"ExecReload={places.prefix}/bin/zeroscalectl check {places.config}\n" in unit
    assert "/usr/local/bin" not in unit
    assert "User=max\n" in places.drop_in.read_text()
    assert (places.programs / "zeroscale").readlink() == places.prefix / "bin" / "zeroscale"
    assert (places.share / "man/man1/zeroscale.1").is_symlink()
    assert "adduser" not in unit and "\nDocumentation=man:zeroscale(1)\n" in unit
    config = places.config.read_text()
    assert "systemctl reload zeroscale" in config and f"zeroscalectl check {places.config}\n" in config
    assert "--info" not in config and "docs/" not in config
    table = tomllib.loads(config)
    assert table["servers"]["survival"]["working_directory"] == str(server.directory)
    assert loader.read(places.config, {}, 0).servers[0].directory == server.directory


def test_a_second_time_changes_nothing_and_keeps_the_configuration(places: Places, server: DirectoryScan) -> None:
    install = Install([server], "max")
    changes(install, places)
    places.config.write_text("mine")
    steps = [step for step in install_steps(install, places) if isinstance(step, WriteFile | MakeLink)]
    assert all(step.is_done for step in steps)


def test_not_starting(places: Places, server: DirectoryScan) -> None:
    steps = list(install_steps(Install([server], "max", start=False), places))
    assert [step.words[1] for step in steps if isinstance(step, Run)] == ["daemon-reload", "enable"]


def test_a_server_below_srv_needs_no_exception() -> None:
    scan = DirectoryScan(directory=Path("/srv/survival"), choice=ServerChoice())
    assert "ReadWritePaths" not in drop_in_text(Install([scan], "zeroscale"))


@pytest.mark.parametrize(
    ("directory", "line"),
    [
        ("/home/max/survival", "ReadWritePaths=/home/max/survival"),
        ("/data/my server", 'ReadWritePaths="/data/my server"'),
        ("/data/50%", "ReadWritePaths=/data/50%%"),
        ('/data/a"b', 'ReadWritePaths="/data/a\\"b"'),
    ],
)
def test_a_server_elsewhere_may_be_written_to(directory: str, line: str) -> None:
    text = drop_in_text(Install([DirectoryScan(directory=Path(directory), choice=ServerChoice())], "max"))
    assert line in text.splitlines()
    assert ("ProtectHome=read-only" in text) == directory.startswith("/home")


def test_what_must_be_done_first(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "server.jar").write_text("")
    [step] = needed_first([scan_directory(tmp_path / "new")], "max")
    assert step.startswith("accept Minecraft's EULA")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_files_that_root_has_left_in_a_user_s_server(server: DirectoryScan) -> None:
    os.chown(server.directory, 1, 1)
    for file in server.directory.iterdir():
        os.chown(file, 1, 1)
    assert needed_first([server], "max") == []
    (server.directory / "world").mkdir()
    [step] = needed_first([server], "max")
    assert step == f"root owns {server.directory}/world: chown -R max: {server.directory}"


@pytest.mark.parametrize(
    ("owners", "asked", "user"),
    [
        (["max"], None, "max"),
        (["root"], None, "zeroscale"),
        ([], None, "zeroscale"),
        (["root", "max"], None, "max"),
        (["root"], "games", "games"),
    ],
)
def test_the_user(owners: list[str], asked: str | None, user: str) -> None:
    assert user_for([Path("/srv/a")] * len(owners), owners, asked) == user


def test_users_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match="must not run as root"):
        user_for([Path("/srv/a")], ["root"], "root")
    with pytest.raises(ConfigError, match="/srv/b belongs to eve, and the servers are to run as max: give --user eve"):
        user_for([Path("/srv/a"), Path("/srv/b")], ["max", "eve"], None)


def test_a_second_time_knows_the_configured_servers_and_the_user(places: Places, server: DirectoryScan) -> None:
    changes(Install([server], "max"), places)
    configured = configured_directories(places.config)
    assert configured == [server.directory]
    assert installed_user(places) == "max"
    assert drop_in_text(Install([], "max", configured=configured)) == places.drop_in.read_text()
    assert f"ReadWritePaths={server.directory}" in places.drop_in.read_text()


def test_directories_of_a_configuration(tmp_path: Path) -> None:
    config = tmp_path / "zeroscale.toml"
    assert configured_directories(config) == []
    config.write_text('[servers.a]\nworking_directory = "here"\n[servers.b]\nplugin = "docker"\n')
    assert configured_directories(config) == [tmp_path / "here"]
    config.write_text("[servers")
    with pytest.raises(ConfigError, match=r"zeroscale\.toml: "):
        configured_directories(config)


def test_a_server_that_the_configuration_does_not_have(server: DirectoryScan) -> None:
    assert list(missing_in([server.directory], [server], Path("/z.toml"))) == []
    [step] = missing_in([], [server], Path("/z.toml"))
    assert f"add the server in {server.directory} to /z.toml" in step


@pytest.mark.parametrize("hidden", ["prefix", "python", "package"])
def test_programs_that_a_service_cannot_see(places: Places, hidden: str) -> None:
    places = msgspec.structs.replace(places, **{hidden: Path("/home/max/.pyenv")})
    with pytest.raises(ConfigError, match=r"needs /home/max/\.pyenv.*install zeroscale under /opt"):
        list(install_steps(Install([], "max"), places))


def test_programs_that_are_not_in_the_prefix(places: Places) -> None:
    places = msgspec.structs.replace(places, prefix=Path("/usr/nowhere"))
    with pytest.raises(ConfigError, match="there is no /usr/nowhere/bin/zeroscale"):
        list(install_steps(Install([], "max"), places))


def test_programs_that_are_in_their_place_already_get_no_links(places: Places) -> None:
    prefix = places.prefix
    places = msgspec.structs.replace(places, programs=prefix / "bin", share=prefix / "share", is_environment=False)
    assert not any(isinstance(step, MakeLink) for step in install_steps(Install([], "max"), places))
    assert f"the program: {prefix}/bin/pip uninstall zeroscale-proxy" in list(left_behind(places, "max"))


def test_a_unit_of_somebody_else_is_kept_aside_and_not_removed(places: Places, server: DirectoryScan) -> None:
    places.units.mkdir()
    places.unit.write_text("[Service]\nExecStart=/usr/local/bin/mine\n")
    with pytest.raises(ConfigError, match="was not written by"):
        list(uninstall_steps(places))
    changes(Install([server], "max"), places)
    assert "mine" in (places.units / "zeroscale.service.old").read_text()
    assert "mine" not in places.unit.read_text()
    changes(Install([server], "gamers"), places)
    assert "mine" in (places.units / "zeroscale.service.old").read_text()


def test_uninstalling_removes_what_installing_added(places: Places, server: DirectoryScan) -> None:
    changes(Install([server], "max"), places)
    (places.programs / "zeroscalectl").unlink()
    (places.programs / "zeroscalectl").write_text("another program")
    steps = list(uninstall_steps(places))
    assert [step.describe() for step in steps if isinstance(step, Run)] == [
        "run systemctl disable --now zeroscale.service",
        "run systemctl daemon-reload",
    ]
    for step in steps:
        if not isinstance(step, Run):
            step.do()
    assert not places.unit.exists() and not places.drop_in.parent.exists()
    assert [path.name for path in places.programs.iterdir()] == ["zeroscalectl"]
    assert places.config.exists() and server.directory.exists()
    left = list(left_behind(places, "max"))
    assert f"the configuration: rm {places.config}" in left and f"the program: rm -r {places.prefix}" in left
    assert not any("userdel" in each for each in left)
    assert [step.describe() for step in uninstall_steps(places) if not step.is_done] == ["run systemctl daemon-reload"]


def test_what_an_operator_has_added_and_servers_that_run_on_are_left_and_named(
    places: Places, server: DirectoryScan
) -> None:
    changes(Install([server], "max"), places)
    (places.units / "zeroscale.socket").write_text("")
    (places.drop_in.parent / "leave.conf").write_text("")
    group = places.control_groups / "system.slice" / "zeroscale.service"
    group.mkdir(parents=True)
    (group / "cgroup.procs").write_text("1176\n1177\n")
    for step in uninstall_steps(places):
        if not isinstance(step, Run):
            step.do()
    left = list(left_behind(places, "max"))
    assert left[0].endswith(": kill 1176 1177")
    assert [each.rpartition(": ")[2] for each in left[1:3]] == [
        f"rm {places.drop_in.parent}/leave.conf",
        f"rm {places.units}/zeroscale.socket",
    ]


def test_the_example_units_have_the_paths_that_are_replaced(places: Places) -> None:
    assert "/usr/local/bin/" not in unit_text(places)


@pytest.mark.parametrize(
    ("name", "lines", "is_named"),
    [
        ("minecraft.service", "WorkingDirectory=/srv/survival", True),
        ("minecraft.service", "WorkingDirectory = -/srv/survival/", True),
        ("minecraft.service", "ExecStart=/usr/bin/java -jar /srv/survival/server.jar", True),
        ("minecraft.service", "ExecStart=/bin/sh -c \\\n 'cd /srv/survival; ./start.sh'", True),
        ("minecraft@survival.service", "WorkingDirectory=/srv/%i", True),
        ("minecraft@creative.service", "WorkingDirectory=/srv/%i", False),
        ("minecraft.service", "WorkingDirectory=/srv/survival2", False),
        ("minecraft.service", "Description=not /srv/survival\nExecStart=/bin/true", False),
        ("zeroscale.service", "WorkingDirectory=/srv/survival", False),
    ],
)
def test_an_old_unit_that_would_start_at_the_next_boot(tmp_path: Path, name: str, lines: str, is_named: bool) -> None:
    template, at, _ = name.removesuffix(".service").partition("@")
    (tmp_path / f"{template}{at}.service").write_text(f"[Service]\n{lines}\n")
    directory = Path("/srv/survival")
    assert list(enabled_units(tmp_path, [directory])) == [], "it is not enabled"
    (tmp_path / "multi-user.target.wants").mkdir()
    (tmp_path / "multi-user.target.wants" / name).symlink_to(tmp_path / f"{template}{at}.service")
    (tmp_path / "multi-user.target.wants" / "gone.service").symlink_to(tmp_path / "gone.service")
    found = list(enabled_units(tmp_path, [directory]))
    assert [each.partition(" (")[0] for each in found] == ([f"systemctl disable {name}"] if is_named else [])
