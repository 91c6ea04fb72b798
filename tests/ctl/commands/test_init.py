"""`zeroscalectl init`: what it writes is a file that `zeroscalectl check` finds nothing wrong with."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from zeroscale.ctl.main import main

FORGE = '#!/usr/bin/env sh\njava @user_jvm_args.txt @libraries/unix_args.txt "$@"\n'


@pytest.fixture(autouse=True)
def java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Java that is only looked for."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "java").touch(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")


def game(tmp_path: Path, files: dict[str, str]) -> Path:
    directory = tmp_path / "survival"
    directory.mkdir()
    for name, text in files.items():
        (directory / name).write_text(text)
    return directory


@pytest.mark.parametrize(
    "files",
    [
        {"server.jar": ""},
        {"server.jar": "", "eula.txt": "eula=true\n", "server.properties": "server-port=25565\n"},
        {"server.jar": "", "server.properties": "server-port=25575\nwhite-list=true\nenforce-whitelist=true\n"},
        {"server.jar": "", "server.properties": "enable-rcon=true\nrcon.password=x\nmotd=\\u00a76Hi '\"\n"},
        {"paper-1.21.4-232.jar": "", "eula.txt": "eula=true\n"},
        {"fabric-server-launch.jar": "", "fabric-installer.jar": ""},
        {"run.sh": FORGE, "user_jvm_args.txt": "# -Xmx4G\n", "server.properties": "server-port=25565\n"},
        {"run.sh": "java -jar x.jar\n", "server.properties": "server-port=25566\n"},
    ],
    ids=["new", "vanilla", "whitelist", "rcon", "paper", "fabric", "forge", "own script"],
)
def test_what_it_writes_is_well(tmp_path: Path, files: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    directory = game(tmp_path, files)
    assert main(["init", str(directory)]) == 0
    output = capsys.readouterr().out
    path = directory / "zeroscale.toml"
    assert output == f"Written: {path}\nThen run it: zeroscale --config {path} --info\n"
    assert main(["check", str(path)]) == 0, capsys.readouterr().err
    assert {each.name for each in directory.iterdir()} == {*files, "zeroscale.toml"}


def test_a_full_disk_leaves_no_part_of_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = game(tmp_path, {"server.jar": ""})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        assert main(["init", str(directory)]) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "cannot write" in capsys.readouterr().err
    assert main(["init", str(directory)]) == 0


@pytest.mark.parametrize(
    ("files", "chore", "complaint"),
    [
        ({"server.jar": "", "eula.txt": "eula=false\n"}, "accept Minecraft's EULA", "eula=false must be eula=true"),
        (
            {"run.sh": "java -jar x.jar\n", "server.properties": "server-port=25565\n"},
            "move the server to another port: server-port=25575",
            "server-port=25565 must be 25575",
        ),
    ],
)
def test_remaining_steps_are_printed_and_checked(
    tmp_path: Path, files: dict[str, str], chore: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = game(tmp_path, files)
    assert main(["init", str(directory)]) == 0
    assert f"\nTo do: {chore}" in capsys.readouterr().out
    assert main(["check", str(directory / "zeroscale.toml")]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert complaint in line and ": servers.survival: " in line


def test_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(game(tmp_path, {"server.jar": ""}))
    assert main(["init"]) == 0
    assert "[servers.survival]" in (tmp_path / "survival" / "zeroscale.toml").read_text()


@pytest.mark.parametrize("there", ["file", "link", "directory"])
def test_nothing_is_overwritten(tmp_path: Path, there: str, capsys: pytest.CaptureFixture[str]) -> None:
    directory = game(tmp_path, {"server.jar": ""})
    path = directory / "zeroscale.toml"
    if there == "file":
        path.write_text("mine")
    elif there == "link":
        path.symlink_to(tmp_path / "elsewhere")
    else:
        path.mkdir()
    assert main(["init", str(directory)]) == 1
    assert "exists and is not overwritten" in capsys.readouterr().err
    assert not (tmp_path / "elsewhere").exists()
    assert there != "file" or path.read_text() == "mine"


def test_elsewhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = game(tmp_path, {"server.jar": ""})
    assert main(["init", str(directory), "-o", str(tmp_path / "z.toml")]) == 0
    assert f'working_directory = "{directory}"' in (tmp_path / "z.toml").read_text()
    assert main(["check", str(tmp_path / "z.toml")]) == 0
    capsys.readouterr()
    assert main(["init", str(directory), "--output", "-"]) == 0
    assert capsys.readouterr().out == (tmp_path / "z.toml").read_text()
    assert main(["init", str(directory), "--output", str(tmp_path / "gone" / "z.toml")]) == 1
    assert "cannot write" in capsys.readouterr().err


def test_where_there_is_no_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(tmp_path)]) == 1
    assert "there is no Minecraft server in" in capsys.readouterr().err
