from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from zeroscale.config.model import AdmissionConfig, Config, LimitsConfig, ServerConfig
from zeroscale.errors import ConfigError
from zeroscale.proxy.factory import (
    admission,
    health_check_networks,
    join_policy,
    lifecycle_policy,
    messages,
    operator_directory,
    plugin_factory,
    trusted_networks,
)


def told(directory: Path, **values: Any) -> tuple[ServerConfig, Config]:
    given = {"name": "one", "plugin": "stub_server:Server", "listen": ("25565",), "server_port": 25566, **values}
    server = ServerConfig(**given)
    return server, Config(servers=(server,), state_directory=directory)


def test_where_a_servers_operator_says_something(tmp_path: Path) -> None:
    server, whole = told(tmp_path)
    assert operator_directory(server, whole, plugin_factory(server, whole)()) == tmp_path / "one"
    server, whole = told(tmp_path, working_directory=tmp_path)
    assert operator_directory(server, whole, plugin_factory(server, whole)()) == tmp_path
    server, whole = told(tmp_path, plugin="stub_server:Minecraft")
    assert operator_directory(server, whole, plugin_factory(server, whole)()) == Path.cwd()


@pytest.mark.parametrize(
    ("action", "pauses", "stops_after"), [("stop", False, None), ("pause", True, None), ("pause+stop", True, 7.0)]
)
def test_what_an_idle_server_does(tmp_path: Path, action: str, pauses: bool, stops_after: float | None) -> None:
    server, whole = told(tmp_path, idle_action=action, pause_stop_after=7.0)
    made = lifecycle_policy(server, plugin_factory(server, whole)())
    assert (made.pause_when_idle, made.pause_stop_after) == (pauses, stops_after)


def test_only_minecraft_servers_are_asked_who_is_on(tmp_path: Path) -> None:
    for plugin, asks in (("stub_server:Server", False), ("stub_server:Minecraft", True)):
        server, whole = told(tmp_path, plugin=plugin)
        made = lifecycle_policy(server, plugin_factory(server, whole)())
        assert (made.ask_players, made.idle.ignore_short_sessions) == (asks, asks)


def test_a_player_is_held_for_as_long_as_a_start_may_take_where_nothing_else_is_said(tmp_path: Path) -> None:
    assert join_policy(told(tmp_path, start_timeout=77.0)[0]).hold_limit == 77.0
    assert join_policy(told(tmp_path, start_timeout=77.0, hold_limit=5.0)[0]).hold_limit == 5.0


def test_what_cannot_be_is_said(tmp_path: Path) -> None:
    server, whole = told(tmp_path, plugin_keywords={"ready_line": "("})
    with pytest.raises(ConfigError, match="server 'one': ready_line is not a regular expression"):
        lifecycle_policy(server, plugin_factory(server, whole)())
    with pytest.raises(ConfigError):
        messages(told(tmp_path, texts={"no such text": "x"})[0])
    server, whole = told(tmp_path, admission=AdmissionConfig(wake="ops"))
    with pytest.raises(ConfigError, match=r"admission\.wake 'ops' needs a Minecraft server"):
        admission(server, whole, None)


def test_networks(tmp_path: Path) -> None:
    assert [
        str(network) for network in trusted_networks(LimitsConfig(trusted=("192.0.2.1", "::ffff:198.51.100.7/120")))
    ] == [
        "192.0.2.1/32",
        "198.51.100.0/24",
    ]
    assert [str(network) for network in health_check_networks(told(tmp_path, health_check=("::1",))[0])] == ["::1/128"]
