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
    assert (found.directory, found.jars, found.script) == (tmp_path, ("server.jar",), False)
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


def test_the_likeliest_jar_is_first(tmp_path: Path) -> None:
    found = scan_directory(
        directory(
            tmp_path, **{"a__jar": "", "paper-1.21__jar": "", "paper-1.20__jar": "", "forge-1-installer__jar": ""}
        )
    )
    assert found.jars == ("paper-1.21.jar", "paper-1.20.jar", "a.jar", "forge-1-installer.jar")
    assert scan_directory(directory(tmp_path, server__jar="")).jars[0] == "server.jar"


@pytest.mark.parametrize(("script", "passes"), [('java @args.txt "$@"', True), ("java $*", True), ("java x", False)])
def test_a_start_script(tmp_path: Path, script: str, passes: bool) -> None:
    files = {"run__sh": script, "installer__jar": "", "user_jvm_args__txt": "# -Xmx4G\n-Xms1G\n-Xmx6G\n"}
    found = scan_directory(directory(tmp_path, **files))
    assert (found.script, found.jars, found.script_passes_arguments, found.java_memory) == (True, (), passes, "6G")


def test_a_jar_goes_before_a_start_script_as_the_plugin_has_it(tmp_path: Path) -> None:
    found = scan_directory(directory(tmp_path, run__sh="java x", server__jar=""))
    assert (found.script, found.script_passes_arguments) == (False, True)


def test_where_there_is_no_server(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no Minecraft server in .*: neither a jar nor run\.sh"):
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
