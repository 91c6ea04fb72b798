"""What is found in a Minecraft server's directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from zeroscale.ctl.directory_scan import memory_of_machine, scan_directory
from zeroscale.errors import ConfigError


def directory(path: Path, **files: str) -> Path:
    for name, text in files.items():
        (path / name.replace("__", ".")).write_text(text)
    return path


def test_a_new_server_has_only_its_jar(tmp_path: Path) -> None:
    found = scan_directory(directory(tmp_path, server__jar=""))
    assert (found.directory, found.choice.jar, found.choice.script) == (tmp_path, "server.jar", None)
    assert (found.port, found.host, found.eula, found.rcon_port, found.query_port) == (25565, None, None, None, None)
    assert (found.whitelist, found.status, found.motd) == (False, True, None)
    assert found.memory is not None and found.memory > 100e6


def test_its_properties(tmp_path: Path) -> None:
    properties = (
        "server-port=25570\nserver-ip=192.0.2.1\nenable-rcon=true\nrcon.password=x\nrcon.port=25571\n"
        "enable-query=true\nquery.port=25572\nwhite-list=true\nenable-status=false\nmotd=Hello\n"
    )
    found = scan_directory(directory(tmp_path, server__jar="", server__properties=properties, eula__txt="eula=false"))
    assert (found.port, found.host, found.rcon_port, found.query_port) == (25570, "192.0.2.1", 25571, 25572)
    assert (found.whitelist, found.status, found.motd, found.eula) == (True, False, "Hello", False)


@pytest.mark.parametrize(("script", "passes"), [('java @unix_args.txt "$@"', True), ("java @unix_args.txt", False)])
@pytest.mark.parametrize(("arguments", "heap"), [("# -Xmx4G\n-Xms1G\n-Xmx6G\n", "-Xmx6G"), ("# -Xmx4G\n", None)])
def test_a_start_script(tmp_path: Path, script: str, passes: bool, arguments: str, heap: str | None) -> None:
    files = {"run__sh": script, "server__jar": "", "user_jvm_args__txt": arguments}
    found = scan_directory(directory(tmp_path, **files))
    assert (found.choice.script, found.choice.jar) == ("run.sh", None)
    assert (found.passes_arguments, found.script_heap) == (passes, heap)


def test_a_jar_goes_before_a_start_script_of_another_kind(tmp_path: Path) -> None:
    found = scan_directory(directory(tmp_path, run__sh="java -Xmx4G x", server__jar=""))
    assert (found.choice.jar, found.choice.other_scripts) == ("server.jar", ("run.sh",))
    assert (found.passes_arguments, found.script_heap) == (True, None)


def test_what_is_asked_for(tmp_path: Path) -> None:
    directory(tmp_path, run__sh="java @unix_args.txt", a__jar="", b__jar="")
    found = scan_directory(tmp_path, jar="b.jar")
    assert (found.choice.jar, found.jar_given, found.passes_arguments) == ("b.jar", True, True)
    found = scan_directory(tmp_path, command=("./start.sh", "-x"))
    assert (found.choice.jar, found.choice.script, found.command) == (None, None, ("./start.sh", "-x"))
    assert not found.passes_arguments
    with pytest.raises(ConfigError, match=r"there is no file .*/c\.jar \(there is a\.jar, b\.jar\)"):
        scan_directory(tmp_path, jar="c.jar")


def test_several_servers_are_refused_as_the_plugin_does(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"choose a jar, such as -a jar=a\.jar \(there is a\.jar, b\.jar\)"):
        scan_directory(directory(tmp_path, a__jar="", b__jar=""))


def test_where_there_is_no_server(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no Minecraft server in .*, neither server\.jar nor"):
        scan_directory(tmp_path)
    with pytest.raises(ConfigError, match="there is no directory"):
        scan_directory(tmp_path / "gone")


def test_a_containers_limit_counts(tmp_path: Path) -> None:
    (tmp_path / "limit").write_text("1000000\n")
    (tmp_path / "none").write_text("max\n")
    everything = memory_of_machine(())
    assert everything is not None
    assert memory_of_machine((tmp_path / "limit", tmp_path / "none")) == 1000000
    assert memory_of_machine((tmp_path / "none", tmp_path / "gone")) == everything
