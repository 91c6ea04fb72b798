"""`zeroscalectl init`: what it writes is a file that `zeroscalectl check` finds nothing wrong with."""

from __future__ import annotations

import resource
import shlex
from pathlib import Path

import pytest
from jars import PAPER, VANILLA, version, write_jar

from zeroscale.ctl.main import main

FORGE = '#!/usr/bin/env sh\njava @user_jvm_args.txt @libraries/unix_args.txt "$@"\n'

pytestmark = pytest.mark.usefixtures("java_in_path")


def game(tmp_path: Path, files: dict[str, str]) -> Path:
    directory = tmp_path / "survival"
    directory.mkdir()
    for name, text in files.items():
        if text == "vanilla":
            write_jar(directory / name, VANILLA, version())
        else:
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
    eula = directory / "eula.txt"
    step = f"To do: accept Minecraft's EULA (releases since 1.7.10 ask for it): eula=true in {eula}\n"
    accepted = "" if "eula.txt" in files else step
    assert output == f"Written: {path}\n{accepted}Then run it: zeroscale --config {path} --info\n"
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
        (
            {"server.jar": "vanilla"},
            "accept Minecraft's EULA: eula=true in ",
            "the Minecraft EULA has not been accepted: there is no ",
        ),
    ],
)
def test_remaining_steps_are_printed_and_checked(
    tmp_path: Path, files: dict[str, str], chore: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = game(tmp_path, files)
    assert main(["init", str(directory)]) == 0
    assert f"To do: {chore}" in capsys.readouterr().out
    assert main(["check", str(directory / "zeroscale.toml")]) == 1
    [line] = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("warning: ")]
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


def test_the_last_line_can_be_pasted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = tmp_path / "my 'best' $server"
    write_jar(directory / "server.jar", PAPER)
    assert main(["init", str(directory)]) == 0
    command = capsys.readouterr().out.splitlines()[-1].removeprefix("Then run it: ")
    assert shlex.split(command) == ["zeroscale", "--config", str(directory / "zeroscale.toml"), "--info"]


def test_where_there_is_no_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(tmp_path)]) == 1
    assert "there is no Minecraft server in" in capsys.readouterr().err


def test_a_jar_that_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = game(tmp_path, {"eula.txt": "eula=true\n"})
    write_jar(directory / "a.jar", PAPER)
    write_jar(directory / "b.jar", PAPER)
    assert main(["init", str(directory)]) == 1
    assert "choose a jar, such as -a jar=a.jar (there is a.jar, b.jar)" in capsys.readouterr().err
    assert main(["init", str(directory), "-a", "jar=b.jar"]) == 0
    assert '\njar = "b.jar"\n' in (directory / "zeroscale.toml").read_text()
    assert main(["check", str(directory / "zeroscale.toml")]) == 0


@pytest.mark.parametrize(
    "words", [["-a", "java @unix_args.txt nogui"], ["-a", "java", "-a", "@unix_args.txt", "-a", "nogui"]]
)
def test_a_command_that_is_asked_for(tmp_path: Path, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    directory = game(tmp_path, {"eula.txt": "eula=true\n", "server.properties": "server-port=25575\n"})
    assert main(["init", str(directory), *words]) == 0
    assert '\ncommand = ["java", "@unix_args.txt", "nogui"]\n' in (directory / "zeroscale.toml").read_text()
    assert main(["check", str(directory / "zeroscale.toml")]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("words", [["memory=4G"], ["jar=a.jar", "nogui"], ["./start.sh", "java=x"], ["'"]])
def test_what_cannot_be_asked_for(tmp_path: Path, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    directory = game(tmp_path, {"server.jar": ""})
    assert main(["init", str(directory), *(part for word in words for part in ("-a", word))]) == 2
    assert "zeroscalectl: error: -a " in capsys.readouterr().err
    assert not (directory / "zeroscale.toml").exists()


def test_a_manifest_that_cannot_be_read_is_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = game(tmp_path, {"server.jar": "<html>"})
    assert main(["init", str(directory)]) == 0
    assert capsys.readouterr().err == (
        f"warning: cannot read the manifest of {directory}/server.jar: it is no valid zip archive (File is not "
        f"a zip file); server.jar is started "
        "all the same\n"
    )
