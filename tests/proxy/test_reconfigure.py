"""Changes of one server's configuration: what takes effect at once, and what when the server has stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from harness import FakeReactor, proxy_config, stub_config
from msgspec.structs import replace

from zeroscale.config.model import AdmissionConfig, PortConfig, ProxyProtocolConfig, ServerConfig
from zeroscale.errors import ConfigError
from zeroscale.proxy.managed_server import ManagedServer
from zeroscale.proxy.reconfigure import ServerChange, apply_change, prepare_change
from zeroscale.system.background_file import FileWriter


class Harness:
    """A server that is down, with a configuration to change."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        config = self.config()
        self.server = ManagedServer(config, proxy_config(directory, config), FakeReactor(), FileWriter())

    def config(self, **values: Any) -> ServerConfig:
        return stub_config("one", 25565, values.pop("server_port", 25566), self.directory, **values)

    def prepare(self, **values: Any) -> ServerChange | None:
        config = self.config(**values)
        return prepare_change(self.server, config, proxy_config(self.directory, config))

    def apply(self, **values: Any) -> str:
        change = self.prepare(**values)
        assert change is not None
        return apply_change(self.server, change)


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    return Harness(tmp_path)


def test_the_same_configuration_is_no_change(harness: Harness) -> None:
    assert harness.prepare() is None


def test_preparing_a_change_changes_nothing(harness: Harness) -> None:
    before = harness.server.config
    change = harness.prepare(server_port=1, idle_shutdown=1.0)
    assert change is not None
    assert (change.changed_keys, change.restart_keys) == (["server", "idle_shutdown"], ["server"])
    assert (harness.server.config, harness.server.address) == (before, ("127.0.0.1", 25566))


def test_a_configuration_that_cannot_be_used_is_an_error(harness: Harness) -> None:
    with pytest.raises(ConfigError, match=r"admission\.wake 'ops' needs a Minecraft server"):
        harness.prepare(admission=AdmissionConfig(wake="ops"))
    with pytest.raises(ConfigError, match="no_such"):
        harness.prepare(plugin_keywords={"no_such": "argument"})


def test_a_server_that_is_down_takes_every_change_at_once(harness: Harness) -> None:
    replaced: list[bool] = []
    harness.server.on_replaced = lambda: replaced.append(True)
    assert harness.apply(server_port=1, idle_shutdown=1.0) == "server, idle_shutdown"
    assert (harness.server.address, harness.server.backend.port) == (("127.0.0.1", 1), 1)
    assert (harness.server.restart_pending, replaced) == (False, [True])


def test_admission_rules_are_replaced_only_when_they_change(harness: Harness) -> None:
    admission = harness.server.backend.admission
    assert harness.apply(idle_shutdown=1.0) == "idle_shutdown"
    assert harness.server.backend.admission is admission
    assert harness.apply(idle_shutdown=1.0, admission=AdmissionConfig(wake="nobody")) == "admission"
    assert harness.server.backend.admission is not admission


def test_networks_that_send_headers_are_a_setting_of_the_port(harness: Harness) -> None:
    change = harness.prepare(proxy_protocol=ProxyProtocolConfig(accept_from=("127.0.0.1",)))
    assert change is not None and change.restart_keys == []
    change = harness.prepare(proxy_protocol=ProxyProtocolConfig(send="v2"))
    assert change is not None and change.restart_keys == ["proxy_protocol"]
    apply_change(harness.server, change)
    assert harness.server.backend.proxy_version == "v2"


def test_a_server_that_is_down_may_change_its_protocol(harness: Harness) -> None:
    assert harness.apply(plugin="stub_server:Minecraft", admission=AdmissionConfig(wake="ops")) == "plugin, admission"
    assert harness.server.speaks_minecraft


def test_a_running_server_is_queried_as_before(harness: Harness) -> None:
    """Its probe is replaced with the plugin; a port that is not queried changes at once, and so does a listen value."""
    page = PortConfig(listen=("8123",), server_port=8100, protocol="http")
    query = PortConfig(listen=("udp:27015",), server_port=27016, protocol="source-query")
    for ports, restart in (((page,), []), ((page, query), ["ports"])):
        change = harness.prepare(ports=ports)
        assert change is not None
        assert (change.changed_keys, change.restart_keys) == (["ports"], restart)
    harness.apply(ports=(query,))
    change = harness.prepare(ports=(replace(query, listen=("udp:27020",)),))
    assert change is not None
    assert change.restart_keys == []
