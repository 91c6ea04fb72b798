"""Servers described by labels: each is checked by itself, and changes are followed."""

from __future__ import annotations

import asyncio
import importlib
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from harness import greeting, proxy_config, run, running_reactor, stub_config, until
from ports import free_ports
from stub_server import Server as StubServer
from twisted.internet.task import Clock

from zeroscale.config.model import Config, DiscoveryConfig
from zeroscale.errors import ConfigError
from zeroscale.proxy import discovery
from zeroscale.proxy.discovery import RESTART_DELAY, ProblemLog, ServerDiscovery, Tables, add_discovered
from zeroscale.proxy.exclusive_use import ExclusiveUse
from zeroscale.proxy.service import ProxyService
from zeroscale.status import Status

BOTH = DiscoveryConfig(docker=True, kubernetes=True, listen=("25570",))


class FakeSource:
    """A plugin's discovery."""

    def __init__(self, changed: Callable[[Tables], None], arguments: dict[str, Any]) -> None:
        self.changed = changed
        self.arguments = arguments
        self.end: asyncio.Future[None] | None = None
        self.cancelled = False

    async def run(self) -> None:
        self.end = asyncio.get_running_loop().create_future()
        try:
            await self.end
        except asyncio.CancelledError:
            self.cancelled = True
            raise


class World:
    """Fake discoveries of Docker and Kubernetes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: dict[str, list[FakeSource]] = {"docker": [], "kubernetes": []}
        for name in self.made:
            module = type("Module", (), {"Discovery": self._maker(name)})
            package = importlib.import_module(f"zeroscale.plugins.{name}")
            monkeypatch.setitem(sys.modules, f"zeroscale.plugins.{name}.discovery", module)
            monkeypatch.setattr(package, "discovery", module, raising=False)
        monkeypatch.setattr(discovery, "find_plugin", lambda name: object)

    def _maker(self, name: str) -> Callable[..., FakeSource]:
        def make(changed: Callable[[Tables], None], **arguments: Any) -> FakeSource:
            self.made[name].append(FakeSource(changed, arguments))
            return self.made[name][-1]

        return make

    @property
    def docker(self) -> FakeSource:
        return self.made["docker"][-1]

    @property
    def kubernetes(self) -> FakeSource:
        return self.made["kubernetes"][-1]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def test_only_enabled_discoveries_are_made(world: World) -> None:
    ServerDiscovery(DiscoveryConfig(docker=True, base_url="unix:///a"), Clock(), lambda: None)
    assert world.docker.arguments == {"base_url": "unix:///a", "listen": ["25565"]}
    assert world.made["kubernetes"] == []


@pytest_twisted.ensureDeferred
async def test_tables_of_all_sources_are_merged(world: World) -> None:
    changes: list[Tables] = []
    found = ServerDiscovery(BOTH, Clock(), lambda: changes.append(found.tables))
    found.start()
    await until(lambda: world.docker.end and world.kubernetes.end)
    world.docker.changed({"one": {"a": 1}})
    world.docker.changed({"one": {"a": 1}})
    world.kubernetes.changed({"one": {"b": 2}, "two": {}})
    world.docker.changed({})
    assert changes == [
        {"one": {"a": 1}},
        {"one": {"a": 1}, "two": {}},
        {"one": {"b": 2}, "two": {}},
    ]
    found.stop()
    await until(lambda: world.docker.cancelled and world.kubernetes.cancelled)


@pytest_twisted.ensureDeferred
async def test_a_failed_discovery_is_restarted_and_its_servers_stay(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    found = ServerDiscovery(DiscoveryConfig(docker=True), clock, lambda: None)
    found.start()
    first = world.docker
    await until(lambda: first.end)
    assert first.end is not None
    first.changed({"one": {}})
    first.end.set_exception(ConfigError("no permission"))
    await until(clock.getDelayedCalls)
    assert "Discovery docker failed, and is started again in 60 s: no permission" in caplog.messages
    assert found.tables == {"one": {}}
    clock.advance(RESTART_DELAY)
    assert world.docker is not first
    await until(lambda: world.docker.end)
    found.stop()
    await until(lambda: world.docker.cancelled)
    assert clock.getDelayedCalls() == []


@pytest_twisted.ensureDeferred
async def test_a_restart_that_fails_is_repeated(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    found = ServerDiscovery(DiscoveryConfig(docker=True), clock, lambda: None)
    found.start()
    first = world.docker
    await until(lambda: first.end)
    assert first.end is not None
    first.end.set_exception(ConfigError("the cluster has gone"))
    await until(clock.getDelayedCalls)

    def no_plugin(name: str) -> object:
        raise ConfigError("the credentials are gone")

    with monkeypatch.context() as broken:
        broken.setattr(discovery, "find_plugin", no_plugin)
        clock.advance(RESTART_DELAY)
    assert "Discovery docker failed, and is started again in 60 s: the credentials are gone" in caplog.messages
    clock.advance(RESTART_DELAY)
    assert world.docker is not first
    await until(lambda: world.docker.end)
    found.stop()
    await until(lambda: world.docker.cancelled)


def test_each_described_server_is_checked_by_itself(tmp_path: Path) -> None:
    listen, other, a, b = free_ports(4)
    config = proxy_config(tmp_path, stub_config("known", listen, a, tmp_path))

    def table(at: int, port: int, **more: object) -> dict[str, object]:
        return {"plugin": "stub_server:Server", "listen": at, "server": port, **more}

    def check(one: Config, use: ExclusiveUse) -> None:
        [server] = one.servers
        if server.plugin_keywords:
            raise ConfigError("no such argument")

    problems: list[str] = []
    found = add_discovered(
        config,
        {
            "good": table(other, b, idle_shutdown="1m", keep_awake="Mon-Fri 16:00-22:00; Sat,Sun 10:00-24:00"),
            "known": table(other, b),
            "mistaken": table(other, b, idle_shutdwn=1),
            "refused": table(other, 4, plugin_arguments={"x": "y"}),
            "same": table(other, 5),
        },
        check,
        ExclusiveUse(),
        problems,
    )
    assert [(server.name, server.idle_shutdown) for server in found.servers] == [("known", 3600.0), ("good", 60.0)]
    assert found.servers[1].keep_awake == ("Mon-Fri 16:00-22:00", "Sat,Sun 10:00-24:00")
    assert [problem.partition(": ")[0] for problem in problems] == [
        "known is left out",
        "mistaken is left out",
        "refused is left out",
        "same is left out",
    ]
    assert "takes precedence" in problems[0]
    assert 'did you mean "idle_shutdown"' in problems[1] or "did you mean 'idle_shutdown'" in problems[1]
    assert "no such argument" in problems[2]
    assert str(other) in problems[3]


def test_described_servers_and_those_of_the_file_need_each_other(tmp_path: Path) -> None:
    ports = free_ports(8)
    of_file = stub_config("web", ports[0], ports[1], tmp_path, needs=("db",), on_exit="leave")
    config = proxy_config(tmp_path, of_file)
    problems: list[str] = []

    def add(tables: dict[str, str]) -> list[tuple[str, tuple[str, ...]]]:
        described = {
            name: {"plugin": "stub_server:Server", "listen": ports[place], "server": ports[place + 1], "needs": needs}
            for place, (name, needs) in zip((2, 4, 6), tables.items(), strict=False)
        }
        problems.clear()
        found = add_discovered(config, described, lambda one, use: None, ExclusiveUse(), problems)
        return [(server.name, server.needs) for server in found.servers]

    assert add({"app": "web, cache"}) == [("web", ("db",)), ("app", ("web", "cache"))]
    assert problems == [
        "web needs db, which has not been found yet",
        "app needs cache, which has not been found yet",
    ]
    assert add({"app": "web", "db": ""}) == [("web", ("db",)), ("app", ("web",)), ("db", ())]
    assert problems == []
    assert add({"app": "web", "db": "app"}) == [("web", ("db",)), ("app", ("web",))]
    assert problems == [
        "db is left out: servers.web.needs: is a cycle: web needs db, db needs app, app needs web; "
        "none of them could be started first",
        "web needs db, which has not been found yet",
    ]


def test_a_problem_is_logged_once_until_it_is_gone(caplog: pytest.LogCaptureFixture) -> None:
    problem_log = ProblemLog()
    for now in (["a"], ["a", "b"], ["b"], ["a"]):
        problem_log.update(now)
    assert caplog.messages == ["a", "b", "a"]


@pytest_twisted.ensureDeferred
async def test_servers_above_the_maximum_are_left_out_and_logged_once(
    world: World,
    tmp_path: Path,
    proxies: list[ProxyService],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(discovery, "MAX_SERVERS", 2)
    ports = free_ports(6)
    proxy = ProxyService(proxy_config(tmp_path, discovery=DiscoveryConfig(docker=True)), running_reactor())
    proxies.append(proxy)
    await proxy.start()
    await until(lambda: world.docker.end)
    tables = {
        f"s{at}": {"plugin": "stub_server:Server", "listen": at, "server": port}
        for at, port in zip(ports[:3], ports[3:], strict=True)
    }
    world.docker.changed(tables)
    await until(lambda: len(proxy.servers) == 2)
    first, second, third = tables
    world.docker.changed({first: {**tables[first], "idle_shutdown": 900}, second: tables[second], third: tables[third]})
    await until(lambda: proxy.servers[first].config.idle_shutdown == 900)
    [arguments] = [message for message in caplog.messages if "left out" in message]
    assert arguments.startswith(f"1 of 3 discovered servers are left out, the first of them {third}")


@pytest.fixture
def proxies() -> Iterator[list[ProxyService]]:
    made: list[ProxyService] = []
    yield made
    for proxy in made:
        pytest_twisted.blockon(proxy.stop())
    assert StubServer.running == set()


@pytest_twisted.ensureDeferred
async def test_described_servers_are_added_changed_and_removed(
    world: World, tmp_path: Path, proxies: list[ProxyService]
) -> None:
    listen, port = free_ports(2)
    proxy = ProxyService(proxy_config(tmp_path, discovery=DiscoveryConfig(docker=True)), running_reactor())
    proxies.append(proxy)
    await proxy.start()
    await until(lambda: world.docker.end)
    arguments = {"greeting": "described\n"}
    table = {"plugin": "stub_server:Server", "listen": listen, "server": port, "plugin_arguments": arguments}
    world.docker.changed({"one": {**table, "idle_shutdown": 900}, "two": {"plugin": "stub_server:Server"}})
    await until(lambda: "one" in proxy.servers)
    assert await run(greeting(listen)) == b"described\n"
    assert list(proxy.servers) == ["one"]
    world.docker.changed({"one": {**table, "idle_shutdown": 0}})
    await until(lambda: proxy.servers["one"].lifecycle.view.status is Status.stopped)
    world.docker.changed({})
    await until(lambda: not proxy.servers)
    with pytest.raises(ConnectionError):
        await run(greeting(listen))


@pytest_twisted.ensureDeferred
async def test_a_described_server_that_controls_what_another_one_does_is_left_out(
    world: World, tmp_path: Path, proxies: list[ProxyService], caplog: pytest.LogCaptureFixture
) -> None:
    listen, second, third, a, b, c = free_ports(6)
    discovery = DiscoveryConfig(docker=True)
    arguments = {"controls": "container mc"}
    of_file = stub_config("of_file", listen, a, tmp_path, plugin_keywords=arguments)
    configs = [proxy_config(tmp_path, of_file, discovery=discovery)]
    proxy = ProxyService(configs[0], running_reactor(), lambda: configs[-1], tmp_path / "zeroscale.toml")
    proxies.append(proxy)
    await proxy.start()
    await until(lambda: world.docker.end)

    def table(at: int, port: int, container: str) -> dict[str, object]:
        controls = {"controls": f"container {container}"}
        return {"plugin": "stub_server:Server", "listen": at, "server": port, "plugin_arguments": controls}

    world.docker.changed({"same": table(second, b, "mc"), "too": table(second, b, "b"), "zoo": table(third, c, "b")})
    await until(lambda: "too" in proxy.servers)
    assert sorted(proxy.servers) == ["of_file", "too"]
    assert [message.partition(", and would")[0] for message in caplog.messages if "left out" in message] == [
        "same is left out: container mc is servers.of_file's as well",
        "zoo is left out: container b is servers.too's as well",
    ]
    configs.append(proxy_config(tmp_path, discovery=discovery))
    await proxy.reload()
    assert sorted(proxy.servers) == ["same", "zoo"], "what was too much is back, and too has the port of same"


@pytest_twisted.ensureDeferred
async def test_a_described_server_shares_no_port_with_one_of_another_protocol(
    world: World, tmp_path: Path, proxies: list[ProxyService], caplog: pytest.LogCaptureFixture
) -> None:
    listen, a, b = free_ports(3)
    (tmp_path / "state").mkdir()
    config = proxy_config(tmp_path, discovery=DiscoveryConfig(docker=True))
    proxy = ProxyService(config, running_reactor())
    proxies.append(proxy)
    await proxy.start()
    await until(lambda: world.docker.end)
    game = {"plugin": "stub_server:Minecraft", "listen": listen, "server": a, "hosts": "mc.example.org"}
    world.docker.changed({"game": game, "other": {"plugin": "stub_server:Server", "listen": listen, "server": b}})
    await until(lambda: "game" in proxy.servers)
    assert list(proxy.servers) == ["game"]
    assert f"other is left out: servers.game listens on {listen} as well, and clients are told apart by" in caplog.text


@pytest_twisted.ensureDeferred
async def test_described_web_servers_share_a_port_by_their_hosts(
    world: World, tmp_path: Path, proxies: list[ProxyService]
) -> None:
    listen, a, b = free_ports(3)
    proxy = ProxyService(proxy_config(tmp_path, discovery=DiscoveryConfig(docker=True)), running_reactor())
    proxies.append(proxy)
    await proxy.start()
    await until(lambda: world.docker.end)
    web = {"plugin": "stub_server:Web", "listen": listen}
    world.docker.changed({"wiki": {**web, "server": a, "hosts": "wiki.org"}})
    await until(lambda: "wiki" in proxy.servers)
    world.docker.changed(
        {"shop": {**web, "server": b, "hosts": "*.org"}, "wiki": {**web, "server": a, "hosts": "wiki.org"}}
    )
    await until(lambda: "shop" in proxy.servers)
    assert sorted(proxy.servers) == ["shop", "wiki"]


@pytest_twisted.ensureDeferred
async def test_a_file_that_failed_to_load_is_not_applied_by_a_later_discovery(
    world: World, tmp_path: Path, proxies: list[ProxyService]
) -> None:
    listen, other, port, other_port, taken = free_ports(5)
    discovery = DiscoveryConfig(docker=True)
    one = stub_config("one", listen, port, tmp_path)
    arguments = [proxy_config(tmp_path, one, discovery=discovery)]
    proxy = ProxyService(arguments[0], running_reactor(), lambda: arguments[-1], tmp_path / "zeroscale.toml")
    proxies.append(proxy)
    await proxy.start()
    await until(lambda: world.docker.end)
    with socket.create_server(("127.0.0.1", taken)):
        two = stub_config("two", f"tcp:{taken}:interface=127.0.0.1", other_port, tmp_path)
        arguments.append(proxy_config(tmp_path, two, discovery=discovery))
        with pytest.raises(ConfigError, match="cannot listen"):
            await proxy.reload()
    world.docker.changed({"three": {"plugin": "stub_server:Server", "listen": other, "server": other_port}})
    await until(lambda: "three" in proxy.servers)
    assert sorted(proxy.servers) == ["one", "three"]
