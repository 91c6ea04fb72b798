"""What a new server would share with one that has not stopped; tests/proxy/test_server_manager.py has whole reloads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from harness import FakeReactor, proxy_config, stub_config

from zeroscale.config.model import PortConfig, ServerConfig
from zeroscale.proxy.managed_server import ManagedServer
from zeroscale.proxy.reload_plan import what_is_used
from zeroscale.system.background_file import FileWriter

PORTS = (
    PortConfig(listen=("8123",), server_port=81),
    PortConfig(listen=("8124",), server_port=None, server_path="/run/a"),
)


@pytest.mark.parametrize(
    ("values", "used"),
    [
        ({"name": "other"}, "its name, port or world"),
        ({"server_port": 2}, "its name, port or world"),
        ({"server_port": 2, "server_host": "localhost"}, "its name, port or world"),
        ({"ports": (PortConfig(listen=("4",), server_port=2),)}, "its name, port or world"),
        ({"server_port": 81}, "its name, port or world"),
        ({"ports": (PortConfig(listen=("4",), server_port=None, server_path="/run/a"),)}, "its name, port or world"),
        ({"ports": (PortConfig(listen=("udp:4",), server_port=2),)}, None),
        ({"working_directory": "link"}, "its name, port or world"),
        ({"plugin_keywords": {"controls": "container mc"}}, "container mc"),
        ({"name": "other", "plugin_keywords": {"controls": "container mc"}}, "container mc"),
        ({"plugin_keywords": {"controls": "container mc2"}}, None),
        ({}, None),
    ],
)
def test_what_another_server_uses(tmp_path: Path, values: dict[str, Any], used: str | None) -> None:
    (tmp_path / "world").mkdir()
    (tmp_path / "link").symlink_to("world")
    keywords = {"controls": "container mc"}
    plugin = "stub_server:Minecraft"
    other = stub_config("other", 1, 2, tmp_path / "world", plugin=plugin, plugin_keywords=keywords, ports=PORTS)
    config = proxy_config(tmp_path, other)
    others = [ManagedServer(other, config, FakeReactor(), FileWriter())]
    values = {"name": "new", "working_directory": "elsewhere", "server_port": 4, **values}
    values["working_directory"] = tmp_path / values["working_directory"]
    wanted = ServerConfig(plugin=plugin, listen=("3",), **values)
    assert what_is_used(wanted, config, others) == used
    assert what_is_used(wanted, config, []) is None
