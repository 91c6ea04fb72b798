"""Objects made from one server's configuration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from zeroscale.config.durations import seconds_of
from zeroscale.config.keys import keys_of
from zeroscale.config.model import AdmissionConfig, Config, LimitsConfig, PortConfig, ServerConfig
from zeroscale.errors import ConfigError, PluginError
from zeroscale.process.environment import ChildEnvironment
from zeroscale.protocols.minecraft.text_component import plain
from zeroscale.proxy.factory import (
    admission,
    child_environment,
    health_check_networks,
    join_policy,
    lifecycle_policy,
    messages,
    operator_directory,
    plugin_factory,
    server_settings,
    trusted_networks,
)
from zeroscale.status import PlayerSign, ServerSnapshot, Status


def configs(directory: Path, **values: Any) -> tuple[ServerConfig, Config]:
    given = {"name": "one", "plugin": "stub_server:Server", "listen": ("25565",), "server_port": 25566, **values}
    server = ServerConfig(**given)
    return server, Config(servers=(server,), state_directory=directory)


def test_the_directory_of_the_operators_files(tmp_path: Path) -> None:
    server, config = configs(tmp_path)
    assert operator_directory(server, config, plugin_factory(server, config)()) == tmp_path / "one"
    server, config = configs(tmp_path, working_directory=tmp_path)
    assert operator_directory(server, config, plugin_factory(server, config)()) == tmp_path
    server, config = configs(tmp_path, plugin="stub_server:Minecraft")
    assert operator_directory(server, config, plugin_factory(server, config)()) == Path.cwd()


@pytest.mark.parametrize(
    ("action", "pauses", "stops_after"), [("stop", False, None), ("pause", True, None), ("pause+stop", True, 7.0)]
)
def test_idle_actions(tmp_path: Path, action: str, pauses: bool, stops_after: float | None) -> None:
    server, config = configs(tmp_path, idle_action=action, pause_stop_after=7.0)
    made = lifecycle_policy(server, plugin_factory(server, config)())
    assert (made.pause_when_idle, made.pause_stop_after) == (pauses, stops_after)


PLAYED: Mapping[str, Any] = {"listen": ("udp:19132",), "protocol": "bedrock"}
BEDROCK: Mapping[str, Any] = {"plugin": "stub_server:Server", **PLAYED}


def test_only_minecraft_servers_are_asked_for_players(tmp_path: Path) -> None:
    others: list[tuple[Mapping[str, Any], bool]] = [
        ({"plugin": "stub_server:Server"}, False),
        ({"plugin": "stub_server:Minecraft"}, True),
        (BEDROCK, True),
    ]
    for values, asks in others:
        server, config = configs(tmp_path, **values)
        made = lifecycle_policy(server, plugin_factory(server, config)())
        assert made.ask_players == asks


@pytest.mark.parametrize(
    ("plugin", "wake_on", "sign"),
    [
        ("stub_server:Minecraft", "connect", PlayerSign.server_bytes),
        ("stub_server:Server", "connect", PlayerSign.connection),
        ("stub_server:Server", "tls", PlayerSign.client_bytes),
        ("stub_server:Server", None, PlayerSign.connection),
        ("stub_server:Web", None, PlayerSign.client_bytes),
    ],
)
def test_from_when_on_a_connection_counts_as_a_players(
    tmp_path: Path, plugin: str, wake_on: str | None, sign: PlayerSign
) -> None:
    server, config = configs(tmp_path, plugin=plugin, wake_on=wake_on)
    assert lifecycle_policy(server, plugin_factory(server, config)()).idle.player_sign is sign


@pytest.mark.parametrize("on_command_line", [True, False])
def test_the_default_times_depend_on_the_place_and_the_protocol(tmp_path: Path, on_command_line: bool) -> None:
    def idle(plugin: str, **values: Any) -> tuple[float, float, float]:
        values = {"plugin": f"stub_server:{plugin}", "on_command_line": on_command_line, **values}
        server, config = configs(tmp_path, **values)
        made = lifecycle_policy(server, plugin_factory(server, config)()).idle
        return made.idle_shutdown, made.minimum_online, made.minimum_unvisited

    assert idle("Server") == (15.0, 0.0, 0.0)
    assert idle("Server", idle_shutdown=5.0, minimum_online_time=7.0) == (5.0, 7.0, 0.0)
    idle_shutdown, minimum_online = (15.0, 0.0) if on_command_line else (900.0, 60.0)
    assert idle("Minecraft") == (idle_shutdown, minimum_online, 60.0)
    assert idle("Server", **PLAYED) == idle("Minecraft"), "its players have to join again, too"
    assert idle("Server", **PLAYED, idle_shutdown=5.0)[2] == 60.0
    for wakes, unvisited in ((True, 60.0), (False, 0.0)):
        geyser = PortConfig(listen=("udp:19132",), server_port=19133, protocol="bedrock", wakes=wakes)
        assert idle("Minecraft", idle_shutdown=5.0, ports=(geyser,))[2] == unvisited
    assert idle("Minecraft", idle_shutdown=0.0) == (0.0, minimum_online, 0.0)
    assert idle("Minecraft", minimum_online_time=0.0) == (idle_shutdown, 0.0, 60.0)


@pytest.mark.parametrize(
    ("key", "field"), [("idle_shutdown", "idle_shutdown"), ("minimum_online_time", "minimum_online")]
)
def test_the_default_times_are_those_of_the_reference(tmp_path: Path, key: str, field: str) -> None:
    others, in_a_file = keys_of(ServerConfig)[key].default.split("; in a file, ")
    for plugin, on_command_line, documented in (
        ("Minecraft", False, in_a_file.removesuffix(" for Minecraft")),
        ("Minecraft", True, others),
        ("Server", False, others),
    ):
        server, config = configs(tmp_path, plugin=f"stub_server:{plugin}", on_command_line=on_command_line)
        made = lifecycle_policy(server, plugin_factory(server, config)()).idle
        assert getattr(made, field) == seconds_of(documented)


def test_bedrock_players_read_the_texts_for_players(tmp_path: Path) -> None:
    web = PortConfig(listen=("8123",), server_port=8100)
    further = PortConfig(listen=("udp:19133",), server_port=19134, protocol="bedrock", wakes=True)
    for values in (BEDROCK, {"plugin": "stub_server:Minecraft"}):
        server, config = configs(tmp_path, **values, ports=(web, further))
        main, other, bedrock = server_settings(server, config, plugin_factory(server, config)(), None).ports
        view = ServerSnapshot("one", Status.stopped, 0.0)
        assert "join again" in plain(main.messages.kick(view, 0.0, ""))
        assert "join again" in plain(bedrock.messages.kick(view, 0.0, ""))
        assert "join again" not in plain(other.messages.kick(view, 0.0, ""))


def test_the_default_hold_limit_is_the_start_timeout(tmp_path: Path) -> None:
    assert join_policy(configs(tmp_path, start_timeout=77.0)[0]).hold_limit == 77.0
    assert join_policy(configs(tmp_path, start_timeout=77.0, hold_limit=5.0)[0]).hold_limit == 5.0
    server, _ = configs(tmp_path, start_timeout=77.0, needs=("db",))
    db = replace(configs(tmp_path, start_timeout=3.0)[0], name="db")
    assert join_policy(server, (server, db)).hold_limit == 80.0


def test_a_servers_environment_reaches_plugins_that_start_programs(tmp_path: Path) -> None:
    values = {"environment": {"A": "1"}, "environment_only": True, "plugin_positional": ("sh",)}
    server, config = configs(tmp_path, plugin="generic", **values)
    plugin_factory(server, config)()
    assert child_environment(server) == ChildEnvironment({"A": "1"}, None, only_basic=True)
    for given in ({"environment": {"A": "1"}}, {"environment_only": True}, {"environment_file": tmp_path / "env"}):
        server, config = configs(tmp_path, plugin="docker", **given)
        with pytest.raises(
            ConfigError, match="are for programs that zeroscale starts, and the plugin docker starts none"
        ):
            plugin_factory(server, config)


def test_invalid_values_are_errors(tmp_path: Path) -> None:
    server, config = configs(tmp_path, plugin_keywords={"ready_line": "("})
    with pytest.raises(PluginError, match="ready_line is not a regular expression"):
        plugin_factory(server, config)()
    with pytest.raises(ConfigError):
        messages(configs(tmp_path, texts={"no such text": "x"})[0])
    server, config = configs(tmp_path, admission=AdmissionConfig(wake="ops"))
    with pytest.raises(ConfigError, match=r"admission\.wake 'ops' needs a Minecraft server"):
        admission(server, config, None)


def test_networks(tmp_path: Path) -> None:
    assert [
        str(network) for network in trusted_networks(LimitsConfig(trusted=("192.0.2.1", "::ffff:198.51.100.7/120")))
    ] == [
        "192.0.2.1/32",
        "198.51.100.0/24",
    ]
    assert [str(network) for network in health_check_networks(configs(tmp_path, health_check=("::1",))[0])] == [
        "::1/128"
    ]


@pytest.mark.parametrize(
    ("name", "on_command_line", "table"),
    [
        ("one", False, "servers.one.plugin_arguments"),
        ("my.server", False, 'servers."my.server".plugin_arguments'),
        ("one", True, None),
    ],
)
def test_a_plugin_knows_the_table_of_its_arguments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, on_command_line: bool, table: str | None
) -> None:
    class Asking:
        def __init__(self, *, arguments_table: str | None) -> None:
            made.append(arguments_table)

        async def start(self) -> None: ...

        async def stop(self) -> None: ...

    made: list[str | None] = []
    monkeypatch.setattr("zeroscale.proxy.factory.find_plugin", lambda _name: Asking)
    plugin_factory(*configs(tmp_path, name=name, on_command_line=on_command_line))()
    assert made == [table]
