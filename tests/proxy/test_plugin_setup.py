"""A plugin with its server's files, probe and readiness check."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import msgspec
import pytest
from harness import FakeReactor, proxy_config, stub_config
from processes import Program, python

from zeroscale.errors import ConfigError
from zeroscale.probes.bedrock import BedrockProbe
from zeroscale.probes.minecraft import MinecraftProbe
from zeroscale.probes.readiness import LineReadiness, Readiness
from zeroscale.probes.tcp import TcpProbe
from zeroscale.proxy.plugin_setup import PluginSetup

LOCK_AND_WAIT = """\
import fcntl, sys
file = open(sys.argv[1], "r+b")
fcntl.lockf(file, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()
"""


def plugin_setup(directory: Path, **values: Any) -> PluginSetup:
    server = stub_config("one", 25565, 25566, directory, **values)
    return PluginSetup(server, proxy_config(directory, server), FakeReactor())


def test_a_tcp_server_has_no_world_and_no_player_lists(tmp_path: Path) -> None:
    made = plugin_setup(tmp_path)
    assert (made.speaks_minecraft, made.world_directory, made.player_lists) == (False, None, None)
    assert isinstance(made.probe, TcpProbe)
    assert made.start_obstacle() is None


def test_a_bedrock_server_is_asked_by_a_ping(tmp_path: Path) -> None:
    made = plugin_setup(tmp_path, listen=("udp:19132",), protocol="bedrock")
    assert isinstance(made.probe, BedrockProbe)
    assert isinstance(made.make_readiness(), Readiness)
    assert isinstance(
        plugin_setup(tmp_path, listen=("udp:19132",), protocol="bedrock", ready="line:Server started").make_readiness(),
        LineReadiness,
    )


def test_a_minecraft_server_has_its_world_in_the_working_directory(tmp_path: Path) -> None:
    made = plugin_setup(tmp_path, plugin="stub_server:Minecraft")
    assert (made.speaks_minecraft, made.world_directory) == (True, tmp_path)
    assert made.player_lists is not None
    assert isinstance(made.probe, MinecraftProbe)
    assert isinstance(made.make_readiness(), Readiness)
    assert made.make_readiness() is not made.make_readiness()


def test_the_state_directory_holds_no_world(tmp_path: Path) -> None:
    directory = tmp_path / "state" / "one"
    assert plugin_setup(tmp_path, plugin="stub_server:Minecraft", working_directory=directory).world_directory is None


@pytest.mark.parametrize("values", [{"plugin": "nothing_like_it"}, {"plugin_keywords": {"no_such": "argument"}}])
def test_a_plugin_that_cannot_be_made_is_an_error(tmp_path: Path, values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        plugin_setup(tmp_path, **values)


def test_a_world_that_another_process_has_open_is_an_obstacle(tmp_path: Path) -> None:
    lock = tmp_path / "world" / "session.lock"
    lock.parent.mkdir()
    lock.touch()
    made = plugin_setup(tmp_path, plugin="stub_server:Minecraft")
    assert made.start_obstacle() is None
    with Program(python("-c", LOCK_AND_WAIT, str(lock))) as program:
        program.wait_for("locked")
        obstacle = made.start_obstacle()
    assert obstacle == (f"process {program.process.pid} has this world open (it holds {lock}): stop that server first")


def test_who_listens_on_the_server_s_port_is_known_on_this_machine_alone(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        config = stub_config("one", 25565, server.getsockname()[1], tmp_path)
        remote = msgspec.structs.replace(config, server_host="192.0.2.1")
        made, elsewhere = (PluginSetup(each, proxy_config(tmp_path, each), FakeReactor()) for each in (config, remote))
        assert made.listener() == f"process {os.getpid()} ({Path('/proc/self/comm').read_text().strip()})"
        assert elsewhere.listener() is None
    assert made.listener() is None
