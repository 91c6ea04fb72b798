"""What a proxy is told: which values are refused, and where state is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from zeroscale.config.model import (
    LONGEST_DURATION,
    AdmissionConfig,
    Config,
    LimitsConfig,
    ServerConfig,
    default_state_directory,
    is_loopback_name,
)
from zeroscale.errors import ConfigError


def server(**values: Any) -> ServerConfig:
    told = {"name": "survival", "plugin": "minecraft", "listen": ("25565",), "server_port": 25575}
    return ServerConfig(**{**told, **values})


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "::1", "fe80::1%eth0", "localhost", "game.internal.", "a-1.example", "münchen.example"]
)
def test_a_host_is_taken_if_twisted_can_connect_to_it(host: str) -> None:
    assert server(server_host=host).server_host == host


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"server_port": 0}, "server_port 0"),
        ({"server_port": 65536}, "server_port 65536"),
        ({"listen": ()}, "listens nowhere"),
        ({"listen": ("25565", "0")}, "listen_port 0"),
        ({"listen": ("65536",)}, "listen_port 65536"),
        ({"listen": ("25575",)}, "both 25575"),
        ({"listen": ("25575",), "server_host": "::1"}, "both 25575"),
        ({"max_crashes": 0}, "max_crashes 0"),
        ({"wake_on": "tsl"}, "wake_on 'tsl' is none of"),
        ({"server_host": ""}, "server_host '' is no host"),
        ({"server_host": "no such host"}, "server_host 'no such host' is no host"),
        ({"server_host": "my_server"}, "server_host 'my_server' is no host"),
        ({"server_host": "a..b"}, "server_host 'a..b' is no host"),
        ({"server_host": "[::1]"}, "is no host"),
        ({"start_timeout": 0.0}, "start_timeout 0 leaves no server the time"),
        ({"wake_timeout": 0.0}, "wake_timeout 0 leaves no client the time"),
        ({"ready": "soon"}, "ready 'soon' is none of"),
        ({"waiting": "page"}, "needs wake_on 'http'"),
        ({"waiting": "page", "wake_on": "data"}, "needs wake_on 'http'"),
        ({"health_check": ("10.0.0.0/33",)}, "health_check: '10.0.0.0/33' is no address"),
    ],
)
def test_a_value_out_of_its_range_is_named(values: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        server(**values)


@pytest.mark.parametrize(
    "name", ["idle_shutdown", "start_timeout", "stop_timeout", "hold_limit", "kill_timeout", "wake_timeout"]
)
@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf"), LONGEST_DURATION + 1])
def test_a_duration_that_is_none_is_named(name: str, seconds: float) -> None:
    with pytest.raises(ConfigError, match=name):
        server(**{name: seconds})
    assert getattr(server(**{name: 0.5}), name) == 0.5


def test_the_same_port_on_another_host_is_another_port() -> None:
    assert server(listen=("25575",), server_host="192.0.2.1").listen == ("25575",)


def test_the_directory_is_absolute() -> None:
    assert server().directory == Path.cwd()
    assert server(working_directory=Path("world")).directory == Path.cwd() / "world"


def test_it_is_frozen() -> None:
    config = Config(servers=(server(),), state_directory=Path("/var/lib/zeroscale"))
    with pytest.raises(AttributeError):
        config.relay = "splice"  # type: ignore[misc]  # what is tried
    with pytest.raises(AttributeError):
        config.servers[0].idle_shutdown = 1.0  # type: ignore[misc]  # what is tried


@pytest.mark.parametrize("network", ["10.0.0.0/8", "192.0.2.1", "10.1.2.3/8", "::1", "fd00::/8"])
def test_trusted_networks(network: str) -> None:
    assert LimitsConfig(trusted=(network,)).trusted == (network,)


@pytest.mark.parametrize("network", ["example.org", "10.0.0.0/33", ""])
def test_a_trusted_network_that_is_none_is_named(network: str) -> None:
    with pytest.raises(ConfigError, match="is no address and no network"):
        LimitsConfig(trusted=(network,))


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("192.0.2.1", False),
        ("a.b", False),
    ],
)
def test_loopback(host: str, loopback: bool) -> None:
    assert is_loopback_name(host) is loopback


@pytest.mark.parametrize(
    ("environment", "user", "directory"),
    [
        ({"HOME": "/root", "XDG_STATE_HOME": "/x"}, 0, "/var/lib/zeroscale"),
        ({"HOME": "/home/steve"}, 1000, "/home/steve/.local/state/zeroscale"),
        ({"HOME": "/home/steve", "XDG_STATE_HOME": "/states"}, 1000, "/states/zeroscale"),
        ({"HOME": "/home/steve", "XDG_STATE_HOME": "relative"}, 1000, "/home/steve/.local/state/zeroscale"),
    ],
)
def test_where_state_is_kept(environment: dict[str, str], user: int, directory: str) -> None:
    assert default_state_directory(environment, user) == Path(directory)


@pytest.mark.parametrize("name", ["allow", "deny"])
def test_an_entry_of_a_list_that_is_none_is_named(name: str) -> None:
    good: dict[str, Any] = {name: ("Notch", "192.0.2.0/24", "6f1b0b1e-5c1d-4c6a-9b0f-0d7f7c9a1a01")}
    AdmissionConfig(**good)
    bad: dict[str, Any] = {name: ("Notch", "10.0.0.0/99")}
    with pytest.raises(ConfigError, match=rf"admission\.{name}: '10\.0\.0\.0/99' is no player's name, no UUID"):
        AdmissionConfig(**bad)
