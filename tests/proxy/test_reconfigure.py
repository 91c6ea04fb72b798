"""Changes of one server's configuration: what takes effect at once, and what when the server has stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from harness import FakeReactor, proxy_config, stub_config

from zeroscale.config.model import AdmissionConfig, ProxyProtocolConfig, ServerConfig
from zeroscale.errors import ConfigError
from zeroscale.proxy.managed_server import ManagedServer
from zeroscale.proxy.reconfigure import ServerChange, apply_change, prepare_change


class Scene:
    """A server that is down, with a configuration to change."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        config = self.config()
        self.server = ManagedServer(config, proxy_config(directory, config), FakeReactor())

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
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_the_same_configuration_is_no_change(scene: Scene) -> None:
    assert scene.prepare() is None


def test_preparing_a_change_changes_nothing(scene: Scene) -> None:
    before = scene.server.config
    change = scene.prepare(server_port=1, idle_shutdown=1.0)
    assert change is not None
    assert (change.changed_fields, change.restart_fields) == (["server_port", "idle_shutdown"], ["server_port"])
    assert (scene.server.config, scene.server.address) == (before, ("127.0.0.1", 25566))


def test_a_configuration_that_cannot_be_used_is_an_error(scene: Scene) -> None:
    with pytest.raises(ConfigError, match=r"admission\.wake 'ops' needs a Minecraft server"):
        scene.prepare(admission=AdmissionConfig(wake="ops"))
    with pytest.raises(ConfigError, match="no_such"):
        scene.prepare(plugin_keywords={"no_such": "argument"})


def test_a_server_that_is_down_takes_every_change_at_once(scene: Scene) -> None:
    replaced: list[bool] = []
    scene.server.on_replaced = lambda: replaced.append(True)
    assert scene.apply(server_port=1, idle_shutdown=1.0) == "server_port, idle_shutdown"
    assert (scene.server.address, scene.server.backend.port) == (("127.0.0.1", 1), 1)
    assert (scene.server.restart_pending, replaced) == (False, [True])


def test_admission_rules_are_replaced_only_when_they_change(scene: Scene) -> None:
    admission = scene.server.backend.admission
    assert scene.apply(idle_shutdown=1.0) == "idle_shutdown"
    assert scene.server.backend.admission is admission
    assert scene.apply(idle_shutdown=1.0, admission=AdmissionConfig(wake="nobody")) == "admission"
    assert scene.server.backend.admission is not admission


def test_networks_that_send_headers_are_a_setting_of_the_port(scene: Scene) -> None:
    change = scene.prepare(proxy_protocol=ProxyProtocolConfig(accept_from=("127.0.0.1",)))
    assert change is not None and change.restart_fields == []
    change = scene.prepare(proxy_protocol=ProxyProtocolConfig(send="v2"))
    assert change is not None and change.restart_fields == ["proxy_protocol"]
    apply_change(scene.server, change)
    assert scene.server.backend.proxy_version == "v2"


def test_a_server_that_is_down_may_change_its_protocol(scene: Scene) -> None:
    assert scene.apply(plugin="stub_server:Minecraft", admission=AdmissionConfig(wake="ops")) == "plugin, admission"
    assert scene.server.speaks_minecraft
