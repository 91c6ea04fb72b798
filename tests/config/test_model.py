"""The configuration structs: refused values, and the state directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from zeroscale.config.model import (
    Config,
    ServerConfig,
    default_state_directory,
    is_host,
    is_loopback_name,
)


def server(**values: Any) -> ServerConfig:
    read = {"name": "survival", "plugin": "minecraft", "listen": ("25565",), "server_port": 25575}
    return ServerConfig(**{**read, **values})


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "::1", "fe80::1%eth0", "localhost", "game.internal.", "a-1.example", "münchen.example"]
)
def test_a_host_is_taken_if_twisted_can_connect_to_it(host: str) -> None:
    assert is_host(host)


@pytest.mark.parametrize("host", ["", "no such host", "my_server", "a..b", "[::1]"])
def test_a_host_that_twisted_cannot_connect_to(host: str) -> None:
    assert not is_host(host)


def test_the_directory_is_absolute() -> None:
    assert server().directory == Path.cwd()
    assert server(working_directory=Path("world")).directory == Path.cwd() / "world"


def test_it_is_frozen() -> None:
    config = Config(servers=(server(),), state_directory=Path("/var/lib/zeroscale"))
    with pytest.raises(AttributeError):
        config.relay = "splice"  # type: ignore[misc]  # what is tried
    with pytest.raises(AttributeError):
        config.servers[0].idle_shutdown = 1.0  # type: ignore[misc]  # what is tried


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


def test_where_state_is_kept_for_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """systemd's DynamicUser= has no entry in the user database where its NSS module is not installed."""
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)
    assert default_state_directory({}, 65000) == Path("/nonexistent/.local/state/zeroscale")
