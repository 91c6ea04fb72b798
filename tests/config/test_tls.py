"""What in a configuration needs TLS."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
from processes import Program, python

from zeroscale.config import tls
from zeroscale.config.model import Config, DiscoveryConfig, MetricsConfig, NotifyConfig, PortConfig, ServerConfig
from zeroscale.config.tls import ASYNCIO, TWISTED, TlsUse, server_uses, tls_uses
from zeroscale.plugins.loader import built_in_plugins

IMPORT = """
import importlib, pkgutil, sys
from zeroscale.config.tls import TLS_MODULES
from zeroscale.system.left_out import leave_out
leave_out(TLS_MODULES - set(sys.argv[1].split()))
import zeroscale
for module in pkgutil.walk_packages(zeroscale.__path__, "zeroscale.", onerror=lambda name: None):
    if not module.name.startswith(("zeroscale.__main__", "zeroscale.examples", "zeroscale.plugins.testing")):
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            print(error.name, module.name)
"""


def uses(plugin: str = "minecraft", *listen: str, **values: Any) -> list[TlsUse]:
    server = ServerConfig(name="a", plugin=plugin, listen=listen or ("25565",), server_port=25575)
    return list(tls_uses(Config(servers=(server,), state_directory=Path("/state"), **values)))


@pytest.mark.parametrize(
    "listen",
    ["25565", "udp:25565", "tcp:1", "tcp6:port=1", "unix:/run/a\\:b", "systemd:a", "systemd:domain=INET6:name=a"],
)
def test_plain_endpoints_need_none(listen: str) -> None:
    assert uses("minecraft", listen) == []


@pytest.mark.parametrize("listen", ["ssl:1:privateKey=/key.pem", "tls:1", "haproxy:tcp:1", "onion:1"])
def test_other_endpoints_need_it(listen: str) -> None:
    assert uses("minecraft", "25565", listen) == [TlsUse("servers.a.listen", listen, TWISTED)]
    assert TlsUse("metrics.listen", listen, TWISTED) in uses(metrics=MetricsConfig(listen=listen))


def test_endpoints_of_further_ports_need_it_as_well() -> None:
    ports = (
        PortConfig(listen=("8123",), server_port=81),
        PortConfig(listen=("ssl:1:privateKey=/key",), server_port=82),
    )
    server = ServerConfig(name="a", plugin="generic", listen=("25565",), server_port=25575, ports=ports)
    assert list(server_uses(server)) == [TlsUse("servers.a.ports[1].listen", "ssl:1:privateKey=/key", TWISTED)]


def test_the_library_of_the_metrics_imports_it() -> None:
    assert uses(metrics=MetricsConfig(listen="9225")) == [TlsUse("metrics.listen", "9225", ASYNCIO)]


def test_notifications_over_https() -> None:
    notify = (
        NotifyConfig(url="http://hook.example/SECRET"),
        NotifyConfig(url="HTTPS://hook.example/SECRET"),
        NotifyConfig(discord="https://discord.example/SECRET"),
        NotifyConfig(command=("https://x",)),
        NotifyConfig(apprise="https://hook.example"),  # in a process of its own
    )
    assert uses(notify=notify) == [
        TlsUse("notify[1].url", "https", ASYNCIO),
        TlsUse("notify[2].discord", "https", ASYNCIO),
    ]


def test_plugins_whose_libraries_need_it() -> None:
    assert uses("docker") == [TlsUse("servers.a.plugin", "docker", ASYNCIO)]
    assert uses("wake-on-lan") == uses("systemd_unit") == []


@pytest.mark.parametrize("plugin", ["mine", "mine:Server", "minecraft.mine"])
def test_plugins_of_others_may_need_any(plugin: str) -> None:
    path = "servers.a.plugin"
    assert uses(plugin) == [TlsUse(path, plugin, TWISTED), TlsUse(path, plugin, ASYNCIO)]


@pytest.mark.parametrize("kind", ["docker", "kubernetes"])
def test_servers_that_are_discovered_may_need_any(kind: str) -> None:
    found = uses(discovery=DiscoveryConfig(docker=kind == "docker", kubernetes=kind == "kubernetes"))
    assert {(use.path, use.module) for use in found} == {(f"discovery.{kind}", TWISTED), (f"discovery.{kind}", ASYNCIO)}


def test_every_built_in_plugin_is_known() -> None:
    assert sorted(tls.PLUGINS) == sorted(built_in_plugins())


NEED_ASYNCIO = ("control.metrics", "daemon.reference", "plugins.docker", "plugins.kubernetes")


@pytest.mark.parametrize(("needed", "failing"), [("", NEED_ASYNCIO), (ASYNCIO, ())])
def test_all_other_modules_can_be_imported_where_it_is_left_out(needed: str, failing: tuple[str, ...]) -> None:
    with Program(python("-W", "ignore", "-c", IMPORT, needed)) as program:
        assert program.wait() == 0, program.output
    failed = [line.split()[1].removeprefix("zeroscale.") for line in program.lines]
    assert [name for name in failed if not name.startswith(failing)] == []
    assert [name for name in failing if not any(each.startswith(name) for each in failed)] == []


@pytest.mark.parametrize("module", sorted(tls.TLS_MODULES))
def test_the_modules_exist(module: str) -> None:
    importlib.import_module(module)
