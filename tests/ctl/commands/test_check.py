"""`zeroscalectl check`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from jars import VANILLA, version, write_jar

from zeroscale.ctl.main import main

SERVER = '[servers.{name}]\nplugin = "demo"\nlisten = {listen}\nserver = {server}\n'


def checked(path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    path.write_text(text)
    code = main(["check", str(path)])
    out, err = capsys.readouterr()
    return code, out, err


def test_all_is_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "zeroscale.toml"
    one = SERVER.format(name="a", listen=25565, server=25575)
    two = SERVER.format(name="b", listen=25566, server=25576)
    two += 'working_directory = "b"\n'
    (tmp_path / "b").mkdir()
    assert checked(path, one, capsys) == (0, f"{path}: no mistakes, 1 server\n", "")
    assert checked(path, one + two, capsys) == (0, f"{path}: no mistakes, 2 servers\n", "")
    assert {*tmp_path.rglob("*")} == {path, tmp_path / "b"}, "nothing is made"


def test_it_shows_which_host_leads_to_which_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "zeroscale.toml"
    web = '[servers.{}]\nplugin = "generic"\nplugin_arguments.command = ["true"]\nprotocol = "http"\nlisten = 80\n'
    wiki = web.format("wiki") + 'server = 8080\nhosts = ["wiki.example.org", "*.wiki.example.org"]\n'
    wiki += '[[servers.wiki.ports]]\nprotocol = "http"\nlisten = 80\nserver = 8081\nhosts = ["map.example.org"]\n'
    shown = "80: wiki.example.org, *.wiki.example.org to wiki; map.example.org to wiki; other hosts to"
    assert checked(path, wiki, capsys)[1].splitlines()[1:] == [f"  {shown} no server"]
    shop = web.format("shop") + "server = 8082\n" + SERVER.format(name="game", listen=25565, server=25575)
    assert checked(path, wiki + shop, capsys)[1].splitlines()[1:] == [f"  {shown} shop"]


@pytest.mark.parametrize(
    ("installed", "warns"),
    [(["zeroscale-proxy"], False), (["zeroscale"], False), (["zeroscale", "zeroscale-proxy"], True)],
)
def test_it_warns_where_the_older_program_is_installed_as_well(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    installed: list[str],
    warns: bool,
) -> None:
    for name in installed:
        directory = tmp_path / f"{name.replace('-', '_')}-1.0.dist-info"
        directory.mkdir()
        (directory / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    code, _, err = checked(tmp_path / "zeroscale.toml", SERVER.format(name="a", listen=25565, server=25575), capsys)
    assert code == 0
    assert err.count("run 'pip uninstall zeroscale zeroscale-proxy', then install this one again") == warns


def test_what_may_prevent_a_start_is_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "zeroscale.toml"
    text = SERVER.format(name="a", listen=25565, server=25575).replace("demo", "minecraft")
    text += f"plugin_arguments = {{ command = ['{sys.executable}'] }}\n"
    code, out, err = checked(path, text, capsys)
    assert (code, out) == (0, f"{path}: no mistakes, 1 server\n")
    assert err.startswith(f"warning: there is no {tmp_path}/eula.txt: every release since 1.7.10 ends at its start")
    (tmp_path / "eula.txt").write_text("eula=true")
    assert checked(path, text, capsys)[2] == ""


def test_the_game_s_own_server_without_an_eula_is_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "zeroscale.toml"
    write_jar(tmp_path / "server.jar", VANILLA, version())
    text = SERVER.format(name="a", listen=25565, server=25575).replace("demo", "minecraft")
    text += f"plugin_arguments = {{ java = '{sys.executable}' }}\n"
    code, out, err = checked(path, text, capsys)
    assert (code, out) == (1, "")
    assert err == (
        f"{path}: servers.a: the Minecraft EULA has not been accepted: there is no {tmp_path}/eula.txt; if you accept "
        "it, write the line eula=true into that file\n"
    )


def test_all_mistakes_of_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "zeroscale.toml"
    code, out, err = checked(path, SERVER.format(name="a", listen=0, server=0) + "x = 1", capsys)
    assert (code, out) == (2, "")
    assert [line.split(": ")[:2] for line in err.splitlines()] == [
        [str(path), "servers.a.listen"],
        [str(path), "servers.a.server"],
        [str(path), "servers.a.x"],
    ]


def test_all_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "zeroscale.toml"
    one = SERVER.format(name="a", listen=25565, server=25575).replace("demo", "dmeo")
    two = SERVER.format(name="b", listen=25566, server=25576) + 'working_directory = "gone"\n'
    code, out, err = checked(path, one + two, capsys)
    assert (code, out) == (2, "")
    assert err.splitlines() == [
        f"{path}: servers.a.plugin: there is no plugin 'dmeo': did you mean 'demo'?",
        f"{path}: servers.b.working_directory: working directory '{tmp_path}/gone' does not exist",
    ]


def test_what_can_be_judged_beside_the_files_mistakes_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "zeroscale.toml"
    one = SERVER.format(name="a", listen=25565, server=25575).replace("demo", "dmeo") + "idle_shutdwn = 5\n"
    two = SERVER.format(name="b", listen=25566, server=25576) + "plugin_arguments = {start_seconds = {env = 'GONE'}}\n"
    code, out, err = checked(path, one + two, capsys)
    assert (code, out) == (2, "")
    assert err.splitlines() == [
        f'{path}: servers.a.idle_shutdwn: there is no such key; did you mean "idle_shutdown"?',
        f"{path}: servers.b.plugin_arguments.start_seconds: there is no GONE in the environment",
        f"{path}: servers.a.plugin: there is no plugin 'dmeo': did you mean 'demo'?",
    ]


def test_a_file_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "/gone.toml"]) == 1
    assert capsys.readouterr().err == "cannot read /gone.toml: No such file or directory\n"
